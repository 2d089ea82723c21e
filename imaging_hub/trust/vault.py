"""The vault: maps tokens to random subjects (circuit MC of the CNIL's guide on the NIR).

It sees neither an INS nor a health datum. Its key is read on each call, so that a rotated key takes effect in a
running process.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import KeyringError
from imaging_hub.keys.aead import AuthenticatedCipher
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import TokenKind, level2
from imaging_hub.trust.keyrings import delivery_keys, trust_keys

ACTOR = "third-party"


class EpochState(StrEnum):
    """State of a key epoch."""

    FILLING = "FILLING"  # tokens are being submitted; no subject is issued
    IN_FORCE = "IN_FORCE"
    ENDED = "ENDED"


class Vault:
    """The third party's tokens and subjects; `keys` is the folder of its keyrings.

    With another key than the one it was filled with, every patient would get a new subject, so methods that take
    tokens then raise `KeyringError` `keyring-other`; they raise `rekeying` during a change of epoch. The subjects of a
    delivery are encrypted under a key of that delivery, which has no backup.
    """

    def __init__(self, database: Database, keys: Path) -> None:
        self.database = database
        self.keys = keys

    def check(self) -> None:
        """Raise `KeyringError` unless subjects can be issued: the key is the vault's and in force."""
        with self.database.begin(DatabaseRole.TRUST) as connection:
            _require_key_in_force(connection, trust_keys(self.keys))

    def subject(self, token1: str, kind: TokenKind) -> str:
        """Return the subject (sid, 128 random bits) of a level-1 token, drawn when the token is new."""
        keyring = trust_keys(self.keys)
        with self.database.begin(DatabaseRole.TRUST) as connection:
            _require_key_in_force(connection, keyring)
            token = _level2_token(keyring, token1)
            connection.execute(
                text(
                    "INSERT INTO trust.person (token, kind, epoch, sid) VALUES (:token, :kind, :epoch, :sid)"
                    " ON CONFLICT (token) DO NOTHING"
                ),
                {"token": token, "kind": kind, "epoch": keyring.epoch, "sid": secrets.token_hex(16)},
            )
            sid: str = connection.execute(
                text("SELECT sid FROM trust.person WHERE token = :token"), {"token": token}
            ).scalar_one()
        return sid

    def alias(self, token1: str, sid: str) -> None:
        """Make the token of an IPP resolve to `sid`, the subject of the patient's INS."""
        keyring = trust_keys(self.keys)
        with self.database.begin(DatabaseRole.TRUST) as connection:
            _require_key_in_force(connection, keyring)
            connection.execute(
                text("UPDATE trust.person SET sid = :sid WHERE token = :token AND kind = 'IPP'"),
                {"token": _level2_token(keyring, token1), "sid": sid},
            )

    def issue_id_acc(self, sids: Collection[str], delivery: str, ttl: timedelta) -> dict[str, str]:
        """Issue a random identifier (id_acc) to each subject of one delivery, valid for `ttl`; returns them by sid."""
        issued = {sid: secrets.token_hex(16) for sid in sids}
        expires_at = datetime.now(UTC) + ttl
        cipher = AuthenticatedCipher(delivery_keys(self.keys).delivery_key(delivery))
        rows = [
            {
                "id_acc": id_acc,
                "sealed": cipher.seal(sid.encode("ascii"), id_acc.encode("ascii")),
                "delivery": delivery,
                "expires_at": expires_at,
            }
            for sid, id_acc in issued.items()
        ]
        if rows:
            with self.database.begin(DatabaseRole.TRUST) as connection:
                connection.execute(
                    text(
                        "INSERT INTO trust.id_acc (id_acc, sealed_sid, delivery, expires_at)"
                        " VALUES (:id_acc, :sealed, :delivery, :expires_at)"
                    ),
                    rows,
                )
                trail.append(connection, ACTOR, trail.AuditAction.ID_ACC_ISSUED, delivery, {"id_acc": len(rows)})
        return issued

    def resolve(self, delivery: str, id_accs: Collection[str]) -> dict[str, str]:
        """Return subjects by id_acc, without those unknown, of another delivery, expired or destroyed."""
        key = delivery_keys(self.keys).existing_delivery_key(delivery)
        if key is None:
            return {}
        with self.database.begin(DatabaseRole.TRUST) as connection:
            rows = connection.execute(
                text(
                    "SELECT id_acc, sealed_sid FROM trust.id_acc WHERE id_acc = ANY (:asked)"
                    " AND delivery = :delivery AND expires_at > now() AND sealed_sid IS NOT NULL"
                ),
                {"asked": list(id_accs), "delivery": delivery},
            ).all()
            if rows:
                trail.append(connection, ACTOR, trail.AuditAction.ID_ACC_RESOLVED, delivery, {"id_acc": len(rows)})
        cipher = AuthenticatedCipher(key)
        return {row.id_acc: cipher.open(row.sealed_sid, row.id_acc.encode("ascii")).decode("ascii") for row in rows}

    def destroy(self, delivery: str) -> int:
        """Destroy the subjects of a delivery's id_acc, and record it in the trail; returns how many.

        The key is destroyed first, so that rows left by an interruption, or in backups, cannot be decrypted.
        """
        delivery_keys(self.keys).destroy_delivery_key(delivery)
        with self.database.begin(DatabaseRole.TRUST) as connection:
            destroyed = connection.execute(
                text(
                    "UPDATE trust.id_acc SET sealed_sid = NULL, destroyed_at = now()"
                    " WHERE delivery = :delivery AND sealed_sid IS NOT NULL"
                ),
                {"delivery": delivery},
            ).rowcount
            if destroyed:
                trail.append(connection, ACTOR, trail.AuditAction.DELIVERY_DESTROYED, delivery, {"id_acc": destroyed})
        return destroyed

    def destroy_expired(self) -> int:
        """Destroy every expired delivery, and return the number of id_acc."""
        with self.database.begin(DatabaseRole.TRUST) as connection:
            rows = connection.execute(
                text("SELECT DISTINCT delivery FROM trust.id_acc WHERE sealed_sid IS NOT NULL AND expires_at <= now()")
            )
            expired = list(rows.scalars())
        return sum(self.destroy(delivery) for delivery in expired)


