"""What rules of a profile can put in a value's place: a literal, a keyed hash, or the value's beginning."""

from __future__ import annotations

import base64
import hashlib
import hmac

from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Element
from imaging_hub.dicom.values import Charset

LONGEST = {"AE": 16, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "UC": 1024, "UT": 1024}
"""Characters that a value may have (PS3.5 §6.2), of the VRs that a substitute can stand in."""
_HASH_CHARACTERS = 16


def literal(argument: str, vr: str) -> bytes:
    """Encode a value as the profile writes it."""
    return argument.encode("ascii")[: LONGEST[vr]]


def hashed(element: Element, key: bytes) -> bytes:
    """Hash each value to 80 bits of HMAC-SHA-256 in capitals and digits: the same for the same key and text.

    A key of its own is derived from that of the project, so that no hash can be taken for part of a UID.
    """
    if not len(element.value):
        return b""
    derived = hmac.digest(key, b"HASH|1", hashlib.sha256)
    parts = bytes(element.value).strip(b" \0").split(b"\\")  # type: ignore[arg-type]
    return b"\\".join(_hash(part.strip(), derived) if part.strip() else b"" for part in parts)


def _hash(part: bytes, key: bytes) -> bytes:
    return base64.b32encode(hmac.digest(key, part, hashlib.sha256))[:_HASH_CHARACTERS]


def truncated(element: Element, length: int, charset: Charset) -> Element:
    """Shorten each value of an element to at most `length` characters."""
    text = values.decoded(bytes(element.value), charset)  # type: ignore[arg-type]
    shorter = "\\".join(part.strip()[:length].rstrip() for part in text.split("\\"))
    return element if shorter == text else Element(element.tag, element.vr, shorter.encode(charset[0], "ignore"))
