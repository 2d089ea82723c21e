"""What people set going, a worker hears of at once; it does not find it in its next sweep only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raw_scu import RawScu, an_instance, let_in, receiving, rows
from sqlalchemy import text

from imaging_hub.cli.serve import prepare
from imaging_hub.database import Database, Role
from imaging_hub.intake import completeness, quarantine
from imaging_hub.settings import Settings

SWEEPS_HOURLY = """
from imaging_hub.database import open_database
from imaging_hub.settings import load
from imaging_hub.work import worker
worker.SWEEP_SECONDS = worker.SWEEP_SECONDS_LEAST = 3600.0
settings = load()
worker.run(settings, open_database(settings))
"""
STRICT = "name: strict\ntitle: No comments\nextends: basic\n"
RULE = "rules:\n  - attribute: ImageComments\n    action: reject\n"


@contextmanager
def a_worker_that_sweeps_hourly(settings: Settings) -> Iterator[None]:
    environment = {**os.environ, **settings.as_environment()}
    process = subprocess.Popen([sys.executable, "-c", SWEEPS_HOURLY], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def until(database: Database, *states: str) -> None:
    """Wait until the rows of the journal are in these states."""
    deadline = time.monotonic() + 60
    while (found := [row.state for row in rows(database)]) != list(states):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_what_is_said_to_be_due_waits_for_no_sweep(
    settings_with_third_party: Settings, database: Database, tmp_path: Path
) -> None:
    profile = tmp_path / "strict.yaml"
    profile.write_text(STRICT + RULE)
    settings = settings_with_third_party.model_copy(update={"profiles": tmp_path})
    prepare(settings).dispose()
    let_in(database)
    with database.begin(Role.GATEWAY) as connection:
        connection.execute(text("UPDATE identifying.sender SET profile = 'strict'"))
    with receiving(settings, database) as receiver, a_worker_that_sweeps_hourly(settings):
        sender = RawScu(receiver.port)
        assert sender.store(an_instance(1)) == 0
        with database.begin(Role.CONSOLE) as connection:
            assert completeness.forced(connection, 1, by="somebody")
        until(database, "ARCHIVED")  # this one the first sweep may have found

        held = an_instance(2, study=2, note="a comment")
        assert sender.store(held) == 0
        with database.begin(Role.GATEWAY) as connection:
            uid = connection.execute(text("SELECT study_instance_uid FROM identifying.study WHERE id = 2")).scalar_one()
            assert completeness.announced(connection, "chu-test", uid) == [2]
        until(database, "ARCHIVED", "QUARANTINED")

        profile.write_text(STRICT)
        with database.begin(Role.CONSOLE) as connection:
            assert quarantine.replay(connection, [rows(database)[1].id], by="somebody") == 1
        until(database, "ARCHIVED", "ARCHIVED")
