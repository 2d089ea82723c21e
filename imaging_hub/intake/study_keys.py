"""The keys of studies, each wrapped by its hospital's key: whoever deletes a study's key has shredded its originals."""

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

REMEMBERED = 256
"""Keys kept in memory: studies that arrive at once."""
HELD_SECONDS = 3600.0
UNUSED_SECONDS = 24 * 3600.0
"""A receiver uses a key for so long before it says so again; one that nobody used for a day nobody holds."""


@dataclass(frozen=True, slots=True)
class OriginalOwner:
    """Whose file it is."""

    hospital: str
    study_instance_uid: str = ""
    """Empty for what could be assigned to no study."""


@dataclass(frozen=True, slots=True)
class StudyKey:
    """The key of one study."""

    id: UUID
    key: bytes


class StudyKeyStore:
    """The keys of studies, as `login` may reach them; safe among threads and processes."""

    def __init__(self, login: DatabaseLogin, hospitals: Keyring) -> None:
        self._login = login
        self._hospitals = hospitals
        self._by_owner: OrderedDict[OriginalOwner, tuple[StudyKey, float]] = OrderedDict()
        self._by_id: OrderedDict[UUID, StudyKey] = OrderedDict()
        self._lock = Lock()

    def of(self, owner: OriginalOwner) -> StudyKey:
        """The key for a new file of that study, made durably on first use. Raises `SQLAlchemyError`."""
        with self._lock:
            known, since = self._by_owner.get(owner, (None, 0.0))
        if known is not None and time.monotonic() - since < HELD_SECONDS:
            return known
        return self._remember(self._found_or_made(owner), owner)

    def by_id(self, key_id: UUID) -> StudyKey:
        """The key of a file that is there; raises `NotFound` when it was shredded."""
        with self._lock:
            known = self._by_id.get(key_id)
        if known is not None:
            return known
        with self._login.begin() as connection:
            row = connection.execute(
                text("SELECT hospital, wrapped FROM identifying.study_key WHERE id = :id"), {"id": key_id}
            ).one_or_none()
        if row is None:
            raise NotFound("the original was shredded", code="original-gone")
        return self._remember(StudyKey(key_id, _unwrapped(self._hospitals, row.hospital, row.wrapped)))

    def _found_or_made(self, owner: OriginalOwner) -> StudyKey:
        made = StudyKey(uuid4(), secrets.token_bytes(32))
        with self._login.begin() as connection:
            row = connection.execute(
                text(
                    "INSERT INTO identifying.study_key AS k (id, hospital, study_instance_uid, wrapped)"
                    " VALUES (:id, :hospital, :study, :wrapped) ON CONFLICT (hospital, study_instance_uid)"
                    " DO UPDATE SET used_at = now() RETURNING id, wrapped"
                ),
                {
                    "id": made.id,
                    "hospital": owner.hospital,
                    "study": owner.study_instance_uid,
                    "wrapped": aes_key_wrap(self._hospitals.hospital_key(owner.hospital), made.key),
                },
            ).one()
        if row.id == made.id:
            return made
        return StudyKey(row.id, _unwrapped(self._hospitals, owner.hospital, row.wrapped))

    def _remember(self, key: StudyKey, owner: OriginalOwner | None = None) -> StudyKey:
        with self._lock:
            self._by_id[key.id] = key
            if owner is not None:
                self._by_owner[owner] = (key, time.monotonic())
            while len(self._by_id) > REMEMBERED:
                self._by_id.popitem(last=False)
            while len(self._by_owner) > REMEMBERED:
                self._by_owner.popitem(last=False)
        return key


def open_vault(settings: Settings, login: DatabaseLogin) -> StudyKeyStore:
    """The vault of these settings, as `login` may reach it."""
    return StudyKeyStore(login, original_keys(settings.keys))


def locked_out(connection: Connection, hospitals: Keyring) -> list[str]:
    """The hospitals whose originals cannot be opened: their key in `hospitals` is gone, or is another."""
    rows = connection.execute(
        text("SELECT DISTINCT ON (hospital) hospital, wrapped FROM identifying.study_key ORDER BY hospital, used_at")
    )
    found = []
    for row in rows:
        try:
            _unwrapped(hospitals, row.hospital, row.wrapped)
        except StorageUnavailable:
            found.append(row.hospital)
    return found


def _unwrapped(hospitals: Keyring, hospital: str, wrapped: bytes) -> bytes:
    try:
        return aes_key_unwrap(hospitals.existing_hospital_key(hospital), bytes(wrapped))
    except (InvalidUnwrap, KeyringError):
        raise StorageUnavailable(
            "the key of a study cannot be unwrapped: the hospital's key is gone, or is another",
            code="original-unreadable",
            hint="restore originals.json from its backup",
        ) from None


def shred(connection: Connection) -> int:
    """Delete the keys of studies of which no original is left, nor an outcome to be opened; how many.

    A key that was used lately stays: a receiver may hold it for an instance that comes late, and what it sealed must
    be there to be opened.
    """
    done = connection.execute(
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
    return int(done.rowcount)
