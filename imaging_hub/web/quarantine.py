"""Counts of quarantined instances by reason; the instances themselves are shown by the hospital's console."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imaging_hub.archive import reception_counts
from imaging_hub.archive.reception_counts import QuarantineCount
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.reasons.quarantine_reasons import explain
from imaging_hub.web.authorization import HubRequest, RequiresAction

api = APIRouter(prefix="/api/v1", tags=["reception"])
pages = APIRouter(include_in_schema=False)

QuarantineReader = Annotated[HubRequest, RequiresAction(Action.QUARANTINE_READ)]


def visible_hospital(actor: RequestActor) -> str | None:
    """Return the FINESS number of the only hospital that this account sees; None for all."""
    return (actor.finess or "none") if actor.role is AccountRole.HOSPITAL else None


@api.get("/quarantine")
def list_held(request: QuarantineReader) -> list[QuarantineCount]:
    """Instances in quarantine by hospital, reason and modality."""
    with request.begin() as connection:
        return list(reception_counts.list_quarantined(connection, visible_hospital(request.person)))


@pages.get("/quarantine")
def quarantine_page(request: QuarantineReader) -> Response:
    """The same as a page, with a link to the console."""
    hospital = visible_hospital(request.person)
    with request.begin() as connection:
        quarantined = reception_counts.list_quarantined(connection, hospital)
        received = reception_counts.count_by_state(connection, hospital)
    return request.page(
        "quarantine.html",
        quarantined=quarantined,
        received=received,
        why=explain,
        console=request.app.settings.console_url,
    )
