"""The way of an instance to its object is told in few files: what `scripts/count_file_changes` counts stays small."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

MOST = 42
"""Half of what there were at revision 1b69417."""


def _counted(root: Path) -> dict[str, int]:
    # A process of its own: what another test has cached would not be called again.
    done = subprocess.run([root / "scripts" / "count_file_changes"], capture_output=True, text=True, check=True)
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def test_who_follows_an_instance_to_its_object_changes_the_file_seldom(root: Path) -> None:
    counted = _counted(root)
    assert counted["changes_of_file"] <= MOST
    page = (root / "docs" / "architecture.md").read_text("utf-8")
    written = re.search(r"changes files (\d+) times, among (\d+)\s+files", page)
    assert written is not None
    assert written.groups() == (str(counted["changes_of_file"]), str(counted["files"])), "docs/architecture.md"
