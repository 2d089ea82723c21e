"""The third party's half of new keys for the chain of pseudonyms; the gateway's is `pseudonymisation.rekeying`.

An epoch begins here, with a new key; until the gateway has submitted every identity again under the former token and
the new one, nobody is given a subject, as a patient whose token is missing would become somebody new. Then the former
tokens and key are destroyed. Each step may be repeated, so what was broken off goes on when it is called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, text
from voprf.ristretto import BlindedInput, Evaluator

from imaging_hub.audit import trail
from imaging_hub.database import DatabaseRole
from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import TokenKind, level2
from imaging_hub.trust.ceremony import KeyShare, key_of
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import ACTOR, Vault

EpochState = Literal["FILLING", "IN_FORCE", "ENDED"]


@dataclass(frozen=True, slots=True)
class TokenSubmission:
    """A level-1 token of one identity, under the former key and under the new."""

    former: str
    new: str
    kind: TokenKind


@dataclass(frozen=True, slots=True)
class RekeyingReport:
    """What became of the vault."""

    epoch: int
    """The one that is in force now."""
    tokens: int
    """Tokens of the new epoch."""
    left_behind: int
    """Tokens of former epochs that no gateway could submit again, as their identity is no longer held."""


def begin(vault: Vault, shares: tuple[KeyShare, KeyShare] | None = None, *, blinded: bool | None = None) -> int:
    """Give the third party a new key and open its epoch, whose number is returned; goes on with one under way.

    Of `shares` the key is made; without, it is drawn. In a `blinded` epoch no gateway can make a token alone; None is
    as in the epoch before. Raises `KeyringError` when one is under way and its key is not of `shares`.
    """
    keyring = trust_keys(vault.keys)
    if keyring.former_key("level2") is not None and state_of(vault, keyring.epoch) == "IN_FORCE":
        keyring.destroy_blinding_key(keyring.epoch - 1)  # it was filled, and broken off before its end
        keyring.destroy_former_key("level2")
    under_way = keyring.former_key("level2") is not None
    epoch = keyring.epoch + (not under_way)
    made = key_of(*shares, epoch) if shares else None
    # The key first: until the vault knows it nobody can open the vault, with whatever key of a gateway.
    keyring.rotate("level2", epoch, made)
    keyring = trust_keys(vault.keys)
    if made is not None and keyring.key("level2") != made:
        hint = "call it again with the shares it began with, or with none if it began without"
        raise KeyringError("the key under way is not of these shares", code="share-other", hint=hint)
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        _begin(connection, keyring, [share.fingerprint for share in shares or ()], blinded)
    if is_blinded(vault, epoch):
        keyring.create_blinding_key(epoch)
    return epoch


def take(vault: Vault, epoch: int, submissions: Sequence[TokenSubmission]) -> None:
    """Give each new token the subject of its former; those the vault does not know are passed over."""
    keyring = _filling(vault, epoch)
    former, key = keyring.former_key("level2"), keyring.key("level2")
    if former is None or not submissions:
        return  # this epoch is filled
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        connection.execute(
            text(
                "INSERT INTO trust.person (token, kind, epoch, sid) SELECT :new, kind, :epoch, sid FROM trust.person"
                " WHERE token = :former AND kind = :kind ON CONFLICT (token) DO NOTHING"
            ),
            [
                {
                    "former": level2(former, one.former, epoch - 1), "new": level2(key, one.new, epoch),
                    "kind": one.kind, "epoch": epoch,
                }
                for one in submissions
            ],
        )  # fmt: skip


def end(vault: Vault, epoch: int) -> RekeyingReport:
    """Put the epoch in force, destroy the former tokens and key, and say so on the trail, once."""
    keyring = _filling(vault, epoch)
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        done = _end(connection, epoch)
    keyring.destroy_blinding_key(epoch - 1)
    keyring.destroy_former_key("level2")
    return done


def state_of(vault: Vault, epoch: int) -> EpochState | None:
    """What the vault says of an epoch; None when it knows none of that number."""
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        state: EpochState | None = connection.execute(
            text("SELECT state FROM trust.epoch WHERE epoch = :epoch"), {"epoch": epoch}
        ).scalar_one_or_none()
    return state


def _filling(vault: Vault, epoch: int) -> Keyring:
    """The keyring of that epoch; raises `KeyringError` when another is under way."""
    keyring = trust_keys(vault.keys)
    if keyring.epoch != epoch or state_of(vault, epoch) not in ("FILLING", "IN_FORCE"):
        hint = "call `imaging-hub trust rekey` where the third party is, then `trust resubmit`"
        raise KeyringError("the third party is not in this epoch", code="epoch-other", hint=hint)
    return keyring


def is_blinded(vault: Vault, epoch: int) -> bool | None:
    """Whether an epoch's tokens are made of what the third party evaluates; None for one that never began."""
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        blinded: bool | None = connection.execute(
            text("SELECT blinded FROM trust.epoch WHERE epoch = :epoch"), {"epoch": epoch}
        ).scalar_one_or_none()
    return blinded


