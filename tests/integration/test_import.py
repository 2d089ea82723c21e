"""`imaging-hub import`: a folder as if it had been sent."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from http_gateway import a_file
from raw_scu import Instance, an_instance, let_in, rows

from imaging_hub.database import Database
from imaging_hub.gateway.reception import Reception
from imaging_hub.gateway.senders import Sender
from imaging_hub.retrieval import folder_import
from imaging_hub.retrieval.folder_import import ImportedFile
from imaging_hub.settings import Settings

SENDER = Sender("HOSPITAL", "127.0.0.0/8", "chu-test", "750000001", "research-longitudinal")


def _import(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imaging_hub", "import", *arguments],
        env={**os.environ, **settings.as_environment()},
        capture_output=True,
        text=True,
        check=False,
    )


def _a_folder(folder: Path) -> Path:
    (folder / "DUPONT").mkdir(parents=True)
    for number in range(6):
        (folder / "DUPONT" / f"IM{number}").write_bytes(a_file(an_instance(number)))
    cut = an_instance(7)
    (folder / "cut").write_bytes(a_file(Instance(cut.sop_instance_uid, cut.dataset[:-9])))
    (folder / "=cmd.txt").write_text("no DICOM")
    (folder / "link").symlink_to(folder / "DUPONT" / "IM0")
    return folder


def test_a_folder_is_taken_file_by_file_with_a_report(settings: Settings, database: Database, tmp_path: Path) -> None:
    let_in(database)
    folder, report = _a_folder(tmp_path / "cd"), tmp_path / "report.csv"
    said = _import(settings, "HOSPITAL", str(folder), "--report", str(report), "--json")
    assert said.returncode == 1, "a file was not taken"
    assert json.loads(said.stdout) == {
        "files": 8,
        "outcomes": {"stored": 6, "malformed": 2},
        "reasons": {"truncated": 1, "not-dicom": 1},
    }
    lines = report.read_text("utf-8").splitlines()
    written = {row["file"]: (row["outcome"], row["reason"]) for row in csv.DictReader(lines)}
    assert written["DUPONT/IM3"] == ("stored", "")
    assert written["cut"] == ("malformed", "truncated")
    assert written["'=cmd.txt"] == ("malformed", "not-dicom")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert [row.state for row in rows(database)].count("RECEIVED") == 6
    assert {row.hospital for row in rows(database)} == {"chu-test"}


def test_a_second_run_takes_nothing_twice(settings: Settings, database: Database, tmp_path: Path) -> None:
    let_in(database)
    folder = _a_folder(tmp_path / "cd") / "DUPONT"
    assert _import(settings, "HOSPITAL", str(folder)).returncode == 0
    again = _import(settings, "HOSPITAL", str(folder), "--json")
    assert (again.returncode, json.loads(again.stdout)["outcomes"]) == (0, {"duplicate": 6})
    assert len(rows(database)) == 6


def test_only_for_a_known_sender(settings: Settings, database: Database, tmp_path: Path) -> None:
    said = _import(settings, "NOBODY", str(tmp_path))
    assert said.returncode == 1
    assert "[unknown-sender]" in said.stderr
    assert "imaging-hub sender list" in said.stderr


def test_above_the_watermark_it_waits_for_room(settings: Settings, database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.dcm").write_bytes(a_file(an_instance(number, pixels=250_000)))
    narrow = settings.model_copy(update={"spool_max_bytes": 1 << 20, "spool_reserve_bytes": 0})
    happened: list[object] = []

    def pause(seconds: float) -> None:
        happened.append(seconds)
        reception._capacity._quota, reception._capacity._disk_checked_at = (
            1 << 30,
            float("-inf"),
        )  # room is made, time passes

    def taken() -> list[ImportedFile]:
        files = folder_import.list_files(folder)
        return list(
            folder_import.import_files(
                reception, SENDER, files, 1 << 30, on_wait=lambda: happened.append("told"), sleep=pause
            )
        )

    with Reception(narrow, database).running() as reception:
        first = taken()
        (folder / "more.dcm").write_bytes(a_file(an_instance(9)))
        reception._capacity._disk_checked_at = float("-inf")
        second = taken()
    assert [one.received.situation.value for one in first] == ["stored"] * 4
    assert happened == ["told", 2.0]
    assert [one.received.situation.value for one in second].count("stored") == 1


def test_who_waits_is_told_why(settings: Settings, database: Database, tmp_path: Path) -> None:
    let_in(database)
    full = settings.model_copy(update={"spool_reserve_bytes": 1 << 60})
    command = [sys.executable, "-m", "imaging_hub", "import", "HOSPITAL", str(_a_folder(tmp_path / "cd"))]
    environment = {**os.environ, **full.as_environment()}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        waiting.terminate()
    assert "waits" in said
    assert "spool_reserve_bytes" in said
    assert "imaging-hub doctor" in said
    assert rows(database) == []
