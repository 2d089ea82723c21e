"""Cohorts: what a definition would give, and the frozen ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from sqlalchemy import Connection, text
from starlette.responses import Response

from imaging_hub.errors import NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action, Actor, Role
from imaging_hub.web.hub import Needs, Visit

api = APIRouter(prefix="/api/v1/cohorts", tags=["cohorts"])
pages = APIRouter(include_in_schema=False)

Reader = Annotated[Visit, Needs(Action.COHORT_READ)]


@dataclass(frozen=True)
class Cohort:
    """A frozen run of a definition."""

    id: str
    project: str
    name: str
    definition: str
    definition_digest: str
    data_version: str
    flowchart: Any
    frozen_by: str
    frozen_at: datetime


def visible(connection: Connection, actor: Actor, cohort_id: str | None = None) -> Sequence[Cohort]:
    """Cohorts of the projects whose permits the actor holds, the newest first; an operator sees all."""
    rows = connection.execute(
        text(
            "SELECT id, project, name, definition, definition_digest, data_version, flowchart, frozen_by, frozen_at"
            " FROM hub.cohort c WHERE (CAST(:id AS text) IS NULL OR id = :id) AND (:all OR EXISTS ("
            "  SELECT 1 FROM hub.permit p JOIN hub.permit_holder h ON h.permit = p.id"
            "  WHERE p.project = c.project AND h.account = :actor)) ORDER BY frozen_at DESC, id"
        ),
        {"id": cohort_id, "all": actor.role is Role.OPERATOR, "actor": actor.name},
    )
    return [Cohort(*row) for row in rows]


def _cohort(connection: Connection, actor: Actor, cohort_id: str) -> Cohort:
    found = visible(connection, actor, cohort_id)
    if not found:
        raise NotFound("There is no such cohort, or it is not yours.")
    return found[0]


@api.get("")
def list_cohorts(visit: Reader) -> list[Cohort]:
    """Frozen cohorts of your projects, the newest first."""
    with visit.begin() as connection:
        return list(visible(connection, visit.actor))


@api.get("/{cohort_id}")
def show_cohort(visit: Reader, cohort_id: str) -> Cohort:
    """One frozen cohort with its flowchart."""
    with visit.begin() as connection:
        return _cohort(connection, visit.actor, cohort_id)


@pages.get("/cohorts")
def cohorts_page(visit: Reader) -> Response:
    """Frozen cohorts, and the form that counts a new definition."""
    with visit.begin() as connection:
        found = visible(connection, visit.actor)
        permits = projects.permits(connection, holder=visit.actor.name)
    return visit.page("cohorts.html", cohorts=found, permits=permits, definition="", counted=None, fault="")
