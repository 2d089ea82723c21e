"""Admission of de-identified instances to the index, and the state of their study.

Admission is idempotent. Writers of one study take an advisory lock before any row lock, so that they cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection, text

from imaging_hub.archive import deidentification_changes
from imaging_hub.archive.objects import StoredObject
from imaging_hub.archive.series import describe, position_mm
from imaging_hub.archive.stored_header import StoredHeader
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance
from imaging_hub.errors import HubError

_T = TypeVar("_T")


class ArchivedStudyState(StrEnum):
    """State of an archived study, derived from its series."""

    COMPLETE = "COMPLETE"  # being indexed
    IN_REVIEW = "IN_REVIEW"  # a series waits for a verdict
    RELEASABLE = "RELEASABLE"
    VETOED = "VETOED"  # a series was rejected


class ReviewState(StrEnum):
    """State of the review of a series."""

    NOT_NEEDED = "NOT_NEEDED"  # the profile requires no review
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """A de-identified instance whose object is stored under `digest`."""

    instance: DeidentifiedInstance
    digest: str
    size: int
    change_list: str | None = None
    """Digest of its list of changes, when the list is stored already (`change_lists.store`)."""


def admit(
    connection: Connection,
    *,
    sid: str,
    pseudonym: str,
    finess: str,
    date_shift_days: int,
    profile: str,
    admissions: Sequence[StoredInstance],
) -> None:
    """Index instances of one study, and raise the study's revision when that changes an existing study.

    `profile` is `name@digest`. A series whose content changes waits for a new verdict when its profile requires
    review. Raises `HubError` when the batch contradicts the index or itself:
    `several-studies`, `subject-of-another-pseudonym`, `study-of-another-subject`, `series-of-another-study`,
    `instance-of-another-series`, `date-not-shifted`.
    """
    if not admissions:
        return
    study = admissions[0].instance.study_instance_uid
    if any(admission.instance.study_instance_uid != study for admission in admissions):
        raise HubError("a batch holds instances of one study", code="several-studies")
    lock_study(connection, study)
    headers = StoredHeader.read_all((a.instance.header, a.instance.transfer_syntax_uid) for a in admissions)
    known = _admit_study(connection, study, sid, pseudonym, finess)
    _admit_instances(connection, admissions, headers)
    changed = False
    for uid in sorted({admission.instance.series_instance_uid for admission in admissions}):
        needs_review = any(a.instance.needs_review for a in admissions if a.instance.series_instance_uid == uid)
        changed |= _refresh_series(connection, uid, study, profile, needs_review)
    if changed or not known:
        _update_study(connection, study, admissions, headers, date_shift_days, raise_revision=known)
    refresh_study_state(connection, study)


def register_objects(connection: Connection, stored: Iterable[StoredObject]) -> None:
    """Record these objects in the index, which keeps them from removal."""
    objects = sorted({(stored_object.digest, stored_object.size) for stored_object in stored})
    connection.execute(
        text(
            "INSERT INTO hub.object (digest, size) SELECT * FROM unnest(CAST(:digests AS text[]),"
            " CAST(:sizes AS bigint[])) ON CONFLICT (digest) DO NOTHING"
        ),
        {"digests": [digest for digest, _ in objects], "sizes": [size for _, size in objects]},
    )


def store_traits(connection: Connection, sid: str, traits: Iterable[tuple[date, int]]) -> None:
    """Store pairs of month of birth and sex (1 male, 2 female) that headers give for a subject."""
    for birth_month, sex in traits:
        connection.execute(
            text(
                "INSERT INTO hub.trait (sid, birth_month, sex) VALUES (:sid, :birth_month, :sex) ON CONFLICT DO NOTHING"
            ),
            {"sid": sid, "birth_month": birth_month, "sex": sex},
        )


def lock_study(connection: Connection, study_instance_uid: str) -> None:
    """Lock a study until the transaction ends; to be called before any of its rows is locked."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:study, 0))"), {"study": study_instance_uid})


def refresh_study_state(connection: Connection, study_instance_uid: str) -> None:
    """Derive the study's state from its series: VETOED with a rejected one, IN_REVIEW with a pending one.

    A caller that changes series rows calls `lock_study` first.
    """
    lock_study(connection, study_instance_uid)
    connection.execute(
        text(
            "UPDATE hub.study SET state = ("
            "  SELECT CASE WHEN bool_or(review_state = 'REJECTED') THEN 'VETOED'"
            "              WHEN bool_or(review_state = 'PENDING') THEN 'IN_REVIEW' ELSE 'RELEASABLE' END"
            "  FROM hub.series WHERE study_instance_uid = :study) WHERE study_instance_uid = :study"
        ),
        {"study": study_instance_uid},
    )


