"""The console's pages for people of the hospital."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from imaging_hub.console import originals
from imaging_hub.console.site import part, why_held, why_refused
from imaging_hub.console.visit import EVERYBODY, STAFF, ConsoleVisit, For
from imaging_hub.errors import NotFound
from imaging_hub.gateway import rejections
from imaging_hub.gateway import senders as known_senders
from imaging_hub.gateway.operators import OperatorRole
from imaging_hub.intake import problem_report, receipts
from imaging_hub.intake import quarantine as quarantined
from imaging_hub.intake.quarantine import QuarantinedInstance, QuarantineFilter
from imaging_hub.retrieval import progress

router = APIRouter(include_in_schema=False)

PAGE = 200
"""Rows of a list."""
STALE = timedelta(minutes=5)
"""A diagnosis older than this says that no worker runs."""

Staff = Annotated[ConsoleVisit, For(STAFF)]
AnyOperator = Annotated[ConsoleVisit, For(EVERYBODY)]
OriginalsReader = Annotated[int | None, Query(ge=1, lt=1 << 62)]
RowParameter = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/")
def reception(visit: AnyOperator, before: OriginalsReader = None) -> Response:
    """Receipts per study; for a reviewer, the way to the reviews."""
    if visit.person.role is OperatorRole.RADIOLOGIST:
        return visit.page("reviewer.html", hub=visit.app.settings.hub_url)
    with visit.begin() as connection:
        found = receipts.list_receipts(connection, before, limit=PAGE)
    return visit.page("reception.html", receipts=found, more=len(found) == PAGE, why=why_held)


@router.get("/studies/{study}")
def study_receipt(visit: Staff, study: RowParameter) -> Response:
    """One study's receipt with what is held of it."""
    with visit.begin() as connection:
        found = receipts.find_receipt(connection, study)
        held = quarantined.list_instances(connection, QuarantineFilter(study=study), limit=PAGE)
    if found is None:
        raise NotFound("Il n'y a pas de tel examen.")
    return visit.page("receipt.html", receipt=found, held=held, why=why_held)


@router.get("/quarantine")
def quarantine(
    visit: Staff, reason: Annotated[str | None, Query(max_length=64)] = None, before: OriginalsReader = None
) -> Response:
    """What is held, by reason."""
    with visit.begin() as connection:
        groups = quarantined.count_by_reason(connection)
        held = quarantined.list_instances(connection, QuarantineFilter(reason, before=before), limit=PAGE)
    more = len(held) == PAGE
    return visit.page("held.html", groups=groups, held=held, reason=reason, more=more, why=why_held)


@router.get("/quarantine/{instance}")
def held_instance(visit: Staff, instance: RowParameter) -> Response:
    """One held instance, without any value of it."""
    held = _held(visit, instance)
    return visit.page("held_instance.html", held=held, why=why_held(held.reason), attributes=None)


@router.get("/quarantine/{instance}/original")
def held_original(visit: Staff, instance: RowParameter) -> Response:
    """The same with its attributes and first picture: an identity, so on the trail each time."""
    held = _held(visit, instance)
    if not held.kept:
        raise NotFound("L'original n'est plus conservé.", code="original-gone")
    visit.identity_seen(f"instance:{instance}", "attributes", every_time=True)
    found = originals.readable(visit.app.spool, held.digest)
    return visit.page("held_instance.html", held=held, why=why_held(held.reason), attributes=found)


@router.get("/quarantine/{instance}/{frame}.png")
def held_picture(visit: Staff, instance: RowParameter, frame: Annotated[int, Path(ge=0, lt=1 << 31)]) -> Response:
    """One frame of a held instance as PNG."""
    held = _held(visit, instance)
    if not held.kept:
        raise NotFound("L'original n'est plus conservé.", code="original-gone")
    png = visit.app.pictures.png(held.digest, frame)
    visit.identity_seen(f"instance:{instance}", "pixels")
    return Response(png, media_type="image/png")


@router.get("/senders")
def senders(visit: Staff) -> Response:
    """Who may send."""
    with visit.begin() as connection:
        found = known_senders.summaries(connection)
    return visit.page("senders.html", senders=found, settings=visit.app.settings)


@router.get("/refusals")
def refusals(visit: Staff) -> Response:
    """What was refused at the door, why, and what cures it."""
    ours = visit.app.settings.ae_title
    with visit.begin() as connection:
        found = rejections.recent(connection, limit=PAGE)
        known = known_senders.summaries(connection)
    rows = [(one, why_refused(one, ours)) for one in found]
    by_hospital = {one.hospital: one for one in known}
    return visit.page("refusals.html", refusals=rows, senders=list(by_hospital.values()))


@router.get("/health")
def health(visit: Staff) -> Response:
    """What is wrong with the hub, as a worker last saw it."""
    with visit.begin() as connection:
        at, problems = problem_report.read(connection)
    stale = at is None or datetime.now(UTC) - at > STALE
    return visit.page(
        "health.html", problems=[(problem, part(problem.subject)) for problem in problems], at=at, stale=stale
    )


@router.get("/retrievals")
def retrievals(visit: Staff) -> Response:
    """What was asked of PACS, without the values that were asked for: they may identify."""
    with visit.begin() as connection:
        return visit.page("retrievals.html", lines=progress.list_summaries(connection, limit=PAGE))


def _held(visit: ConsoleVisit, instance: int) -> QuarantinedInstance:
    with visit.begin() as connection:
        found = quarantined.find_instance(connection, instance)
    if found is None:
        raise NotFound("Il n'y a pas de telle instance en quarantaine.")
    return found
