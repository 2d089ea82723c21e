"""Identifiers in the whole corpus, cohorts and links over many people, and the benches that run for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_length import SECONDS, assert_holds, needs_corpus

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS)]

COMMANDS = [
    pytest.param("privacy 1", id="identifiers planted in the whole corpus", marks=needs_corpus),
    pytest.param("privacy_generated 1000", id="1,000 generated patients under each profile"),
    pytest.param("conformance", id="IOD errors over the whole corpus", marks=needs_corpus),
    pytest.param("differencing_attack 200", id="200 counts by an attacker"),
    pytest.param("linkage_quality 20000", id="20,000 persons linked"),
    pytest.param("bench/cohorts --persons 2000 --beside 2000 --runs 1", id="the bench of cohorts"),
    pytest.param("bench/deidentify --instances 20 --runs 1", id="the bench of de-identification", marks=needs_corpus),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_holds(command: str, tmp_path: Path) -> None:
    assert_holds(command, tmp_path)
