"""The wheel that the hub hands out: this package, whole, installable without an index."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from imaging_hub import __version__
from imaging_hub.web import client_wheel
from imaging_hub.web.client_wheel import build_wheel

ROOT = Path(__file__).resolve().parents[2]


def test_pip_installs_it_and_it_runs(tmp_path: Path) -> None:
    built = tmp_path / build_wheel().name
    built.write_bytes(build_wheel().content)
    target = tmp_path / "installed"
    origin = f"{built.as_uri()}#sha256={hashlib.sha256(build_wheel().content).hexdigest()}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, origin]
    subprocess.run(pip, check=True, timeout=120)
    asked = "import imaging_hub, sys; print(imaging_hub.__file__); from imaging_hub.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(target)}
    run = subprocess.run(
        [sys.executable, "-c", asked, "--version"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stdout.split() == [str(target / "imaging_hub" / "__init__.py"), __version__]
    assert (target / "bin" / "imaging-hub").exists()
    asked = f"import sys; sys.modules['sqlalchemy'] = None; {asked}"
    run = subprocess.run(
        [sys.executable, "-c", asked, "doctor"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert f"pip install 'imaging-hub[hub] @ {origin}'" in run.stderr


def test_it_holds_what_a_built_wheel_holds() -> None:
    names = set(zipfile.ZipFile(BytesIO(build_wheel().content)).namelist())
    inside = {path.relative_to(ROOT).as_posix() for path in (ROOT / "imaging_hub").rglob("*.*") if path.is_file()}
    assert {name for name in inside if "__pycache__" not in name} <= names
    beside = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {inside: outside for outside, inside in beside["force-include"].items()} == client_wheel.MOVED_FOLDERS
    for folder, outside in client_wheel.MOVED_FOLDERS.items():
        assert {f"{folder}/{path.name}" for path in (ROOT / outside).iterdir()} <= names
    about = f"imaging_hub-{__version__}.dist-info"
    assert {f"{about}/{file}" for file in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")} <= names
    assert {f"{about}/licenses/{file}" for file in ("LICENSE", "NOTICE")} <= names


def test_it_is_the_same_bytes_every_time() -> None:
    first = build_wheel()
    build_wheel.cache_clear()
    assert build_wheel() == first


@pytest.mark.parametrize(("verb", "missing"), [("doctor", "pydantic_settings"), ("project list", "sqlalchemy")])
def test_a_verb_of_the_service_says_how_to_install_it_from_where_the_client_came(verb: str, missing: str) -> None:
    asked = f"import sys; sys.modules['{missing}'] = None; from imaging_hub.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", asked, *verb.split()], capture_output=True, text=True)
    assert run.returncode == 2
    assert f"pip install 'imaging-hub[hub] @ {ROOT.as_uri()}'" in run.stderr
