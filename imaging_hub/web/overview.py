"""The first page: what came in, what waits for whom, and what you can do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.archive import reception, totals
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.review import verdicts
from imaging_hub.web import quarantine
from imaging_hub.web.hub import HubVisit, Needs

api = APIRouter(prefix="/api/v1", tags=["overview"])
pages = APIRouter(include_in_schema=False)

OverviewReader = Annotated[HubVisit, Needs(Action.OVERVIEW_READ)]


@dataclass(frozen=True)
class OverviewCounts:
    """Counts for the first page. A text `<11` stands for a count too small to be told to this person."""

    totals: Mapping[str, int | str]
    series_by_modality: Mapping[str, int | str]
    studies_by_state: Mapping[str, int | str]
    received: Mapping[str, int]
    """Instances by journal state; empty for those who may not know."""
    waiting_for_review: int | None


def overview(connection: Connection, actor: RequestActor, small_cell: int) -> OverviewCounts:
    """Counts as this actor may know them: a hospital its own, a researcher none below `small_cell`."""
    own = quarantine.own_hospital(actor)
    held = totals.count_archive(connection) if own is None else totals.count_hospital(connection, own)
    counts = {
        "subjects": held.subjects,
        "studies": held.studies,
        "series": held.series,
        "instances": held.instances,
    }
    if actor.role is AccountRole.RESEARCHER:
        return OverviewCounts(_told(counts, small_cell), _told(held.by_modality, small_cell), {}, {}, None)
    sees_reception = actor.role in (AccountRole.OPERATOR, AccountRole.HOSPITAL)
    received = reception.count_by_state(connection, own) if sees_reception else {}
    waiting = None if own else verdicts.count_by_state(connection).get("PENDING", 0)
    return OverviewCounts(counts, held.by_modality, held.by_study_state, received, waiting)


def _told(counts: Mapping[str, int], small_cell: int) -> dict[str, int | str]:
    return {name: count if count == 0 or count >= small_cell else f"<{small_cell}" for name, count in counts.items()}


@api.get("/overview")
def show_overview(visit: OverviewReader) -> OverviewCounts:
    """What the hub holds and what waits."""
    with visit.begin() as connection:
        return overview(connection, visit.person, visit.app.settings.small_cell)


@pages.get("/")
def overview_page(visit: OverviewReader) -> Response:
    """The same for people."""
    with visit.begin() as connection:
        seen = overview(connection, visit.person, visit.app.settings.small_cell)
    settings = visit.app.settings
    return visit.page("overview.html", overview=seen, small_cell=settings.small_cell, console=settings.console_url)
