"""An instance larger than the memory allowed is de-identified: its pixels stay on disk and out of memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from an_instance import CT_IMAGE, EXPLICIT, an_instance
from dataset_bytes import element

from imaging_hub.dicom import part10

PIXEL_BYTES = 700 << 20
MEMORY_BYTES = 400 << 20
RESIDENT_BYTES = 250 << 20
COMMAND = """
import atexit, re
from pathlib import Path
from imaging_hub.cli import main
atexit.register(lambda: print("peak", re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1]))
main()
"""
"""The command, which tells at its end the most memory that was resident, mapped files included."""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited as Linux does")
def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    source = tmp_path / "in" / "large.dcm"
    source.parent.mkdir()
    head = part10.file_meta(CT_IMAGE, "1.2.250.1.999.1.3", EXPLICIT) + bytes(an_instance().dataset)
    head += element(0x7FE00010, "OW", length=PIXEL_BYTES)
    with source.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + PIXEL_BYTES)
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("00" * 32)
    out = tmp_path / "out"
    command = [sys.executable, "-c", COMMAND, "deidentify", str(source), str(out)]
    done = subprocess.run(
        [*command, "--profile", "research-longitudinal", "--key-file", str(key), "--jobs", "1"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (written,) = out.rglob("*.dcm")
    assert written.stat().st_size > PIXEL_BYTES
    assert int(done.stdout.split("peak ")[1]) * 1024 < RESIDENT_BYTES
    written.unlink()
