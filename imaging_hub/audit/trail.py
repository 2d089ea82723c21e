"""The append-only audit trail, a hash chain.

`hash = SHA-256(previous_hash ‖ canonical JSON of the entry)`. Changing, deleting, inserting or reordering an entry
breaks the chain at that place. Entries hold row numbers, pseudonyms and reason codes, never an identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text

GENESIS = "0" * 64
_CHAIN_LOCK = 0x4155444954  # "AUDIT": appends take turns, so that the chain has one order


class AuditAction(StrEnum):
    """Actions that the trail records."""

    STUDY_RECEIVED = "study-received"
    STUDY_DEIDENTIFIED = "study-deidentified"
    STUDY_ARCHIVED = "study-archived"
    ORIGINALS_PURGED = "originals-purged"
    SENDER_ADDED = "sender-added"
    SENDER_MAY_STOW = "sender-may-stow"
    STUDIES_RETRIEVED = "studies-retrieved"
    STORAGE_COMMITTED = "storage-committed"
    ORIGINALS_ASKED = "originals-asked"
    QUARANTINE_REPLAYED = "quarantine-replayed"
    SNDS_LOADED = "snds-loaded"
    DELIVERY_EXPORTED = "delivery-exported"
    DELIVERY_LINKED = "delivery-linked"
    SUBJECTS_LINKED = "subjects-linked"
    LINK_REVIEWED = "link-reviewed"
    OPPOSITION_NOTED = "opposition-noted"
    OPPOSITION_LIFTED = "opposition-lifted"
    EPOCH_BEGUN = "epoch-begun"
    VAULT_REKEYED = "vault-rekeyed"
    ID_ACC_ISSUED = "id-acc-issued"
    ID_ACC_RESOLVED = "id-acc-resolved"
    DELIVERY_DESTROYED = "delivery-destroyed"
    ACCOUNT_ADDED = "account-added"
    PROJECT_ADDED = "project-added"
    PERMIT_GRANTED = "permit-granted"
    PERMIT_REVOKED = "permit-revoked"
    COHORT_COUNTED = "cohort-counted"
    COHORT_FROZEN = "cohort-frozen"
    RELEASE_REQUESTED = "release-requested"
    RELEASE_READY = "release-ready"
    RELEASE_DOWNLOADED = "release-downloaded"
    REVIEW_DECIDED = "review-decided"
    IDENTITY_SEEN = "identity-seen"
    ACCESS_DENIED = "access-denied"


@dataclass(frozen=True)
class TrailEntry:
    """One entry of the trail."""

    sequence: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class BrokenChain:
    """First entry at which the chain is broken, and how."""

    sequence: int
    reason: str


def append(
    connection: Connection, actor: str, action: AuditAction, obj: str, detail: Mapping[str, object] | None = None
) -> None:
    """Append an entry in the caller's transaction; a rollback removes it. `obj` names the object acted on."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHAIN_LOCK})
    last = connection.execute(
        text("SELECT sequence, hash FROM audit.entry ORDER BY sequence DESC LIMIT 1")
    ).one_or_none()
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
    at = datetime.now(UTC)
    entry = _ChainedEntry(sequence, at, actor, action.value, obj, detail or {})
    connection.execute(
        text(
            "INSERT INTO audit.entry (sequence, at, actor, action, object, detail, previous_hash, hash)"
            " VALUES (:sequence, :at, :actor, :action, :object, CAST(:detail AS jsonb), :previous, :hash)"
        ),
        {
            "sequence": sequence,
            "at": at,
            "actor": actor,
            "action": action.value,
            "object": obj,
            "detail": json.dumps(detail or {}),
            "previous": previous,
            "hash": _chained_hash(previous, entry),
        },
    )


def entries(connection: Connection, before: int | None = None, *, limit: int) -> Sequence[TrailEntry]:
    """Return at most `limit` entries, newest first, of those before the sequence number `before` if given."""
    rows = connection.execute(
        text(
            "SELECT sequence, at, actor, action, object, detail FROM audit.entry"
            " WHERE CAST(:before AS bigint) IS NULL OR sequence < :before ORDER BY sequence DESC LIMIT :limit"
        ),
        {"before": before, "limit": limit},
    )
    return [TrailEntry(*row) for row in rows]


def verify(connection: Connection) -> int | BrokenChain:
    """Return the number of entries when the chain is intact, else the first place where it is broken."""
    previous, expected = GENESIS, 1
    entries = text(
        "SELECT sequence, at, actor, action, object AS obj, detail, previous_hash, hash"
        " FROM audit.entry ORDER BY sequence"
    )
    with connection.execution_options(stream_results=True).execute(entries) as rows:
        for row in rows:
            if row.sequence != expected:
                return BrokenChain(expected, "missing")
            if row.previous_hash != previous:
                return BrokenChain(row.sequence, "does not follow its predecessor")
            entry = _ChainedEntry(row.sequence, row.at, row.actor, row.action, row.obj, row.detail)
            if row.hash != _chained_hash(previous, entry):
                return BrokenChain(row.sequence, "altered")
            previous, expected = row.hash, expected + 1
    return expected - 1


@dataclass(frozen=True)
class _ChainedEntry:
    """Fields of an entry in the order in which they are hashed."""

    sequence: int
    at: datetime
    actor: str
    action: str
    obj: str
    detail: Mapping[str, object]

    def canonical(self) -> bytes:
        moment = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        fields = [self.sequence, moment, self.actor, self.action, self.obj, self.detail]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _chained_hash(previous: str, entry: _ChainedEntry) -> str:
    return hashlib.sha256(previous.encode() + entry.canonical()).hexdigest()
