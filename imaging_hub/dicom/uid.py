"""Unique Identifiers (PS3.5 §9): which are valid, and how one is replaced."""

from __future__ import annotations

import hashlib
import hmac
import re

MAX_LENGTH = 64

# `[0-9]` and `\Z`: `\d` would admit other scripts' digits, and `$` a final newline.
_FORM = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+\Z")


def is_valid(uid: str) -> bool:
    """Whether `uid` has the form of PS3.5 §9.1: 64 characters at most, no leading zeros, only digits and dots."""
    return len(uid) <= MAX_LENGTH and _FORM.match(uid) is not None


def remap(uid: str, key: bytes) -> str:
    """The UID that stands in for `uid` under `key`: always the same, and not to be turned back.

    128 bits of HMAC-SHA-256 under the `2.25` root (PS3.5 §B.2). UIDs of the Standard itself
    (`1.2.840.10008.*`) name things, not patients: the caller keeps them.
    """
    digest = hmac.digest(key, uid.encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
