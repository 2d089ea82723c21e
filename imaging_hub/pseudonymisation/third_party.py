"""The trusted third party: tokens in, random subjects out (circuit MC of the CNIL's guide on the NIR).

It logs in as `Role.TRUST`, which reads no other schema: it sees neither an INS nor a health datum. Everyone else
reaches it through this class only.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.database import Database, Role
from imaging_hub.errors import KeyringError
from imaging_hub.pseudonymisation.chain import level2
from imaging_hub.pseudonymisation.keyring import Keyring, delivery_keys

Kind = Literal["INS", "IPP"]
_ACTOR = "third-party"
_NONCE_BYTES = 12


class ThirdParty:
    """The vault of tokens and subjects.

    Opening it with another key than the vault was filled with raises `KeyringError`: every patient would become
    somebody new. What the id_acc of a delivery stand for is sealed under a key of that delivery, which lies beside
    `keyring` and in no backup.
    """

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._deliveries = delivery_keys(keyring.path.parent)
        with database.begin(Role.TRUST) as connection:
            _same_key(connection, keyring)

    def subject(self, token1: str, kind: Kind) -> str:
        """The subject (sid, 128 random bits) of a level-1 token, drawn when the token is new."""
        token = self._level2(token1)
        with self._database.begin(Role.TRUST) as connection:
            self._in_force(connection)
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
            self._in_force(connection)
            connection.execute(
                text("UPDATE trust.person SET sid = :sid WHERE token = :token AND kind = 'IPP'"),
                {"token": self._level2(token1), "sid": sid},
            )

    def issue_id_acc(self, sids: Iterable[str], delivery: str, ttl: timedelta) -> dict[str, str]:
        """A random identifier (id_acc) for each subject of one delivery, which resolves until `ttl` is over."""
        issued = {sid: secrets.token_hex(16) for sid in sids}
        expires_at = datetime.now(UTC) + ttl
        cipher = AESGCM(self._deliveries.delivery_key(delivery))
        rows = [
            {"id_acc": id_acc, "sealed": _seal(cipher, sid, id_acc), "delivery": delivery, "expires_at": expires_at}
            for sid, id_acc in issued.items()
        ]
        if rows:
            with self._database.begin(Role.TRUST) as connection:
                connection.execute(
                    text(
                        "INSERT INTO trust.id_acc (id_acc, sealed_sid, delivery, expires_at)"
                        " VALUES (:id_acc, :sealed, :delivery, :expires_at)"
                    ),
                    rows,
                )
        return issued

    def resolve(self, delivery: str, id_acc: str) -> str | None:
        """The subject an id_acc stood for; None when it is unknown, of another delivery, expired or destroyed."""
        with self._database.begin(Role.TRUST) as connection:
            sealed = connection.execute(
                text(
                    "SELECT sealed_sid FROM trust.id_acc"
                    " WHERE id_acc = :id_acc AND delivery = :delivery AND expires_at > now()"
                ),
                {"id_acc": id_acc, "delivery": delivery},
            ).scalar_one_or_none()
        key = self._deliveries.known_delivery_key(delivery)
        return None if sealed is None or key is None else _open(AESGCM(key), sealed, id_acc)

    def destroy(self, delivery: str) -> int:
        """Forget what the id_acc of a delivery stood for, and leave a certificate in the trail; returns how many.

        The key goes first: whenever this is broken off, what is left cannot be opened, in backups of the database
        neither.
        """
        self._deliveries.destroy_delivery(delivery)
        with self._database.begin(Role.TRUST) as connection:
            destroyed = connection.execute(
                text(
                    "UPDATE trust.id_acc SET sealed_sid = NULL, destroyed_at = now()"
                    " WHERE delivery = :delivery AND sealed_sid IS NOT NULL"
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
                text("SELECT DISTINCT delivery FROM trust.id_acc WHERE sealed_sid IS NOT NULL AND expires_at <= now()")
            ).scalars()
            expired = list(deliveries)
        return sum(self.destroy(delivery) for delivery in expired)

    def _level2(self, token1: str) -> str:
        return level2(self._keyring.key("level2"), token1, self._keyring.epoch)

    def _in_force(self, connection: Connection) -> None:
        """Refuse while the vault is filled with new tokens, or after; the lock keeps an epoch from ending meanwhile."""
        state = connection.execute(
            text("SELECT state FROM trust.epoch WHERE epoch = :epoch FOR SHARE"), {"epoch": self._keyring.epoch}
        ).scalar_one()
        if state != "IN_FORCE":
            raise KeyringError(
                "the vault is being given new keys, or has them", code="rekeying",
                hint="finish `imaging-hub trust rekey`, then start the hub again",
            )  # fmt: skip


def _seal(cipher: AESGCM, sid: str, id_acc: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, sid.encode("ascii"), id_acc.encode("ascii"))


def _open(cipher: AESGCM, sealed: bytes, id_acc: str) -> str:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], id_acc.encode("ascii")).decode("ascii")


def _same_key(connection: Connection, keyring: Keyring) -> None:
    fingerprint = keyring.fingerprint("level2")
    connection.execute(
        text(
            "INSERT INTO trust.epoch (epoch, fingerprint, state) SELECT :epoch, :fingerprint, 'IN_FORCE'"
            " WHERE NOT EXISTS (SELECT 1 FROM trust.epoch) ON CONFLICT DO NOTHING"
        ),
        {"epoch": keyring.epoch, "fingerprint": fingerprint},
    )
    known = connection.execute(
        text("SELECT fingerprint FROM trust.epoch WHERE epoch = :epoch"), {"epoch": keyring.epoch}
    ).scalar_one_or_none()
    if known != fingerprint:
        raise KeyringError(
            "this key is not the one the vault was filled with",
            code="keyring-other",
            hint="restore the third party's keyring from its backup, or finish `imaging-hub trust rekey`",
        )
