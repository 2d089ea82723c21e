"""The originals of a study, which are read twice: once for what identifies the patient, once to be de-identified."""

from __future__ import annotations

from imaging_hub.intake.spool import Spool

HELD_BYTES = 64 << 20
"""Originals of a study that stay in memory between their two readings."""
HELD_FILE_BYTES = 1 << 18
"""Of larger files, memory that nobody used before costs as much as reading them again."""


class Originals:
    """As many as fit stay in memory in between."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: dict[str, bytes] = {}
        self._room = HELD_BYTES

    def read(self, digest: str) -> bytes:
        """The first reading of a file."""
        file = self._spool.read(digest)
        if len(file) <= min(self._room, HELD_FILE_BYTES):
            self._held[digest] = file
            self._room -= len(file)
        return file

    def again(self, digest: str) -> bytes:
        """The second and last."""
        return self._held.pop(digest, None) or self._spool.read(digest)
