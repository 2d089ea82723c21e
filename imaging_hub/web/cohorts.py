"""Cohorts: check, count and freeze a definition, and list frozen cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.cohorts import catalogue
from imaging_hub.cohorts.catalogue import CohortView
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.errors import DefinitionError, HubError, NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action, RequestActor
from imaging_hub.web.authorization import HubRequest, RequiresAction, allowed_or_raise, today

if TYPE_CHECKING:
    from imaging_hub.cohorts import frozen as freezing
    from imaging_hub.cohorts.flowchart import Flowchart

api = APIRouter(prefix="/api/v1/cohorts", tags=["cohorts"])
pages = APIRouter(include_in_schema=False)

CohortReader = Annotated[HubRequest, RequiresAction(Action.COHORT_READ)]
CohortChecker = Annotated[HubRequest, RequiresAction(Action.COHORT_CHECK)]
CohortCounter = Annotated[HubRequest, RequiresAction(Action.COHORT_COUNT)]
CohortFreezer = Annotated[HubRequest, RequiresAction(Action.COHORT_FREEZE)]
DefinitionText = Annotated[str, Form(max_length=200_000)]


class DefinitionIn(BaseModel):
    """A definition to check or to count."""

    definition: str = Field(max_length=200_000, description="The YAML of the definition.")


class FreezeIn(DefinitionIn):
    """A definition to freeze."""

    permit: str = Field(max_length=64, description="The permit that it is frozen under.")


@dataclass(frozen=True)
class StepView:
    """One step of a flowchart; `subjects` may be `<11` or `withheld`."""

    step: str
    subjects: str
    missing: str


@dataclass(frozen=True)
class FlowchartView:
    """A flowchart with small cells suppressed."""

    flowchart: list[StepView]
    series: str
    data_version: str


@dataclass(frozen=True)
class FrozenCohortView:
    """A frozen cohort; `new` is False when the same was frozen before."""

    id: str
    new: bool
    flowchart: list[StepView]
    series: str
    data_version: str


@dataclass(frozen=True)
class CheckedDefinition:
    """A valid definition, with the modalities and domains that it uses."""

    cohort: str
    digest: str
    modalities: list[str]
    domains: list[str]


def _find_cohort(connection: Connection, actor: RequestActor, cohort_id: str) -> CohortView:
    cohorts = catalogue.list_cohorts(connection, actor, cohort_id)
    if not cohorts:
        raise NotFound("no such cohort")
    return cohorts[0]


@api.get("")
def list_cohorts(request: CohortReader) -> list[CohortView]:
    """Frozen cohorts of your projects, the newest first."""
    with request.begin() as connection:
        return list(catalogue.list_cohorts(connection, request.person))


@api.get("/{cohort_id}")
def show_cohort(request: CohortReader, cohort_id: str) -> CohortView:
    """One frozen cohort with its flowchart."""
    with request.begin() as connection:
        return _find_cohort(connection, request.person, cohort_id)


@api.post("/check")
def check(request: CohortChecker, asked: DefinitionIn) -> CheckedDefinition:
    """Check a definition; 422 with file, line and remedy for an error."""
    wanted = make_plan(parse(asked.definition))
    return CheckedDefinition(wanted.cohort, wanted.digest, sorted(wanted.modalities), sorted(wanted.domains))


@api.post("/count")
def count(request: CohortCounter, asked: DefinitionIn) -> FlowchartView:
    """Count a definition, rounded; a count is suppressed if it could tell of few people, beside earlier ones too."""
    return _view_of(_count(request, asked.definition))


@api.post("")
def freeze(request: CohortFreezer, asked: FreezeIn) -> FrozenCohortView:
    """Freeze a definition on the present data; the same definition and data give the same cohort."""
    frozen = _freeze(request, asked.definition, asked.permit)
    counted = _view_of(frozen.flowchart)
    return FrozenCohortView(frozen.id, frozen.new, counted.flowchart, counted.series, counted.data_version)


@pages.get("/cohorts")
def cohorts_page(request: CohortReader) -> Response:
    """Frozen cohorts, and the form to count a definition."""
    return _cohorts_page(request, "")


@pages.post("/cohorts/count")
def count_form(
    request: CohortCounter, definition: DefinitionText = "", file: Annotated[UploadFile | None, File()] = None
) -> Response:
    """Count the definition of the form or of the uploaded file."""
    given = _read_upload(file) or definition
    try:
        return _cohorts_page(request, given, flowchart=_count(request, given))
    except HubError as fault:
        return _cohorts_page(request, given, fault=fault)


@pages.post("/cohorts/freeze")
def freeze_form(
    request: CohortFreezer, definition: DefinitionText, permit: Annotated[str, Form(max_length=64)]
) -> Response:
    """Freeze the definition that was counted."""
    try:
        frozen = _freeze(request, definition, permit)
    except HubError as fault:
        return _cohorts_page(request, definition, fault=fault)
    return RedirectResponse(f"/cohorts/{frozen.id}", 303)


@pages.get("/cohorts/{cohort_id}")
def cohort_page(request: CohortReader, cohort_id: str) -> Response:
    """One frozen cohort with its flowchart, and the form to request a release."""
    with request.begin() as connection:
        cohort = _find_cohort(connection, request.person, cohort_id)
        permits = projects.list_permits(connection, holder=request.person.name, project=cohort.project)
        reviews = catalogue.count_series_by_review_state(connection, cohort_id)
    return request.page("cohort.html", cohort=cohort, permits=permits, reviews=reviews)


def _cohorts_page(
    request: HubRequest, definition: str, *, flowchart: Flowchart | None = None, fault: HubError | None = None
) -> Response:
    with request.begin() as connection:
        cohorts = catalogue.list_cohorts(connection, request.person)
        permits = projects.list_permits(connection, holder=request.person.name)
    status = 422 if fault else 200
    return request.page(
        "cohorts.html",
        status,
        cohorts=cohorts,
        permits=permits,
        definition=definition,
        flowchart=flowchart,
        fault=fault,
    )


def _read_upload(file: UploadFile | None) -> str:
    """Return the text of an uploaded file, which is empty if none was chosen."""
    try:
        return file.file.read().decode() if file is not None and file.filename else ""
    except UnicodeDecodeError:
        raise DefinitionError("definition:1: the file is not text; save it as UTF-8") from None


def _count(request: HubRequest, definition: str) -> Flowchart:
    from imaging_hub.cohorts import flowchart  # an analytic engine: the first page need not wait for it

    settings = request.app.settings
    with request.begin() as connection:
        counted = flowchart.count(
            connection,
            parse(definition),
            actor=request.person,
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=today(),
        )
    return allowed_or_raise(counted)


def _freeze(request: HubRequest, definition: str, permit_id: str) -> freezing.FrozenCohort:
    from imaging_hub.cohorts import frozen as freezing

    settings = request.app.settings
    with request.begin() as connection:
        frozen = freezing.freeze(
            connection,
            definition,
            actor=request.person,
            permit=projects.find_permit(connection, permit_id),
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=today(),
        )
    return allowed_or_raise(frozen)


def _view_of(counted: Flowchart) -> FlowchartView:
    steps = [StepView(step.name, step.subjects, step.missing) for step in counted.steps]
    return FlowchartView(steps, counted.series, counted.data_version)
