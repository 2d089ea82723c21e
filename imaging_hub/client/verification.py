"""Verification of a downloaded release against its manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.client import manifest


@dataclass(frozen=True)
class Verification:
    """Differences between a folder and its manifest; paths relative to the folder."""

    files: int
    missing: Sequence[str]
    altered: Sequence[str]
    extra: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, altered or added."""
        return not (self.missing or self.altered or self.extra)


def verify(dest: Path | str, advance: Callable[[int], None] | None = None) -> Verification:
    """Hash every file of a downloaded release again; `advance` is called with the size of each.

    Raises `TransferError` when `dest` holds no valid manifest.
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
        if advance:
            advance(item.size)
    listed = {str(item.path) for item in items} | {manifest.NAME}
    extra = sorted(name for name in _files(folder) if name not in listed)
    return Verification(len(items), missing, altered, extra)


def _files(folder: Path) -> list[str]:
    paths = []
    for root, folders, files in os.walk(folder):
        parent = Path(root)
        links = [name for name in folders if (parent / name).is_symlink()]
        paths += [(parent / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return paths
