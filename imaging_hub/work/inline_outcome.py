"""What came of an instance that passed the door before it was acknowledged, until its study is complete.

The gateway writes it beside the instance's row and cannot open it: it is sealed under a key that is made of one of the
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
from imaging_hub.deidentification.instance import DeidentifiedInstance, Quarantined
from imaging_hub.errors import KeyringError, SealBroken
from imaging_hub.intake.journal import SEND_AGAIN
from imaging_hub.intake.study_keys import StudyKey
from imaging_hub.keys.aead import AuthenticatedCipher
from imaging_hub.keys.keyring import Keyring
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.traits import PatientTraits


@dataclass(frozen=True, slots=True)
class InlineOutcome:
    """An instance whose object is stored, and what its header said that no original says any more."""

    admission: StoredInstance
    """Without the bytes of the object, its changes by their digest."""
    sid: str
    profile: str
    """`name@digest`, by which it was de-identified."""
    searched: frozenset[str] = field(repr=False)
    """The patient's identifiers, of all the study as far as it was known then."""
    reading: QualifiedIns | UnqualifiedIns
    traits: PatientTraits | None

    def refused(self, sid: str, profile: str, named: frozenset[str]) -> Quarantined | None:
        """Why it cannot be admitted, now that its study is whole; None where it can.

        `sid` and `profile` are those of the study, `named` all that its patient is named by: what was not known yet
        when the instance passed is looked for in what would leave. Only an original could be de-identified anew.
        """
        if (sid, profile) != (self.sid, self.profile):
            return Quarantined(SEND_AGAIN, rule="study")
        learnt = named - self.searched
        instance = self.admission.instance
        hit = residual_check.check_again(instance.header, instance.transfer_syntax_uid, learnt) if learnt else None
        return None if hit is None else Quarantined(SEND_AGAIN, hit.path, "residual-identifier")


class OutcomeSealer:
    """Seals the outcomes of one study and opens them; `keyring` is the hub's."""

    def __init__(self, keyring: Keyring, key: StudyKey) -> None:
        self._cipher = AuthenticatedCipher(
            hmac.digest(keyring.key("uid"), b"imaging-hub|outcome|1|" + key.key, "sha256")
        )

    def seal(self, outcome: InlineOutcome) -> bytes:
        """An outcome for the gateway to keep."""
        return self._cipher.seal(zlib.compress(json.dumps(_written(outcome)).encode(), 1))

    def open(self, sealed: bytes) -> InlineOutcome:
        """What was sealed; raises `KeyringError` where it was sealed under another key, or changed since."""
        try:
            compressed = self._cipher.open(sealed)
        except SealBroken:
            raise KeyringError(
                "what passed the door cannot be opened",
                code="outcome-unreadable",
                hint="restore hub.json and originals.json from their backup",
            ) from None
        return _read(json.loads(zlib.decompress(compressed)))


def _written(outcome: InlineOutcome) -> dict[str, Any]:
    instance, reading, traits = outcome.admission.instance, outcome.reading, outcome.traits
    return {
        "instance": {
            **{name: getattr(instance, name) for name in _PLAIN},
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


_PLAIN = (
    "sop_class_uid",
    "sop_instance_uid",
    "series_instance_uid",
    "study_instance_uid",
    "transfer_syntax_uid",
    "needs_review",
)


def _read(written: dict[str, Any]) -> InlineOutcome:
    instance, reading, traits = written["instance"], written["reading"], written["traits"]
    return InlineOutcome(
        admission=StoredInstance(
            DeidentifiedInstance(
                **{name: instance[name] for name in _PLAIN},
                part10=(),
                header=b64decode(instance["header"]),
                changes=(),
                study_date=_day(instance["study_date"]),
            ),
            written["digest"],
            written["size"],
            written["change_list"],
        ),
        sid=written["sid"],
        profile=written["profile"],
        searched=frozenset(written["searched"]),
        reading=(
            QualifiedIns(reading["ins"], date.fromisoformat(reading["birth_date"]), reading["sex"])
            if written["qualified"]
            else UnqualifiedIns(reading["reason"])
        ),
        traits=traits and PatientTraits(date.fromisoformat(traits["birth_month"]), traits["sex"]),
    )


def _day(written: str | None) -> date | None:
    return None if written is None else date.fromisoformat(written)
