"""Studies and their series: what the archive holds, as the one who asks may see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from imaging_hub.archive import search, totals
from imaging_hub.archive.filters import SeriesFilter, StudyFilter
from imaging_hub.archive.search import ArchivedSeries, ArchivedStudy
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import AccountRole, Action, RequestActor, RequestedResource
from imaging_hub.web.hub import HubVisit, Needs

PAGE = 50

api = APIRouter(prefix="/api/v1", tags=["studies"])
pages = APIRouter(include_in_schema=False)

StudyReader = Annotated[HubVisit, Needs(Action.STUDIES_READ)]
SeriesReader = Annotated[HubVisit, Needs(Action.SERIES_READ)]
PageOffset = Annotated[int, Query(ge=0, le=10_000_000)]
STATES = ("COMPLETE", "IN_REVIEW", "RELEASABLE", "VETOED")


class StudyListQuery(BaseModel):
    """The filters of the list; an empty one asks nothing."""

    modality: str = Field("", max_length=16)
    state: str = Field("", max_length=16)
    description: str = Field("", max_length=64)
    patient: str = Field("", max_length=64)


def _filter(actor: RequestActor, asked: StudyListQuery) -> StudyFilter:
    """The question, narrowed in the query itself to the hospital of a hospital's account."""
    return StudyFilter(
        modalities=(asked.modality.upper(),) if asked.modality else (),
        state=asked.state,
        description=f"*{asked.description}*" if asked.description else "",
        patient=asked.patient,
        finess=(actor.finess or "none") if actor.role is AccountRole.HOSPITAL else "",
    )


def _study(visit: HubVisit, uid: str) -> tuple[ArchivedStudy, list[ArchivedSeries]]:
    with visit.begin() as connection:
        found = search.find_studies(connection, StudyFilter(study_uids=[uid]))
        held = search.find_series_of_study(connection, uid)
    if not found:
        raise NotFound("no such study")
    visit.require(RequestedResource(finess=found[0].finess))
    return found[0], held


@api.get("/studies")
def list_studies(
    visit: StudyReader,
    asked: Annotated[StudyListQuery, Depends()],
    offset: PageOffset = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
) -> list[ArchivedStudy]:
    """Studies in the archive, the latest first; dates are the shifted ones."""
    with visit.begin() as connection:
        return search.find_studies(connection, _filter(visit.person, asked), limit=limit, offset=offset)


@api.get("/studies/{study_instance_uid}")
def show_study(visit: StudyReader, study_instance_uid: str) -> ArchivedStudy:
    """One study."""
    return _study(visit, study_instance_uid)[0]


@api.get("/studies/{study_instance_uid}/series")
def list_series(visit: StudyReader, study_instance_uid: str) -> list[ArchivedSeries]:
    """The series of one study, with the attributes that cohorts ask for."""
    return _study(visit, study_instance_uid)[1]


@api.get("/series/{series_instance_uid}")
def show_series(visit: SeriesReader, series_instance_uid: str) -> ArchivedSeries:
    """One series."""
    with visit.begin() as connection:
        found = search.find_series(connection, SeriesFilter(series_uids=[series_instance_uid]))
        study = search.find_studies(connection, StudyFilter(study_uids=[found[0].study_instance_uid])) if found else []
    if not found or not study:
        raise NotFound("no such series")
    visit.require(RequestedResource(finess=study[0].finess))
    return found[0]


@pages.get("/studies")
def studies_page(visit: StudyReader, asked: Annotated[StudyListQuery, Depends()], offset: PageOffset = 0) -> Response:
    """The list with its filters."""
    with visit.begin() as connection:
        found = search.find_studies(connection, _filter(visit.person, asked), limit=PAGE + 1, offset=offset)
        modalities = sorted(totals.count_series_by_modality(connection))
    return visit.page(
        "studies.html",
        studies=found[:PAGE],
        more=len(found) > PAGE,
        offset=offset,
        size=PAGE,
        asked=asked.model_dump(),
        modalities=modalities,
        states=STATES,
    )


@pages.get("/studies/{study_instance_uid}")
def study_page(visit: StudyReader, study_instance_uid: str) -> Response:
    """One study with its series."""
    study, held = _study(visit, study_instance_uid)
    return visit.page("study.html", study=study, series=held)
