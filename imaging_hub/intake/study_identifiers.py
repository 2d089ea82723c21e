"""What the headers of a study name its patient by, kept as long as the study's key and sealed under it.

An instance that comes when its study was worked on already, or that is processed again, is searched for what all the
others told.
"""

from __future__ import annotations

import hmac
import json

from sqlalchemy import Connection, text

from imaging_hub.errors import SealBroken, StorageUnavailable
from imaging_hub.intake.study_keys import StudyKey
from imaging_hub.keys.aead import AuthenticatedCipher


def unite(connection: Connection, key: StudyKey, identifiers: frozenset[str]) -> frozenset[str]:
    """Everything the study of `key` is known to name its patient by, `identifiers` from now on among it.

    Runs in the caller's transaction, and keeps others from the same study until its end. Raises `StorageUnavailable`
    when the study's key is gone, or opens nothing.
    """
    row = connection.execute(
        text("SELECT identifiers FROM identifying.study_key WHERE id = :id FOR UPDATE"), {"id": key.id}
    ).one_or_none()
    if row is None:
        raise StorageUnavailable("the key of a study was shredded meanwhile", code="original-unreadable")
    known = _opened(key, bytes(row.identifiers)) if row.identifiers else frozenset[str]()
    if identifiers <= known:
        return known
    everything = known | identifiers
    connection.execute(
        text("UPDATE identifying.study_key SET identifiers = :sealed WHERE id = :id"),
        {"id": key.id, "sealed": _sealed(key, everything)},
    )
    return everything


def _sealed(key: StudyKey, identifiers: frozenset[str]) -> bytes:
    return _cipher(key).seal(json.dumps(sorted(identifiers)).encode())


def _opened(key: StudyKey, sealed: bytes) -> frozenset[str]:
    try:
        return frozenset(json.loads(_cipher(key).open(sealed)))
    except SealBroken:
        raise StorageUnavailable(
            "what a study names its patient by cannot be opened", code="original-unreadable"
        ) from None


def _cipher(key: StudyKey) -> AuthenticatedCipher:
    """Under a key of its own: the study's key wraps keys of files and does nothing else."""
    return AuthenticatedCipher(hmac.digest(key.key, b"imaging-hub|study-identifiers|1", "sha256"))
