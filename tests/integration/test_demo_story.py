"""`imaging-hub demo --once` tells the whole story and ends well."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

_CHAPTERS = 11


@pytest.fixture(scope="module")
def told() -> Iterator[subprocess.CompletedProcess[str]]:
    """A demo that has run to its end, on a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="imaging-hub-demo-") as folder:
        command = [sys.executable, "-m", "imaging_hub", "demo", "--once", "--persons", "100", "--home", folder]
        yield subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


def _count(told: subprocess.CompletedProcess[str], name: str) -> int:
    found = re.search(rf"^ +{name} +(\d+)", told.stdout, re.MULTILINE)
    assert found, told.stdout
    return int(found[1])


def test_the_demo_ends_with_status_zero_after_its_last_chapter(told: subprocess.CompletedProcess[str]) -> None:
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    assert re.findall(r"^(\d+)\. ", told.stdout, re.MULTILINE) == [str(n + 1) for n in range(_CHAPTERS)]


def test_the_demo_has_enough_patients_studies_and_modalities(told: subprocess.CompletedProcess[str]) -> None:
    assert _count(told, "patients") >= 30
    assert _count(told, "studies") >= 60
    assert {"CT", "DX", "MR"} <= set(re.findall(r"[A-Z]{2}", told.stdout.split("modalities")[1].splitlines()[0]))


def test_every_patient_with_a_qualified_ins_is_linked(told: subprocess.CompletedProcess[str]) -> None:
    assert _count(told, "linked") == _count(told, "with qualified ins") > 0


def test_what_nobody_reviewed_is_refused_and_what_is_released_verifies(told: subprocess.CompletedProcess[str]) -> None:
    assert "refused: not-reviewed" in told.stdout
    assert "every SHA-256" in told.stdout
