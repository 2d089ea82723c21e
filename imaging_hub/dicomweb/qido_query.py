"""QIDO-RS: searching studies, series and instances (PS3.18 §10.6)."""

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

from imaging_hub.archive.filters import InstanceFilter, SeriesFilter, StudyFilter
from imaging_hub.dicomweb import media_types
from imaging_hub.dicomweb.archive_view import ResourceRequest
from imaging_hub.http.problem_details import ProblemDetails

MOST_RESULTS = 1000
"""Results of one answer; further ones are asked for by `offset`."""

_INTEGERS = 1 << 31
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
_MATCHED = {
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
"""Attributes the hub matches on beside StudyDate: the part of the question they narrow, and its field."""

_T = TypeVar("_T")


@dataclass
class QidoQuery:
    """A search as it was asked."""

    study: StudyFilter
    series: SeriesFilter = field(default_factory=SeriesFilter)
    instance: InstanceFilter = field(default_factory=InstanceFilter)
    limit: int = MOST_RESULTS
    offset: int = 0
    included: set[str] = field(default_factory=set)
    """Keywords of further attributes to return, or `all`."""
    warnings: list[str] = field(default_factory=list)


def ask(wanted: ResourceRequest) -> QidoQuery:
    """The question a request asks within what its sender may see.

    A parameter the hub does not match on is passed over with a warning, as PS3.18 §8.3.1 has it; a value
    of the wrong form is a 400.
    """
    asked = QidoQuery(wanted.scope)
    ignored = False
    for name, value in wanted.request.query_params.multi_items():
        if _CONTROL.search(value):
            raise _wrong(name)
        if name in _UNSUPPORTED:
            if value.strip().lower() != "false":
                asked.warnings.append(_UNSUPPORTED[name])
        elif name in ("limit", "offset"):
            setattr(asked, name, min(_integer(name, value, least=0), MOST_RESULTS if name == "limit" else _INTEGERS))
        elif name == "includefield":
            asked.included |= {"all" if one == "all" else keyword_of(one) for one in value.split(",")}
        elif name not in _PARAMETERS:
            ignored |= not (value == "" or _match(asked, keyword_of(name), value))
    if ignored:
        asked.warnings.append("Some query parameters are not supported and have been ignored.")
    if wanted.study:
        asked.study = replace(asked.study, study_uids=_within(asked.study.study_uids, wanted.study))
    if wanted.series:
        asked.series = replace(asked.series, series_uids=_within(asked.series.series_uids, wanted.series))
    return asked


def page(asked: QidoQuery, found: list[_T]) -> list[_T]:
    """The results to show of those found, which were asked for with one more than the limit."""
    if len(found) > asked.limit:
        asked.warnings.append("There are additional results that can be requested.")
    return found[: asked.limit]


def respond(request: Request, asked: QidoQuery, results: list[dict[str, object]], service: str) -> Response:
    """The results as DICOM JSON; none is an empty list (PS3.18 2026, table 10.6.3-1)."""
    media_type = media_types.choose(request, media_types.DICOM_JSON, "application/json")
    headers = {"Warning": ", ".join(f'299 {service} "{text}"' for text in asked.warnings)} if asked.warnings else {}
    return Response(json.dumps(results, allow_nan=False), media_type=media_type, headers=headers)


def keyword_of(name: str) -> str:
    """Keyword of an attribute given by keyword or by eight hexadecimal digits; empty when nobody knows it."""
    if re.fullmatch("[0-9A-Fa-f]{8}", name):
        try:
            return str(dictionary_keyword(int(name, 16)))
        except KeyError:
            return ""
    return name if tag_for_keyword(name) is not None else ""


def _match(asked: QidoQuery, keyword: str, value: str) -> bool:
    """Narrow the question by one attribute; False when the hub does not match on it."""
    if keyword == "StudyDate":
        first, last = _days(value)
        asked.study = replace(asked.study, shifted_from=first, shifted_to=last)
        return True
    if keyword not in _MATCHED:
        return False
    level, name = _MATCHED[keyword]
    read: object = value
    if name.endswith("uids"):
        read = _list(value)
    elif name == "modalities":
        read = _list(value.upper())
    elif name == "number":
        read = _integer(keyword, value)
    setattr(asked, level, replace(getattr(asked, level), **{name: read}))
    return True


def _list(value: str) -> list[str]:
    """A list, by commas or backslashes (PS3.18 §8.3.4.1)."""
    return re.split(r"[,\\]", value)


def _within(asked: Sequence[str], of_path: str) -> list[str]:
    """The UID of the path, unless the query excludes it."""
    return [of_path] if not asked or of_path in asked else ["-"]


def _days(value: str) -> tuple[date | None, date | None]:
    """A day or a range of days, open at either end (PS3.4 §C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    return _day(first), _day(last) if dash else _day(first)


def _day(value: str) -> date | None:
    if not value:
        return None
    try:
        return datetime.strptime(value if _DAY.match(value) else "", "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise _wrong("StudyDate") from None


def _integer(name: str, value: str, *, least: int = -_INTEGERS) -> int:
    if not re.fullmatch(r"-?[0-9]{1,10}", value) or not least <= int(value) < _INTEGERS:
        raise _wrong(name)
    return int(value)


def _wrong(name: str) -> ProblemDetails:
    known = keyword_of(name) or (name if name in _PARAMETERS else "")
    return ProblemDetails(
        400, "query-parameter", "A query parameter has the wrong form.", hint=f"check {known}" if known else ""
    )
