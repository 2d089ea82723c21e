"""T2: nothing acknowledged is lost by a power cut; without fsync it would be, so the test can tell."""

from __future__ import annotations

from pathlib import Path

import power
import pytest
from share import Share

pytestmark = pytest.mark.skipif(not power.possible(), reason="needs root, loop devices and strace")


def test_nothing_acknowledged_is_lost_when_the_power_is_cut(postgres_folder: Path, share: Share) -> None:
    found = power.run(postgres_folder, cuts=share.times(1, 3))
    assert found.acknowledged > 20
    assert (found.lost, found.doubled, found.without_file) == ([], [], [])


def test_without_fsync_a_power_cut_loses_what_was_acknowledged(postgres_folder: Path) -> None:
    found = power.run(postgres_folder, cuts=1, before=power.NO_FSYNC)
    assert found.acknowledged > 5
    assert found.lost, "the disk of the test forgets what was not synced"
