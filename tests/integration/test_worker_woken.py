"""What people set going, a worker hears of at once; it does not find it in its next sweep only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from dicomweb_server import orthanc
from raw_scu import RawScu, an_instance, let_in, receiving, rows
from sqlalchemy import text

from imaging_hub.cli.serve import prepare
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake import completeness, quarantine
from imaging_hub.permits import accounts, policy
from imaging_hub.review import verdicts
from imaging_hub.review.verdicts import VerdictBasis, VerdictRecorded
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
REVIEWED = "name: reviewed\ntitle: Radiologists see it first\nextends: basic\nreview: [CT]\n"
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


def until_held(peer: str, number: int) -> None:
    """Wait until an Orthanc holds so many instances."""
    deadline = time.monotonic() + 60
    while (found := len(httpx.get(f"{peer}/instances").json())) != number:
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
    with database.begin(DatabaseRole.GATEWAY) as connection:
        connection.execute(text("UPDATE identifying.sender SET profile = 'strict'"))
    with receiving(settings, database) as receiver, a_worker_that_sweeps_hourly(settings):
        sender = RawScu(receiver.port)
        assert sender.store(an_instance(1)) == 0
        with database.begin(DatabaseRole.CONSOLE) as connection:
            assert completeness.close_study(connection, 1, by="somebody")
        until(database, "ARCHIVED")  # this one the first sweep may have found

        held = an_instance(2, study=2, note="a comment")
        assert sender.store(held) == 0
        with database.begin(DatabaseRole.GATEWAY) as connection:
            uid = connection.execute(text("SELECT study_instance_uid FROM identifying.study WHERE id = 2")).scalar_one()
            assert completeness.close_announced_study(connection, "chu-test", uid) == [2]
        until(database, "ARCHIVED", "QUARANTINED")

        profile.write_text(STRICT)
        with database.begin(DatabaseRole.CONSOLE) as connection:
            assert quarantine.replay(connection, [rows(database)[1].id], by="somebody") == 1
        until(database, "ARCHIVED", "ARCHIVED")


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's orthanc is not installed")
def test_a_study_is_in_the_sink_when_it_is_archived_or_else_approved(
    settings_with_third_party: Settings, database: Database, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "reviewed.yaml").write_text(REVIEWED)
    with orthanc(tmp_path / "orthanc", free_port) as peer:
        changes = {"profiles": tmp_path, "orthanc_sink_url": peer}
        settings = settings_with_third_party.model_copy(update=changes)
        prepare(settings).dispose()
        let_in(database)
        with receiving(settings, database) as receiver, a_worker_that_sweeps_hourly(settings):
            for study, profile in ((1, "basic"), (2, "reviewed")):
                with database.begin(DatabaseRole.GATEWAY) as connection:
                    connection.execute(text("UPDATE identifying.sender SET profile = :name"), {"name": profile})
                assert RawScu(receiver.port).store(an_instance(1, study=study)) == 0
                with database.begin(DatabaseRole.CONSOLE) as connection:
                    assert completeness.close_study(connection, study, by="somebody")
            until(database, "ARCHIVED", "ARCHIVED")
            until_held(peer, 1)

            with database.begin(DatabaseRole.OWNER) as connection:
                accounts.add(
                    connection, "ada", policy.AccountRole.RADIOLOGIST, datetime.max.replace(tzinfo=UTC), by="op"
                )
            with database.begin(DatabaseRole.WEB) as connection:
                series = connection.execute(
                    text("SELECT series_instance_uid, content_digest FROM hub.series WHERE review_state = 'PENDING'")
                ).one()
                assert (
                    verdicts.approve(connection, *series, reviewer="ada", basis=VerdictBasis.AFTER_ONLY)
                    == VerdictRecorded()
                )
            until_held(peer, 2)