def evaluate(vault: Vault, epoch: int, blinded: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """What blinded inputs become under the key of a blinded epoch, each with a proof of the key, and its public half.

    RFC 9497, VOPRF(ristretto255, SHA-512). Of the inputs nothing can be told. Raises `KeyringError` for what is no
    blinded input, and in an epoch that is not blinded or over.
    """
    if not is_blinded(vault, epoch):
        raise KeyringError("nothing is evaluated in this epoch", code="epoch-other", hint="see `trust resubmit`")
    evaluator = Evaluator(trust_keys(vault.keys).blinding_key(epoch))
    try:
        inputs = [BlindedInput.deserialize(one) for one in blinded]
    except ValueError:
        raise KeyringError("an input is none that was blinded", code="blinded-input") from None
    return [evaluator.evaluate(one).serialize() for one in inputs], evaluator.public_key.serialize()


def _begin(connection: Connection, keyring: Keyring, shares: Sequence[str], blinded: bool | None) -> None:
    """End the epoch in force; waits for those who are using it."""
    connection.execute(
        text("UPDATE trust.epoch SET state = 'ENDED' WHERE epoch < :epoch AND state <> 'ENDED'"),
        {"epoch": keyring.epoch},
    )
    begun = connection.execute(
        text(
            "INSERT INTO trust.epoch (epoch, fingerprint, state, blinded) SELECT :epoch, :fingerprint, 'FILLING',"
            " coalesce(CAST(:blinded AS boolean), (SELECT blinded FROM trust.epoch WHERE epoch = :epoch - 1), false)"
            " ON CONFLICT (epoch) DO NOTHING"
        ),
        {"epoch": keyring.epoch, "fingerprint": keyring.fingerprint("level2"), "blinded": blinded},
    ).rowcount
    if begun:
        detail = {"shares": list(shares)}
        trail.append(connection, ACTOR, trail.AuditAction.EPOCH_BEGUN, f"epoch {keyring.epoch}", detail)


def _end(connection: Connection, epoch: int) -> RekeyingReport:
    number = {"epoch": epoch}
    filled = connection.execute(text("SELECT count(*) FROM trust.person WHERE epoch = :epoch"), number).scalar_one()
    removed = connection.execute(text("DELETE FROM trust.person WHERE epoch < :epoch"), number).rowcount
    changed = connection.execute(
        text("UPDATE trust.epoch SET state = 'IN_FORCE' WHERE epoch = :epoch AND state = 'FILLING'"), number
    ).rowcount
    done = RekeyingReport(epoch, filled, max(0, removed - filled))
    if changed:
        detail = {"tokens": done.tokens, "left_behind": done.left_behind}
        trail.append(connection, ACTOR, trail.AuditAction.VAULT_REKEYED, f"epoch {epoch}", detail)
    return done
