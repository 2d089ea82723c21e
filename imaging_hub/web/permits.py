"""Projects and their permits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.permits import projects
from imaging_hub.permits.policy import AccountRole, Action, Permit, PermitState, RequestActor
from imaging_hub.permits.projects import Project
from imaging_hub.web.authorization import HubRequest, RequiresAction, today

api = APIRouter(prefix="/api/v1", tags=["permits"])
pages = APIRouter(include_in_schema=False)

ProjectReader = Annotated[HubRequest, RequiresAction(Action.PROJECT_READ)]
PermitReader = Annotated[HubRequest, RequiresAction(Action.PERMIT_READ)]


@dataclass(frozen=True)
class PermitView:
    """A permit as its holders see it."""

    id: str
    project: str
    valid_from: date
    valid_until: date
    state: PermitState
    modalities: list[str]
    domains: list[str]
    holders: list[str]


def list_visible(connection: Connection, actor: RequestActor) -> list[PermitView]:
    """List the permits that the account holds; all for an operator."""
    holder = None if actor.role is AccountRole.OPERATOR else actor.name
    return [_view(permit) for permit in projects.list_permits(connection, holder=holder)]


def _view(permit: Permit) -> PermitView:
    return PermitView(
        permit.id,
        permit.project,
        permit.valid_from,
        permit.valid_until,
        permit.state(today()),
        sorted(permit.modalities),
        sorted(permit.domains),
        sorted(permit.holders),
    )


@api.get("/projects")
def list_projects(request: ProjectReader) -> list[Project]:
    """The public register of projects."""
    with request.begin() as connection:
        return list(projects.list_projects(connection))


@api.get("/permits")
def list_permits(request: PermitReader) -> list[PermitView]:
    """Permits you hold; all of them for an operator."""
    with request.begin() as connection:
        return list_visible(connection, request.person)


@pages.get("/permits")
def permits_page(request: PermitReader) -> Response:
    """Projects with the permits you may see."""
    with request.begin() as connection:
        register, held = projects.list_projects(connection), list_visible(connection, request.person)
    return request.page("permits.html", projects=register, permits=held)
