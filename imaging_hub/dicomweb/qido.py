"""QIDO-RS resources: searches for studies, series and instances (PS3.18 §10.6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.archive import search
from imaging_hub.archive.search_filters import SeriesFilter, StudyFilter
from imaging_hub.dicomweb import dicom_json, qido_query, qido_results
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.dicomweb.dicom_json import JsonObject


def search_studies(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Search for studies."""
    query, url = qido_query.parse_query(resource), archive.url(resource.request)
    with archive.login.begin() as connection:
        studies = qido_query.limit_results(
            query,
            search.find_studies(connection, query.study, query.limit + 1, query.offset, of_series=query.series),
        )
        encoded = _encode_studies(connection, studies, query.included, url)
    return qido_query.results_response(
        resource.request, query, [encoded[study.study_instance_uid] for study in studies], url
    )


def search_series(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Search for series of one study, or of all with attributes of their studies (PS3.18 §10.6.3.3.2)."""
    query, url = qido_query.parse_query(resource), archive.url(resource.request)
    with archive.login.begin() as connection:
        found = qido_query.limit_results(
            query, search.find_series(connection, query.series, query.limit + 1, query.offset, of_study=query.study)
        )
        encoded = _encode_series(connection, found, query.included, url)
        studies = (
            {}
            if resource.study
            else _encode_studies_of(connection, {series.study_instance_uid for series in found}, url)
        )
    results = [studies.get(series.study_instance_uid, {}) | encoded[series.series_instance_uid] for series in found]
    return qido_query.results_response(resource.request, query, results, url)


def search_instances(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Search for instances, with attributes of the levels that the path does not name (PS3.18 §10.6.3.3.3)."""
    query, url = qido_query.parse_query(resource), archive.url(resource.request)
    with archive.login.begin() as connection:
        matches = search.find_instances(
            connection, query.instance, query.limit + 1, query.offset, of_series=query.series, of_study=query.study
        )
        instances = qido_query.limit_results(query, matches)
        headers = search.load_headers(connection, [instance.sop_instance_uid for instance in instances])
        upper_levels: dict[str, JsonObject] = {}
        if not resource.study:
            upper_levels |= _encode_studies_of(connection, {instance.study_instance_uid for instance in instances}, url)
        if not resource.series:
            upper_levels |= _encode_series_of(connection, {instance.series_instance_uid for instance in instances}, url)
    results = []
    for instance in instances:
        header = dicom_json.read_header(headers[instance.sop_instance_uid], instance.transfer_syntax_uid)
        encoded = qido_results.encode_instance(instance, header, query.included, url)
        results.append(
            upper_levels.get(instance.study_instance_uid, {})
            | upper_levels.get(instance.series_instance_uid, {})
            | encoded
        )
    return qido_query.results_response(resource.request, query, results, url)


def _encode_studies_of(connection: Connection, uids: Collection[str], url: str) -> dict[str, JsonObject]:
    studies = search.find_studies(connection, StudyFilter(study_uids=list(uids))) if uids else []
    return _encode_studies(connection, studies, (), url)


def _encode_series_of(connection: Connection, uids: Collection[str], url: str) -> dict[str, JsonObject]:
    series = search.find_series(connection, SeriesFilter(series_uids=list(uids))) if uids else []
    return _encode_series(connection, series, (), url)


def _encode_studies(
    connection: Connection, studies: Iterable[search.ArchivedStudy], included: Collection[str], url: str
) -> dict[str, JsonObject]:
    headers = search.load_first_headers_of_studies(connection, [study.study_instance_uid for study in studies])
    datasets = {uid: dicom_json.read_header(*header) for uid, header in headers.items()}
    return {
        study.study_instance_uid: qido_results.encode_study(study, datasets[study.study_instance_uid], included, url)
        for study in studies
    }


def _encode_series(
    connection: Connection, found: Iterable[search.ArchivedSeries], included: Collection[str], url: str
) -> dict[str, JsonObject]:
    headers = search.load_first_headers(connection, [series.series_instance_uid for series in found])
    datasets = {uid: dicom_json.read_header(*header) for uid, header in headers.items()}
    return {
        series.series_instance_uid: qido_results.encode_series(
            series, datasets[series.series_instance_uid], included, url
        )
        for series in found
    }
