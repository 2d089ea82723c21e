"""Releases: state, manifest and objects while their permit is in force *at this request* (A17, A18).

Permit, holders and verdicts are read again at each request, so that a revocation also stops a download under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from imaging_hub.audit import trail
from imaging_hub.cohorts import catalogue
from imaging_hub.cohorts.catalogue import ReleaseView
from imaging_hub.cohorts.release import ReleaseState
from imaging_hub.errors import NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action
from imaging_hub.web.authorization import HubRequest, RequiresAction, allowed_or_raise, today
from imaging_hub.web.byte_range import ByteSpan, parse_range
from imaging_hub.web.client_wheel import build_wheel

api = APIRouter(prefix="/api/v1/releases", tags=["releases"])
pages = APIRouter(include_in_schema=False)

ReleaseReader = Annotated[HubRequest, RequiresAction(Action.RELEASE_READ)]
ReleaseDownloader = Annotated[HubRequest, RequiresAction(Action.RELEASE_DOWNLOAD)]

ReleaseRequester = Annotated[HubRequest, RequiresAction(Action.RELEASE_REQUEST)]


@dataclass(frozen=True)
class RequestedReleaseView:
    """A requested release; `new` is False when the same was requested before."""

    id: str
    new: bool


class ReleaseIn(BaseModel):
    """Cohort and permit of a release."""

    cohort: str = Field(max_length=64)
    permit: str = Field(max_length=64)


def _require_release(request: HubRequest, release_id: str) -> ReleaseView:
    with request.begin() as connection:
        release = catalogue.find_release(connection, release_id)
        if release is None:
            raise NotFound("no such release")
        resource = catalogue.release_resource(connection, release)
        permit = projects.find_permit(connection, release.permit)
    request.require(resource, permit, obj=release_id)
    return release


@api.get("")
def list_releases(request: ReleaseReader) -> list[ReleaseView]:
    """Your releases, the newest first."""
    with request.begin() as connection:
        return list(catalogue.list_releases(connection, request.person))


@api.post("")
def request_release(request: ReleaseRequester, asked: ReleaseIn) -> RequestedReleaseView:
    """Request a release of a frozen cohort, which a worker prepares. Requesting it twice gives one release."""
    return _request_release(request, asked.cohort, asked.permit)


@api.get("/{release_id}")
def show_release(request: ReleaseReader, release_id: str) -> ReleaseView:
    """One release: `PREPARING`, `READY` or `FAILED`, with its size."""
    return _require_release(request, release_id)


@api.get("/{release_id}/manifest", response_class=Response)
def manifest(request: ReleaseDownloader, release_id: str) -> Response:
    """The manifest as Parquet: `path`, `digest`, `size` and more, a row for each file."""
    release = _require_release(request, release_id)
    if release.manifest_digest is None:
        raise NotFound("This release is not ready.", code="not-ready", hint="ask again in a minute")
    size = request.app.objects.size(release.manifest_digest)
    return _stream(request, release, release.manifest_digest, size, "application/vnd.apache.parquet")


@api.get("/{release_id}/objects/{digest}", response_class=Response)
def release_object(request: ReleaseDownloader, release_id: str, digest: str) -> Response:
    """One file of the release by its SHA-256, with `Range`, so that an interrupted download can continue."""
    release = _require_release(request, release_id)
    with request.begin() as connection:
        size = catalogue.item_size(connection, release_id, digest)
    if size is None or release.state is not ReleaseState.READY:
        raise NotFound("no such release")
    return _stream(request, release, digest, size, "application/dicom")


def _stream(request: HubRequest, release: ReleaseView, digest: str, size: int, media_type: str) -> Response:
    """Stream an object or the requested range, in constant memory."""
    request.record_action(
        trail.AuditAction.RELEASE_DOWNLOADED,
        release.id,
        {"permit": release.permit, "manifest_digest": release.manifest_digest},
    )
    headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Content-Disposition": "attachment"}
    span = parse_range(request.http.headers, digest, size)
    if span is None:
        headers["Content-Length"] = str(size)
        return StreamingResponse(_chunks(request, digest, None), 200, headers, media_type)
    headers |= {"Content-Length": str(span.end - span.start), "Content-Range": span.content_range(size)}
    return StreamingResponse(_chunks(request, digest, span), 206, headers, media_type)


def _chunks(request: HubRequest, digest: str, span: ByteSpan | None) -> Iterator[bytes]:
    if span is None:
        return request.app.objects.stream(digest)
    return request.app.objects.stream(digest, span.start, span.end)


def _request_release(request: HubRequest, cohort: str, permit: str) -> RequestedReleaseView:
    from imaging_hub.cohorts import release as releasing  # an analytic engine: the first page need not wait for it

    with request.begin() as connection:
        if projects.find_permit(connection, permit) is None:
            raise NotFound("no such permit")
        requested = releasing.request(connection, actor=request.person, cohort=cohort, permit_id=permit, today=today())
    release = allowed_or_raise(requested)
    return RequestedReleaseView(release.id, release.new)


@pages.post("/cohorts/{cohort_id}/releases")
def release_form(request: ReleaseRequester, cohort_id: str, permit: Annotated[str, Form(max_length=64)]) -> Response:
    """Request a release and go to its page."""
    return RedirectResponse(f"/releases/{_request_release(request, cohort_id, permit).id}", 303)


@pages.get("/releases")
def releases_page(request: ReleaseReader) -> Response:
    """Your releases."""
    with request.begin() as connection:
        releases = catalogue.list_releases(connection, request.person)
    return request.page("releases.html", releases=releases)


@pages.get("/releases/{release_id}")
def release_page(request: ReleaseReader, release_id: str) -> Response:
    """One release with the commands that install the client and download it."""
    release = _require_release(request, release_id)
    with request.begin() as connection:
        permit = projects.find_permit(connection, release.permit)
    origin = request.app.settings.hub_url
    install = build_wheel().install_command(origin)
    return request.page("release.html", release=release, permit=permit, origin=origin, install=install)
