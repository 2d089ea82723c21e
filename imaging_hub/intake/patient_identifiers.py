"""Identifiers that the headers of a study name its patient by, encrypted under the study's key and deleted with it.

A late instance, or one that is processed again, is searched for the identifiers in all the others.
"""

from __future__ import annotations

import hmac
import json

from sqlalchemy import Connection, text

from imaging_hub.errors import SealBroken, StorageUnavailable
from imaging_hub.intake.study_keys import StudyKey
from imaging_hub.keys.aead import AuthenticatedCipher


def merge_identifiers(connection: Connection, key: StudyKey, identifiers: frozenset[str]) -> frozenset[str]:
    """Add `identifiers` to those of the study of `key`, and return them all.

    The study's row stays locked until the transaction ends. Raises `StorageUnavailable` when the study's key was
    shredded or does not decrypt them.
    """
    row = connection.execute(
        text("SELECT identifiers FROM identifying.study_key WHERE id = :id FOR UPDATE"), {"id": key.id}
    ).one_or_none()
    if row is None:
        raise StorageUnavailable("the key of a study was shredded meanwhile", code="original-unreadable")
    known = _open(key, bytes(row.identifiers)) if row.identifiers else frozenset[str]()
    if identifiers <= known:
        return known
    merged = known | identifiers
    connection.execute(
        text("UPDATE identifying.study_key SET identifiers = :sealed WHERE id = :id"),
        {"id": key.id, "sealed": _seal(key, merged)},
    )
    return merged


def _seal(key: StudyKey, identifiers: frozenset[str]) -> bytes:
    return _cipher(key).seal(json.dumps(sorted(identifiers)).encode())


def _open(key: StudyKey, sealed: bytes) -> frozenset[str]:
    try:
        return frozenset(json.loads(_cipher(key).open(sealed)))
    except SealBroken:
        raise StorageUnavailable(
            "what a study names its patient by cannot be opened", code="original-unreadable"
        ) from None


def _cipher(key: StudyKey) -> AuthenticatedCipher:
    """Derive a key of its own, since the study's key is used to wrap file keys only."""
    return AuthenticatedCipher(hmac.digest(key.key, b"imaging-hub|study-identifiers|1", "sha256"))
