"""A synthetic SNDS, made once for all tests of a run that read it."""

from __future__ import annotations

import atexit
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from imaging_hub.synthetic.generator import synthesize


@dataclass(frozen=True)
class SyntheticSnds:
    """Where it lies, and what is true of it."""

    folder: Path
    truth: dict[str, Any]


@cache
def synthetic_snds(persons: int = 90, seed: int = 7) -> SyntheticSnds:
    """The same files for the same arguments; nobody writes in them."""
    temporary = Path(mkdtemp(prefix="synthetic-snds-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    folder = temporary / "out"
    synthesize(folder, persons, seed)
    return SyntheticSnds(folder, json.loads((folder / "truth.json").read_text("utf-8")))
