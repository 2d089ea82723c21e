"""DCMTK's `dcmsend` as a hospital's sender."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def store_all(folder: Path, calling: str, port: int, called: str = "IMAGINGHUB") -> None:
    """Send every file below `folder`, whatever its syntax; one that is refused does not stop the next."""
    if shutil.which("dcmsend") is None:
        pytest.skip("DCMTK is not installed")
    command = ["dcmsend", "-aet", calling, "-aec", called, "+sd", "+r", "-nuc", "-nh", "-dn"]
    subprocess.run([*command, "127.0.0.1", str(port), folder], capture_output=True, timeout=500)
