"""`imaging-hub demo --home`: only a folder of a former demo is emptied, and never one that is in use."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

MARK = ".imaging-hub-demo"


def refusal(home: Path) -> str:
    """What the demo says of a home that it does not take."""
    command = [sys.executable, "-m", "imaging_hub", "demo", "--once", "--home", str(home)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stderr
    problem, remedy = run.stderr.splitlines()
    assert problem.endswith("[demo]")
    assert "choose another --home" in remedy
    return problem


def test_a_file_is_no_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a letter")
    assert "no folder" in refusal(home)
    assert home.read_text() == "a letter"


def test_nothing_is_deleted_through_a_link(tmp_path: Path) -> None:
    former = tmp_path / "former"
    former.mkdir()
    (former / MARK).touch()
    (former / "kept").touch()
    home = tmp_path / "home"
    home.symlink_to(former)
    assert "no folder" in refusal(home)
    assert (former / "kept").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "no demo" in refusal(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made" in refusal(tmp_path / "file" / "home")


def test_the_folder_of_a_running_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with (tmp_path / MARK).open("a") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        assert "another demo runs" in refusal(tmp_path)
    assert (tmp_path / "kept").exists()
