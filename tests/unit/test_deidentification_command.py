"""`imaging-hub deidentify` and `imaging-hub profile`, as their callers see them."""

from __future__ import annotations

import json
import multiprocessing
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from an_instance import an_instance, text
from typer.testing import CliRunner

from imaging_hub.cli import app
from imaging_hub.deidentification import folder
from imaging_hub.deidentification.engine.actions import InstanceActions
from imaging_hub.deidentification.folder import deidentify, files_of, pseudonyms
from imaging_hub.deidentification.profile.profile import load, shipped
from imaging_hub.deidentification.source_and_outcome import SourceInstance
from imaging_hub.dicom import part10, values, walk
from imaging_hub.errors import HubError

run = CliRunner().invoke


def file_of(source: SourceInstance, uid: str = "1.2.250.1.999.1.3") -> bytes:
    """A Part 10 file of a source instance."""
    meta = part10.file_meta("1.2.840.10008.5.1.4.1.1.2", uid, source.transfer_syntax_uid)
    return meta + bytes(source.dataset)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("0f" * 32 + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of one patient, whose name stands in one file only, with a copy and a stranger in it."""
    folder = tmp_path / "GAELDOURT_LOIC"
    folder.mkdir()
    uids = (text(0x00080018, "UI", "1.2.3.1"), text(0x00080018, "UI", "1.2.3.2"))
    first = an_instance(uids[0])
    second = an_instance(uids[1], text(0x00104000, "LT", "Allergie iode GAELDOURT"), name="ANONYMOUS")
    (folder / "GAELDOURT1.dcm").write_bytes(file_of(first))
    (folder / "copy.dcm").write_bytes(file_of(first))
    (folder / "inner").mkdir()
    (folder / "inner" / "2.dcm").write_bytes(file_of(second))
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def call(source: Path, destination: Path, key: Path, *more: str) -> tuple[int, str]:
    result = run(app, ["deidentify", str(source), str(destination), "--key-file", str(key), *more])
    return result.exit_code, result.output


def outputs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_file_ends_in_one_state_and_names_of_the_source_do_not_come_through(
    source: Path, tmp_path: Path, key: Path, jobs: str
) -> None:
    report = tmp_path / "report.json"
    options = ("--profile", "research-longitudinal", "--report", str(report), "--jobs", jobs)
    status, _ = call(source, tmp_path / "out", key, *options)
    assert status == 0
    told = json.loads(report.read_text())
    states = {entry["file"]: entry["state"] for entry in told["files"]}
    assert states == {
        "GAELDOURT1.dcm": "DEIDENTIFIED",
        "copy.dcm": "DUPLICATE",
        "inner/2.dcm": "DEIDENTIFIED",
        "notes.txt": "QUARANTINED",
    }
    assert told["reasons"] == {"not-dicom": 1}
    files = outputs(tmp_path / "out")
    assert len(files) == 2
    for file in files:
        assert "GAELDOURT" not in str(file.relative_to(tmp_path / "out")).upper()
        assert b"GAELDOURT" not in file.read_bytes().upper()
        meta, encoded = part10.split(file.read_bytes())
        assert file.name == f"{values.text_at(walk.read(encoded, meta.transfer_syntax_uid), 0x00080018)}.dcm"


def test_a_name_in_one_file_is_cleaned_from_the_text_of_another(source: Path, tmp_path: Path, key: Path) -> None:
    call(source, tmp_path / "out", key, "--profile", "research-longitudinal", "--jobs", "1")
    assert any(b"Allergie iode" in file.read_bytes() for file in outputs(tmp_path / "out"))


def test_the_same_key_gives_the_same_files_and_another_key_gives_none_of_them(
    source: Path, tmp_path: Path, key: Path
) -> None:
    options = ("--profile", "basic", "--jobs", "1")
    for name in ("one", "two"):
        call(source, tmp_path / name, key, *options)
    key.write_text("e1" * 32)
    call(source, tmp_path / "other", key, *options)
    contents = {
        name: {file.relative_to(tmp_path / name): file.read_bytes() for file in outputs(tmp_path / name)}
        for name in ("one", "two", "other")
    }
    assert contents["one"] == contents["two"]
    assert not contents["one"].keys() & contents["other"].keys()


def test_two_contents_under_one_uid_and_two_patients_in_one_study_are_quarantined(tmp_path: Path, key: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1").write_bytes(file_of(an_instance()))
    (folder / "2").write_bytes(file_of(an_instance(text(0x00200013, "IS", "2"))))
    status, output = call(folder, tmp_path / "out", key, "--profile", "basic", "--json", "--jobs", "1")
    assert status == 0
    assert json.loads(output)["reasons"] == {"sop-instance-conflict": 1}
    other = an_instance(text(0x00080018, "UI", "1.2.9"), patient_id="99999999")
    (folder / "2").write_bytes(file_of(other))
    _, output = call(folder, tmp_path / "out2", key, "--profile", "basic", "--json", "--jobs", "1")
    assert json.loads(output)["reasons"] == {"study-of-two-patients": 2}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(source: Path, tmp_path: Path, key: Path, mode: int) -> None:
    key.chmod(mode)
    status, output = call(source, tmp_path / "out", key, "--profile", "basic")
    assert status == 2
    assert "chmod 600" in output
    assert not (tmp_path / "out").exists()


def test_wrong_calls_say_what_to_do(source: Path, tmp_path: Path, key: Path) -> None:
    assert call(tmp_path / "absent", tmp_path / "out", key, "--profile", "basic")[0] == 2
    assert call(source, source / "out", key, "--profile", "basic")[0] == 2
    assert call(source, tmp_path / "out", key, "--profile", "nowhere")[0] == 2
    key.write_text("not a key")
    status, output = call(source, tmp_path / "out", key, "--profile", "basic")
    assert (status, "64 hexadecimal" in output) == (2, True)


def test_a_write_that_fails_leaves_no_half_written_file(source: Path, tmp_path: Path, key: Path) -> None:
    # -B: under this limit Python would keep the first hundred bytes of what it compiles, for every later process.
    command = [sys.executable, "-B", "-m", "imaging_hub", "deidentify", source, tmp_path / "out"]
    done = subprocess.run(
        [*command, "--profile", "basic", "--key-file", key, "--jobs", "1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "storage-unavailable" in done.stderr
    assert outputs(tmp_path / "out") == []


def test_a_process_that_was_ended_from_outside_is_told_as_that(source: Path, tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())

    def end_one(step: str, done: int) -> None:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
            process.join()

    with pytest.raises(HubError) as fault:
        deidentify(files_of(source), tmp_path / "out", load("basic"), bytes(32), jobs=2, progress=end_one)
    assert fault.value.code == "process-lost"
    assert all(file.suffix == ".dcm" for file in outputs(tmp_path / "out"))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_where_the_engine_fails_is_told_by_type_and_place(
    source: Path, tmp_path: Path, key: Path, jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("GAELDOURT")

    monkeypatch.setattr(InstanceActions, "apply", broken)
    report = tmp_path / "report.json"
    folder._engine.cache_clear()
    code, output = call(
        source, tmp_path / "out", key, "--profile", "research-longitudinal", "--jobs", jobs, "--report", str(report)
    )
    told = json.loads(report.read_text())
    faults = [entry.get("fault", "") for entry in told["files"] if entry.get("reason") == "engine-fault"]
    assert len(faults) == 2
    assert len(set(faults)) == 1
    assert re.fullmatch(r"LookupError at deidentification\.engine\.deidentifier:[0-9]+", faults[0])
    assert told["faults"] == {faults[0]: 2}
    assert f"2 {faults[0]}" in output
    assert code == 0
    assert "GAELDOURT" not in json.dumps(told["faults"]) + output


def test_pseudonyms_of_two_subjects_differ_and_shifts_are_never_zero() -> None:
    made = [pseudonyms(bytes(32), f"subject {number}") for number in range(200)]
    assert len({one.patient for one in made}) == 200
    assert all(one.date_shift_days < 0 for one in made)


def test_profiles_are_listed_explained_checked_and_compared(tmp_path: Path) -> None:
    assert list(json.loads(run(app, ["profile", "list", "--json"]).output)) == shipped()
    explained = json.loads(run(app, ["profile", "explain", "(0010,4000)", "--json"]).output)
    assert explained["rule"] == "E.1-1 Clean Descriptors"
    assert run(app, ["profile", "show", "snds-demo"]).exit_code == 0
    assert run(app, ["profile", "check", "basic"]).exit_code == 0
    assert json.loads(run(app, ["profile", "diff", "basic", "research-longitudinal", "--json"]).output)
    assert run(app, ["profile", "explain", "NoSuchAttribute"]).exit_code == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: wrong\ntitle: Wrong\nextends: basic\nrules:\n  - {attribute: PatientNam, action: X}\n")
    result = run(app, ["profile", "check", str(wrong)])
    assert result.exit_code == 1
    assert "wrong.yaml:5" in result.output


def test_an_attribute_is_explained_for_the_file_at_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(file_of(an_instance()))
    result = run(app, ["profile", "explain", "PatientAge", "--for", str(path)])
    assert result.exit_code == 0
    assert "PatientAge" in result.output
    assert run(app, ["profile", "explain", "PatientAge", "--for", str(tmp_path / "absent")]).exit_code == 1
