"""Projects and their permits: who may take what, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.permits import projects
from imaging_hub.permits.policy import AccountRole, Action, Permit, RequestActor
from imaging_hub.permits.projects import Project
from imaging_hub.web.hub import HubVisit, Needs, today

api = APIRouter(prefix="/api/v1", tags=["permits"])
pages = APIRouter(include_in_schema=False)

ProjectReader = Annotated[HubVisit, Needs(Action.PROJECT_READ)]
PermitReader = Annotated[HubVisit, Needs(Action.PERMIT_READ)]


@dataclass(frozen=True)
class PermitView:
    """A permit as its holders see it."""

    id: str
    project: str
    valid_from: date
    valid_until: date
    state: str
    modalities: list[str]
    domains: list[str]
    holders: list[str]


def visible(connection: Connection, actor: RequestActor) -> list[PermitView]:
    """The permits of which the actor is a holder; an operator sees all."""
    holder = None if actor.role is AccountRole.OPERATOR else actor.name
    return [_view(permit) for permit in projects.list_permits(connection, holder=holder)]


def _view(permit: Permit) -> PermitView:
    return PermitView(
        permit.id,
        permit.project,
        permit.valid_from,
        permit.valid_until,
        _state(permit, today()),
        sorted(permit.modalities),
        sorted(permit.domains),
        sorted(permit.holders),
    )


def _state(permit: Permit, day: date) -> str:
    if permit.revoked:
        return "revoked"
    if day > permit.valid_until:
        return "expired"
    return "in force" if day >= permit.valid_from else "not yet"


@api.get("/projects")
def list_projects(visit: ProjectReader) -> list[Project]:
    """The public register of projects."""
    with visit.begin() as connection:
        return list(projects.list_projects(connection))


@api.get("/permits")
def list_permits(visit: PermitReader) -> list[PermitView]:
    """Permits you hold; all of them for an operator."""
    with visit.begin() as connection:
        return visible(connection, visit.person)


@pages.get("/permits")
def permits_page(visit: PermitReader) -> Response:
    """Projects with the permits you may see."""
    with visit.begin() as connection:
        register, held = projects.list_projects(connection), visible(connection, visit.person)
    return visit.page("permits.html", projects=register, permits=held)
