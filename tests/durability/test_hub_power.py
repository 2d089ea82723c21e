"""T2 for a hub that keeps no originals: what was acknowledged is archived after a power cut."""

from __future__ import annotations

from pathlib import Path

import hub_power
import power
import pytest
from share import Share

pytestmark = pytest.mark.skipif(not power.possible(), reason="needs root, loop devices and strace")


def test_nothing_acknowledged_is_lost_though_no_original_was_kept(postgres_folder: Path, share: Share) -> None:
    found = hub_power.run(postgres_folder, cuts=share.times(1, 3))
    assert found.acknowledged > 10
    assert found.waiting > 0, "some were in the outcomes only"
    assert found.lost == []


def test_without_the_sync_of_objects_it_would_be(postgres_folder: Path) -> None:
    """A busy machine may have written everything by itself before the cut: one of three tries tells."""
    for attempt in "123":
        (postgres_folder / attempt).mkdir(mode=0o755)
        if hub_power.run(postgres_folder / attempt, cuts=1, before=hub_power.NO_SYNC).lost:
            return
    pytest.fail("the disk of the test forgets what was not synced")
