"""Outcome of inline de-identification, kept until the study is complete.

The gateway stores it beside the instance's row and cannot read it: it is encrypted under a key derived from one of the
hub's and the study's, and shredded with the latter.
"""

from __future__ import annotations

import hmac
import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from imaging_hub.archive.index import StoredInstance
from imaging_hub.deidentification.identifiers import residual_check
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Quarantined
from imaging_hub.errors import KeyringError, SealBroken
from imaging_hub.intake.journal import SEND_AGAIN
from imaging_hub.intake.study_keys import StudyKey
from imaging_hub.keys.aead import AuthenticatedCipher
from imaging_hub.keys.keyring import Keyring
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.traits import PatientTraits


@dataclass(frozen=True, slots=True)
class InlineOutcome:
    """A stored instance, and what a later check needs of its header, since no original is kept."""

    admission: StoredInstance
    """Without the bytes of the object; its changes are named by their digest."""
    sid: str
    profile: str
    """The profile, as `name@digest`."""
    searched: frozenset[str] = field(repr=False)
    """The patient's identifiers that were searched, known from the study so far."""
    reading: QualifiedIns | UnqualifiedIns
    traits: PatientTraits | None

    def refusal(self, sid: str, profile: str, identifiers: frozenset[str]) -> Quarantined | None:
        """Return why the instance cannot be indexed now that its study is complete; None when it can.

        `sid` and `profile` are those of the study. Identifiers that were unknown at de-identification are
        searched in its header. An instance that is refused has to be sent again, since no original is kept.
        """
        if (sid, profile) != (self.sid, self.profile):
            return Quarantined(SEND_AGAIN, rule="study")
        new_identifiers = identifiers - self.searched
        instance = self.admission.instance
        hit = (
            residual_check.check_again(instance.header, instance.transfer_syntax_uid, new_identifiers)
            if new_identifiers
            else None
        )
        return None if hit is None else Quarantined(SEND_AGAIN, hit.path, "residual-identifier")


class OutcomeSealer:
    """Encrypts and decrypts the outcomes of one study; `keyring` is the hub's."""

    def __init__(self, keyring: Keyring, key: StudyKey) -> None:
        self._cipher = AuthenticatedCipher(
            hmac.digest(keyring.key("uid"), b"imaging-hub|outcome|1|" + key.key, "sha256")
        )

    def seal(self, outcome: InlineOutcome) -> bytes:
        """Encrypt an outcome."""
        return self._cipher.seal(zlib.compress(json.dumps(_to_json(outcome)).encode(), 1))

    def open(self, sealed: bytes) -> InlineOutcome:
        """Decrypt an outcome. Raises `KeyringError` when the key is another or the data were altered."""
        try:
            compressed = self._cipher.open(sealed)
        except SealBroken:
            raise KeyringError(
                "an outcome of inline de-identification cannot be opened",
                code="outcome-unreadable",
                hint="restore hub.json and originals.json from their backup",
            ) from None
        return _from_json(json.loads(zlib.decompress(compressed)))


def _to_json(outcome: InlineOutcome) -> dict[str, Any]:
    instance, reading, traits = outcome.admission.instance, outcome.reading, outcome.traits
    return {
        "instance": {
            **{name: getattr(instance, name) for name in _COPIED_FIELDS},
            "header": b64encode(instance.header).decode("ascii"),
            "study_date": instance.study_date and instance.study_date.isoformat(),
        },
        "digest": outcome.admission.digest,
        "size": outcome.admission.size,
        "change_list": outcome.admission.change_list,
        "sid": outcome.sid,
        "profile": outcome.profile,
        "searched": sorted(outcome.searched),
        "qualified": isinstance(reading, QualifiedIns),
        "reading": {name: str(value) for name, value in asdict(reading).items()},
        "traits": traits and {"birth_month": traits.birth_month.isoformat(), "sex": traits.sex},
    }


_COPIED_FIELDS = (
    "sop_class_uid",
    "sop_instance_uid",
    "series_instance_uid",
    "study_instance_uid",
    "transfer_syntax_uid",
    "needs_review",
)


def _from_json(fields: dict[str, Any]) -> InlineOutcome:
    instance, reading, traits = fields["instance"], fields["reading"], fields["traits"]
    return InlineOutcome(
        admission=StoredInstance(
            DeidentifiedInstance(
                **{name: instance[name] for name in _COPIED_FIELDS},
                part10=(),
                header=b64decode(instance["header"]),
                changes=(),
                study_date=_parse_date(instance["study_date"]),
            ),
            fields["digest"],
            fields["size"],
            fields["change_list"],
        ),
        sid=fields["sid"],
        profile=fields["profile"],
        searched=frozenset(fields["searched"]),
        reading=(
            QualifiedIns(reading["ins"], date.fromisoformat(reading["birth_date"]), reading["sex"])
            if fields["qualified"]
            else UnqualifiedIns(reading["reason"])
        ),
        traits=traits and PatientTraits(date.fromisoformat(traits["birth_month"]), traits["sex"]),
    )


def _parse_date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
