"""Pseudonyms that the engine writes for one patient, derived from the subject and never from the data."""

from __future__ import annotations

import hmac

from imaging_hub.deidentification.source_and_outcome import Pseudonyms
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import crockford_base32

_MAX_SHIFT_DAYS = 3650


def subject_pseudonyms(keyring: Keyring, sid: str, hospital: str) -> Pseudonyms:
    """Return the pseudonyms of a subject for instances of one hospital; `keyring` is the hub's.

    Patient ID and date shift are the same for every hospital. UIDs have a key for each hospital, because two hospitals
    may have used one UID for different objects. Raises `KeyringError` `key-missing`.
    """
    return Pseudonyms(
        patient=archive_patient_id(keyring.key("pseudonym"), sid),
        uid_key=hmac.digest(keyring.key("uid"), f"UID|1|{hospital}".encode(), "sha256"),
        date_shift_days=date_shift_days(keyring.key("date-shift"), sid),
    )


def archive_patient_id(key: bytes, sid: str) -> str:
    """Return the Patient ID in the archive, e.g. `S-7Q4K-0M2X-9ABC-DEFG` (80 bits)."""
    digits = crockford_base32(hmac.digest(key, f"SUBJECT|1|{sid}".encode(), "sha256")[:10])
    return "-".join(("S", *(digits[start : start + 4] for start in range(0, 16, 4))))


def date_shift_days(key: bytes, sid: str) -> int:
    """Return the offset in days, -3650 to -1, for all of a patient's studies, so that intervals are kept."""
    number = int.from_bytes(hmac.digest(key, f"SHIFT|1|{sid}".encode(), "sha256"), "big")
    return -(1 + number % _MAX_SHIFT_DAYS)
