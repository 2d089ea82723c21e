"""Unique Identifiers (PS3.5 §9): which are valid, which name nobody's instance, and how one is replaced."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import cache

from pydicom.uid import UID_dictionary

MAX_LENGTH = 64

# `[0-9]` and `\Z`: `\d` would admit other scripts' digits, and `$` a final newline.
_FORM = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+\Z")
# A component of more than five digits could be somebody's number under a borrowed root.
_STANDARD = re.compile(r"1\.2\.840\.10008(?:\.\d{1,5}){1,10}\Z")
_CODING_SCHEMES = re.compile(r"2\.16\.840\.1\.113883\.(?:5|6)\.\d{1,4}(?:\.\d{1,4}){0,2}\Z")


def is_valid(uid: str) -> bool:
    """Whether `uid` has the form of PS3.5 §9.1: 64 characters at most, no leading zeros, only digits and dots."""
    return len(uid) <= MAX_LENGTH and _FORM.match(uid) is not None


@cache
def _registered() -> frozenset[str]:
    return frozenset(UID_dictionary)


def is_well_known(uid: str) -> bool:
    """Whether a UID is one of PS3.6 Annex A, or of a coding scheme in HL7's registry: it names nobody's instance."""
    return uid in _registered() or _STANDARD.match(uid) is not None or _CODING_SCHEMES.match(uid) is not None


def remap(uid: str, key: bytes) -> str:
    """The UID that stands in for `uid` under `key`: always the same, and not to be turned back.

    128 bits of HMAC-SHA-256 under the `2.25` root (PS3.5 §B.2). UIDs of the Standard itself
    (`is_well_known`) name things, not patients: the caller keeps them.
    """
    digest = hmac.digest(key, uid.encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
