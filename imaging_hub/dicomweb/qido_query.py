"""QIDO-RS queries: parsing of parameters, paging and the response (PS3.18 §8.3, §10.6)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TypeVar

from pydicom.datadict import dictionary_keyword, tag_for_keyword
from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.archive.search_filters import InstanceFilter, SeriesFilter, StudyFilter
from imaging_hub.dicomweb import media_types
from imaging_hub.dicomweb.archive_view import ResourceRequest
from imaging_hub.http.problem_details import ProblemDetails

MAX_RESULTS = 1000
"""Most results in one response; more are requested with `offset`."""

_MAX_INTEGER = 1 << 31
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DAY = re.compile(r"\d{8}\Z", re.ASCII)
_PARAMETERS = {"limit", "offset", "includefield", "fuzzymatching", "accept", "charset"}
_UNSUPPORTED = {
    "fuzzymatching": "The fuzzymatching parameter is not supported. Only literal matching has been performed.",
    "emptyvaluematching": "The emptyvaluematching parameter is not supported."
    " Empty Value Matching has not been performed.",
    "multiplevaluematching": "The multiplevaluematching parameter is not supported."
    " Multiple Value Matching has not been performed.",
}
_MATCHING_KEYS = {
    "StudyInstanceUID": ("study", "study_uids"),
    "PatientID": ("study", "patient"),
    "PatientName": ("study", "patient_name"),
    "ModalitiesInStudy": ("study", "modalities"),
    "StudyDescription": ("study", "description"),
    "AccessionNumber": ("study", "accession"),
    "SeriesInstanceUID": ("series", "series_uids"),
    "Modality": ("series", "modality"),
    "SeriesNumber": ("series", "number"),
    "SeriesDescription": ("series", "description"),
    "BodyPartExamined": ("series", "body_part"),
    "SOPInstanceUID": ("instance", "sop_uids"),
    "SOPClassUID": ("instance", "sop_class_uids"),
    "InstanceNumber": ("instance", "number"),
}
"""Matching keys besides StudyDate: the filter of `QidoQuery`, and its field."""

_T = TypeVar("_T")


@dataclass
class QidoQuery:
    """A parsed QIDO-RS query."""

    study: StudyFilter
    series: SeriesFilter = field(default_factory=SeriesFilter)
    instance: InstanceFilter = field(default_factory=InstanceFilter)
    limit: int = MAX_RESULTS
    offset: int = 0
    included: set[str] = field(default_factory=set)
    """Keywords of further attributes to return, or `all`."""
    warnings: list[str] = field(default_factory=list)


def parse_query(resource: ResourceRequest) -> QidoQuery:
    """Parse the query of a request, within its sender's scope.

    Unsupported parameters are ignored with a warning (PS3.18 §8.3.1). Raises `ProblemDetails` 400 for malformed values.
    """
    query = QidoQuery(resource.scope)
    ignored = False
    for name, value in resource.request.query_params.multi_items():
        if _CONTROL.search(value):
            raise _parameter_error(name)
        if name in _UNSUPPORTED:
            if value.strip().lower() != "false":
                query.warnings.append(_UNSUPPORTED[name])
        elif name in ("limit", "offset"):
            setattr(
                query, name, min(_parse_integer(name, value, least=0), MAX_RESULTS if name == "limit" else _MAX_INTEGER)
            )
        elif name == "includefield":
            query.included |= {"all" if item == "all" else find_keyword(item) for item in value.split(",")}
        elif name not in _PARAMETERS:
            ignored |= not (value == "" or _add_match(query, find_keyword(name), value))
    if ignored:
        query.warnings.append("Some query parameters are not supported and have been ignored.")
    if resource.study:
        query.study = replace(query.study, study_uids=_uids_within(query.study.study_uids, resource.study))
    if resource.series:
        query.series = replace(query.series, series_uids=_uids_within(query.series.series_uids, resource.series))
    return query


def limit_results(query: QidoQuery, results: list[_T]) -> list[_T]:
    """Cut results, which were searched with one more than the limit, and warn when there are more."""
    if len(results) > query.limit:
        query.warnings.append("There are additional results that can be requested.")
    return results[: query.limit]


def results_response(request: Request, query: QidoQuery, results: list[dict[str, object]], service: str) -> Response:
    """Return the results as DICOM JSON, an empty list for none (PS3.18 2026, table 10.6.3-1)."""
    media_type = media_types.choose(request, media_types.DICOM_JSON, "application/json")
    headers = {"Warning": ", ".join(f'299 {service} "{text}"' for text in query.warnings)} if query.warnings else {}
    return Response(json.dumps(results, allow_nan=False), media_type=media_type, headers=headers)


def find_keyword(name: str) -> str:
    """Return the keyword of an attribute given by keyword or eight hexadecimal digits, empty when unknown."""
    if re.fullmatch("[0-9A-Fa-f]{8}", name):
        try:
            return str(dictionary_keyword(int(name, 16)))
        except KeyError:
            return ""
    return name if tag_for_keyword(name) is not None else ""


def _add_match(query: QidoQuery, keyword: str, value: str) -> bool:
    """Add a matching key to the query; returns False when the attribute is not supported."""
    if keyword == "StudyDate":
        first, last = _parse_date_range(value)
        query.study = replace(query.study, shifted_from=first, shifted_to=last)
        return True
    if keyword not in _MATCHING_KEYS:
        return False
    level, name = _MATCHING_KEYS[keyword]
    parsed: object = value
    if name.endswith("uids"):
        parsed = _split_list(value)
    elif name == "modalities":
        parsed = _split_list(value.upper())
    elif name == "number":
        parsed = _parse_integer(keyword, value)
    setattr(query, level, replace(getattr(query, level), **{name: parsed}))
    return True


def _split_list(value: str) -> list[str]:
    """Split a list of UIDs at commas or backslashes (PS3.18 §8.3.4.1)."""
    return re.split(r"[,\\]", value)


def _uids_within(queried: Sequence[str], path_uid: str) -> list[str]:
    """Return the UID of the path, or one that matches nothing when the query excludes it."""
    return [path_uid] if not queried or path_uid in queried else ["-"]


def _parse_date_range(value: str) -> tuple[date | None, date | None]:
    """Parse a date or a range of dates, open at either end (PS3.4 §C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    return _parse_date(first), _parse_date(last) if dash else _parse_date(first)


def _parse_date(value: str) -> date | None:
    if not value:
        return None
    try:
        return datetime.strptime(value if _DAY.match(value) else "", "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise _parameter_error("StudyDate") from None


def _parse_integer(name: str, value: str, *, least: int = -_MAX_INTEGER) -> int:
    if not re.fullmatch(r"-?[0-9]{1,10}", value) or not least <= int(value) < _MAX_INTEGER:
        raise _parameter_error(name)
    return int(value)


def _parameter_error(name: str) -> ProblemDetails:
    known = find_keyword(name) or (name if name in _PARAMETERS else "")
    return ProblemDetails(
        400, "query-parameter", "A query parameter has the wrong form.", hint=f"check {known}" if known else ""
    )
