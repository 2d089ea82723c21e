"""What the engine writes in place of one patient, made from the subject and never from the data."""

from __future__ import annotations

import hmac

from imaging_hub.deidentification.instance import Pseudonyms
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import crockford_base32

_SHIFT_DAYS_MAX = 3650


def for_subject(keyring: Keyring, sid: str, hospital: str) -> Pseudonyms:
    """Pseudonyms of a subject for instances of one hospital; `keyring` is the hub's.

    Patient and date shift are the same in every hospital, UIDs have a key of their own in each: two hospitals may
    have used one UID for different things.
    """
    return Pseudonyms(
        patient=patient(keyring.key("pseudonym"), sid),
        uid_key=hmac.digest(keyring.key("uid"), f"UID|1|{hospital}".encode(), "sha256"),
        date_shift_days=date_shift_days(keyring.key("date-shift"), sid),
    )


def patient(key: bytes, sid: str) -> str:
    """Patient ID in the archive, e.g. `S-7Q4K-0M2X-9ABC-DEFG` (80 bits)."""
    digits = crockford_base32(hmac.digest(key, f"SUBJECT|1|{sid}".encode(), "sha256")[:10])
    return "-".join(("S", *(digits[start : start + 4] for start in range(0, 16, 4))))


def date_shift_days(key: bytes, sid: str) -> int:
    """Whole days backwards, 1 to 3650: one offset for all of a patient's studies, so that intervals stay true."""
    number = int.from_bytes(hmac.digest(key, f"SHIFT|1|{sid}".encode(), "sha256"), "big")
    return -(1 + number % _SHIFT_DAYS_MAX)
