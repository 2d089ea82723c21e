"""The journal: one row with one state for every instance received. Jobs and files follow it, never the reverse.

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
    """Progress of an instance."""

    RECEIVED = "RECEIVED"  # durable and acknowledged, nothing done yet
    DEIDENTIFIED = "DEIDENTIFIED"  # its object is stored, not yet indexed
    ARCHIVED = "ARCHIVED"  # stored and indexed in the de-identified zone
    QUARANTINED = "QUARANTINED"  # stays in the identifying zone, with a reason


CONFLICT = "sop-instance-conflict"
"""Reason of an instance whose SOP Instance UID was received before with another content; the first one stays."""
SEND_AGAIN = "send-again"
"""Reason of an instance whose original is needed and was not kept; when sent again, it is processed again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A received instance; one with a `reason` is journalled as quarantined."""

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
    """False when the file exceeded the quarantine quota and was dropped."""
    outcome: bytes | None = field(default=None, repr=False)
    """Encrypted result of inline de-identification; then no original is kept."""


@dataclass(frozen=True, slots=True)
class RecordedArrival:
    """The row of an arrival; `new` is False when it existed already."""

    id: int
    new: bool
    digest: str
    """Of the original in that row; differs from the arrival's for the same instance in another transfer syntax."""
    state: InstanceState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A row of the journal."""

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
_DELETE_OUTCOMES = text("DELETE FROM identifying.outcome WHERE instance = ANY(:ids)")


def record(
    connection: Connection,
    arrival: Arrival,
    profile: str,
    same_content: Callable[[str], bool] = lambda _digest: False,
) -> RecordedArrival:
    """Return the row of `arrival`, inserted unless it exists; `profile` is for a study that it opens.

    When the journal has another file under the same SOP Instance UID, `same_content` is called with that file's
    digest. If it returns False, the arrival becomes a second row, quarantined as a conflict.
    """
    values = {**_values(arrival), "profile": profile}
    if arrival.reason is not None:
        return _record_quarantined(connection, values, None, arrival.reason)
    row = connection.execute(_RECEIVE, values).one()
    if row.row_id is not None:
        return RecordedArrival(row.row_id, row.is_new, arrival.digest, InstanceState(row.row_state))
    if same_content(row.standing_digest):
        return _find_recorded(connection, {**values, "digest": row.standing_digest})
    study = connection.execute(
        text("SELECT study FROM identifying.instance WHERE id = :id"), {"id": row.standing_id}
    ).scalar_one()
    return _record_quarantined(connection, values, study, CONFLICT)


def record_deidentified(connection: Connection, arrival: Arrival, profile: str) -> RecordedArrival | None:
    """Return the row of an arrival with an outcome; None when its original has to be kept after all.

    It has to be kept when the journal has another file under its SOP Instance UID, or has this one quarantined as
    `SEND_AGAIN`.
    """
    row = connection.execute(_RECEIVE, {**_values(arrival), "profile": profile}).one()
    return row.row_id and RecordedArrival(row.row_id, row.is_new, arrival.digest, InstanceState(row.row_state))


def record_batch(
    connection: psycopg.Connection[tuple[Any, ...]], arrivals: Sequence[tuple[Arrival, str]]
) -> list[RecordedArrival | None]:
    """Record valid arrivals, each with its study's profile, in one statement; raises `psycopg.Error`.

    The result has None for an arrival that has to go through `record` or `record_deidentified`. Every instance
    passes here, so it uses the driver directly and passes the rows as one value.
    """
    rows = json.dumps([{**_values(arrival), "profile": profile} for arrival, profile in arrivals], default=_as_bytea)
    recorded = connection.execute(_RECEIVE_MANY, (rows,), prepare=True).fetchall()
    return [
        None if row_id is None else RecordedArrival(row_id, is_new, arrival.digest, InstanceState(state))
        for (row_id, is_new, state), (arrival, _) in zip(recorded, arrivals, strict=True)
    ]


def _as_bytea(value: bytes) -> str:
    return "\\x" + value.hex()


def _values(arrival: Arrival) -> dict[str, object]:
    return {name: getattr(arrival, name) for name in arrival.__slots__}


def _record_quarantined(
    connection: Connection, values: dict[str, object], study: int | None, reason: str
) -> RecordedArrival:
    row = connection.execute(_INSERT_QUARANTINED, {**values, "study": study, "reason": reason}).scalar_one_or_none()
    if row is None:
        return _find_recorded(connection, values)
    return RecordedArrival(row, True, str(values["digest"]), InstanceState.QUARANTINED, reason)


def _find_recorded(connection: Connection, values: dict[str, object]) -> RecordedArrival:
    row = connection.execute(_EXISTING, values).one()
    return RecordedArrival(row.id, False, str(values["digest"]), InstanceState(row.state), row.reason)


def list_unsettled(connection: Connection, study_id: int) -> list[JournalEntry]:
    """List the instances of a study revision that are neither archived nor quarantined, in order of arrival."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS}, sealed AS outcome FROM identifying.instance"  # noqa: S608 - constant columns
            " LEFT JOIN identifying.outcome ON instance = id"
            " WHERE study = :study AND state IN ('RECEIVED', 'DEIDENTIFIED') ORDER BY id"
        ),
        {"study": study_id},
    )
    return [_entry(row) for row in rows]


