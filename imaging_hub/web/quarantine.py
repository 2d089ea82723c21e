"""What did not pass the door: counts and reasons. The instances themselves stay with the hospital's console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection, text
from starlette.responses import Response

from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.reasons.quarantine import explain
from imaging_hub.web.hub import HubVisit, Needs

api = APIRouter(prefix="/api/v1", tags=["reception"])
pages = APIRouter(include_in_schema=False)

QuarantineReader = Annotated[HubVisit, Needs(Action.QUARANTINE_READ)]


@dataclass(frozen=True)
class QuarantineCount:
    """Instances in quarantine for one reason."""

    finess: str
    reason: str
    modality: str | None
    instances: int
    latest_day: datetime


def held(connection: Connection, actor: RequestActor) -> Sequence[QuarantineCount]:
    """What is held and why, the most first; a hospital's account sees its own."""
    rows = connection.execute(
        text(
            "SELECT finess, reason, modality, sum(instances)::bigint, max(day) FROM hub.reception"
            " WHERE state = 'QUARANTINED' AND (CAST(:finess AS text) IS NULL OR finess = :finess)"
            " GROUP BY finess, reason, modality ORDER BY 4 DESC, 1, 2, 3"
        ),
        {"finess": own_hospital(actor)},
    )
    return [QuarantineCount(*row) for row in rows]


def received(connection: Connection, actor: RequestActor) -> dict[str, int]:
    """Instances by journal state."""
    rows = connection.execute(
        text(
            "SELECT state, sum(instances)::bigint FROM hub.reception"
            " WHERE CAST(:finess AS text) IS NULL OR finess = :finess GROUP BY state"
        ),
        {"finess": own_hospital(actor)},
    )
    return {state: int(count) for state, count in rows}


def own_hospital(actor: RequestActor) -> str | None:
    """The only hospital that this account sees; None for those who see all."""
    return (actor.finess or "none") if actor.role is AccountRole.HOSPITAL else None


@api.get("/quarantine")
def list_held(visit: QuarantineReader) -> list[QuarantineCount]:
    """Instances in quarantine by hospital, reason and modality."""
    with visit.begin() as connection:
        return list(held(connection, visit.person))


@pages.get("/quarantine")
def quarantine_page(visit: QuarantineReader) -> Response:
    """The same for people, with the way to the console."""
    with visit.begin() as connection:
        rows, states = held(connection, visit.person), received(connection, visit.person)
    return visit.page(
        "quarantine.html", held=rows, received=states, why=explain, console=visit.app.settings.console_url
    )
