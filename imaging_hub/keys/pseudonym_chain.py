"""The chain of pseudonyms, in the structure of FOIN 1 and FOIN 2 with HMAC-SHA-256 in place of SHA-1.

    t1 = HMAC-SHA-256(K1, message)             producers' side; in a blinded epoch over `OPRF|1|` and the third party's
                                               OPRF output for the message, so that no gateway makes a token alone
    t2 = HMAC-SHA-256(K2, "T1|1|" + t1)        third party, which draws a random subject (sid) for it
    pid = HMAC-SHA-256(K3[p], "PID|1|" + sid)  one per project, so that two releases cannot be joined

Every message starts with a label and a version, so that no output of one use can be taken for another's. A token
states its level and key epoch: `h1e01-…` is level 1, epoch 1 (référentiel 6.1).
"""

from __future__ import annotations

import base64
import hmac
from datetime import date
from typing import Literal

TokenKind = Literal["INS", "IPP"]
"""What a token was derived from: a qualified INS, or a hospital's own patient number."""

_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_CROCKFORD = bytes.maketrans(_BASE32, _CROCKFORD)
_TOKEN_BYTES = 20  # 160 bits: two of 10^8 people collide with a probability below 10^-30


def crockford_base32(digest: bytes) -> str:
    """Return base32 in Crockford's alphabet, whose letters do not look like digits."""
    return base64.b32encode(digest).translate(_TO_CROCKFORD).decode().rstrip("=")


def ins_message(nir13: str, birth_date: date, sex: str) -> str:
    """Return the message of a person with a qualified INS; Corsican departments keep their letter (2A, 2B)."""
    return f"INS|1|{nir13.upper()}|{birth_date:%Y%m%d}|{sex}"


def ipp_message(hospital: str, patient_id: str) -> str:
    """Return the message of a patient known by the hospital's own number only.

    Raises `ValueError` for a hospital with `|`, the separator, in its name.
    """
    if "|" in hospital:
        raise ValueError("a hospital's short name has no `|`")
    return f"IPP|1|{hospital}|{patient_id}"


def level1(key: bytes, message: str, epoch: int = 1) -> str:
    """Return t1, the token that leaves the identifying zone in place of the INS."""
    return _token("h1", epoch, key, message)


def level2(key: bytes, token1: str, epoch: int = 1) -> str:
    """Return t2, the token that the third party stores; making it takes K1 and K2."""
    return _token("h2", epoch, key, f"T1|1|{token1}")


def project_pseudonym(key: bytes, sid: str) -> str:
    """Return pid, the Patient ID in a project's releases, e.g. `P-7Q4K-0M2X-9ABC-DEFG`."""
    digits = crockford_base32(hmac.digest(key, f"PID|1|{sid}".encode(), "sha256")[:10])
    return "-".join(("P", *(digits[start : start + 4] for start in range(0, 16, 4))))


def _token(level: str, epoch: int, key: bytes, message: str) -> str:
    digest = hmac.digest(key, message.encode("utf-8"), "sha256")[:_TOKEN_BYTES]
    return f"{level}e{epoch:02d}-{crockford_base32(digest)}"
