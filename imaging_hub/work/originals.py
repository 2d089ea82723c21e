"""The originals of a study, which are read twice: once for what identifies the patient, once to be de-identified."""

from __future__ import annotations

from imaging_hub.dicom.elements import Buffer
from imaging_hub.intake.spool import FileStart, Spool

HELD_BYTES = 64 << 20
"""Originals of a study that stay in memory between their two readings."""


class StudyOriginals:
    """As many small ones as fit stay in memory in between."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: dict[str, Buffer] = {}
        self._room = HELD_BYTES

    def start(self, digest: str) -> FileStart:
        """The first bytes of a file, all of a small one."""
        start = self._spool.read_start(digest)
        if start.size == len(start.data) <= self._room:
            self._held[digest] = start.data
            self._room -= start.size
        return start

    def read(self, digest: str) -> Buffer:
        """The whole file."""
        return self._held.pop(digest, None) or self._spool.read(digest)
