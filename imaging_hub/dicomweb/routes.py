"""The DICOMweb resources: QIDO-RS and WADO-RS over the archive (PS3.18 §10.4, §10.6).

Described by the Standard and not by OpenAPI, so its routes are left out of the schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.archive.filters import StudyFilter
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom import uid
from imaging_hub.dicomweb import qido, wado
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.pixels.rendering import FrameRenderer

Require: TypeAlias = Callable[[Action], Any]
"""Makes the FastAPI dependency that lets in who may do the action; its value is a `VisitOfActor`."""

_Answer: TypeAlias = Callable[[ArchiveView, ResourceRequest], Response]
_PICTURES_BYTES = 64 << 20


class VisitOfActor(Protocol):
    """What a guard tells of whom it let in."""

    @property
    def person(self) -> RequestActor:
        """Whose role decides which studies are shown."""


def router(login: DatabaseLogin, objects: ObjectStore, require: Require, *, origin: str = "") -> APIRouter:
    """The routes, to be mounted under `/dicom-web`, each behind the guard that `require` makes.

    `origin` is as clients see it, by default from each request.
    """
    archive = ArchiveView(login, objects, FrameRenderer(objects.file, _PICTURES_BYTES), origin)
    routes = APIRouter(include_in_schema=False)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = series + "/instances/{instance}"
    resources: tuple[tuple[str, Action, _Answer], ...] = (
        ("/studies", Action.STUDIES_READ, qido.studies),
        ("/series", Action.SERIES_READ, qido.series),
        (study + "/series", Action.SERIES_READ, qido.series),
        ("/instances", Action.SERIES_READ, qido.instances),
        (study + "/instances", Action.SERIES_READ, qido.instances),
        (series + "/instances", Action.SERIES_READ, qido.instances),
        (instance + "/bulkdata/{tag}", Action.PIXELS_READ, wado.bulk_data),
        (instance + "/frames/{frames}", Action.PIXELS_READ, wado.frames),
        (instance + "/frames/{frames}/rendered", Action.PIXELS_READ, wado.rendered),
        (instance + "/frames/{frames}/thumbnail", Action.PIXELS_READ, wado.thumbnail),
        (instance + "/rendered", Action.PIXELS_READ, wado.rendered),
        *((level, Action.PIXELS_READ, wado.retrieve) for level in (study, series, instance)),
        *((level + "/metadata", Action.SERIES_READ, wado.metadata) for level in (study, series, instance)),
        *((level + "/thumbnail", Action.PIXELS_READ, wado.thumbnail) for level in (study, series, instance)),
    )
    for path, action, answer in resources:
        routes.add_api_route(path, _route(archive, answer, require(action)), methods=["GET"], response_class=Response)
    return routes


def _route(archive: ArchiveView, answer: _Answer, needed: Any) -> Callable[..., Response]:
    """One endpoint: the dependency first, then the answer within what the visitor may see."""

    def endpoint(request: Request, visit: Any = needed) -> Response:
        uids = [request.path_params[name] for name in ("study", "series", "instance") if name in request.path_params]
        if not all(map(uid.is_valid, uids)):
            raise NotFound("The archive does not hold this, or not for you.")
        return answer(archive, ResourceRequest(request, _scope(visit), **request.path_params))

    return endpoint


def _scope(visit: VisitOfActor) -> StudyFilter:
    """A hospital sees its own studies only; which verbs it has at all was decided before."""
    if visit.person.role is not AccountRole.HOSPITAL:
        return StudyFilter()
    return StudyFilter(finess=visit.person.finess or "none")
