"""T4, T13: a full or failing disk, a database that is away: no false acknowledgement, and it goes on afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from free_ports import free_ports
from gateway_process import GatewayProcess
from http_gateway import RELATED, a_file, multipart
from originals import spool_of
from psycopg import sql
from raw_scu import CALLING, Closed, RawScu, Refused, an_instance, let_in, receiving, rows

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.settings import Settings

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs root and mount namespaces for a small disk",
)


@needs_mounts
def test_a_full_disk_is_told_and_nothing_is_acknowledged_that_is_not_there(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    let_in(database)
    settings = settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0})
    settings.spool.mkdir(parents=True)
    small = f'mount -t tmpfs -o size=8m tmpfs {settings.spool} && exec "$@"'
    gateway = GatewayProcess(settings, tmp_path / "log", before=["unshare", "-m", "sh", "-c", small, "sh"])
    with gateway:
        gateway.start()
        association = RawScu(free_port)
        answers, number = [], 0
        with pytest.raises(Closed):
            while number < 40:
                number += 1
                answers.append(association.store(an_instance(number, pixels=600_000)))
        stored = answers.count(0)
        assert stored > 5
        assert answers == [0] * stored + [0xA700] * 3, "three in a row, then the association is aborted"
        assert gateway.process
        _in_its_mounts(gateway, ["mount", "-o", "remount,size=64m", str(settings.spool)])
        _until_welcome(free_port, 10)
        assert RawScu(free_port).store(an_instance(number, pixels=600_000)) == 0
        files = _in_its_mounts(gateway, ["find", str(settings.spool), "-name", "*.dcm"]).split()
        journal = rows(database)
        assert len(journal) == stored + 1
        assert {Path(file).stem for file in files} == {row.digest for row in journal}


def _in_its_mounts(gateway: GatewayProcess, command: list[str]) -> str:
    assert gateway.process
    inside = ["nsenter", "-t", str(gateway.process.pid), "-m", *command]
    return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


def _until_welcome(port: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            RawScu(port).release()
        except (Refused, Closed, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_disk_that_does_not_confirm_ends_the_receiver(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    let_in(database)
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0}),
        tmp_path / "log",
        before=["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=31+"],
    )
    with gateway:
        gateway.start()
        answers, association = [], RawScu(free_port)
        with pytest.raises((Closed, Refused, OSError)):
            answers.extend(association.store(an_instance(number)) for number in range(1, 100))
        assert gateway.wait(30) == 1
    stored = answers.count(0)
    assert stored > 3
    assert answers == [0] * stored + [0xA700] * (len(answers) - stored)
    spool = spool_of(settings, database)
    assert sum(spool.path(row.digest).exists() for row in rows(database)) == len(rows(database)) == stored


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_disk_that_does_not_confirm_what_came_by_http_ends_the_gateway_too(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    let_in(database)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        token = senders.issue_token(
            connection, senders.find_by_title(connection, CALLING), datetime.now(UTC) + timedelta(1)
        )
    dicom, http = free_ports(2)
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": dicom, "gateway_port": http, "spool_reserve_bytes": 0}),
        tmp_path / "log",
        before=["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=31+"],
    )
    headers = {"Authorization": f"Bearer {token}", "Content-Type": RELATED}
    stored = 0
    with gateway:
        gateway.start()
        _until_welcome(dicom, 10)
        with pytest.raises((AssertionError, httpx.TransportError)):
            for number in range(1, 100):
                body = multipart(a_file(an_instance(number)))
                answer = httpx.post(f"http://127.0.0.1:{http}/dicom-web/studies", content=body, headers=headers)
                assert answer.status_code == 200
                stored += 1
        assert gateway.wait(30) == 1
    assert len(rows(database)) == stored > 3


@contextmanager
def _away(server: Database, database: Database) -> Iterator[None]:
    """The database lets nobody in, and has shown everybody out."""
    name = database.owner_url.database or ""
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as owner:
        allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        owner.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            owner.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_while_the_database_is_away_senders_are_asked_to_come_again(
    settings: Settings, server: Database, database: Database
) -> None:
    let_in(database)
    with receiving(settings, database) as gateway:
        association = RawScu(gateway.port)
        assert association.store(an_instance(1)) == 0
        with _away(server, database):
            assert association.store(an_instance(2)) == 0xA700
            with pytest.raises(Refused, match=r"\(2, 3, 2\)"):
                RawScu(gateway.port)
        assert association.store(an_instance(2)) == 0
        assert RawScu(gateway.port).store(an_instance(3)) == 0
    assert len(rows(database)) == 3


def test_an_original_whose_row_was_never_written_is_journalled_at_the_next_start(
    settings: Settings, server: Database, database: Database
) -> None:
    let_in(database)
    with receiving(settings, database) as gateway:
        association = RawScu(gateway.port)
        assert association.store(an_instance(1)) == 0
        with _away(server, database):
            assert association.store(an_instance(2)) == 0xA700
    assert len(rows(database)) == 1
    with receiving(settings, database) as gateway:
        _, row = rows(database)
        assert (row.state, row.hospital, row.sop_instance_uid) == (
            "RECEIVED",
            "chu-test",
            an_instance(2).sop_instance_uid,
        )
        assert RawScu(gateway.port).store(an_instance(2)) == 0
    assert len(rows(database)) == 2


def test_a_row_without_its_file_is_an_alarm_and_a_stale_part_is_removed(settings: Settings, database: Database) -> None:
    let_in(database)
    with receiving(settings, database) as gateway:
        association = RawScu(gateway.port)
        association.store(an_instance(1))
        association.store(an_instance(2))
    first, _ = rows(database)
    spool = spool_of(settings, database)
    spool.remove(first.digest)
    part = settings.spool / ".parts" / "left.part"
    part.write_bytes(b"half")
    os.utime(part, (0, 0))
    with receiving(settings, database) as gateway:
        assert gateway.metrics.alarms._value.get() == 1
    assert not part.exists()