def _admit_study(connection: Connection, study: str, sid: str, pseudonym: str, finess: str) -> bool:
    """Insert subject and study, and return whether the study existed."""
    connection.execute(
        text("INSERT INTO hub.subject (sid, pseudonym) VALUES (:sid, :pseudonym) ON CONFLICT DO NOTHING"),
        {"sid": sid, "pseudonym": pseudonym},
    )
    known_pseudonym = connection.execute(
        text("SELECT pseudonym FROM hub.subject WHERE sid = :sid"), {"sid": sid}
    ).scalar_one()
    if known_pseudonym != pseudonym:
        raise HubError("this subject is known under another pseudonym", code="subject-of-another-pseudonym")
    inserted = connection.execute(
        text(
            "INSERT INTO hub.study (study_instance_uid, sid, finess, state) VALUES (:study, :sid, :finess, 'COMPLETE')"
            " ON CONFLICT (study_instance_uid) DO NOTHING"
        ),
        {"study": study, "sid": sid, "finess": finess},
    ).rowcount
    owner = connection.execute(
        text("SELECT sid FROM hub.study WHERE study_instance_uid = :study"), {"study": study}
    ).scalar_one()
    if owner != sid:
        raise HubError("this study belongs to another subject", code="study-of-another-subject")
    return not inserted


def _admit_instances(
    connection: Connection, admissions: Sequence[StoredInstance], headers: Sequence[StoredHeader]
) -> None:
    register_objects(connection, (StoredObject(admission.digest, admission.size) for admission in admissions))
    in_other_series = connection.execute(
        text(
            "SELECT count(*) FROM hub.instance JOIN unnest(CAST(:instances AS text[]), CAST(:series AS text[]))"
            " AS admitted (sop_instance_uid, series_instance_uid) USING (sop_instance_uid)"
            " WHERE hub.instance.series_instance_uid <> admitted.series_instance_uid"
        ),
        {
            "instances": [a.instance.sop_instance_uid for a in admissions],
            "series": [a.instance.series_instance_uid for a in admissions],
        },
    ).scalar_one()
    if in_other_series:
        raise HubError("an instance is known in another series", code="instance-of-another-series")
    lists = deidentification_changes.store(connection, (a.change_list or a.instance.changes for a in admissions))
    rows = [_instance_row(*each) for each in zip(admissions, headers, lists, strict=True)]
    connection.execute(text(_UPSERT_INSTANCE), sorted(rows, key=lambda row: str(row["sop_instance_uid"])))


_INSTANCE_COLUMNS = (
    "sop_instance_uid",
    "series_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "instance_number",
    "frames",
    "rows",
    "columns",
    "position_mm",
    "digest",
    "header",
    "change_list",
)

_UPSERT_INSTANCE = f"""
    INSERT INTO hub.instance ({", ".join(_INSTANCE_COLUMNS)})
    VALUES ({", ".join(f":{name}" for name in _INSTANCE_COLUMNS)})
    ON CONFLICT (sop_instance_uid) DO UPDATE
    SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _INSTANCE_COLUMNS[2:])}, admitted_at = now()
    WHERE hub.instance.digest <> EXCLUDED.digest
"""  # noqa: S608 - names of columns, written above


def _instance_row(admission: StoredInstance, header: StoredHeader, change_list: str) -> dict[str, object]:
    instance = admission.instance
    return {
        "sop_instance_uid": instance.sop_instance_uid,
        "series_instance_uid": instance.series_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "instance_number": header.integer("InstanceNumber"),
        "frames": max(header.integer("NumberOfFrames") or 1, 1),
        "rows": header.integer("Rows"),
        "columns": header.integer("Columns"),
        "position_mm": position_mm(header),
        "digest": admission.digest,
        "header": instance.header,
        "change_list": change_list,
    }


