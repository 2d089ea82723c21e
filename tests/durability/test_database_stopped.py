"""T13: the database is stopped while hospitals send; nobody is told a lie, nothing is lost, and the hub catches up."""

from __future__ import annotations

from pathlib import Path

import stopped

STOPPED_SECONDS = 5.0


def test_the_database_is_stopped_in_mid_ingest(postgres_folder: Path, tmp_path: Path) -> None:
    found = stopped.run(postgres_folder / "stopped", tmp_path, STOPPED_SECONDS)
    assert (found.lost, found.doubled, found.without_file, found.unnamed) == ([], [], [], [])
    assert found.cut > 0, "while it was away senders were turned away"
