"""Searches of the index for studies, series and instances.

Dates are the shifted ones of the instances; the true dates are for cohorts only and are not returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from imaging_hub.archive.index import ArchivedStudyState, ReviewState
from imaging_hub.archive.search_filters import (
    ANY_INSTANCE,
    ANY_SERIES,
    ANY_STUDY,
    InstanceFilter,
    SeriesFilter,
    StudyFilter,
)

NO_LIMIT = 1 << 31
"""A limit above any number of rows."""


@dataclass(frozen=True, slots=True)
class ArchivedStudy:
    """A study of the index, with numbers of its series and instances."""

    study_instance_uid: str
    pseudonym: str
    finess: str
    shifted_date: date | None
    revision: int
    state: ArchivedStudyState
    description: str | None
    accession: str | None
    updated_at: datetime
    modalities: tuple[str, ...]
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class ArchivedSeries:
    """A series of the index, with the attributes computed by `archive.series`."""

    series_instance_uid: str
    study_instance_uid: str
    pseudonym: str
    modality: str
    sop_class_uid: str
    series_number: int | None
    description: str | None
    body_part: str | None
    laterality: str | None
    contrast: bool | None
    manufacturer: str | None
    model: str | None
    kernel: str | None
    kvp: float | None
    slice_thickness_mm: float | None
    slice_spacing_mm: float | None
    pixel_spacing_mm: float | None
    magnetic_field_t: float | None
    image_type: tuple[str, ...]
    is_scout: bool
    is_derived: bool
    instances: int
    profile: str
    needs_review: bool
    review_state: ReviewState
    content_digest: str


@dataclass(frozen=True, slots=True)
class ArchivedInstance:
    """An instance of the index, with digest and size of its object."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None
    frames: int
    rows: int | None
    columns: int | None
    digest: str
    size: int


def find_studies(
    connection: Connection,
    study_filter: StudyFilter = ANY_STUDY,
    limit: int = NO_LIMIT,
    offset: int = 0,
    *,
    of_series: SeriesFilter = ANY_SERIES,
) -> list[ArchivedStudy]:
    """Return matching studies with at least one matching series, latest first."""
    where, values = study_filter.conditions()
    inner, more = of_series.conditions()
    if of_series != ANY_SERIES:
        where += f" AND st.study_instance_uid IN (SELECT se.study_instance_uid FROM hub.series se WHERE true{inner})"  # noqa: S608
    rows = connection.execute(
        text(
            "SELECT st.study_instance_uid, su.pseudonym, st.finess, st.shifted_date, st.revision, st.state,"  # noqa: S608
            " st.description, st.accession, st.updated_at, held.modalities, held.series, held.instances"
            " FROM hub.study st JOIN hub.subject su USING (sid) CROSS JOIN LATERAL ("
            "  SELECT coalesce(array_agg(DISTINCT modality), '{}') AS modalities, count(*) AS series,"
            "  coalesce(sum(instances), 0) AS instances"
            "  FROM hub.series WHERE study_instance_uid = st.study_instance_uid) held"
            f" WHERE true{where}"
            " ORDER BY st.shifted_date DESC NULLS LAST, st.study_instance_uid LIMIT :limit OFFSET :offset"
        ),
        {**values, **more, "limit": limit, "offset": offset},
    )
    return [
        ArchivedStudy(**{**row, "state": ArchivedStudyState(row["state"]), "modalities": tuple(row["modalities"])})
        for row in rows.mappings()
    ]


def find_series(
    connection: Connection,
    series_filter: SeriesFilter = ANY_SERIES,
    limit: int = NO_LIMIT,
    offset: int = 0,
    *,
    of_study: StudyFilter = ANY_STUDY,
) -> list[ArchivedSeries]:
    """Return matching series, sorted by study and Series Number."""
    where, values = series_filter.conditions()
    outer, more = of_study.conditions()
    rows = connection.execute(
        text(
            "SELECT se.*, su.pseudonym FROM hub.series se JOIN hub.study st USING (study_instance_uid)"  # noqa: S608
            f" JOIN hub.subject su USING (sid) WHERE true{where}{outer}"
            " ORDER BY se.study_instance_uid, se.series_number NULLS LAST, se.series_instance_uid"
            " LIMIT :limit OFFSET :offset"
        ),
        {**values, **more, "limit": limit, "offset": offset},
    )
    return [
        ArchivedSeries(
            **{**row, "review_state": ReviewState(row["review_state"]), "image_type": tuple(row["image_type"])}
        )
        for row in rows.mappings()
    ]


def find_series_of_study(connection: Connection, study_instance_uid: str) -> list[ArchivedSeries]:
    """Return the series of one study."""
    return find_series(connection, of_study=StudyFilter(study_uids=[study_instance_uid]))