def _refresh_series(connection: Connection, uid: str, study: str, profile: str, needs_review: bool) -> bool:
    """Update the row of a series from its instances, and return whether its content has changed."""
    earlier = connection.execute(
        text("SELECT study_instance_uid, content_digest FROM hub.series WHERE series_instance_uid = :uid"), {"uid": uid}
    ).one_or_none()
    if earlier is not None and earlier.study_instance_uid != study:
        raise HubError("this series belongs to another study", code="series-of-another-study")
    content = connection.execute(
        text(
            "SELECT count(*) AS instances, array_remove(array_agg(position_mm), NULL) AS positions,"
            " encode(sha256(convert_to(string_agg(digest, '' ORDER BY digest COLLATE \"C\"), 'UTF8')), 'hex') AS digest"
            " FROM hub.instance WHERE series_instance_uid = :uid"
        ),
        {"uid": uid},
    ).one()
    if earlier is not None and earlier.content_digest == content.digest:
        return False
    first = connection.execute(
        text(
            "SELECT sop_class_uid, transfer_syntax_uid, header FROM hub.instance WHERE series_instance_uid = :uid"
            " ORDER BY instance_number NULLS LAST, sop_instance_uid LIMIT 1"
        ),
        {"uid": uid},
    ).one()
    attributes = asdict(describe(StoredHeader.read(bytes(first.header), first.transfer_syntax_uid), content.positions))
    _upsert_series(
        connection,
        {
            "series_instance_uid": uid,
            "study_instance_uid": study,
            "sop_class_uid": first.sop_class_uid,
            **attributes,
            "instances": content.instances,
            "profile": profile,
            "needs_review": needs_review,
            "review_state": ReviewState.PENDING if needs_review else ReviewState.NOT_NEEDED,
            "content_digest": content.digest,
        },
    )
    return True


def _upsert_series(connection: Connection, row: Mapping[str, object]) -> None:
    """Insert or update a series; one that needed review once needs it on every later change."""
    plain = [name for name in row if name not in ("series_instance_uid", "needs_review", "review_state")]
    connection.execute(
        text(
            f"INSERT INTO hub.series ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"  # noqa: S608
            f" ON CONFLICT (series_instance_uid) DO UPDATE SET {', '.join(f'{n} = EXCLUDED.{n}' for n in plain)},"
            " needs_review = hub.series.needs_review OR EXCLUDED.needs_review,"
            " review_state = CASE WHEN hub.series.needs_review OR EXCLUDED.needs_review"
            " THEN 'PENDING' ELSE 'NOT_NEEDED' END"
        ),
        dict(row),
    )


def _update_study(
    connection: Connection,
    study: str,
    admissions: Sequence[StoredInstance],
    headers: Sequence[StoredHeader],
    date_shift_days: int,
    *,
    raise_revision: bool,
) -> None:
    true_day = _first(admission.instance.study_date for admission in admissions)
    written_day = _first(header.day("StudyDate") for header in headers)
    if date_shift_days and true_day is not None and written_day == true_day:
        raise HubError("an instance carries the true day of its study", code="date-not-shifted")
    connection.execute(
        text(
            "UPDATE hub.study SET study_date = coalesce(:true_day, study_date),"
            " shifted_date = coalesce(:written_day, shifted_date), description = coalesce(:description, description),"
            " accession = coalesce(:accession, accession), revision = revision + :step, updated_at = now(),"
            " procedures = coalesce(:procedures, procedures)"
            " WHERE study_instance_uid = :study"
        ),
        {
            "study": study,
            "true_day": true_day,
            "written_day": written_day,
            "description": _first(header.text("StudyDescription") or None for header in headers),
            "accession": _first(header.text("AccessionNumber") or None for header in headers),
            "procedures": _procedures(headers),
            "step": int(raise_revision),
        },
    )


def _procedures(headers: Iterable[StoredHeader]) -> list[str] | None:
    """Return the procedure codes as `code|scheme`, or None when no header has one."""
    codes = {
        f"{item.text('CodeValue')}|{item.text('CodingSchemeDesignator')}"
        for header in headers
        for item in header.items("ProcedureCodeSequence")
        if item.text("CodeValue")
    }
    return sorted(codes) or None


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)


def fold_changes(connection: Connection) -> None:
    """Merge the change marks that triggers write to one row for each bucket; versions of buckets stay the same."""
    connection.execute(
        text(
            "WITH noted AS (DELETE FROM hub.index_change RETURNING bucket, mark)"
            " INSERT INTO hub.index_changed_before AS b SELECT bucket, bit_xor(mark) FROM noted GROUP BY bucket"
            " ON CONFLICT (bucket) DO UPDATE SET mark = b.mark # excluded.mark"
        )
    )
