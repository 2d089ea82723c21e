"""The first page: counts of what was received and archived, and of what waits for a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.archive import reception_counts, totals
from imaging_hub.archive.index import ReviewState
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.review import verdicts
from imaging_hub.web import quarantine
from imaging_hub.web.authorization import HubRequest, RequiresAction

api = APIRouter(prefix="/api/v1", tags=["overview"])
pages = APIRouter(include_in_schema=False)

OverviewReader = Annotated[HubRequest, RequiresAction(Action.OVERVIEW_READ)]


@dataclass(frozen=True)
class OverviewCounts:
    """Counts of the first page; a text `<11` replaces a count too small for this account."""

    totals: Mapping[str, int | str]
    series_by_modality: Mapping[str, int | str]
    studies_by_state: Mapping[str, int | str]
    received: Mapping[str, int]
    """Instances by journal state; empty for those who may not know."""
    waiting_for_review: int | None


def count_overview(connection: Connection, actor: RequestActor, small_cell: int) -> OverviewCounts:
    """Count what this account may see: a hospital its own, a researcher no count below `small_cell`."""
    hospital = quarantine.visible_hospital(actor)
    content = totals.count_archive(connection) if hospital is None else totals.count_hospital(connection, hospital)
    counts = {
        "subjects": content.subjects,
        "studies": content.studies,
        "series": content.series,
        "instances": content.instances,
    }
    if actor.role is AccountRole.RESEARCHER:
        return OverviewCounts(
            _suppress_small(counts, small_cell), _suppress_small(content.by_modality, small_cell), {}, {}, None
        )
    sees_reception = actor.role in (AccountRole.OPERATOR, AccountRole.HOSPITAL)
    received = reception_counts.count_by_state(connection, hospital) if sees_reception else {}
    waiting = None if hospital else verdicts.count_by_state(connection).get(ReviewState.PENDING, 0)
    return OverviewCounts(counts, content.by_modality, content.by_study_state, received, waiting)


def _suppress_small(counts: Mapping[str, int], small_cell: int) -> dict[str, int | str]:
    return {name: count if count == 0 or count >= small_cell else f"<{small_cell}" for name, count in counts.items()}


@api.get("/overview")
def show_overview(request: OverviewReader) -> OverviewCounts:
    """Counts of the hub's content and of what waits for a verdict."""
    with request.begin() as connection:
        return count_overview(connection, request.person, request.app.settings.small_cell)


@pages.get("/")
def overview_page(request: OverviewReader) -> Response:
    """The same as a page."""
    with request.begin() as connection:
        counts = count_overview(connection, request.person, request.app.settings.small_cell)
    settings = request.app.settings
    return request.page("overview.html", overview=counts, small_cell=settings.small_cell, console=settings.console_url)
