"""The journal: one row and one state for every instance that reached us. It is the truth; jobs and files follow it.

`RECEIVED → DEIDENTIFIED → ARCHIVED`, or `QUARANTINED` with a reason. Rows are never deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import psycopg
from sqlalchemy import Connection, Row, text


class InstanceState(StrEnum):
    """Where an instance is."""

    RECEIVED = "RECEIVED"  # durable and acknowledged, nothing done yet
    DEIDENTIFIED = "DEIDENTIFIED"  # passed the door, not yet indexed
    ARCHIVED = "ARCHIVED"  # stored and indexed in the de-identified zone
    QUARANTINED = "QUARANTINED"  # stays in the identifying zone, with a reason


CONFLICT = "sop-instance-conflict"
"""Reason of an instance whose SOP Instance UID came before with another content; the first one stays."""
SEND_AGAIN = "send-again"
"""Reason of an instance whose original would be needed, and was not kept; sent again, it is worked on again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance as it reached us. With `reason`, it is journalled as quarantined."""

    hospital: str
    finess: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    patient_id: str | None
    modality: str | None
    digest: str
    """SHA-256 of the file in the spool."""
    size: int
    reason: str | None = None
    kept: bool = True
    """False when the bytes were beyond the quarantine quota, and only the reason is kept."""
    outcome: bytes | None = field(default=None, repr=False)
    """What came of it at the door already, sealed: no original is kept."""


@dataclass(frozen=True, slots=True)
class RecordedArrival:
    """The row of an arrival; `new` is false when it was there already."""

    id: int
    new: bool
    digest: str
    """Of the original in that row: not the arrival's own when the same instance came encoded otherwise."""
    state: InstanceState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A row of the journal, as the pipeline needs it."""

    id: int
    study: int | None
    hospital: str
    finess: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    series_instance_uid: str | None
    patient_id: str | None
    modality: str | None
    digest: str
    size: int
    state: InstanceState
    outcome: bytes | None = field(default=None, repr=False)
    """As in `Arrival`, until the instance is settled."""


_RECEIVED = (
    "hospital", "finess", "profile", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid",
    "study_instance_uid", "series_instance_uid", "patient_id", "modality", "digest",
)  # fmt: skip
_RECEIVE = text(
    "SELECT row_id, is_new, row_state, standing_id, standing_digest FROM identifying.receive("
    ":hospital, :finess, :profile, :sop_instance_uid, :sop_class_uid, :transfer_syntax_uid,"
    " :study_instance_uid, :series_instance_uid, :patient_id, :modality, :digest, :size, :outcome)"
)
_RECEIVE_MANY = (
    "SELECT received.row_id, received.is_new, received.row_state"  # noqa: S608 - constant column names
    " FROM ROWS FROM (json_to_recordset(%s) AS ("
    + ", ".join(f"{name} text" for name in _RECEIVED)
    + ", size bigint, outcome bytea)) WITH ORDINALITY AS arrival("
    + ", ".join(_RECEIVED)
    + ", size, outcome, place) CROSS JOIN LATERAL identifying.receive("
    + ", ".join(f"arrival.{name}" for name in _RECEIVED)
    + ", arrival.size, arrival.outcome) AS received ORDER BY arrival.place"
)
_INSERT_QUARANTINED = text(
    "INSERT INTO identifying.instance (hospital, finess, sop_instance_uid, sop_class_uid, transfer_syntax_uid,"
    " series_instance_uid, patient_id, modality, study, named_study_instance_uid, digest, size, state, reason,"
    " settled_at, purged_at)"
    " VALUES (:hospital, :finess, :sop_instance_uid, :sop_class_uid, :transfer_syntax_uid, :series_instance_uid,"
    " :patient_id, :modality, :study, :study_instance_uid, :digest, :size, 'QUARANTINED', :reason, now(),"
    " CASE WHEN :kept THEN NULL ELSE now() END)"
    " ON CONFLICT (hospital, sop_instance_uid, digest) DO NOTHING RETURNING id"
)
_EXISTING = text(
    "SELECT id, state, reason FROM identifying.instance"
    " WHERE hospital = :hospital AND sop_instance_uid = :sop_instance_uid AND digest = :digest"
)
_COLUMNS = (
    "id, study, hospital, finess, sop_instance_uid, sop_class_uid, transfer_syntax_uid, series_instance_uid,"
    " patient_id, modality, digest, size, state"
)
_FORGET_OUTCOMES = text("DELETE FROM identifying.outcome WHERE instance = ANY(:ids)")


def record(
    connection: Connection,
    arrival: Arrival,
    profile: str,
    same_content: Callable[[str], bool] = lambda _digest: False,
) -> RecordedArrival:
    """The row of `arrival`, made when it is not there: the same arrival twice is one row.

    `profile` is that of a study which this arrival opens. When another file stands under the same SOP Instance
    UID, `same_content` is asked with its digest whether it is the same instance encoded otherwise; if not,
    the arrival becomes a second row, quarantined as a conflict.
    """
    values = {**_values(arrival), "profile": profile}
    if arrival.reason is not None:
        return _record_quarantined(connection, values, None, arrival.reason)
    found = connection.execute(_RECEIVE, values).one()
    if found.row_id is not None:
        return RecordedArrival(found.row_id, found.is_new, arrival.digest, InstanceState(found.row_state))
    if same_content(found.standing_digest):
        return _existing(connection, {**values, "digest": found.standing_digest})
    study = connection.execute(
        text("SELECT study FROM identifying.instance WHERE id = :id"), {"id": found.standing_id}
    ).scalar_one()
    return _record_quarantined(connection, values, study, CONFLICT)


def record_passed(connection: Connection, arrival: Arrival, profile: str) -> RecordedArrival | None:
    """The row of an arrival with an outcome; None where its original has to be kept after all.

    That is where another file stands under its SOP Instance UID, or the same one is held and was asked for again.
    """
    found = connection.execute(_RECEIVE, {**_values(arrival), "profile": profile}).one()
    return found.row_id and RecordedArrival(found.row_id, found.is_new, arrival.digest, InstanceState(found.row_state))


def record_readable(
    line: psycopg.Connection[tuple[Any, ...]], arrivals: Sequence[tuple[Arrival, str]]
) -> list[RecordedArrival | None]:
    """The rows of arrivals without a reason, each with its study's profile, in one statement: the fast way of `record`.

    None stands for an arrival that was not recorded: another file stands under its UID, or it is one of which
    `record_passed` would have the original. Raises `psycopg.Error`.
    It goes to the driver itself, and hands the rows over in one value: every instance that comes passes here.
    """
    handed = json.dumps([{**_values(arrival), "profile": profile} for arrival, profile in arrivals], default=_bytea)
    found = line.execute(_RECEIVE_MANY, (handed,), prepare=True).fetchall()
    return [
        None if row_id is None else RecordedArrival(row_id, is_new, arrival.digest, InstanceState(state))
        for (row_id, is_new, state), (arrival, _) in zip(found, arrivals, strict=True)
    ]


def _bytea(value: bytes) -> str:
    return "\\x" + value.hex()


def _values(arrival: Arrival) -> dict[str, object]:
    return {name: getattr(arrival, name) for name in arrival.__slots__}


def _record_quarantined(
    connection: Connection, values: dict[str, object], study: int | None, reason: str
) -> RecordedArrival:
    row = connection.execute(_INSERT_QUARANTINED, {**values, "study": study, "reason": reason}).scalar_one_or_none()
    if row is None:
        return _existing(connection, values)
    return RecordedArrival(row, True, str(values["digest"]), InstanceState.QUARANTINED, reason)


def _existing(connection: Connection, values: dict[str, object]) -> RecordedArrival:
    row = connection.execute(_EXISTING, values).one()
    return RecordedArrival(row.id, False, str(values["digest"]), InstanceState(row.state), row.reason)


def unsettled(connection: Connection, study_id: int) -> list[JournalEntry]:
    """The instances of a study revision that are neither archived nor quarantined, in order of arrival."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS}, sealed AS outcome FROM identifying.instance"  # noqa: S608 - constant columns
            " LEFT JOIN identifying.outcome ON instance = id"
            " WHERE study = :study AND state IN ('RECEIVED', 'DEIDENTIFIED') ORDER BY id"
        ),
        {"study": study_id},
    )
    return [_entry(row) for row in rows]


