"""How far images and claims agree, by hospital and month: what is not sent, and what is not billed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from imaging_hub.cohorts import counts
from imaging_hub.errors import LinkageError
from imaging_hub.permits.policy import Action
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.reconciliation import ReconciledMonth, reconcile
from imaging_hub.web.hub import HubVisit, Needs
from imaging_hub.web.quarantine import own_hospital

api = APIRouter(prefix="/api/v1", tags=["reception"])
pages = APIRouter(include_in_schema=False)

ReconciliationReader = Annotated[HubVisit, Needs(Action.RECONCILIATION_READ)]


@dataclass(frozen=True)
class ReconciliationMonth:
    """One hospital in one month, as it may be shown."""

    finess: str
    month: str
    billed: str
    without_images: str
    studies: str
    without_claim: str


def months(visit: HubVisit) -> Sequence[ReconciliationMonth]:
    """What this account may see; a hospital's sees its own."""
    settings = visit.app.settings
    codes = ProcedureCodes.read(settings.procedure_codes)
    try:
        with visit.begin() as connection:
            found = reconcile(connection, settings.tables, codes, own_hospital(visit.person))
    except LinkageError as fault:
        if fault.code != "nothing-loaded":
            raise
        return []
    return [_shown(one, settings.small_cell) for one in found]


def _shown(one: ReconciledMonth, k: int) -> ReconciliationMonth:
    """Of a whole and its part neither is shown when the part, or what is left, is few."""
    billed, without_images = _pair(one.billed, one.without_images, k)
    studies, without_claim = _pair(one.studies, one.without_claim, k)
    return ReconciliationMonth(one.finess, f"{one.month:%Y-%m}", billed, without_images, studies, without_claim)


def _pair(whole: int, part: int, k: int) -> tuple[str, str]:
    told = counts.suppress_small_cell(whole, k)
    if whole < k:
        return told, told
    return told, str(part) if part >= k and whole - part >= k else "withheld"


@api.get("/reconciliation")
def list_months(visit: ReconciliationReader) -> list[ReconciliationMonth]:
    """Exams billed without images, and studies without a claim, of linked subjects by hospital and month."""
    return list(months(visit))


@pages.get("/reconciliation")
def reconciliation_page(visit: ReconciliationReader) -> Response:
    """The same for people, without the months of which nothing may be shown."""
    found = months(visit)
    telling = [one for one in found if one.billed.isdigit() or one.studies.isdigit()]
    return visit.page("reconciliation.html", months=telling, held_back=len(found) - len(telling))
