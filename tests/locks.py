"""Transactions that wait for each other."""

from __future__ import annotations

import time

from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole

PATIENCE_SECONDS = 30.0
_WAITING = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def until_somebody_waits(database: Database) -> None:
    """Wait until a transaction waits for what another holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with database.begin(DatabaseRole.OWNER) as connection:
            if connection.execute(_WAITING).first():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)
