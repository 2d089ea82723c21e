"""Pages of the console for the hospital's staff."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from imaging_hub.console import originals
from imaging_hub.console.authorization import ConsoleRequest
from imaging_hub.console.page_texts import explain_quarantine, explain_refusal, part_name
from imaging_hub.console.route_parameters import AnyOperatorRequest, RowNumber, StaffRequest
from imaging_hub.errors import NotFound
from imaging_hub.gateway import rejection_log
from imaging_hub.gateway import senders as known_senders
from imaging_hub.gateway.console_operators import OperatorRole
from imaging_hub.intake import last_diagnosis, receipts
from imaging_hub.intake import quarantine as quarantined
from imaging_hub.intake.quarantine import QuarantinedInstance, QuarantineFilter
from imaging_hub.retrieval import progress

router = APIRouter(include_in_schema=False)

PAGE = 200
"""Rows of a list."""
STALE_AFTER = timedelta(minutes=5)
"""A report older than this means that no worker runs."""

BeforeRow = Annotated[int | None, Query(ge=1, lt=1 << 62)]


@router.get("/")
def reception(request: AnyOperatorRequest, before: BeforeRow = None) -> Response:
    """Receipts of studies; for a radiologist, the link to the reviews."""
    if request.person.role is OperatorRole.RADIOLOGIST:
        return request.page("reviewer.html", hub=request.app.settings.hub_url)
    with request.begin() as connection:
        page_receipts = receipts.list_receipts(connection, before, limit=PAGE)
    return request.page(
        "reception.html", receipts=page_receipts, more=len(page_receipts) == PAGE, why=explain_quarantine
    )


@router.get("/studies/{study}")
def study_receipt(request: StaffRequest, study: RowNumber) -> Response:
    """The receipt of one study, with its quarantined instances."""
    with request.begin() as connection:
        receipt = receipts.find_receipt(connection, study)
        instances = quarantined.list_instances(connection, QuarantineFilter(study=study), limit=PAGE)
    if receipt is None:
        raise NotFound("Il n'y a pas de tel examen.")
    return request.page("receipt.html", receipt=receipt, quarantined=instances, why=explain_quarantine)


@router.get("/quarantine")
def quarantine(
    request: StaffRequest, reason: Annotated[str | None, Query(max_length=64)] = None, before: BeforeRow = None
) -> Response:
    """Quarantined instances, by reason."""
    with request.begin() as connection:
        groups = quarantined.count_by_reason(connection)
        instances = quarantined.list_instances(connection, QuarantineFilter(reason, before=before), limit=PAGE)
    more = len(instances) == PAGE
    return request.page(
        "quarantine.html", groups=groups, quarantined=instances, reason=reason, more=more, why=explain_quarantine
    )


@router.get("/quarantine/{instance}")
def quarantined_instance(request: StaffRequest, instance: RowNumber) -> Response:
    """One quarantined instance, without any value."""
    row = _find_quarantined(request, instance)
    return request.page(
        "quarantined_instance.html", quarantined=row, why=explain_quarantine(row.reason), attributes=None
    )


@router.get("/quarantine/{instance}/original")
def quarantined_original(request: StaffRequest, instance: RowNumber) -> Response:
    """The same with attributes and first frame, which is recorded each time."""
    row = _find_quarantined(request, instance)
    if not row.kept:
        raise NotFound("L'original n'est plus conservé.", code="original-gone")
    request.record_identity_seen(f"instance:{instance}", "attributes", every_time=True)
    values = originals.read_attributes(request.app.spool, row.digest)
    return request.page(
        "quarantined_instance.html", quarantined=row, why=explain_quarantine(row.reason), attributes=values
    )


@router.get("/quarantine/{instance}/{frame}.png")
def quarantined_picture(
    request: StaffRequest, instance: RowNumber, frame: Annotated[int, Path(ge=0, lt=1 << 31)]
) -> Response:
    """One frame of a quarantined instance as PNG."""
    row = _find_quarantined(request, instance)
    if not row.kept:
        raise NotFound("L'original n'est plus conservé.", code="original-gone")
    png = request.app.pictures.png(row.digest, frame)
    request.record_identity_seen(f"instance:{instance}", "pixels")
    return Response(png, media_type="image/png")


@router.get("/senders")
def senders(request: StaffRequest) -> Response:
    """The senders."""
    with request.begin() as connection:
        summaries = known_senders.list_summaries(connection)
    return request.page("senders.html", senders=summaries, settings=request.app.settings)


@router.get("/refusals")
def refusals(request: StaffRequest) -> Response:
    """Refused associations and contexts, with reasons and remedies."""
    our_title = request.app.settings.ae_title
    with request.begin() as connection:
        refused = rejection_log.list_recent(connection, limit=PAGE)
        summaries = known_senders.list_summaries(connection)
    rows = [(refusal, explain_refusal(refusal, our_title)) for refusal in refused]
    by_hospital = {summary.hospital: summary for summary in summaries}
    return request.page("refusals.html", refusals=rows, senders=list(by_hospital.values()))


@router.get("/health")
def health(request: StaffRequest) -> Response:
    """Problems of the hub, as a worker last found them."""
    with request.begin() as connection:
        at, problems = last_diagnosis.read(connection)
    stale = at is None or datetime.now(UTC) - at > STALE_AFTER
    return request.page(
        "health.html", problems=[(problem, part_name(problem.subject)) for problem in problems], at=at, stale=stale
    )


@router.get("/retrievals")
def retrievals(request: StaffRequest) -> Response:
    """Retrievals from PACS, without the requested values, which may identify a patient."""
    with request.begin() as connection:
        return request.page("retrievals.html", lines=progress.list_summaries(connection, limit=PAGE))


def _find_quarantined(request: ConsoleRequest, instance: int) -> QuarantinedInstance:
    with request.begin() as connection:
        row = quarantined.find_instance(connection, instance)
    if row is None:
        raise NotFound("Il n'y a pas de telle instance en quarantaine.")
    return row
