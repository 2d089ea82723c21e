"""Rekeying of the chain of pseudonyms at the gateway, after the third party has begun an epoch (`trust.epochs`).

The SNDS changes keys about every two years, and a leak requires it at once. The gateway submits every identity it
holds under its former key and its new one, and the third party gives the new token the subject of the former. So the
subjects stay, with archive, links and projects' pseudonyms. An interrupted rekeying continues when it is called again;
until it has ended no subject is issued, and studies wait.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring, gateway_keys
from imaging_hub.keys.pseudonym_chain import TokenKind, ins_message, ipp_message, level1
from imaging_hub.pseudonymisation.third_party_client import ThirdParty

_BATCH_ROWS = 1000
_ALL_IDENTITIES = """
    SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.identity
    UNION SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.opposing
"""


@dataclass(frozen=True, slots=True)
class ResubmissionReport:
    """Result of a rekeying, as the third party reports it."""

    epoch: int
    """The epoch in force."""
    tokens: int
    """Tokens of this epoch."""
    left_behind: int
    """Destroyed former tokens, whose identity is no longer held here."""


def resubmit(login: DatabaseLogin, keys: Path, third_party: ThirdParty) -> ResubmissionReport:
    """Submit every identity for the epoch that the third party has begun; `keys` is the folder of the hub's keyrings.

    Raises `KeyringError` `epoch-other` when the third party has not begun the epoch after the gateway's, and
    `ThirdPartyUnavailable`.
    """
    gateway = gateway_keys(keys)
    epoch, state = third_party.epoch()
    under_way = gateway.former_key("level1") is not None
    if epoch != gateway.epoch + (not under_way) or (state != "FILLING" and not under_way):
        hint = "call `imaging-hub trust rekey` first, where the third party is"
        raise KeyringError("the third party waits for nobody to be submitted again", code="epoch-other", hint=hint)
    gateway.rotate("level1", epoch)
    gateway = gateway_keys(keys)
    if (former := gateway.former_key("level1")) is not None:
        with closing(_submissions(login, gateway, former, third_party)) as batches:
            for submissions in batches:
                third_party.submit(epoch, submissions)
    report = ResubmissionReport(**third_party.end(epoch))
    gateway.destroy_evaluator(epoch - 1)
    gateway.destroy_former_key("level1")
    return report


def _submissions(
    login: DatabaseLogin, keyring: Keyring, former: bytes, third_party: ThirdParty
) -> Generator[list[tuple[str, str, TokenKind]]]:
    """Yield the submissions of all patients and all who opposed, in batches."""
    key, epoch = keyring.key("level1"), keyring.epoch
    with (
        login.begin() as connection,
        connection.execution_options(stream_results=True).execute(text(_ALL_IDENTITIES)) as rows,
    ):
        for batch in rows.partitions(_BATCH_ROWS):
            messages: list[tuple[str, TokenKind]] = []
            for row in batch:
                if row.patient_id is not None:
                    messages.append((ipp_message(row.hospital, row.patient_id), "IPP"))
                if row.ins is not None:
                    messages.append((ins_message(row.ins[:13], row.birth_date, row.sex), "INS"))
            inputs = [message for message, _ in messages]
            former_inputs = third_party.token_inputs(inputs, keyring, epoch - 1)
            new_inputs = third_party.token_inputs(inputs, keyring, epoch)
            yield [
                (level1(former, old, epoch - 1), level1(key, new, epoch), kind)
                for old, new, (_, kind) in zip(former_inputs, new_inputs, messages, strict=True)
            ]
