"""Encryption keys of studies, each wrapped by its hospital's key; to delete one is to shred the study's originals."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from sqlalchemy import Connection, text

from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import KeyringError, NotFound, StorageUnavailable
from imaging_hub.keys.keyring import Keyring, original_keys
from imaging_hub.settings import Settings

CACHED_KEYS = 256
"""Keys kept in memory, for studies that arrive at the same time."""
CACHE_SECONDS = 3600.0
UNUSED_SECONDS = 24 * 3600.0
"""A receiver uses a cached key for an hour before it records the use again, so one unused for a day is in no cache."""


@dataclass(frozen=True, slots=True)
class OriginalOwner:
    """The study that an original belongs to."""

    hospital: str
    study_instance_uid: str = ""
    """Empty for an instance without a valid study UID."""


@dataclass(frozen=True, slots=True)
class StudyKey:
    """AES-256 key of one study."""

    id: UUID
    key: bytes


class StudyKeyStore:
    """Keys of studies in the database, unwrapped with the keyring `hospitals`; safe among threads and processes."""

    def __init__(self, login: DatabaseLogin, hospitals: Keyring) -> None:
        self._login = login
        self._hospitals = hospitals
        self._by_owner: OrderedDict[OriginalOwner, tuple[StudyKey, float]] = OrderedDict()
        self._by_id: OrderedDict[UUID, StudyKey] = OrderedDict()
        self._lock = Lock()

    def get_key(self, owner: OriginalOwner) -> StudyKey:
        """Return the key for a new file of that study, created on first use.

        Raises `SQLAlchemyError`, or `StorageUnavailable` when the hospital's key does not unwrap it.
        """
        with self._lock:
            cached, since = self._by_owner.get(owner, (None, 0.0))
        if cached is not None and time.monotonic() - since < CACHE_SECONDS:
            return cached
        return self._cache(self._find_or_create(owner), owner)

    def find_key(self, key_id: UUID) -> StudyKey:
        """Return the key with that id. Raises `NotFound` when it was shredded, otherwise as `get_key` does."""
        with self._lock:
            cached = self._by_id.get(key_id)
        if cached is not None:
            return cached
        with self._login.begin() as connection:
            row = connection.execute(
                text("SELECT hospital, wrapped FROM identifying.study_key WHERE id = :id"), {"id": key_id}
            ).one_or_none()
        if row is None:
            raise NotFound("the original was shredded", code="original-gone")
        return self._cache(StudyKey(key_id, _unwrap(self._hospitals, row.hospital, row.wrapped)))

    def _find_or_create(self, owner: OriginalOwner) -> StudyKey:
        created = StudyKey(uuid4(), secrets.token_bytes(32))
        with self._login.begin() as connection:
            row = connection.execute(
                text(
                    "INSERT INTO identifying.study_key AS k (id, hospital, study_instance_uid, wrapped)"
                    " VALUES (:id, :hospital, :study, :wrapped) ON CONFLICT (hospital, study_instance_uid)"
                    " DO UPDATE SET used_at = now() RETURNING id, wrapped"
                ),
                {
                    "id": created.id,
                    "hospital": owner.hospital,
                    "study": owner.study_instance_uid,
                    "wrapped": aes_key_wrap(self._hospitals.hospital_key(owner.hospital), created.key),
                },
            ).one()
        if row.id == created.id:
            return created
        return StudyKey(row.id, _unwrap(self._hospitals, owner.hospital, row.wrapped))

    def _cache(self, key: StudyKey, owner: OriginalOwner | None = None) -> StudyKey:
        with self._lock:
            self._by_id[key.id] = key
            if owner is not None:
                self._by_owner[owner] = (key, time.monotonic())
            while len(self._by_id) > CACHED_KEYS:
                self._by_id.popitem(last=False)
            while len(self._by_owner) > CACHED_KEYS:
                self._by_owner.popitem(last=False)
        return key


def open_study_keys(settings: Settings, login: DatabaseLogin) -> StudyKeyStore:
    """Open the study keys of these settings as `login`. Raises `KeyringError`."""
    return StudyKeyStore(login, original_keys(settings.keys))


def list_locked_hospitals(connection: Connection, hospitals: Keyring) -> list[str]:
    """List the hospitals whose key in `hospitals` is missing or does not unwrap their study keys."""
    rows = connection.execute(
        text("SELECT DISTINCT ON (hospital) hospital, wrapped FROM identifying.study_key ORDER BY hospital, used_at")
    )
    locked = []
    for row in rows:
        try:
            _unwrap(hospitals, row.hospital, row.wrapped)
        except StorageUnavailable:
            locked.append(row.hospital)
    return locked


def _unwrap(hospitals: Keyring, hospital: str, wrapped: bytes) -> bytes:
    try:
        return aes_key_unwrap(hospitals.existing_hospital_key(hospital), bytes(wrapped))
    except (InvalidUnwrap, KeyringError):
        raise StorageUnavailable(
            "the key of a study cannot be unwrapped: the hospital's key is gone, or is another",
            code="original-unreadable",
            hint="restore originals.json from its backup",
        ) from None


def shred_unused_keys(connection: Connection) -> int:
    """Delete the keys of studies without an original or a pending outcome, and return their number.

    A key used within `UNUSED_SECONDS` stays, since a receiver may have it cached and seal a late instance with it.
    """
    deleted = connection.execute(
        text(
            "WITH held AS (SELECT DISTINCT i.hospital,"
            " coalesce(s.study_instance_uid, i.named_study_instance_uid, '') AS study FROM identifying.instance i"
            " LEFT JOIN identifying.study s ON s.id = i.study"
            " WHERE i.purged_at IS NULL OR EXISTS (SELECT 1 FROM identifying.outcome o WHERE o.instance = i.id))"
            " DELETE FROM identifying.study_key k WHERE k.used_at < now() - make_interval(secs => :unused)"
            " AND NOT EXISTS (SELECT 1 FROM held WHERE held.hospital = k.hospital"
            " AND held.study = k.study_instance_uid)"
        ),
        {"unused": UNUSED_SECONDS},
    )
    return int(deleted.rowcount)
