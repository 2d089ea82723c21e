"""`imaging-hub doctor` on a hub that is well, and on twenty that are not: each is named, with the remedy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from certificates import a_certificate
from free_ports import free_ports
from running_hub import RunningHub, a_hub
from sqlalchemy import text

from imaging_hub.database import REVISION_TABLE, Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.intake.last_diagnosis import Problem
from imaging_hub.keys.keyring import Keyring
from imaging_hub.settings import Settings
from imaging_hub.work import hub_diagnosis, job_queue
from imaging_hub.work.hub_diagnosis import find_problems


@pytest.fixture(scope="module")
def hub(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that is well."""
    with a_hub(tmp_path_factory.mktemp("doctor"), module_database) as running:
        running.start()
        running.wait(lambda: not find_problems(running.settings), "the hub is well")
        yield running


@pytest.fixture
def nobody_s_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of an HTTP server that is not ours."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def found(hub: RunningHub, **changed: object) -> list[Problem]:
    """What is wrong with the running hub when its settings say something else."""
    return find_problems(hub.settings.model_copy(update=changed))


def one(problems: list[Problem]) -> tuple[str, str]:
    """The only problem: its subject and message."""
    (problem,) = problems
    assert problem.remedy
    return problem.subject, problem.message


def doctor(hub: RunningHub, *options: str, **changed: str) -> tuple[int, str]:
    """Status and output of `imaging-hub doctor` beside the running hub, with other settings where so told."""
    done = subprocess.run(
        [sys.executable, "-m", "imaging_hub", "doctor", *options],
        env={**os.environ, **hub.settings.as_environment(), **changed},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_hub_that_is_well_has_no_problem(hub: RunningHub) -> None:
    assert doctor(hub) == (0, "The hub is well.\n")


def test_a_problem_is_told_with_its_remedy_and_status_1(hub: RunningHub, nobody_s_port: int) -> None:
    status, said = doctor(hub, IMAGING_HUB_DICOM_PORT=str(nobody_s_port))
    assert status == 1
    assert f"✗ gateway: nobody listens on port {nobody_s_port}" in said
    assert "What to do: start it: imaging-hub serve" in said
    (problem,) = json.loads(doctor(hub, "--json", IMAGING_HUB_DICOM_PORT=str(nobody_s_port))[1])["problems"]
    assert problem["subject"] == "gateway"


def test_originals_that_no_key_opens_are_named(hub: RunningHub, module_database: Database) -> None:
    with module_database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(
            text(
                "INSERT INTO identifying.study_key (id, hospital, study_instance_uid, wrapped)"
                " VALUES (gen_random_uuid(), 'chu-lost', '1.2.3', decode(repeat('ab', 40), 'hex'))"
            )
        )
    try:
        assert one(found(hub)) == ("keys", "originals of chu-lost cannot be opened")
    finally:
        with module_database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text("DELETE FROM identifying.study_key WHERE hospital = 'chu-lost'"))


@pytest.mark.parametrize("part", ["dicom_port", "query_port", "gateway_port", "hub_port", "console_port"])
def test_a_part_that_does_not_run_is_named(hub: RunningHub, nobody_s_port: int, part: str) -> None:
    subject, message = one(found(hub, **{part: nobody_s_port}))
    assert subject == {"dicom_port": "gateway", "query_port": "gateway"}.get(part, part.removesuffix("_port"))
    assert f"nobody listens on port {nobody_s_port}" in message


def test_inline_deidentification_that_does_not_answer_is_named_where_originals_are_never_kept(
    hub: RunningHub, module_database: Database
) -> None:
    socket = hub.settings.handover_socket
    aside = socket.with_suffix(".aside")
    socket.rename(aside)
    try:
        assert found(hub) == [], "nobody needs it"
        _keep(module_database, "never")
        assert one(found(hub))[0] == "inline-deidentification"
    finally:
        _keep(module_database, None)
        aside.rename(socket)


def _keep(database: Database, originals: str | None) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        connection.execute(text("UPDATE identifying.sender SET keep_originals = :kept"), {"kept": originals})


@pytest.mark.parametrize("part", ["gateway", "hub", "console"])
def test_another_program_on_a_port_is_named(hub: RunningHub, other_program: int, part: str) -> None:
    assert one(found(hub, **{f"{part}_port": other_program})) == (
        part,
        f"on port {other_program} another program answers",
    )


CERTIFICATES: dict[str, tuple[tuple[float, float], str, bool]] = {
    "expired": ((-9, -1), "has expired", True),
    "not yet valid": ((1, 9), "is not valid yet", True),
    "soon expired": ((-9, 9.5), "expires in 9 days", False),
}


