"""Is a downloaded release still, byte for byte, what was released?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.client import manifest


@dataclass(frozen=True)
class Verification:
    """What a folder holds compared with its manifest; paths relative to the folder."""

    files: int
    missing: Sequence[str]
    altered: Sequence[str]
    extra: Sequence[str]

    @property
    def ok(self) -> bool:
        """Nothing missing, altered or added."""
        return not (self.missing or self.altered or self.extra)


def verify(dest: Path | str, hashed: Callable[[int], None] | None = None) -> Verification:
    """Hash every file of a downloaded release again. `hashed` is told the bytes of each.

    Raises `TransferError` when `dest` holds no manifest.
    """
    folder = Path(dest)
    items = manifest.read(folder)
    missing, altered = [], []
    for item in items:
        path = folder / item.path
        if not path.is_file() or path.is_symlink():
            missing.append(str(item.path))
        elif path.stat().st_size != item.size or manifest.sha256(path) != item.digest:
            altered.append(str(item.path))
        if hashed:
            hashed(item.size)
    named = {str(item.path) for item in items} | {manifest.NAME}
    extra = sorted(name for name in _files(folder) if name not in named)
    return Verification(len(items), missing, altered, extra)


def _files(folder: Path) -> list[str]:
    found = []
    for root, folders, files in os.walk(folder):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        found += [(here / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return found
