"""New keys for the chain of pseudonyms: the SNDS has them about every two years, and a leak asks for them at once.

The gateway submits every identity it holds twice, under its former key and its new one; the third party gives the new
token the subject that the former had. So the subjects stay, and with them archive, links and projects' pseudonyms. At
the end the former keys and tokens are destroyed. Broken off at any moment, it goes on where it was when it is called
again; until it is done nobody is given a subject, as a patient whose token is missing would become somebody new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.database import Database, Role
from imaging_hub.errors import KeyringError
from imaging_hub.pseudonymisation.ceremony import Share, key_of
from imaging_hub.pseudonymisation.chain import ins_message, ipp_message, level1, level2
from imaging_hub.pseudonymisation.keyring import Keyring, gateway_keys, trust_keys
from imaging_hub.pseudonymisation.third_party import Kind

_ACTOR = "third-party"
_AT_ONCE = 1000
_EVERYBODY = """
    SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.identity
    UNION SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.opposing
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A level-1 token of one identity, under the former key and under the new."""

    former: str
    new: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What became of the vault."""

    epoch: int
    """The one that is in force now."""
    tokens: int
    """Tokens of the new epoch."""
    left_behind: int
    """Tokens of former epochs that no gateway could submit again, as their identity is no longer held."""


def rekey(database: Database, keys: Path, shares: tuple[Share, Share] | None = None) -> Rekeyed:
    """Give both levels of the chain new keys, and the vault its new tokens; `keys` is the folder of keyrings.

    Of `shares` the third party's key is made; without, it is drawn. Nothing else may use the vault meanwhile: what
    tries is refused with `rekeying`. Raises `KeyringError` when it goes on and its key is not of `shares`.
    """
    gateway, trust = gateway_keys(keys), trust_keys(keys)
    under_way = gateway.former("level1") is not None or trust.former("level2") is not None
    epoch = max(gateway.epoch, trust.epoch) + (not under_way)
    made = key_of(*shares, epoch) if shares else None
    # The third party's first: until the vault knows its new key nobody can open it, with whatever key of a gateway.
    trust.advance("level2", epoch, made)
    trust = trust_keys(keys)
    if made is not None and trust.key("level2") != made:
        hint = "call it again with the shares it began with, or with none if it began without"
        raise KeyringError("the key under way is not of these shares", code="share-other", hint=hint)
    gateway.advance("level1", epoch)
    gateway = gateway_keys(keys)
    with database.begin(Role.TRUST) as connection:
        _begin(connection, trust)
    former1, former2 = gateway.former("level1"), trust.former("level2")
    if former1 is not None and former2 is not None:
        for submissions in _submissions(database, gateway, former1):
            with database.begin(Role.TRUST) as connection:
                _take(connection, trust, former2, submissions)
    with database.begin(Role.TRUST) as connection:
        done = _end(connection, trust, [share.fingerprint for share in shares or ()])
    trust.forget_former("level2")
    gateway.forget_former("level1")
    return done


def _submissions(database: Database, keyring: Keyring, former: bytes) -> Iterator[list[Submission]]:
    """Everybody the identifying zone can submit again, some at a time: patients, and who opposed before being one."""
    key, epoch = keyring.key("level1"), keyring.epoch
    with database.begin(Role.GATEWAY) as connection:
        rows = connection.execution_options(stream_results=True).execute(text(_EVERYBODY))
        for some in rows.partitions(_AT_ONCE):
            messages: list[tuple[str, Kind]] = []
            for row in some:
                if row.patient_id is not None:
                    messages.append((ipp_message(row.hospital, row.patient_id), "IPP"))
                if row.ins is not None:
                    messages.append((ins_message(row.ins[:13], row.birth_date, row.sex), "INS"))
            yield [Submission(level1(former, one, epoch - 1), level1(key, one, epoch), kind) for one, kind in messages]


def _begin(connection: Connection, keyring: Keyring) -> None:
    """End the epoch in force; waits for those who are using it."""
    connection.execute(
        text("UPDATE trust.epoch SET state = 'ENDED' WHERE epoch < :epoch AND state <> 'ENDED'"),
        {"epoch": keyring.epoch},
    )
    connection.execute(
        text(
            "INSERT INTO trust.epoch (epoch, fingerprint, state) VALUES (:epoch, :fingerprint, 'FILLING')"
            " ON CONFLICT (epoch) DO NOTHING"
        ),
        {"epoch": keyring.epoch, "fingerprint": keyring.fingerprint("level2")},
    )


def _take(connection: Connection, keyring: Keyring, former: bytes, submissions: Sequence[Submission]) -> None:
    epoch = keyring.epoch
    connection.execute(
        text(
            "INSERT INTO trust.person (token, kind, epoch, sid) SELECT :new, kind, :epoch, sid FROM trust.person"
            " WHERE token = :former AND kind = :kind ON CONFLICT (token) DO NOTHING"
        ),
        [
            {
                "former": level2(former, one.former, epoch - 1), "new": level2(keyring.key("level2"), one.new, epoch),
                "kind": one.kind, "epoch": epoch,
            }
            for one in submissions
        ],
    )  # fmt: skip


def _end(connection: Connection, keyring: Keyring, shares: Sequence[str]) -> Rekeyed:
    """Put the new epoch in force, destroy the former tokens, and say so on the trail, once."""
    epoch = {"epoch": keyring.epoch}
    filled = connection.execute(text("SELECT count(*) FROM trust.person WHERE epoch = :epoch"), epoch).scalar_one()
    removed = connection.execute(text("DELETE FROM trust.person WHERE epoch < :epoch"), epoch).rowcount
    changed = connection.execute(
        text("UPDATE trust.epoch SET state = 'IN_FORCE' WHERE epoch = :epoch AND state = 'FILLING'"), epoch
    ).rowcount
    done = Rekeyed(keyring.epoch, filled, max(0, removed - filled))
    if changed:
        detail = {"tokens": done.tokens, "left_behind": done.left_behind, "shares": list(shares)}
        trail.append(connection, _ACTOR, trail.Action.VAULT_REKEYED, f"epoch {done.epoch}", detail)
    return done
