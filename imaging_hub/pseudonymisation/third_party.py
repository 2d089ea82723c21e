"""The trusted third party: tokens in, random subjects out (circuit MC of the CNIL's guide on the NIR).

It logs in as `Role.TRUST`, which reads no other schema: it sees neither an INS nor a health datum. Everyone else
reaches it through this class only.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.database import Database, Role
from imaging_hub.errors import KeyringError
from imaging_hub.pseudonymisation.chain import level2
from imaging_hub.pseudonymisation.keyring import Keyring

Kind = Literal["INS", "IPP"]
_ACTOR = "third-party"


class ThirdParty:
    """The vault of tokens and subjects.

    Opening it with another key than the vault was filled with raises `KeyringError`: every patient would become
    somebody new.
    """

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        with database.begin(Role.TRUST) as connection:
            _same_key(connection, keyring)

    def subject(self, token1: str, kind: Kind) -> str:
        """The subject (sid, 128 random bits) of a level-1 token, drawn when the token is new."""
        token = self._level2(token1)
        with self._database.begin(Role.TRUST) as connection:
            connection.execute(
                text(
                    "INSERT INTO trust.person (token, kind, epoch, sid) VALUES (:token, :kind, :epoch, :sid)"
                    " ON CONFLICT (token) DO NOTHING"
                ),
                {"token": token, "kind": kind, "epoch": self._keyring.epoch, "sid": secrets.token_hex(16)},
            )
            sid: str = connection.execute(
                text("SELECT sid FROM trust.person WHERE token = :token"), {"token": token}
            ).scalar_one()
        return sid

    def alias(self, token1: str, sid: str) -> None:
        """Let a token known by an IPP stand for the subject its INS has: the subject of the INS wins."""
        with self._database.begin(Role.TRUST) as connection:
            connection.execute(
                text("UPDATE trust.person SET sid = :sid WHERE token = :token AND kind = 'IPP'"),
                {"token": self._level2(token1), "sid": sid},
            )

    def issue_id_acc(self, sids: Iterable[str], delivery: str, ttl: timedelta) -> dict[str, str]:
        """A random identifier (id_acc) for each subject of one delivery, which resolves until `ttl` is over."""
        issued = {sid: secrets.token_hex(16) for sid in sids}
        expires_at = datetime.now(UTC) + ttl
        rows = [
            {"id_acc": id_acc, "sid": sid, "delivery": delivery, "expires_at": expires_at}
            for sid, id_acc in issued.items()
        ]
        if rows:
            with self._database.begin(Role.TRUST) as connection:
                connection.execute(
                    text(
                        "INSERT INTO trust.id_acc (id_acc, sid, delivery, expires_at)"
                        " VALUES (:id_acc, :sid, :delivery, :expires_at)"
                    ),
                    rows,
                )
        return issued

    def resolve(self, delivery: str, id_acc: str) -> str | None:
        """The subject an id_acc stood for; None when it is unknown, of another delivery, expired or destroyed."""
        with self._database.begin(Role.TRUST) as connection:
            return connection.execute(
                text(
                    "SELECT sid FROM trust.id_acc"
                    " WHERE id_acc = :id_acc AND delivery = :delivery AND expires_at > now()"
                ),
                {"id_acc": id_acc, "delivery": delivery},
            ).scalar_one_or_none()

    def destroy(self, delivery: str) -> int:
        """Forget what the id_acc of a delivery stood for, and leave a certificate in the trail; returns how many."""
        with self._database.begin(Role.TRUST) as connection:
            destroyed = connection.execute(
                text(
                    "UPDATE trust.id_acc SET sid = NULL, destroyed_at = now()"
                    " WHERE delivery = :delivery AND sid IS NOT NULL"
                ),
                {"delivery": delivery},
            ).rowcount
            if destroyed:
                trail.append(connection, _ACTOR, trail.Action.DELIVERY_DESTROYED, delivery, {"id_acc": destroyed})
        return destroyed

    def destroy_expired(self) -> int:
        """Destroy every delivery whose time is over, answered or not; returns how many id_acc."""
        with self._database.begin(Role.TRUST) as connection:
            deliveries = connection.execute(
                text("SELECT DISTINCT delivery FROM trust.id_acc WHERE sid IS NOT NULL AND expires_at <= now()")
            ).scalars()
            expired = list(deliveries)
        return sum(self.destroy(delivery) for delivery in expired)

    def _level2(self, token1: str) -> str:
        return level2(self._keyring.key("level2"), token1, self._keyring.epoch)


def _same_key(connection: Connection, keyring: Keyring) -> None:
    fingerprint = keyring.fingerprint("level2")
    connection.execute(
        text("INSERT INTO trust.epoch (epoch, fingerprint) VALUES (:epoch, :fingerprint) ON CONFLICT DO NOTHING"),
        {"epoch": keyring.epoch, "fingerprint": fingerprint},
    )
    known = connection.execute(
        text("SELECT fingerprint FROM trust.epoch WHERE epoch = :epoch"), {"epoch": keyring.epoch}
    ).scalar_one()
    if known != fingerprint:
        raise KeyringError(
            "this key is not the one the vault was filled with",
            code="keyring-other",
            hint="restore the third party's keyring from its backup",
        )