@pytest.mark.parametrize("what", CERTIFICATES)
def test_a_certificate_that_is_not_valid_or_soon_will_not_be_is_named(
    hub: RunningHub, tmp_path: Path, what: str
) -> None:
    days, said, is_error = CERTIFICATES[what]
    path, _ = a_certificate(tmp_path, "server", valid_days=days)
    problems = found(hub, dicom_tls_certificate=path, dicom_tls_key=path)
    assert one(problems) == ("certificate", f"that of dicom_tls_certificate {said}")
    assert problems[0].is_error is is_error
    good, _ = a_certificate(tmp_path, "good", valid_days=(-1, 99))
    of_authority = found(hub, dicom_tls_certificate=good, dicom_tls_key=good, dicom_tls_client_ca=path)
    assert one(of_authority) == ("certificate", f"that of dicom_tls_client_ca {said}")


def test_a_key_of_another_certificate_is_named(hub: RunningHub, tmp_path: Path) -> None:
    (mine, _), (other, _) = (a_certificate(tmp_path, name) for name in ("mine", "other"))
    subject, message = one(found(hub, dicom_tls_certificate=mine, dicom_tls_key=other))
    assert (subject, "cannot be loaded" in message) == ("certificate", True)


def test_a_certificate_that_is_not_there_is_named(hub: RunningHub, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    assert one(found(hub, dicom_tls_certificate=gone, dicom_tls_key=gone))[0] == "certificate"


def test_a_full_disk_is_named(hub: RunningHub) -> None:
    disk = os.statvfs(hub.settings.home)
    free = disk.f_bavail * disk.f_frsize
    problems = found(hub, spool_reserve_bytes=2 * free)
    assert one(problems) == ("disk", "less is free than spool_reserve_bytes: senders are asked to wait")
    assert problems[0].is_error
    (soon,) = found(hub, spool_reserve_bytes=int(0.8 * free))
    assert not soon.is_error


def test_an_exposed_keyring_is_named(hub: RunningHub) -> None:
    keyring = hub.settings.keys / "hub.json"
    keyring.chmod(0o644)
    try:
        assert one(found(hub))[0] == "keys"
    finally:
        keyring.chmod(0o600)


def test_a_missing_keyring_is_named(hub: RunningHub, tmp_path: Path) -> None:
    keyring = hub.settings.keys / "hub.json"
    kept = keyring.rename(tmp_path / "kept")
    try:
        assert one(found(hub))[0] == "keys"
    finally:
        kept.rename(keyring)


def test_a_database_that_is_away_is_named(hub: RunningHub, nobody_s_port: int) -> None:
    url = f"postgresql://nobody@127.0.0.1:{nobody_s_port}/hub"
    status, said = doctor(hub, IMAGING_HUB_DATABASE_URL=url)
    assert status == 1
    assert "✗ database: PostgreSQL does not answer" in said
    assert url not in said


def _with_revision(hub: RunningHub, revision: str | None) -> list[Problem]:
    """What is wrong when the schema says it is of another revision."""
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        kept = connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar_one()
        connection.execute(text(f"UPDATE {REVISION_TABLE} SET version_num = :other"), {"other": revision or kept})
        if revision is None:
            connection.execute(text(f"DELETE FROM {REVISION_TABLE}"))
    try:
        return found(hub)
    finally:
        with hub.database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text(f"DELETE FROM {REVISION_TABLE}"))
            connection.execute(text(f"INSERT INTO {REVISION_TABLE} VALUES (:kept)"), {"kept": kept})


@pytest.mark.parametrize(
    ("revision", "said"),
    [(None, "the database lacks"), ("9999", "the database was made by a newer imaging-hub")],
)
def test_a_schema_of_another_version_is_named(hub: RunningHub, revision: str | None, said: str) -> None:
    subject, message = one(_with_revision(hub, revision))
    assert subject == "schema"
    assert said in message


def test_a_clock_that_is_wrong_is_named(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: object = None) -> object:
            return super().now(tz) + timedelta(minutes=3)  # type: ignore[arg-type]

    monkeypatch.setattr(hub_diagnosis, "datetime", Late)
    assert one(found(hub)) == ("clock", "this machine and the database disagree on the time")


def test_a_third_party_that_does_not_answer_or_refuses_is_named(hub: RunningHub, nobody_s_port: int) -> None:
    away = found(hub, trust_port=nobody_s_port)
    assert one(away) == ("third party", "the third party does not answer: complete studies wait")
    access = hub.settings.keys / "access.json"
    kept = access.read_bytes()
    access.unlink()
    Keyring.create(access, ("access",))
    try:
        assert one(found(hub))[1] == "the access key is missing or another: complete studies wait"
    finally:
        access.write_bytes(kept)


