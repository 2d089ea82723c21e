"""Study Root queries (PS3.4 Annex C) of a hospital over its own studies, and the originals that are still kept.

Matching follows PS3.4 §C.2.2.2: lists of UIDs, single values, wildcards, ranges of dates. Attributes that the journal
lacks are read from one original of the study, series or instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread
from sqlalchemy import Connection, text

from imaging_hub.errors import NotFound
from imaging_hub.intake.spool import Spool

MAX_MATCHES = 500
"""Largest number of matches of one query; a query with more is refused, not cut short."""
_UNIQUE_KEY = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_JOURNAL_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_COUNTS = ("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances", "NumberOfStudyRelatedSeries")
_COMPUTED = ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "SpecificCharacterSet", *_COUNTS)
_RANGES = ("StudyDate", "SeriesDate", "StudyTime", "SeriesTime")


class TooManyMatches(ValueError):
    """A query has more than `MAX_MATCHES` matches."""


class InvalidQuery(ValueError):
    """An identifier is no query of the Study Root model."""


@dataclass(frozen=True, slots=True)
class StudyRootMatch:
    """A study, series or instance in the journal; UIDs below its level are empty."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    digest: str | None
    """Of an original that is kept, to read attributes from."""
    instances: int
    series: int
    modalities: list[str]


@dataclass(frozen=True, slots=True)
class KeptOriginal:
    """An original in the spool."""

    digest: str
    sop_class_uid: str
    transfer_syntax_uid: str


_ENTITIES = """
    SELECT s.study_instance_uid, {series} AS series_instance_uid, {instance} AS sop_instance_uid,
           min(i.digest) FILTER (WHERE i.purged_at IS NULL) AS digest,
           count(DISTINCT i.sop_instance_uid) AS instances, count(DISTINCT i.series_instance_uid) AS series,
           array_agg(DISTINCT i.modality) FILTER (WHERE i.modality IS NOT NULL) AS modalities
    FROM identifying.instance i JOIN identifying.study s ON s.id = i.study
    WHERE i.hospital = :hospital AND i.reason IS DISTINCT FROM 'sop-instance-conflict'
      AND (CAST(:studies AS text[]) IS NULL OR s.study_instance_uid = ANY(:studies))
      AND (CAST(:all_series AS text[]) IS NULL OR i.series_instance_uid = ANY(:all_series))
      AND (CAST(:instances AS text[]) IS NULL OR i.sop_instance_uid = ANY(:instances))
      AND (CAST(:patient AS text) IS NULL OR i.patient_id = :patient)
    GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT :most
"""


def find_matches(
    connection: Connection, spool: Spool, hospital: str, query: Dataset, our_title: str
) -> Iterator[Dataset]:
    """Yield the matches of a C-FIND identifier. Raises `InvalidQuery` or `TooManyMatches`."""
    level = str(query.get("QueryRetrieveLevel", ""))
    for match in _entities(connection, hospital, query, level):
        answer = _describe(spool, match, query)
        if answer is None:
            continue
        answer.QueryRetrieveLevel = level
        answer.RetrieveAETitle = our_title
        answer.InstanceAvailability = "ONLINE" if match.digest else "UNAVAILABLE"
        yield answer


def list_originals(connection: Connection, hospital: str, query: Dataset) -> list[KeptOriginal]:
    """List the kept originals that a C-MOVE or C-GET identifier names. Raises `InvalidQuery`."""
    level = str(query.get("QueryRetrieveLevel", ""))
    if level not in _UNIQUE_KEY or not _uids(query, _UNIQUE_KEY[level]):
        raise InvalidQuery
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (i.sop_instance_uid) i.digest, i.sop_class_uid, i.transfer_syntax_uid"
            " FROM identifying.instance i JOIN identifying.study s ON s.id = i.study"
            " WHERE i.hospital = :hospital AND i.purged_at IS NULL"
            " AND i.reason IS DISTINCT FROM 'sop-instance-conflict'"
            " AND (CAST(:studies AS text[]) IS NULL OR s.study_instance_uid = ANY(:studies))"
            " AND (CAST(:all_series AS text[]) IS NULL OR i.series_instance_uid = ANY(:all_series))"
            " AND (CAST(:instances AS text[]) IS NULL OR i.sop_instance_uid = ANY(:instances))"
            " ORDER BY i.sop_instance_uid, i.id"
        ),
        {"hospital": hospital, **_keys(query)},
    )
    return [KeptOriginal(*row) for row in rows]


