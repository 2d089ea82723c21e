"""Releases: state, manifest and objects for those whose permit is in force *at this request* (reliability.md A17, A18).

The permit, its holders and the verdicts are read again every time: a revocation bites at the next request,
also in the middle of a download.
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
from imaging_hub.errors import NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action
from imaging_hub.web.byterange import ByteSpan, asked_span
from imaging_hub.web.client_wheel import wheel
from imaging_hub.web.hub import HubVisit, Needs, allowed, today

api = APIRouter(prefix="/api/v1/releases", tags=["releases"])
pages = APIRouter(include_in_schema=False)

ReleaseReader = Annotated[HubVisit, Needs(Action.RELEASE_READ)]
ReleaseDownloader = Annotated[HubVisit, Needs(Action.RELEASE_DOWNLOAD)]

ReleaseRequester = Annotated[HubVisit, Needs(Action.RELEASE_REQUEST)]


@dataclass(frozen=True)
class RequestedReleaseView:
    """A release that a worker will prepare, or has; `new` is false when the same was asked for before."""

    id: str
    new: bool


class ReleaseIn(BaseModel):
    """What to release, and under what."""

    cohort: str = Field(max_length=64)
    permit: str = Field(max_length=64)


def _admitted(visit: HubVisit, release_id: str) -> ReleaseView:
    with visit.begin() as connection:
        release = catalogue.find_release(connection, release_id)
        if release is None:
            raise NotFound("no such release")
        resource = catalogue.release_resource(connection, release)
        permit = projects.find_permit(connection, release.permit)
    visit.require(resource, permit, obj=release_id)
    return release


@api.get("")
def list_releases(visit: ReleaseReader) -> list[ReleaseView]:
    """Your releases, the newest first."""
    with visit.begin() as connection:
        return list(catalogue.list_releases(connection, visit.person))


@api.post("")
def request_release(visit: ReleaseRequester, asked: ReleaseIn) -> RequestedReleaseView:
    """Ask for a release of a frozen cohort; a worker prepares it. Asking twice is one release."""
    return _requested(visit, asked.cohort, asked.permit)


@api.get("/{release_id}")
def show_release(visit: ReleaseReader, release_id: str) -> ReleaseView:
    """One release: `PREPARING`, `READY` or `FAILED`, with its size."""
    return _admitted(visit, release_id)


@api.get("/{release_id}/manifest", response_class=Response)
def manifest(visit: ReleaseDownloader, release_id: str) -> Response:
    """The manifest as Parquet: `path`, `digest`, `size` and more, a row for each file."""
    release = _admitted(visit, release_id)
    if release.manifest_digest is None:
        raise NotFound("This release is not ready.", code="not-ready", hint="ask again in a minute")
    size = visit.app.objects.size(release.manifest_digest)
    return _sent(visit, release, release.manifest_digest, size, "application/vnd.apache.parquet")


@api.get("/{release_id}/objects/{digest}", response_class=Response)
def release_object(visit: ReleaseDownloader, release_id: str, digest: str) -> Response:
    """One file of the release by its SHA-256; `Range` is honoured, so a broken download goes on."""
    release = _admitted(visit, release_id)
    with visit.begin() as connection:
        size = catalogue.item_size(connection, release_id, digest)
    if size is None or release.state != "READY":
        raise NotFound("no such release")
    return _sent(visit, release, digest, size, "application/dicom")


def _sent(visit: HubVisit, release: ReleaseView, digest: str, size: int, media_type: str) -> Response:
    """An object or the part asked for, streamed: memory does not grow with the file."""
    visit.note(
        trail.AuditAction.RELEASE_DOWNLOADED,
        release.id,
        {"permit": release.permit, "manifest_digest": release.manifest_digest},
    )
    headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Content-Disposition": "attachment"}
    span = asked_span(visit.request.headers, digest, size)
    if span is None:
        headers["Content-Length"] = str(size)
        return StreamingResponse(_pieces(visit, digest, None), 200, headers, media_type)
    headers |= {"Content-Length": str(span.end - span.start), "Content-Range": span.content_range(size)}
    return StreamingResponse(_pieces(visit, digest, span), 206, headers, media_type)


def _pieces(visit: HubVisit, digest: str, span: ByteSpan | None) -> Iterator[bytes]:
    if span is None:
        return visit.app.objects.stream(digest)
    return visit.app.objects.stream(digest, span.start, span.end)


def _requested(visit: HubVisit, cohort: str, permit: str) -> RequestedReleaseView:
    from imaging_hub.cohorts import release as releasing  # an analytic engine: the first page need not wait for it

    with visit.begin() as connection:
        if projects.find_permit(connection, permit) is None:
            raise NotFound("no such permit")
        requested = releasing.request(connection, actor=visit.person, cohort=cohort, permit_id=permit, today=today())
    release = allowed(requested)
    return RequestedReleaseView(release.id, release.new)


@pages.post("/cohorts/{cohort_id}/releases")
def release_form(visit: ReleaseRequester, cohort_id: str, permit: Annotated[str, Form(max_length=64)]) -> Response:
    """Ask for a release and go to its page."""
    return RedirectResponse(f"/releases/{_requested(visit, cohort_id, permit).id}", 303)


@pages.get("/releases")
def releases_page(visit: ReleaseReader) -> Response:
    """Your releases."""
    with visit.begin() as connection:
        found = catalogue.list_releases(connection, visit.person)
    return visit.page("releases.html", releases=found)


@pages.get("/releases/{release_id}")
def release_page(visit: ReleaseReader, release_id: str) -> Response:
    """One release with the command that fetches it."""
    release = _admitted(visit, release_id)
    with visit.begin() as connection:
        permit = projects.find_permit(connection, release.permit)
    origin = visit.app.settings.hub_url
    install = wheel().install_command(origin)
    return visit.page("release.html", release=release, permit=permit, origin=origin, install=install)
