"""DCMTK's tools as a hospital's sender."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def tool(name: str) -> str | None:
    """Where DCMTK's tool is; pynetdicom puts tools of the same names into the environment that the tests run in."""
    own = Path(sys.executable).parent
    elsewhere = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if Path(folder) != own]
    return shutil.which(name, path=os.pathsep.join(elsewhere))


def store_all(folder: Path, calling: str, port: int, called: str = "IMAGINGHUB") -> None:
    """Send every file below `folder`, whatever its syntax; one that is refused does not stop the next."""
    dcmsend = tool("dcmsend")
    if dcmsend is None:
        pytest.skip("DCMTK is not installed")
    command = [dcmsend, "-aet", calling, "-aec", called, "+sd", "+r", "-nuc", "-nh", "-dn"]
    subprocess.run([*command, "127.0.0.1", str(port), folder], capture_output=True, timeout=500)