def _level2_token(keyring: Keyring, token1: str) -> str:
    """Return the level-2 token; refuses a level-1 token of another epoch, whose patient would get a new subject."""
    epoch = re.match("h1e([0-9]+)-", token1)
    if epoch is None or int(epoch[1]) != keyring.epoch:
        hint = "finish `imaging-hub trust resubmit`, where the gateway is"
        raise KeyringError("the token is not of the epoch in force", code="rekeying", hint=hint)
    return level2(keyring.key("level2"), token1, keyring.epoch)


def _require_key_in_force(connection: Connection, keyring: Keyring) -> None:
    """Refuse a key that is not the vault's, and every key during a change of epoch.

    The row lock keeps the epoch from ending during the transaction.
    """
    fingerprint = keyring.fingerprint("level2")
    connection.execute(
        text(
            "INSERT INTO trust.epoch (epoch, fingerprint, state) SELECT :epoch, :fingerprint, 'IN_FORCE'"
            " WHERE NOT EXISTS (SELECT 1 FROM trust.epoch) ON CONFLICT DO NOTHING"
        ),
        {"epoch": keyring.epoch, "fingerprint": fingerprint},
    )
    known = connection.execute(
        text("SELECT fingerprint, state FROM trust.epoch WHERE epoch = :epoch FOR SHARE"), {"epoch": keyring.epoch}
    ).one_or_none()
    if known is None or known.fingerprint != fingerprint:
        raise KeyringError(
            "this key is not the one the vault was filled with",
            code="keyring-other",
            hint="restore the third party's keyring from its backup, or finish `imaging-hub trust rekey`",
        )
    if known.state != EpochState.IN_FORCE:
        raise KeyringError(
            "the vault is being given new keys", code="rekeying", hint="finish it with `imaging-hub trust resubmit`"
        )
