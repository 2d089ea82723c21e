"""Key epochs of the third party; the gateway's part of rekeying is `pseudonymisation.rekeying`.

An epoch begins with a new key. Until the gateway has submitted every identity under its former token and its new one,
no subject is issued: a patient whose token is missing would get a second subject. Then the former tokens and key are
destroyed. Each step may be repeated, so that an interrupted change of epoch continues when it is called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from voprf.ristretto import BlindedInput, Evaluator

from imaging_hub.audit import trail
from imaging_hub.database import DatabaseRole
from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import TokenKind, level2
from imaging_hub.trust.ceremony import KeyShare, combine_shares
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import ACTOR, EpochState, Vault


@dataclass(frozen=True, slots=True)
class TokenSubmission:
    """A level-1 token of one identity, under the former key and under the new."""

    former: str
    new: str
    kind: TokenKind


@dataclass(frozen=True, slots=True)
class RekeyingReport:
    """Result of a change of epoch."""

    epoch: int
    """The epoch in force."""
    tokens: int
    """Tokens of this epoch."""
    left_behind: int
    """Destroyed tokens of former epochs that were not submitted, because no gateway holds their identity."""


def begin(vault: Vault, shares: tuple[KeyShare, KeyShare] | None = None, *, blinded: bool | None = None) -> int:
    """Begin an epoch with a new key, or continue the one under way; returns its number.

    The key is derived from `shares`, or drawn without them. In a `blinded` epoch no gateway can make a token alone;
    None keeps the setting of the epoch before. Raises `KeyringError` `share-other` when the key of the epoch under way
    is not derived from `shares`.
    """
    keyring = trust_keys(vault.keys)
    if keyring.former_key("level2") is not None and epoch_state(vault, keyring.epoch) is EpochState.IN_FORCE:
        keyring.destroy_blinding_key(keyring.epoch - 1)  # it was filled, and broken off before its end
        keyring.destroy_former_key("level2")
    under_way = keyring.former_key("level2") is not None
    epoch = keyring.epoch + (not under_way)
    successor = combine_shares(*shares, epoch) if shares else None
    # The key comes first: until the vault knows its fingerprint, it issues no subject to any gateway.
    keyring.rotate("level2", epoch, successor)
    keyring = trust_keys(vault.keys)
    if successor is not None and keyring.key("level2") != successor:
        hint = "call it again with the shares it began with, or with none if it began without"
        raise KeyringError("the key under way is not of these shares", code="share-other", hint=hint)
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        _insert_epoch(connection, keyring, [share.fingerprint for share in shares or ()], blinded)
    if is_blinded(vault, epoch):
        keyring.create_blinding_key(epoch)
    return epoch


def accept_submissions(vault: Vault, epoch: int, submissions: Sequence[TokenSubmission]) -> None:
    """Give each new token the subject of its former one, without those the vault does not know.

    Raises `KeyringError` `epoch-other` when the third party is in another epoch.
    """
    keyring = _open_epoch_keys(vault, epoch)
    former, key = keyring.former_key("level2"), keyring.key("level2")
    if former is None or not submissions:
        return  # the epoch has ended its filling
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        connection.execute(
            text(
                "INSERT INTO trust.person (token, kind, epoch, sid) SELECT :new, kind, :epoch, sid FROM trust.person"
                " WHERE token = :former AND kind = :kind ON CONFLICT (token) DO NOTHING"
            ),
            [
                {
                    "former": level2(former, submission.former, epoch - 1),
                    "new": level2(key, submission.new, epoch), "kind": submission.kind, "epoch": epoch,
                }
                for submission in submissions
            ],
        )  # fmt: skip


def end(vault: Vault, epoch: int) -> RekeyingReport:
    """Put the epoch in force, destroy the former tokens and key, and record it in the trail once.

    Raises `KeyringError` `epoch-other` when the third party is in another epoch.
    """
    keyring = _open_epoch_keys(vault, epoch)
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        report = _close_epoch(connection, epoch)
    keyring.destroy_blinding_key(epoch - 1)
    keyring.destroy_former_key("level2")
    return report


def epoch_state(vault: Vault, epoch: int) -> EpochState | None:
    """Return the state of an epoch, or None when it never began."""
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        state: str | None = connection.execute(
            text("SELECT state FROM trust.epoch WHERE epoch = :epoch"), {"epoch": epoch}
        ).scalar_one_or_none()
    return None if state is None else EpochState(state)


def any_begun(connection: Connection) -> bool:
    """Return whether an epoch ever began, so that the vault may hold tokens."""
    return bool(connection.execute(text("SELECT EXISTS (SELECT 1 FROM trust.epoch)")).scalar_one())


def _open_epoch_keys(vault: Vault, epoch: int) -> Keyring:
    """Return the keyring of an epoch that has not ended; raises `KeyringError` when it is of another epoch."""
    keyring = trust_keys(vault.keys)
    if keyring.epoch != epoch or epoch_state(vault, epoch) not in (EpochState.FILLING, EpochState.IN_FORCE):
        hint = "call `imaging-hub trust rekey` where the third party is, then `trust resubmit`"
        raise KeyringError("the third party is not in this epoch", code="epoch-other", hint=hint)
    return keyring


def is_blinded(vault: Vault, epoch: int) -> bool | None:
    """Return whether an epoch's tokens are derived from OPRF outputs; None when it never began."""
    with vault.database.begin(DatabaseRole.TRUST) as connection:
        blinded: bool | None = connection.execute(
            text("SELECT blinded FROM trust.epoch WHERE epoch = :epoch"), {"epoch": epoch}
        ).scalar_one_or_none()
    return blinded


def evaluate(vault: Vault, epoch: int, blinded: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """Evaluate blinded inputs under the key of a blinded epoch; returns outputs with proofs, and the public key.

    RFC 9497, VOPRF(ristretto255, SHA-512): the inputs reveal nothing. Raises `KeyringError` `blinded-input` for a
    malformed input, `epoch-other` in an epoch that is not blinded, `key-missing` in one that is over.
    """
    if not is_blinded(vault, epoch):
        raise KeyringError("nothing is evaluated in this epoch", code="epoch-other", hint="see `trust resubmit`")
    evaluator = Evaluator(trust_keys(vault.keys).blinding_key(epoch))
    try:
        inputs = [BlindedInput.deserialize(encoded) for encoded in blinded]
    except ValueError:
        raise KeyringError("an input is none that was blinded", code="blinded-input") from None
    return [evaluator.evaluate(each).serialize() for each in inputs], evaluator.public_key.serialize()


def _insert_epoch(connection: Connection, keyring: Keyring, shares: Sequence[str], blinded: bool | None) -> None:
    """Record the epoch as being filled, and end the one in force; waits for transactions that use it."""
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


def _close_epoch(connection: Connection, epoch: int) -> RekeyingReport:
    number = {"epoch": epoch}
    filled = connection.execute(text("SELECT count(*) FROM trust.person WHERE epoch = :epoch"), number).scalar_one()
    removed = connection.execute(text("DELETE FROM trust.person WHERE epoch < :epoch"), number).rowcount
    changed = connection.execute(
        text("UPDATE trust.epoch SET state = 'IN_FORCE' WHERE epoch = :epoch AND state = 'FILLING'"), number
    ).rowcount
    report = RekeyingReport(epoch, filled, max(0, removed - filled))
    if changed:
        detail = {"tokens": report.tokens, "left_behind": report.left_behind}
        trail.append(connection, ACTOR, trail.AuditAction.VAULT_REKEYED, f"epoch {epoch}", detail)
    return report
