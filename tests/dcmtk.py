"""DCMTK's tools as a hospital's sender."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def tool(name: str) -> str | None:
    """Where DCMTK's tool is; pynetdicom puts tools of the same names into each environment that it is installed in."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    elsewhere = [folder for folder in folders if not (Path(folder).parent / "pyvenv.cfg").exists()]
    return shutil.which(name, path=os.pathsep.join(elsewhere))


def store_all(folder: Path, calling: str, port: int, called: str = "IMAGINGHUB") -> None:
    """Send every file below `folder`, whatever its syntax; one that is refused does not stop the next."""
    dcmsend = tool("dcmsend")
    if dcmsend is None:
        pytest.skip("DCMTK is not installed")
    command = [dcmsend, "-aet", calling, "-aec", called, "+sd", "+r", "-nuc", "-nh", "-dn"]
    subprocess.run([*command, "127.0.0.1", str(port), folder], capture_output=True, timeout=500)
