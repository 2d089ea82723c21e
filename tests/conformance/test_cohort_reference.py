"""The reference of the cohort language says what the schema says, and every worked cohort is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from imaging_hub import yaml_source
from imaging_hub.cohorts.definition import read, schema

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "docs" / "cohorts").glob("*.yaml"))


def test_the_page_is_what_the_schema_makes_of_it() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "build_cohort_reference", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_key_has_a_meaning() -> None:
    models = [schema(), *schema()["$defs"].values()]  # type: ignore[attr-defined]
    keys = [(key, one) for model in models for key, one in model.get("properties", {}).items()]
    unsaid = {key for key, one in keys if not one.get("description") and "$ref" not in one}
    assert unsaid == set()


def test_there_are_ten_worked_cohorts() -> None:
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_a_worked_cohort_is_right_by_the_schema_and_by_the_command(file: Path) -> None:
    jsonschema.validate(yaml_source.read(file).content, schema())
    assert read(file).cohort == file.stem