def test_a_sink_that_does_not_answer_is_named(hub: RunningHub, nobody_s_port: int, other_program: int) -> None:
    away = found(hub, orthanc_sink_url=f"http://127.0.0.1:{nobody_s_port}")
    assert one(away) == ("sink", "the Orthanc of orthanc_sink_url does not answer")
    refusing = found(hub, orthanc_sink_url=f"http://127.0.0.1:{other_program}/")
    assert one(refusing) == ("sink", "Orthanc answers 501")


def test_an_object_store_that_does_not_answer_is_named(hub: RunningHub) -> None:
    assert one(found(hub, object_store_url="ftp://nowhere/objects"))[0] == "archive"


def test_a_profile_that_cannot_be_loaded_is_named(hub: RunningHub) -> None:
    subject, message = one(found(hub, default_profile="mislaid"))
    assert (subject, message.startswith("mislaid: ")) == ("profile", True)


@contextmanager
def written(hub: RunningHub, table: str, **row: object) -> Iterator[None]:
    """A row in a table of the identifying zone, as long as it is looked at."""
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        number = connection.execute(
            text(f"INSERT INTO identifying.{table} ({names}) VALUES ({values}) RETURNING id"), row
        ).scalar_one()
    try:
        yield
    finally:
        with hub.database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text(f"DELETE FROM identifying.{table} WHERE id = :number"), {"number": number})


@contextmanager
def without_workers(hub: RunningHub) -> Iterator[None]:
    """The workers stand still."""
    stopped = hub.parts("worker")
    assert stopped
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def test_a_full_spool_is_named(hub: RunningHub) -> None:
    arrival = {
        "hospital": "chu", "finess": "750000001", "sop_instance_uid": "1.2", "sop_class_uid": "1.2",
        "transfer_syntax_uid": "1.2", "digest": "0" * 64, "size": 900 << 10, "state": "QUARANTINED",
        "reason": "not-dicom",
    }  # fmt: skip
    with written(hub, "instance", **arrival):
        assert one(found(hub, spool_max_bytes=1 << 20)) == ("spool", "it is full: senders are asked to wait")
        assert found(hub, spool_max_bytes=2 << 20) == []


def test_a_hub_that_nobody_sends_to_is_told_so(hub: RunningHub) -> None:
    with hub.database.engine(DatabaseRole.OWNER).connect() as connection:
        rows = connection.execute(text("SELECT * FROM identifying.sender")).mappings().all()
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("DELETE FROM identifying.sender"))
    try:
        (problem,) = found(hub)
        assert (problem.subject, problem.message, problem.is_error) == ("senders", "no hospital may send", False)
    finally:
        with hub.database.begin(DatabaseRole.GATEWAY) as connection:
            for row in rows:
                known = {
                    name: str(row[name]) for name in ("calling_ae_title", "address", "hospital", "finess", "profile")
                }
                senders.add(connection, senders.Sender(**known))


@pytest.mark.parametrize(("minutes", "told"), [(20, True), (10, False)])
def test_a_study_that_waits_too_long_is_named(hub: RunningHub, minutes: int, told: bool) -> None:
    complete = {
        "hospital": "chu", "study_instance_uid": "1.2", "revision": 1, "state": "COMPLETE", "profile": "basic",
        "last_received_at": datetime.now(UTC) - timedelta(minutes=minutes),
    }  # fmt: skip
    with without_workers(hub), written(hub, "study", **complete):
        waits = [("workers", f"a complete study has waited for {minutes} minutes")]
        assert [(problem.subject, problem.message) for problem in found(hub)] == waits * told


def test_workers_that_are_all_gone_are_named(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "STALLED_SECONDS", 0.5)
    alone = ["none is alive: what is received waits"]
    with without_workers(hub):
        hub.wait(lambda: [problem.message for problem in found(hub)] == alone, "the doctor misses the workers")


def test_a_folder_without_a_hub_is_named(settings: Settings, tmp_path: Path) -> None:
    problems = find_problems(settings.model_copy(update={"home": tmp_path / "nowhere"}))
    assert one(problems) == ("home", "no hub was ever started here")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    problems = find_problems(settings.model_copy(update={"home": tmp_path / "empty", "database_url": None}))
    assert one(problems) == ("home", "no hub was ever started here")
    assert not list((tmp_path / "empty").iterdir())
