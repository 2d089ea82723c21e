"""Cohorts: what a definition would give, and the frozen ones."""

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
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.plan import make_plan
from imaging_hub.errors import DefinitionError, HubError, NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action, RequestActor
from imaging_hub.web.hub import HubVisit, Needs, allowed, today

if TYPE_CHECKING:
    from imaging_hub.cohorts import frozen as freezing
    from imaging_hub.cohorts.flowchart import Flowchart

api = APIRouter(prefix="/api/v1/cohorts", tags=["cohorts"])
pages = APIRouter(include_in_schema=False)

CohortReader = Annotated[HubVisit, Needs(Action.COHORT_READ)]
CohortChecker = Annotated[HubVisit, Needs(Action.COHORT_CHECK)]
CohortCounter = Annotated[HubVisit, Needs(Action.COHORT_COUNT)]
CohortFreezer = Annotated[HubVisit, Needs(Action.COHORT_FREEZE)]
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
    """A flowchart with small cells held back."""

    flowchart: list[StepView]
    series: str
    data_version: str


@dataclass(frozen=True)
class FrozenCohortView:
    """A cohort that can be released; `new` is false when the same was frozen before."""

    id: str
    new: bool
    flowchart: list[StepView]
    series: str
    data_version: str


@dataclass(frozen=True)
class CheckedDefinition:
    """A definition that is right, and what it would look at."""

    cohort: str
    digest: str
    modalities: list[str]
    domains: list[str]


def _cohort(connection: Connection, actor: RequestActor, cohort_id: str) -> CohortView:
    found = catalogue.list_cohorts(connection, actor, cohort_id)
    if not found:
        raise NotFound("no such cohort")
    return found[0]


@api.get("")
def list_cohorts(visit: CohortReader) -> list[CohortView]:
    """Frozen cohorts of your projects, the newest first."""
    with visit.begin() as connection:
        return list(catalogue.list_cohorts(connection, visit.person))


@api.get("/{cohort_id}")
def show_cohort(visit: CohortReader, cohort_id: str) -> CohortView:
    """One frozen cohort with its flowchart."""
    with visit.begin() as connection:
        return _cohort(connection, visit.person, cohort_id)


@api.post("/check")
def check(visit: CohortChecker, asked: DefinitionIn) -> CheckedDefinition:
    """Whether a definition is right; 422 with file, line and cure when it is not."""
    wanted = make_plan(parse(asked.definition))
    return CheckedDefinition(wanted.cohort, wanted.digest, sorted(wanted.modalities), sorted(wanted.domains))


@api.post("/count")
def count(visit: CohortCounter, asked: DefinitionIn) -> FlowchartView:
    """How many there would be, rounded; held back is what could tell of few people, beside earlier counts too."""
    return _told(_counted(visit, asked.definition))


@api.post("")
def freeze(visit: CohortFreezer, asked: FreezeIn) -> FrozenCohortView:
    """Freeze a definition on the data as they are now; the same in gives the same cohort."""
    frozen = _frozen(visit, asked.definition, asked.permit)
    told = _told(frozen.flowchart)
    return FrozenCohortView(frozen.id, frozen.new, told.flowchart, told.series, told.data_version)


@pages.get("/cohorts")
def cohorts_page(visit: CohortReader) -> Response:
    """Frozen cohorts, and the form that counts a new definition."""
    return _form(visit, "")


@pages.post("/cohorts/count")
def count_form(
    visit: CohortCounter, definition: DefinitionText = "", file: Annotated[UploadFile | None, File()] = None
) -> Response:
    """Count the definition in the form, or in the file that came with it."""
    given = _uploaded(file) or definition
    try:
        return _form(visit, given, flowchart=_counted(visit, given))
    except HubError as fault:
        return _form(visit, given, fault=fault)


@pages.post("/cohorts/freeze")
def freeze_form(
    visit: CohortFreezer, definition: DefinitionText, permit: Annotated[str, Form(max_length=64)]
) -> Response:
    """Freeze what was counted."""
    try:
        frozen = _frozen(visit, definition, permit)
    except HubError as fault:
        return _form(visit, definition, fault=fault)
    return RedirectResponse(f"/cohorts/{frozen.id}", 303)


@pages.get("/cohorts/{cohort_id}")
def cohort_page(visit: CohortReader, cohort_id: str) -> Response:
    """One frozen cohort, its flowchart, and the release one can ask for."""
    with visit.begin() as connection:
        cohort = _cohort(connection, visit.person, cohort_id)
        permits = projects.list_permits(connection, holder=visit.person.name, project=cohort.project)
        reviews = catalogue.count_series_by_review_state(connection, cohort_id)
    return visit.page("cohort.html", cohort=cohort, permits=permits, reviews=reviews)


def _form(
    visit: HubVisit, definition: str, *, flowchart: Flowchart | None = None, fault: HubError | None = None
) -> Response:
    with visit.begin() as connection:
        found = catalogue.list_cohorts(connection, visit.person)
        permits = projects.list_permits(connection, holder=visit.person.name)
    status = 422 if fault else 200
    return visit.page(
        "cohorts.html", status, cohorts=found, permits=permits, definition=definition, flowchart=flowchart, fault=fault
    )


def _uploaded(file: UploadFile | None) -> str:
    """The text of an uploaded file; the browser sends an empty one when none was chosen."""
    try:
        return file.file.read().decode() if file is not None and file.filename else ""
    except UnicodeDecodeError:
        raise DefinitionError("definition:1: the file is not text; save it as UTF-8") from None


def _counted(visit: HubVisit, definition: str) -> Flowchart:
    from imaging_hub.cohorts import flowchart  # an analytic engine: the first page need not wait for it

    settings = visit.app.settings
    with visit.begin() as connection:
        counted = flowchart.count(
            connection,
            parse(definition),
            actor=visit.person,
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=today(),
        )
    return allowed(counted)


def _frozen(visit: HubVisit, definition: str, permit_id: str) -> freezing.FrozenCohort:
    from imaging_hub.cohorts import frozen as freezing

    settings = visit.app.settings
    with visit.begin() as connection:
        frozen = freezing.freeze(
            connection,
            definition,
            actor=visit.person,
            permit=projects.find_permit(connection, permit_id),
            tables=settings.tables,
            small_cell=settings.small_cell,
            spark=settings.spark,
            today=today(),
        )
    return allowed(frozen)


def _told(counted: Flowchart) -> FlowchartView:
    steps = [StepView(step.name, step.subjects, step.missing) for step in counted.steps]
    return FlowchartView(steps, counted.series, counted.data_version)
