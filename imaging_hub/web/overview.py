"""The first page: what came in, what waits for whom, and what you can do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection, text
from starlette.responses import Response

from imaging_hub.archive import search
from imaging_hub.permits.policy import AccountRole, Action, RequestActor
from imaging_hub.review import verdicts
from imaging_hub.web import quarantine
from imaging_hub.web.hub import Needs, Visit

api = APIRouter(prefix="/api/v1", tags=["overview"])
pages = APIRouter(include_in_schema=False)

OverviewReader = Annotated[Visit, Needs(Action.OVERVIEW_READ)]


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
    everything = search.overview(connection)
    totals: Mapping[str, int] = {
        "subjects": everything.subjects,
        "studies": everything.studies,
        "series": everything.series,
        "instances": everything.instances,
    }
    modalities, states = everything.by_modality, everything.by_study_state
    if own is not None:
        totals, modalities, states = _of_hospital(connection, own)
    if actor.role is AccountRole.RESEARCHER:
        return OverviewCounts(_told(totals, small_cell), _told(modalities, small_cell), {}, {}, None)
    sees_reception = actor.role in (AccountRole.OPERATOR, AccountRole.HOSPITAL)
    received = quarantine.received(connection, actor) if sees_reception else {}
    waiting = None if own else verdicts.count_by_state(connection).get("PENDING", 0)
    return OverviewCounts(totals, modalities, states, received, waiting)


def _told(counts: Mapping[str, int], small_cell: int) -> dict[str, int | str]:
    return {name: count if count == 0 or count >= small_cell else f"<{small_cell}" for name, count in counts.items()}


def _of_hospital(connection: Connection, finess: str) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    of = {"finess": finess}
    totals = connection.execute(
        text(
            "SELECT count(DISTINCT sid) AS subjects, count(DISTINCT study_instance_uid) AS studies,"
            " count(series_instance_uid) AS series, coalesce(sum(instances), 0)::bigint AS instances"
            " FROM hub.study LEFT JOIN hub.series USING (study_instance_uid) WHERE finess = :finess"
        ),
        of,
    ).mappings()
    modalities = connection.execute(
        text(
            "SELECT modality, count(*) FROM hub.series JOIN hub.study USING (study_instance_uid)"
            " WHERE finess = :finess GROUP BY modality ORDER BY 1"
        ),
        of,
    )
    states = connection.execute(
        text("SELECT state, count(*) FROM hub.study WHERE finess = :finess GROUP BY state ORDER BY 1"), of
    )
    return dict(totals.one()), {row[0]: row[1] for row in modalities}, {row[0]: row[1] for row in states}


@api.get("/overview")
def show_overview(visit: OverviewReader) -> OverviewCounts:
    """What the hub holds and what waits."""
    with visit.begin() as connection:
        return overview(connection, visit.actor, visit.hub.settings.small_cell)


@pages.get("/")
def overview_page(visit: OverviewReader) -> Response:
    """The same for people."""
    with visit.begin() as connection:
        seen = overview(connection, visit.actor, visit.hub.settings.small_cell)
    settings = visit.hub.settings
    return visit.page("overview.html", overview=seen, small_cell=settings.small_cell, console=settings.console_url)
