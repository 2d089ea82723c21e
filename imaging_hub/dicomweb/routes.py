"""Routes of the DICOMweb resources: QIDO-RS and WADO-RS over the archive (PS3.18 §10.4, §10.6).

They are described by the Standard, and so left out of the OpenAPI schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.search_filters import StudyFilter
from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom import uid
from imaging_hub.dicomweb import qido, wado
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.pixels.rendering import FrameRenderer

Require: TypeAlias = Callable[[Action], Any]
"""Returns the FastAPI dependency that checks an action; the dependency's value is a `RequestWithActor`."""

_Resource: TypeAlias = Callable[[ArchiveView, ResourceRequest], Response]
_CACHE_BYTES = 64 << 20


class RequestWithActor(Protocol):
    """An authorised request, as far as these routes need it."""

    @property
    def person(self) -> RequestActor:
        """The account, whose role decides which studies are shown."""


def router(login: DatabaseLogin, objects: ObjectStore, require: Require, *, origin: str = "") -> APIRouter:
    """Return the routes, to be mounted under `/dicom-web`, each with the permission check of `require`.

    `origin` is that of URLs in responses, by default that of each request.
    """
    archive = ArchiveView(login, objects, FrameRenderer(objects.file, _CACHE_BYTES), origin)
    api_router = APIRouter(include_in_schema=False)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = series + "/instances/{instance}"
    resources: tuple[tuple[str, Action, _Resource], ...] = (
        ("/studies", Action.STUDIES_READ, qido.search_studies),
        ("/series", Action.SERIES_READ, qido.search_series),
        (study + "/series", Action.SERIES_READ, qido.search_series),
        ("/instances", Action.SERIES_READ, qido.search_instances),
        (study + "/instances", Action.SERIES_READ, qido.search_instances),
        (series + "/instances", Action.SERIES_READ, qido.search_instances),
        (instance + "/bulkdata/{tag}", Action.PIXELS_READ, wado.retrieve_bulk_data),
        (instance + "/frames/{frames}", Action.PIXELS_READ, wado.retrieve_frames),
        (instance + "/frames/{frames}/rendered", Action.PIXELS_READ, wado.render_frame),
        (instance + "/frames/{frames}/thumbnail", Action.PIXELS_READ, wado.render_thumbnail),
        (instance + "/rendered", Action.PIXELS_READ, wado.render_frame),
        *((level, Action.PIXELS_READ, wado.retrieve_objects) for level in (study, series, instance)),
        *((level + "/metadata", Action.SERIES_READ, wado.retrieve_metadata) for level in (study, series, instance)),
        *((level + "/thumbnail", Action.PIXELS_READ, wado.render_thumbnail) for level in (study, series, instance)),
    )
    for path, action, resource in resources:
        api_router.add_api_route(
            path, _route(archive, resource, require(action)), methods=["GET"], response_class=Response
        )
    return api_router


def _route(archive: ArchiveView, resource: _Resource, dependency: Any) -> Callable[..., Response]:
    """Return the endpoint of a resource, with the permission check as its dependency."""

    def endpoint(request: Request, authorised: Any = dependency) -> Response:
        uids = [request.path_params[name] for name in ("study", "series", "instance") if name in request.path_params]
        if not all(map(uid.is_valid, uids)):
            raise NotFound("The archive does not hold this, or not for you.")
        return resource(archive, ResourceRequest(request, _scope(authorised), **request.path_params))

    return endpoint


def _scope(authorised: RequestWithActor) -> StudyFilter:
    """Return the studies that a visitor may see: a hospital its own, other roles all."""
    if authorised.person.role is not AccountRole.HOSPITAL:
        return StudyFilter()
    return StudyFilter(finess=authorised.person.finess or "none")