def _entities(connection: Connection, hospital: str, query: Dataset, level: str) -> list[StudyRootMatch]:
    if level not in _UNIQUE_KEY:
        raise InvalidQuery
    shown = {
        "series": "''" if level == "STUDY" else "coalesce(i.series_instance_uid, '')",
        "instance": "i.sop_instance_uid" if level == "IMAGE" else "''",
    }
    patient = str(query.get("PatientID", "") or "")
    rows = connection.execute(
        text(_ENTITIES.format(**shown)),
        {
            "hospital": hospital,
            **_keys(query),
            "patient": patient if patient and not re.search(r"[*?]", patient) else None,
            "most": MAX_MATCHES + 1,
        },
    ).all()
    if len(rows) > MAX_MATCHES:
        raise TooManyMatches
    return [StudyRootMatch(**{**row._mapping, "modalities": row.modalities or []}) for row in rows]


def _keys(query: Dataset) -> dict[str, list[str] | None]:
    return {
        "studies": _uids(query, "StudyInstanceUID"),
        "all_series": _uids(query, "SeriesInstanceUID"),
        "instances": _uids(query, "SOPInstanceUID"),
    }


def _uids(query: Dataset, keyword: str) -> list[str] | None:
    """Return the UIDs of a matching key; None for universal matching."""
    value = query.get(keyword)
    if not value:
        return None
    return [str(value)] if isinstance(value, str) else [str(uid) for uid in value]


def _describe(spool: Spool, match: StudyRootMatch, query: Dataset) -> Dataset | None:
    """Return the requested attributes of an entity; None when one of them does not match."""
    header = _read_header(spool, match.digest)
    answer = Dataset()
    answer.SpecificCharacterSet = header.get("SpecificCharacterSet", "ISO_IR 192")
    from_journal: dict[str, object] = {
        "StudyInstanceUID": match.study_instance_uid,
        "SeriesInstanceUID": match.series_instance_uid,
        "SOPInstanceUID": match.sop_instance_uid,
        "ModalitiesInStudy": match.modalities,
        "NumberOfStudyRelatedInstances": match.instances,
        "NumberOfSeriesRelatedInstances": match.instances,
        "NumberOfStudyRelatedSeries": match.series,
    }
    for element in query:
        keyword = element.keyword
        if not keyword or keyword in ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"):
            continue
        if keyword in from_journal:
            setattr(answer, keyword, from_journal[keyword])
        elif keyword in header and keyword not in _COMPUTED:
            answer[keyword] = header[keyword]
        elif keyword not in _COMPUTED:
            answer.add_new(element.tag, element.VR, None)
        if keyword not in (*_JOURNAL_KEYS, *_COMPUTED) and not _matches(keyword, element.value, answer.get(keyword)):
            return None
    return answer


def _read_header(spool: Spool, digest: str | None) -> Dataset:
    if digest is None:
        return Dataset()
    try:
        return dcmread(BytesIO(spool.read(digest)), stop_before_pixels=True)
    except NotFound:
        return Dataset()


def _matches(keyword: str, wanted: object, value: object) -> bool:
    """Whether a value matches a key; a key without a value matches everything."""
    patterns = _texts(wanted)
    if not patterns:
        return True
    values = _texts(value) or [""]
    if keyword in _RANGES:
        return any(_in_range(item, patterns[0]) for item in values)
    expressions = [re.compile(_wildcard(key), re.IGNORECASE if keyword == "PatientName" else 0) for key in patterns]
    return any(expression.fullmatch(item) for expression in expressions for item in values)


def _in_range(value: str, wanted: str) -> bool:
    first, ranged, last = wanted.partition("-")
    if not ranged:
        return value.startswith(wanted)
    return bool(value) and first <= value and (not last or value <= last or value.startswith(last))


def _wildcard(key: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in key)


def _texts(value: object) -> Sequence[str]:
    if value is None or value == "":
        return []
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return [str(item) for item in value]  # type: ignore[attr-defined]
    return [str(value)]
