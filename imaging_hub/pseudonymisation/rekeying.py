"""The gateway's half of new keys for the chain of pseudonyms; the third party's, which comes first, is `trust.epochs`.

The SNDS has new keys about every two years, and a leak asks for them at once. The gateway submits every identity it
holds twice, under its former key and its new one; the third party gives the new token the subject that the former had.
So the subjects stay, and with them archive, links and projects' pseudonyms. Broken off at any moment, it goes on where
it was when it is called again; until it is done nobody is given a subject, and studies wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring, gateway_keys
from imaging_hub.keys.pseudonym_chain import TokenKind, ins_message, ipp_message, level1
from imaging_hub.pseudonymisation.third_party import ThirdParty

_AT_ONCE = 1000
_EVERYBODY = """
    SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.identity
    UNION SELECT hospital, patient_id, ins, birth_date, sex FROM identifying.opposing
"""


@dataclass(frozen=True, slots=True)
class ResubmissionReport:
    """What became of the third party's tokens."""

    epoch: int
    """The one that is in force now."""
    tokens: int
    """Tokens of the new epoch."""
    left_behind: int
    """Former tokens whose identity is no longer held here; they are destroyed."""


def resubmit(database: Database, keys: Path, third_party: ThirdParty) -> ResubmissionReport:
    """Follow the third party into the epoch it has begun; `keys` is the folder of the hub's keyrings.

    Raises `KeyringError` `epoch-other` when it has begun none, or is in another than can follow the gateway's.
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
        for submissions in _submissions(database, gateway, former, third_party):
            third_party.submit(epoch, submissions)
    done = ResubmissionReport(**third_party.end(epoch))
    gateway.destroy_evaluator(epoch - 1)
    gateway.destroy_former_key("level1")
    return done


def _submissions(
    database: Database, keyring: Keyring, former: bytes, third_party: ThirdParty
) -> Iterator[list[tuple[str, str, TokenKind]]]:
    """Everybody the identifying zone can submit again, some at a time: patients, and who opposed before being one."""
    key, epoch = keyring.key("level1"), keyring.epoch
    with database.begin(DatabaseRole.GATEWAY) as connection:
        rows = connection.execution_options(stream_results=True).execute(text(_EVERYBODY))
        for some in rows.partitions(_AT_ONCE):
            messages: list[tuple[str, TokenKind]] = []
            for row in some:
                if row.patient_id is not None:
                    messages.append((ipp_message(row.hospital, row.patient_id), "IPP"))
                if row.ins is not None:
                    messages.append((ins_message(row.ins[:13], row.birth_date, row.sex), "INS"))
            plain = [message for message, _ in messages]
            before = third_party.concealed(plain, keyring, epoch - 1)
            after = third_party.concealed(plain, keyring, epoch)
            yield [
                (level1(former, old, epoch - 1), level1(key, new, epoch), kind)
                for old, new, (_, kind) in zip(before, after, messages, strict=True)
            ]
