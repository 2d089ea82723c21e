"""Kills, stopped databases and damaged bytes by the hundred and thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_length import SECONDS, assert_holds

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS)]

COMMANDS = [
    pytest.param("durability/kill9 500", id="500 SIGKILLs of the receiver"),
    pytest.param("durability/database_stopped 30", id="the database stopped for 30 s"),
    pytest.param("fuzz_reception 5000 5000", id="5,000 damaged instances and 5,000 damaged streams"),
    pytest.param("fuzz_deidentify 20000", id="20,000 damaged files de-identified"),
    pytest.param("fuzz_walk 20000", id="20,000 damaged files read"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_lost_and_nothing_falls_over(command: str, tmp_path: Path) -> None:
    assert_holds(command, tmp_path)
