"""The commands of an operator and a researcher, from an account to a release."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from imaging_hub.cli import account, cohort, permit
from imaging_hub.database import Database
from imaging_hub.errors import DefinitionError
from tests.cohort_oracle import index_series
from tests.dense_tables import a_dense_world

DEFINITION = """\
cohort: cancer-ct
version: 1
sets: {cancer: {icd10: ["C*"]}}
index: {event: {domain: diagnosis, set: cancer}}
imaging: [{name: ct, modality: CT, window: {before: [0, 40], after: [0, 40]}}]
"""


@pytest.fixture
def config(database: Database, tmp_path: Path) -> Path:
    """Settings of a hub that holds small dense tables."""
    world = a_dense_world(tmp_path / "tables", random.Random(3))
    index_series(database, world)
    home = tmp_path / "hub"
    (home / "archive").mkdir(parents=True)
    shutil.move(tmp_path / "tables", home / "archive" / "tables")
    file = tmp_path / "hub.toml"
    url = database.owner_url.render_as_string(hide_password=False)
    file.write_text(f'home = "{home}"\ndatabase_url = "{url}"\ndatabase_role_password = "unused"\nsmall_cell = 3\n')
    return file


def call(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(app: typer.Typer, *arguments: object) -> Any:
    result = call(app, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_from_an_account_to_a_release_and_back(config: Path, tmp_path: Path) -> None:
    common = ("--config", config)
    file = tmp_path / "cancer.yaml"
    file.write_text(DEFINITION)
    assert told(cohort.app, "check", file)["ok"] is True
    token = told(account.app, "add", "ada", "researcher", "--days", 30, *common)["token"]
    assert len(token) >= 43
    assert token not in call(account.app, "list", *common).output
    about = ("--title", "t", "--purpose", "t", "--public-interest", "t", "--legal-basis", "MR-004")
    assert call(permit.project_app, "add", "p", *about, *common).exit_code == 0
    scope = ("--holder", "ada", "--modality", "ct", "--until", "2099-01-01")
    granted = told(permit.app, "grant", "p", *scope, *common)["permit"]
    assert told(permit.app, "list", *common)["permits"][0]["state"] == "in force"

    shown = call(cohort.app, "count", file, *common)
    assert shown.exit_code == 0, shown.output
    assert "linked subjects" in shown.stdout
    counted = told(cohort.app, "count", file, "--account", "ada", *common)
    assert int(counted["steps"][0]["subjects"]) % 10 == 0
    frozen = told(cohort.app, "freeze", file, "--project", "p", *common)
    assert told(cohort.app, "freeze", file, "--permit", granted, *common) == {**frozen, "new": False}
    released = told(cohort.app, "release", frozen["cohort"], *common)
    assert told(cohort.app, "release", frozen["cohort"], *common) == {**released, "new": False}

    assert call(permit.app, "revoke", granted, *common).exit_code == 0
    assert told(permit.app, "list", "--project", "p", *common)["permits"][0]["state"] == "revoked"
    refused = call(cohort.app, "release", frozen["cohort"], "--json", *common)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["denied"] == "permit-revoked"
    nobody = call(cohort.app, "freeze", file, "--project", "q", *common)
    assert nobody.exit_code == 2
    assert "name the permit" in nobody.output


def test_a_fault_is_one_line_however_long(tmp_path: Path) -> None:
    file = tmp_path / ("long_" * 30) / "cancer.yaml"
    file.parent.mkdir()
    file.write_text(DEFINITION.replace("C*", "C34"))
    command = [sys.executable, "-m", "imaging_hub", "cohort", "check", str(file)]
    (fault,) = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
    assert fault.startswith(f"{file}:3: ")
    assert fault.endswith("[cohort-definition]")


def test_a_wrong_definition_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "cancer.yaml"
    file.write_text(DEFINITION.replace("C*", "C34"))
    fault = call(cohort.app, "count", file, "--config", tmp_path / "none.toml").exception
    assert isinstance(fault, DefinitionError)
    assert str(fault).startswith(f"{file}:3: `C34` has subdivisions")
