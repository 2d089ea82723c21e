"""An archived object outlives a power cut; without the sync it would not, so the test can tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import power
import pytest

from imaging_hub.archive.objects import ObjectStore

pytestmark = pytest.mark.skipif(not power.possible(), reason="needs root, loop devices and strace")

BATCHES = 4
ARCHIVE = """
import os, sys
from imaging_hub.archive.objects import ObjectStore
objects = ObjectStore(sys.argv[1])
for _ in range(int(sys.argv[2])):
    stored = objects.put_all([[b"head ", os.urandom(20_000)] for _ in range(20)])
    print(*(one.digest for one in stored), flush=True)
sys.stdin.read()
"""
NO_SYNC = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=syncfs", "-e", "inject=syncfs:retval=0")


def lost_after_a_cut(folder: Path, before: Sequence[str] = ()) -> list[str]:
    """Digests of objects that were said to be durable, and are not whole on the disk as it is at that moment."""
    image, disk, copy = folder / "disk.img", folder / "disk", folder / "cut.img"
    power.format_disk(image)
    with power.mounted(image, disk):
        command = [*before, sys.executable, "-c", ARCHIVE, str(disk / "objects"), str(BATCHES)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as archiving:
            assert archiving.stdout
            durable = [digest for _ in range(BATCHES) for digest in archiving.stdout.readline().split()]
            subprocess.run(["cp", "--sparse=always", image, copy], check=True)
            archiving.communicate("")
    assert len(durable) == 20 * BATCHES
    with power.mounted(copy, folder / "after"):
        objects = ObjectStore(str(folder / "after" / "objects"))
        return [digest for digest in durable if not power.is_whole(objects, digest)]


def test_what_was_archived_is_whole_after_a_power_cut(tmp_path: Path) -> None:
    assert lost_after_a_cut(tmp_path) == []


def test_without_the_sync_a_power_cut_loses_objects(tmp_path: Path) -> None:
    """A busy machine may have written everything by itself before the cut: one of three tries tells."""
    folders = [tmp_path / attempt for attempt in "123"]
    for folder in folders:
        folder.mkdir()
    assert any(lost_after_a_cut(folder, NO_SYNC) for folder in folders)
