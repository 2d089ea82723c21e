"""Delivery of identities to the SNDS operator: one line per subject, under an identifier for this delivery only.

Columns `id_acc, ins, birth_date, sex` as in a SAFE file: NIR without key (13), SSAAMMJJ (8), sex (1). Lines are sorted
by the random `id_acc`, so that their order reveals nothing. They hold no health datum.
"""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.pseudonymisation.third_party_client import ThirdParty

COLUMNS = ("id_acc", "ins", "birth_date", "sex")
DEFAULT_TTL = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SndsDelivery:
    """An exported delivery."""

    id: str
    path: Path
    subjects: int


def export(
    connection: Connection,
    third_party: ThirdParty,
    path: Path,
    *,
    actor: str,
    ttl: timedelta = DEFAULT_TTL,
    excluded: Collection[str] = (),
) -> SndsDelivery:
    """Write every subject with a qualified INS to a new 0600 file, and an entry in the trail.

    `excluded` are the sids of subjects who opposed; `connection` has a role of the identifying zone. The trail gets
    the count and the delivery's id only. Raises `ThirdPartyUnavailable`, and `FileExistsError` when `path` exists.
    """
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (sid) sid, left(ins, 13) AS ins, to_char(birth_date, 'YYYYMMDD') AS birth_date, sex"
            " FROM identifying.identity WHERE ins IS NOT NULL AND sid IS NOT NULL ORDER BY sid, id"
        )
    ).all()
    rows = [row for row in rows if row.sid not in excluded]
    delivery = SndsDelivery(f"delivery-{secrets.token_hex(8)}", path, len(rows))
    issued = third_party.issue_id_acc([row.sid for row in rows], delivery.id, ttl)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS)
        writer.writerows(sorted((issued[row.sid], row.ins, row.birth_date, row.sex) for row in rows))
        file.flush()
        os.fsync(file.fileno())
    trail.append(connection, actor, trail.AuditAction.DELIVERY_EXPORTED, delivery.id, {"subjects": delivery.subjects})
    return delivery
