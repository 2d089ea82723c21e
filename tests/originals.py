"""The spool as whoever holds all keys sees it."""

from __future__ import annotations

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake.spool import Spool, open_spool
from imaging_hub.settings import Settings


def spool_of(settings: Settings, database: Database) -> Spool:
    """The spool of a hub, opened."""
    return open_spool(settings, database.login(DatabaseRole.OWNER))


def original(settings: Settings, database: Database, digest: str) -> bytes:
    """An original, opened."""
    return bytes(spool_of(settings, database).read(digest))