def _entry(row: Row[tuple[object, ...]]) -> JournalEntry:
    return JournalEntry(**{**row._mapping, "state": InstanceState(row.state)})


@dataclass(frozen=True, slots=True)
class SpooledOriginal:
    """The original of a de-identified instance."""

    digest: str
    purged: bool


def find_original(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SpooledOriginal | None:
    """Return the original of the de-identified instance with these UIDs, or None."""
    row = connection.execute(
        text(
            "SELECT digest, purged_at IS NOT NULL AS purged FROM identifying.instance"
            " WHERE deidentified_series_instance_uid = :series AND deidentified_sop_instance_uid = :sop"
            " ORDER BY id DESC LIMIT 1"
        ),
        {"series": series_instance_uid, "sop": sop_instance_uid},
    ).one_or_none()
    return SpooledOriginal(*row) if row else None


def find_kept_originals(connection: Connection, hospital: str, sop_instance_uids: Sequence[str]) -> dict[str, str]:
    """Return the SOP Class UID of each of these instances whose original is kept, by SOP Instance UID.

    Instances that are in conflict or belong to no study are left out.
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
    """Quarantine an instance; `attribute` is a path, never a value. Return False when it has to be processed instead.

    That is so for `SEND_AGAIN` when the original arrived meanwhile.
    """
    updated = connection.execute(
        text(
            "UPDATE identifying.instance SET state = 'QUARANTINED', reason = :reason,"
            " attribute = nullif(:attribute, ''), rule = nullif(:rule, ''), settled_at = now()"
            " WHERE id = :id AND state <> 'ARCHIVED' AND NOT (:reason = :send_again AND purged_at IS NULL)"
        ),
        {"id": instance_id, "reason": reason, "attribute": attribute, "rule": rule, "send_again": SEND_AGAIN},
    )
    connection.execute(_DELETE_OUTCOMES, {"ids": [instance_id]})
    return updated.rowcount == 1


@dataclass(frozen=True, slots=True)
class DeidentifiedEntry:
    """A journal row with the UIDs and digest of its de-identified instance."""

    id: int
    sop_instance_uid: str
    series_instance_uid: str
    digest: str
    """Of the archive's object."""


def settle_deidentified(connection: Connection, entries: Sequence[DeidentifiedEntry]) -> None:
    """Set the state of these instances to DEIDENTIFIED."""
    connection.execute(
        text(
            "UPDATE identifying.instance i SET state = 'DEIDENTIFIED', deidentified_sop_instance_uid = passed.sop,"
            " deidentified_series_instance_uid = passed.series, deidentified_digest = passed.digest"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:sops AS text[]), CAST(:series AS text[]),"
            " CAST(:digests AS text[])) AS passed (id, sop, series, digest)"
            " WHERE i.id = passed.id AND i.state IN ('RECEIVED', 'DEIDENTIFIED')"
        ),
        {
            "ids": [entry.id for entry in entries],
            "sops": [entry.sop_instance_uid for entry in entries],
            "series": [entry.series_instance_uid for entry in entries],
            "digests": [entry.digest for entry in entries],
        },
    )


def settle_archived(connection: Connection, instance_ids: Sequence[int]) -> None:
    """Set the state of these instances to ARCHIVED."""
    connection.execute(
        text(
            "UPDATE identifying.instance SET state = 'ARCHIVED', settled_at = now()"
            " WHERE id = ANY(:ids) AND state = 'DEIDENTIFIED'"
        ),
        {"ids": list(instance_ids)},
    )
    connection.execute(_DELETE_OUTCOMES, {"ids": list(instance_ids)})


def count_by_state(connection: Connection) -> dict[tuple[InstanceState, str | None], int]:
    """Count the instances by state and reason."""
    rows = connection.execute(
        text("SELECT state, reason, count(*) AS instances FROM identifying.instance GROUP BY state, reason")
    )
    return {(InstanceState(row.state), row.reason): row.instances for row in rows}
