"""`imaging-hub demo --once` tells the whole story and ends well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from imaging_hub.audit import nir_at_rest, trail
from imaging_hub.database import DatabaseRole, open_database, open_vault
from imaging_hub.settings import Settings

_CHAPTERS = 11


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The demo's folder."""
    with tempfile.TemporaryDirectory(prefix="imaging-hub-demo-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def told(home: Path) -> subprocess.CompletedProcess[str]:
    """A demo that has run to its end."""
    command = [sys.executable, "-m", "imaging_hub", "demo", "--once", "--persons", "100", "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


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


def test_patients_without_an_ins_are_found_by_what_their_images_say(told: subprocess.CompletedProcess[str]) -> None:
    """Month of birth, sex and procedure codes came the whole way; so few known pairs prove no method."""
    assert _count(told, "left to people") > 3


def test_what_nobody_reviewed_is_refused_and_what_is_released_verifies(told: subprocess.CompletedProcess[str]) -> None:
    assert "refused: not-reviewed" in told.stdout
    assert "every SHA-256" in told.stdout


def _identities(home: Path) -> set[bytes]:
    """Names, numbers and accessions of the demo's patients, as bytes."""
    truth = json.loads((home / "synthetic" / "truth.json").read_text("utf-8"))
    found = {person["ins"] for person in truth["persons"]} | {person["ins"][:13] for person in truth["persons"]}
    found |= {patient[key] for patient in truth["patients"] for key in ("ipp", "patient_name")}
    found |= {study[key] for study in truth["studies"] for key in ("accession", "study_instance_uid")}
    return {spelled.encode(charset, "replace") for spelled in found for charset in ("utf-8", "latin-1")}


def _holders(folder: Path, needles: set[bytes]) -> set[str]:
    """Files below `folder` that hold one of the needles."""
    wanted = re.compile(b"|".join(map(re.escape, sorted(needles))))
    return {str(file) for file in folder.rglob("*") if file.is_file() and wanted.search(file.read_bytes())}


def test_no_identity_is_in_what_was_archived_released_or_printed(
    told: subprocess.CompletedProcess[str], home: Path
) -> None:
    needles = _identities(home)
    assert len(list((home / "downloaded").rglob("*.dcm"))) > 20
    assert _holders(home / "downloaded", needles) == _holders(home / "archive", needles) == set()
    assert not any(needle in (told.stdout + told.stderr).encode() for needle in needles)


def test_the_same_search_finds_them_in_what_the_hospitals_sent_and_not_in_the_sealed_spool(
    told: subprocess.CompletedProcess[str], home: Path
) -> None:
    needles, spool = _identities(home), home / "identifying" / "spool"
    assert len(list(spool.rglob("*.dcm"))) > 100
    assert _holders(spool, needles) == set()
    assert len(_holders(home / "synthetic", needles)) > 100


def test_what_is_printed_of_cohort_and_release_names_them(told: subprocess.CompletedProcess[str], home: Path) -> None:
    """Whoever types it again, as after `imaging-hub download`, is understood."""
    settings = Settings(home=home, environment="demonstration")
    with open_database(settings).begin(DatabaseRole.OWNER) as connection:
        rows = connection.execute(text("SELECT id, cohort FROM hub.release")).all()
    printed = set(told.stdout.split())
    assert any({row.id, row.cohort} <= printed for row in rows)


def test_no_nir_is_at_rest_outside_the_identifying_zone(
    told: subprocess.CompletedProcess[str], home: Path, tmp_path: Path
) -> None:
    """All tables of the demo's hub and third party, all its files and what it printed."""
    assert told.returncode == 0
    (tmp_path / "printed").write_text(told.stdout + told.stderr, "utf-8")
    settings = Settings(home=home, environment="demonstration")
    with open_database(settings).begin(DatabaseRole.OWNER) as connection:
        held = connection.execute(text("SELECT count(*) FROM identifying.identity WHERE ins IS NOT NULL")).scalar_one()
        found = nir_at_rest.scan(
            connection, [home, tmp_path], excluded=[home / "identifying", home / "synthetic"]
        )  # fmt: skip
    with open_vault(settings).begin(DatabaseRole.OWNER) as connection:
        tokens = connection.execute(text("SELECT count(*) FROM trust.person WHERE kind = 'INS'")).scalar_one()
        its = nir_at_rest.scan(connection, [])
        assert isinstance(trail.verify(connection), int)
    assert held >= tokens > 20
    assert (found.findings, its.findings) == ({}, {})
    assert found.files > 500
