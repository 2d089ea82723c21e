"""What did not pass the door: counts and reasons. The instances themselves stay with the hospital's console."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imaging_hub.archive import reception
from imaging_hub.archive.reception import QuarantineCount
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.reasons.quarantine import explain
from imaging_hub.web.hub import HubVisit, Needs

api = APIRouter(prefix="/api/v1", tags=["reception"])
pages = APIRouter(include_in_schema=False)

QuarantineReader = Annotated[HubVisit, Needs(Action.QUARANTINE_READ)]


def own_hospital(actor: RequestActor) -> str | None:
    """The only hospital that this account sees; None for those who see all."""
    return (actor.finess or "none") if actor.role is AccountRole.HOSPITAL else None


@api.get("/quarantine")
def list_held(visit: QuarantineReader) -> list[QuarantineCount]:
    """Instances in quarantine by hospital, reason and modality."""
    with visit.begin() as connection:
        return list(reception.list_quarantined(connection, own_hospital(visit.person)))


@pages.get("/quarantine")
def quarantine_page(visit: QuarantineReader) -> Response:
    """The same for people, with the way to the console."""
    own = own_hospital(visit.person)
    with visit.begin() as connection:
        held = reception.list_quarantined(connection, own)
        received = reception.count_by_state(connection, own)
    return visit.page(
        "quarantine.html", held=held, received=received, why=explain, console=visit.app.settings.console_url
    )
