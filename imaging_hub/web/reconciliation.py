"""Agreement of images and claims by hospital and month: exams without images, studies without a claim."""

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
from imaging_hub.web.authorization import HubRequest, RequiresAction
from imaging_hub.web.quarantine import visible_hospital

api = APIRouter(prefix="/api/v1", tags=["reception"])
pages = APIRouter(include_in_schema=False)

ReconciliationReader = Annotated[HubRequest, RequiresAction(Action.RECONCILIATION_READ)]


@dataclass(frozen=True)
class ReconciliationMonth:
    """Counts of one hospital in one month, small ones suppressed."""

    finess: str
    month: str
    billed: str
    without_images: str
    studies: str
    without_claim: str


def list_visible_months(request: HubRequest) -> Sequence[ReconciliationMonth]:
    """List the months that this account may see."""
    settings = request.app.settings
    codes = ProcedureCodes.read(settings.procedure_codes)
    try:
        with request.begin() as connection:
            reconciled = reconcile(connection, settings.tables, codes, visible_hospital(request.person))
    except LinkageError as fault:
        if fault.code != "nothing-loaded":
            raise
        return []
    return [_suppress_small(month, settings.small_cell) for month in reconciled]


def _suppress_small(month: ReconciledMonth, k: int) -> ReconciliationMonth:
    """Suppress a part if it or the rest of its whole is few."""
    billed, without_images = _suppress_pair(month.billed, month.without_images, k)
    studies, without_claim = _suppress_pair(month.studies, month.without_claim, k)
    return ReconciliationMonth(month.finess, f"{month.month:%Y-%m}", billed, without_images, studies, without_claim)


def _suppress_pair(whole: int, part: int, k: int) -> tuple[str, str]:
    whole_shown = counts.suppress_small_cell(whole, k)
    if whole < k:
        return whole_shown, whole_shown
    return whole_shown, str(part) if part >= k and whole - part >= k else "withheld"


@api.get("/reconciliation")
def list_months(request: ReconciliationReader) -> list[ReconciliationMonth]:
    """Exams billed without images, and studies without a claim, of linked subjects, by hospital and month."""
    return list(list_visible_months(request))


@pages.get("/reconciliation")
def reconciliation_page(request: ReconciliationReader) -> Response:
    """The same as a page, without the months that are suppressed entirely."""
    shown = list_visible_months(request)
    with_counts = [month for month in shown if month.billed.isdigit() or month.studies.isdigit()]
    return request.page("reconciliation.html", months=with_counts, held_back=len(shown) - len(with_counts))
