"""Studies and series of the archive, as far as the account may see them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from imaging_hub.archive import search, totals
from imaging_hub.archive.index import ArchivedStudyState
from imaging_hub.archive.search import ArchivedSeries, ArchivedStudy
from imaging_hub.archive.search_filters import SeriesFilter, StudyFilter
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import AccountRole, Action, RequestActor, RequestedResource
from imaging_hub.web.authorization import HubRequest, RequiresAction

PAGE = 50

api = APIRouter(prefix="/api/v1", tags=["studies"])
pages = APIRouter(include_in_schema=False)

StudyReader = Annotated[HubRequest, RequiresAction(Action.STUDIES_READ)]
SeriesReader = Annotated[HubRequest, RequiresAction(Action.SERIES_READ)]
PageOffset = Annotated[int, Query(ge=0, le=10_000_000)]


class StudyListQuery(BaseModel):
    """Filters of the list; an empty one selects all."""

    modality: str = Field("", max_length=16)
    state: str = Field("", max_length=16)
    description: str = Field("", max_length=64)
    patient: str = Field("", max_length=64)


def _filter(actor: RequestActor, asked: StudyListQuery) -> StudyFilter:
    """Build the filter, restricted to the hospital of a hospital's account."""
    return StudyFilter(
        modalities=(asked.modality.upper(),) if asked.modality else (),
        state=asked.state,
        description=f"*{asked.description}*" if asked.description else "",
        patient=asked.patient,
        finess=(actor.finess or "none") if actor.role is AccountRole.HOSPITAL else "",
    )


def _study(request: HubRequest, uid: str) -> tuple[ArchivedStudy, list[ArchivedSeries]]:
    with request.begin() as connection:
        studies = search.find_studies(connection, StudyFilter(study_uids=[uid]))
        series = search.find_series_of_study(connection, uid)
    if not studies:
        raise NotFound("no such study")
    request.require(RequestedResource(finess=studies[0].finess))
    return studies[0], series


@api.get("/studies")
def list_studies(
    request: StudyReader,
    asked: Annotated[StudyListQuery, Depends()],
    offset: PageOffset = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE,
) -> list[ArchivedStudy]:
    """Studies in the archive, the latest first; dates are shifted."""
    with request.begin() as connection:
        return search.find_studies(connection, _filter(request.person, asked), limit=limit, offset=offset)


@api.get("/studies/{study_instance_uid}")
def show_study(request: StudyReader, study_instance_uid: str) -> ArchivedStudy:
    """One study."""
    return _study(request, study_instance_uid)[0]


@api.get("/studies/{study_instance_uid}/series")
def list_series(request: StudyReader, study_instance_uid: str) -> list[ArchivedSeries]:
    """The series of one study, with the attributes for cohorts."""
    return _study(request, study_instance_uid)[1]


@api.get("/series/{series_instance_uid}")
def show_series(request: SeriesReader, series_instance_uid: str) -> ArchivedSeries:
    """One series."""
    with request.begin() as connection:
        series = search.find_series(connection, SeriesFilter(series_uids=[series_instance_uid]))
        study = (
            search.find_studies(connection, StudyFilter(study_uids=[series[0].study_instance_uid])) if series else []
        )
    if not series or not study:
        raise NotFound("no such series")
    request.require(RequestedResource(finess=study[0].finess))
    return series[0]


@pages.get("/studies")
def studies_page(request: StudyReader, asked: Annotated[StudyListQuery, Depends()], offset: PageOffset = 0) -> Response:
    """The list with its filters."""
    with request.begin() as connection:
        studies = search.find_studies(connection, _filter(request.person, asked), limit=PAGE + 1, offset=offset)
        modalities = sorted(totals.count_series_by_modality(connection))
    return request.page(
        "studies.html",
        studies=studies[:PAGE],
        more=len(studies) > PAGE,
        offset=offset,
        size=PAGE,
        asked=asked.model_dump(),
        modalities=modalities,
        states=list(ArchivedStudyState),
    )


@pages.get("/studies/{study_instance_uid}")
def study_page(request: StudyReader, study_instance_uid: str) -> Response:
    """One study with its series."""
    study, series = _study(request, study_instance_uid)
    return request.page("study.html", study=study, series=series)
