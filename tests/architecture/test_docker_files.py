"""The container files, read by linters: images are built only where a Docker engine is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

_TOOLS = Path(sys.executable).parent


def test_hadolint_finds_nothing_in_the_dockerfile(root: Path) -> None:
    _lint("hadolint", "--failure-threshold", "style", str(root / "docker" / "Dockerfile"))


def test_the_compose_file_is_one(root: Path) -> None:
    _lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(root / "docker" / "compose.yaml"))


def test_the_image_runs_without_root(root: Path) -> None:
    last_stage = (root / "docker" / "Dockerfile").read_text("utf-8").split("\nFROM ")[-1]
    assert re.findall(r"^USER (\S+)", last_stage, re.MULTILINE) == ["10001"]


def test_the_image_installs_the_versions_that_were_tested(root: Path) -> None:
    assert _pins(root / "docker" / "requirements.lock").items() <= _pins(root / "requirements.lock").items()


def test_every_pinned_package_has_its_hash(root: Path) -> None:
    for lock in ("requirements.lock", "docker/requirements.lock"):
        entries = re.split(r"\n(?=\S)", (root / lock).read_text("utf-8"))
        assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_database_is_reachable_from_the_hub_only(root: Path) -> None:
    compose = yaml.safe_load((root / "docker" / "compose.yaml").read_text("utf-8"))
    assert compose["networks"]["inside"]["internal"] is True
    for service in ("database", "archive"):
        assert compose["services"][service]["networks"] == ["inside"]
        assert "ports" not in compose["services"][service]


def _lint(tool: str, *arguments: str) -> None:
    path = shutil.which(tool, path=str(_TOOLS)) or shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    run = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE))
