"""A command of `scripts` that tries at length what every run tries in short, and says by its status whether it held."""

from __future__ import annotations

import subprocess
from pathlib import Path

import power
import pytest

_ROOT = Path(__file__).resolve().parents[2]
SECONDS = 4 * 3600.0
needs_loop_devices = pytest.mark.skipif(not power.possible(), reason="needs root, loop devices and strace")
needs_corpus = pytest.mark.skipif(
    not (_ROOT.parent / "shared" / "tools" / "corpus").exists(), reason="the shared corpus is not beside the project"
)


def assert_holds(command: str, folder: Path) -> None:
    """Run it in this folder; what it printed is shown when it fails, or with `-rP`."""
    name, *arguments = command.split()
    done = subprocess.run(
        [_ROOT / "scripts" / name, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