def find(connection: Connection, instance_id: int) -> JournalEntry | None:
    """One row of the journal."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM identifying.instance WHERE id = :id"),  # noqa: S608 - constant columns
        {"id": instance_id},
    ).one_or_none()
    return _entry(row) if row else None


def _entry(row: Row[tuple[object, ...]]) -> JournalEntry:
    return JournalEntry(**{**row._mapping, "state": InstanceState(row.state)})


@dataclass(frozen=True, slots=True)
class SpooledOriginal:
    """The original that a de-identified instance was made of."""

    digest: str
    purged: bool


def original_of(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SpooledOriginal | None:
    """The original behind a de-identified instance, by the UIDs that it was given."""
    row = connection.execute(
        text(
            "SELECT digest, purged_at IS NOT NULL AS purged FROM identifying.instance"
            " WHERE deidentified_series_instance_uid = :series AND deidentified_sop_instance_uid = :sop"
            " ORDER BY id DESC LIMIT 1"
        ),
        {"series": series_instance_uid, "sop": sop_instance_uid},
    ).one_or_none()
    return SpooledOriginal(*row) if row else None


def kept_originals(connection: Connection, hospital: str, sop_instance_uids: Sequence[str]) -> dict[str, str]:
    """SOP Class UIDs, by SOP Instance UID, of those of a hospital's instances whose originals are kept.

    Not of one that is in conflict or in no study: it is held under a UID that stands for something else, or for
    nothing.
    """
    rows = connection.execute(
        text(
            "SELECT sop_instance_uid, sop_class_uid FROM identifying.instance WHERE hospital = :hospital"
            " AND study IS NOT NULL AND sop_instance_uid = ANY(:uids) AND purged_at IS NULL"
            " AND reason IS DISTINCT FROM 'sop-instance-conflict'"
        ),
        {"hospital": hospital, "uids": list(sop_instance_uids)},
    )
    return {row.sop_instance_uid: row.sop_class_uid for row in rows}


def settle_quarantined(
    connection: Connection, instance_id: int, reason: str, attribute: str = "", rule: str = ""
) -> bool:
    """The instance stays in the identifying zone, `attribute` is a path and never a value; whether it is so.

    It is not where it was to be sent again and its original came meanwhile: that waits to be worked on.
    """
    settled = connection.execute(
        text(
            "UPDATE identifying.instance SET state = 'QUARANTINED', reason = :reason,"
            " attribute = nullif(:attribute, ''), rule = nullif(:rule, ''), settled_at = now()"
            " WHERE id = :id AND state <> 'ARCHIVED' AND NOT (:reason = :send_again AND purged_at IS NULL)"
        ),
        {"id": instance_id, "reason": reason, "attribute": attribute, "rule": rule, "send_again": SEND_AGAIN},
    )
    connection.execute(_FORGET_OUTCOMES, {"ids": [instance_id]})
    return settled.rowcount == 1


@dataclass(frozen=True, slots=True)
class DeidentifiedEntry:
    """An instance of the journal, and the de-identified one that came of it."""

    id: int
    sop_instance_uid: str
    series_instance_uid: str
    digest: str
    """Of the archive's object."""


