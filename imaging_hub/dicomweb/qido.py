"""The three QIDO-RS searches, answered from the index (PS3.18 §10.6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.archive import search
from imaging_hub.archive.filters import SeriesFilter, StudyFilter
from imaging_hub.dicomweb import dicom_json, qido_query, qido_results
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.dicomweb.dicom_json import Json


def studies(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """Studies."""
    asked, url = qido_query.ask(wanted), archive.url(wanted.request)
    with archive.login.begin() as connection:
        found = qido_query.page(
            asked,
            search.studies(connection, asked.study, asked.limit + 1, asked.offset, of_series=asked.series),
        )
        described = _of_studies(connection, found, asked.included, url)
    return qido_query.respond(wanted.request, asked, [described[one.study_instance_uid] for one in found], url)


def series(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """Series of one study; or of all, and then with what their studies say (PS3.18 §10.6.3.3.2)."""
    asked, url = qido_query.ask(wanted), archive.url(wanted.request)
    with archive.login.begin() as connection:
        found = qido_query.page(
            asked, search.series(connection, asked.series, asked.limit + 1, asked.offset, of_study=asked.study)
        )
        described = _of_series(connection, found, asked.included, url)
        above = {} if wanted.study else _studies_of(connection, {one.study_instance_uid for one in found}, url)
    results = [above.get(one.study_instance_uid, {}) | described[one.series_instance_uid] for one in found]
    return qido_query.respond(wanted.request, asked, results, url)


def instances(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """Instances, with what those levels say of them that the path leaves open."""
    asked, url = qido_query.ask(wanted), archive.url(wanted.request)
    with archive.login.begin() as connection:
        everything = search.instances(
            connection, asked.instance, asked.limit + 1, asked.offset, of_series=asked.series, of_study=asked.study
        )
        found = qido_query.page(asked, everything)
        headers = search.headers(connection, [one.sop_instance_uid for one in found])
        above: dict[str, Json] = {}
        if not wanted.study:
            above |= _studies_of(connection, {one.study_instance_uid for one in found}, url)
        if not wanted.series:
            above |= _series_of(connection, {one.series_instance_uid for one in found}, url)
    results = []
    for one in found:
        header = dicom_json.read(headers[one.sop_instance_uid], one.transfer_syntax_uid)
        own = qido_results.instance(one, header, asked.included, url)
        results.append(above.get(one.study_instance_uid, {}) | above.get(one.series_instance_uid, {}) | own)
    return qido_query.respond(wanted.request, asked, results, url)


def _studies_of(connection: Connection, uids: Collection[str], url: str) -> dict[str, Json]:
    found = search.studies(connection, StudyFilter(study_uids=list(uids))) if uids else []
    return _of_studies(connection, found, (), url)


def _series_of(connection: Connection, uids: Collection[str], url: str) -> dict[str, Json]:
    found = search.series(connection, SeriesFilter(series_uids=list(uids))) if uids else []
    return _of_series(connection, found, (), url)


def _of_studies(
    connection: Connection, found: Iterable[search.ArchivedStudy], included: Collection[str], url: str
) -> dict[str, Json]:
    headers = search.first_headers_of_studies(connection, [one.study_instance_uid for one in found])
    read = {uid: dicom_json.read(*header) for uid, header in headers.items()}
    return {
        one.study_instance_uid: qido_results.study(one, read[one.study_instance_uid], included, url) for one in found
    }


def _of_series(
    connection: Connection, found: Iterable[search.ArchivedSeries], included: Collection[str], url: str
) -> dict[str, Json]:
    headers = search.first_headers(connection, [one.series_instance_uid for one in found])
    read = {uid: dicom_json.read(*header) for uid, header in headers.items()}
    return {
        one.series_instance_uid: qido_results.series(one, read[one.series_instance_uid], included, url) for one in found
    }