def find_instances(
    connection: Connection,
    instance_filter: InstanceFilter = ANY_INSTANCE,
    limit: int = NO_LIMIT,
    offset: int = 0,
    *,
    of_series: SeriesFilter = ANY_SERIES,
    of_study: StudyFilter = ANY_STUDY,
) -> list[ArchivedInstance]:
    """Return matching instances, sorted by study, series and Instance Number."""
    where, values = instance_filter.conditions()
    for condition, more in (of_series.conditions(), of_study.conditions()):
        where, values = where + condition, {**values, **more}
    rows = connection.execute(
        text(
            "SELECT i.sop_instance_uid, i.series_instance_uid, se.study_instance_uid, i.sop_class_uid,"  # noqa: S608
            " i.transfer_syntax_uid, i.instance_number, i.frames, i.rows, i.columns, i.digest, o.size"
            " FROM hub.instance i JOIN hub.object o USING (digest) JOIN hub.series se USING (series_instance_uid)"
            " JOIN hub.study st USING (study_instance_uid) JOIN hub.subject su USING (sid)"
            f" WHERE true{where}"
            " ORDER BY se.study_instance_uid, se.series_number NULLS LAST, i.series_instance_uid,"
            " i.instance_number NULLS LAST, i.sop_instance_uid LIMIT :limit OFFSET :offset"
        ),
        {**values, "limit": limit, "offset": offset},
    )
    return [ArchivedInstance(**row) for row in rows.mappings()]


def load_headers(connection: Connection, sop_instance_uids: Sequence[str]) -> dict[str, bytes]:
    """Return encoded headers by SOP Instance UID."""
    rows = connection.execute(
        text("SELECT sop_instance_uid, header FROM hub.instance WHERE sop_instance_uid = ANY(:uids)"),
        {"uids": list(sop_instance_uids)},
    )
    return {row.sop_instance_uid: bytes(row.header) for row in rows}


def load_header(connection: Connection, sop_instance_uid: str) -> tuple[bytes, str] | None:
    """Return encoded header and transfer syntax of an instance, or None when it is not in the index."""
    row = connection.execute(
        text("SELECT header, transfer_syntax_uid FROM hub.instance WHERE sop_instance_uid = :uid"),
        {"uid": sop_instance_uid},
    ).one_or_none()
    return (bytes(row.header), row.transfer_syntax_uid) if row else None


def load_first_headers(connection: Connection, series_instance_uids: Sequence[str]) -> dict[str, tuple[bytes, str]]:
    """Return encoded header and transfer syntax of each series' first instance, by Series Instance UID."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (series_instance_uid) series_instance_uid, header, transfer_syntax_uid"
            " FROM hub.instance WHERE series_instance_uid = ANY(:uids)"
            " ORDER BY series_instance_uid, instance_number NULLS LAST, sop_instance_uid"
        ),
        {"uids": list(series_instance_uids)},
    )
    return {row.series_instance_uid: (bytes(row.header), row.transfer_syntax_uid) for row in rows}


def load_first_headers_of_studies(connection: Connection, study_uids: Sequence[str]) -> dict[str, tuple[bytes, str]]:
    """Return encoded header and transfer syntax of each study's first instance, by Study Instance UID."""
    rows = connection.execute(
        text(
            "SELECT study_instance_uid, first.header, first.transfer_syntax_uid FROM ("
            "  SELECT DISTINCT ON (study_instance_uid) study_instance_uid, series_instance_uid FROM hub.series"
            "  WHERE study_instance_uid = ANY(:uids)"
            "  ORDER BY study_instance_uid, series_number NULLS LAST, series_instance_uid) se CROSS JOIN LATERAL ("
            "  SELECT header, transfer_syntax_uid FROM hub.instance i"
            "  WHERE i.series_instance_uid = se.series_instance_uid"
            "  ORDER BY instance_number NULLS LAST, sop_instance_uid LIMIT 1) first"
        ),
        {"uids": list(study_uids)},
    )
    return {row.study_instance_uid: (bytes(row.header), row.transfer_syntax_uid) for row in rows}


def has_subject(connection: Connection, sid: str) -> bool:
    """Return whether the archive has anything of a subject."""
    return connection.execute(text("SELECT 1 FROM hub.subject WHERE sid = :sid"), {"sid": sid}).first() is not None


def list_awaiting_sink(connection: Connection) -> list[str]:
    """Return the Study Instance UIDs of releasable studies that are not completely in the sink."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT study_instance_uid FROM hub.instance JOIN hub.series USING (series_instance_uid)"
            " JOIN hub.study USING (study_instance_uid)"
            " WHERE state = :releasable AND sink_digest IS DISTINCT FROM digest ORDER BY 1"
        ),
        {"releasable": ArchivedStudyState.RELEASABLE},
    )
    return list(rows.scalars())
