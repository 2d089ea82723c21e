"""What a hospital may ask back: which of its studies are here (C-FIND), and their originals while they are kept.

Matching is of PS3.4 §C.2.2.2: UIDs by list, single values, wildcards, ranges of dates. Attributes that are not in
the journal are read from one original of the study, series or instance.
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

MOST = 500
"""Studies, series or instances that one query may have us look at; beyond it it is refused, not cut short."""
_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_OF_JOURNAL = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_COUNTS = ("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances", "NumberOfStudyRelatedSeries")
_OURS = ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "SpecificCharacterSet", *_COUNTS)
_DATES = ("StudyDate", "SeriesDate")
_TIMES = ("StudyTime", "SeriesTime")


class TooManyMatches(ValueError):
    """A query that matches more than can be answered."""


class InvalidQuery(ValueError):
    """An identifier that is no query of the Study Root model."""


@dataclass(frozen=True, slots=True)
class StudyRootMatch:
    """What the journal holds of one study, series or instance of a hospital."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    digest: str | None
    """Of an original that is still there, to read attributes from."""
    instances: int
    series: int
    modalities: list[str]


@dataclass(frozen=True, slots=True)
class KeptOriginal:
    """An original that is kept."""

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


def find(connection: Connection, spool: Spool, hospital: str, query: Dataset, our_title: str) -> Iterator[Dataset]:
    """The matches of a C-FIND identifier; raises `InvalidQuery` or `TooManyMatches`."""
    level = str(query.get("QueryRetrieveLevel", ""))
    for held in _entities(connection, hospital, query, level):
        answer = _described(spool, held, query)
        if answer is None:
            continue
        answer.QueryRetrieveLevel = level
        answer.RetrieveAETitle = our_title
        answer.InstanceAvailability = "ONLINE" if held.digest else "UNAVAILABLE"
        yield answer


def originals(connection: Connection, hospital: str, query: Dataset) -> list[KeptOriginal]:
    """The originals that a C-MOVE or C-GET identifier names, as far as they are kept; raises `InvalidQuery`."""
    level = str(query.get("QueryRetrieveLevel", ""))
    if level not in _UNIQUE or not _uids(query, _UNIQUE[level]):
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
    if level not in _UNIQUE:
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
            "most": MOST + 1,
        },
    ).all()
    if len(rows) > MOST:
        raise TooManyMatches
    return [StudyRootMatch(**{**row._mapping, "modalities": row.modalities or []}) for row in rows]


def _keys(query: Dataset) -> dict[str, list[str] | None]:
    return {
        "studies": _uids(query, "StudyInstanceUID"),
        "all_series": _uids(query, "SeriesInstanceUID"),
        "instances": _uids(query, "SOPInstanceUID"),
    }


def _uids(query: Dataset, keyword: str) -> list[str] | None:
    """The UIDs of a list, None where the key is universal."""
    value = query.get(keyword)
    if not value:
        return None
    return [str(value)] if isinstance(value, str) else [str(one) for one in value]


def _described(spool: Spool, held: StudyRootMatch, query: Dataset) -> Dataset | None:
    """The attributes that the query asks for, None where one of them does not match."""
    header = _header(spool, held.digest)
    answer = Dataset()
    answer.SpecificCharacterSet = header.get("SpecificCharacterSet", "ISO_IR 192")
    known: dict[str, object] = {
        "StudyInstanceUID": held.study_instance_uid,
        "SeriesInstanceUID": held.series_instance_uid,
        "SOPInstanceUID": held.sop_instance_uid,
        "ModalitiesInStudy": held.modalities,
        "NumberOfStudyRelatedInstances": held.instances,
        "NumberOfSeriesRelatedInstances": held.instances,
        "NumberOfStudyRelatedSeries": held.series,
    }
    for element in query:
        keyword = element.keyword
        if not keyword or keyword in ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"):
            continue
        if keyword in known:
            setattr(answer, keyword, known[keyword])
        elif keyword in header and keyword not in _OURS:
            answer[keyword] = header[keyword]
        elif keyword not in _OURS:
            answer.add_new(element.tag, element.VR, None)
        if keyword not in (*_OF_JOURNAL, *_OURS) and not _matches(keyword, element.value, answer.get(keyword)):
            return None
    return answer


def _header(spool: Spool, digest: str | None) -> Dataset:
    if digest is None:
        return Dataset()
    try:
        return dcmread(BytesIO(spool.read(digest)), stop_before_pixels=True)
    except NotFound:
        return Dataset()


def _matches(keyword: str, wanted: object, found: object) -> bool:
    """Whether a value is what a key asks for; a key without a value asks for nothing."""
    asked = _texts(wanted)
    if not asked:
        return True
    values = _texts(found) or [""]
    if keyword in (*_DATES, *_TIMES):
        return any(_in_range(value, asked[0]) for value in values)
    patterns = [re.compile(_wildcard(one), re.IGNORECASE if keyword == "PatientName" else 0) for one in asked]
    return any(pattern.fullmatch(value) for pattern in patterns for value in values)


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
        return [str(one) for one in value]  # type: ignore[attr-defined]
    return [str(value)]