def settle_deidentified(connection: Connection, passed: Sequence[DeidentifiedEntry]) -> None:
    """These instances passed the door."""
    connection.execute(
        text(
            "UPDATE identifying.instance i SET state = 'DEIDENTIFIED', deidentified_sop_instance_uid = passed.sop,"
            " deidentified_series_instance_uid = passed.series, deidentified_digest = passed.digest"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:sops AS text[]), CAST(:series AS text[]),"
            " CAST(:digests AS text[])) AS passed (id, sop, series, digest)"
            " WHERE i.id = passed.id AND i.state IN ('RECEIVED', 'DEIDENTIFIED')"
        ),
        {
            "ids": [one.id for one in passed],
            "sops": [one.sop_instance_uid for one in passed],
            "series": [one.series_instance_uid for one in passed],
            "digests": [one.digest for one in passed],
        },
    )


def settle_archived(connection: Connection, instance_ids: Sequence[int]) -> None:
    """The instances are stored and indexed in the de-identified zone."""
    connection.execute(
        text(
            "UPDATE identifying.instance SET state = 'ARCHIVED', settled_at = now()"
            " WHERE id = ANY(:ids) AND state = 'DEIDENTIFIED'"
        ),
        {"ids": list(instance_ids)},
    )
    connection.execute(_FORGET_OUTCOMES, {"ids": list(instance_ids)})


def counts(connection: Connection) -> dict[tuple[InstanceState, str | None], int]:
    """How many instances are in each state, and for which reason."""
    rows = connection.execute(
        text("SELECT state, reason, count(*) AS instances FROM identifying.instance GROUP BY state, reason")
    )
    return {(InstanceState(row.state), row.reason): row.instances for row in rows}
