"""Power cuts by the dozen; in a file of their own, so that another process tries the other faults meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from at_length import SECONDS, assert_holds, needs_loop_devices

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS), needs_loop_devices]

COMMANDS = [
    pytest.param("durability/power_cut 50", id="50 power cuts"),
    pytest.param("durability/power_cut 25 never", id="25 without originals"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_acknowledged_is_lost(command: str, tmp_path: Path) -> None:
    assert_holds(command, tmp_path)
