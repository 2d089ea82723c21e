"""Whether there is room for more: watermarks on the spool, with hysteresis, so that senders do not bounce."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.settings import Settings

CLOSE_AT = 0.85
"""Share of the spool quota at which new associations are asked to come again later."""
REOPEN_AT = 0.70
"""Share at which they are let in again."""
LOOK_SECONDS = 2.0
COUNT_SECONDS = 30.0
"""How often the disk is looked at, and how often the journal is asked what the spool holds."""


@dataclass(frozen=True, slots=True)
class SpoolLoad:
    """What the journal says of the spool, in bytes."""

    spool: int
    largest_open_study: int


class SpoolAdmission:
    """The watermarks of one receiver. Safe to ask from many threads: at worst two of them look at once."""

    def __init__(
        self, settings: Settings, count: Callable[[], SpoolLoad], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder: Path = settings.spool
        self._quota = settings.spool_max_bytes
        self._reserve = settings.spool_reserve_bytes
        self._count = count
        self._clock = clock
        self._load = SpoolLoad(0, 0)
        self._added = 0
        self._open = True
        self._looked = self._counted = float("-inf")

    @property
    def spool_bytes(self) -> int:
        """Bytes in the spool: as last counted, and what came since."""
        return self._load.spool + self._added

    def accepting(self) -> bool:
        """Whether a new association may begin."""
        now = self._clock()
        if now - self._counted >= COUNT_SECONDS:
            self._counted = now
            self._load, self._added = self._count(), 0
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._open = self._decide()
        return self._open

    def added(self, size: int) -> None:
        """An original of `size` bytes was stored."""
        self._added += size

    def full(self) -> bool:
        """Whether even the associations that are under way must be refused."""
        return self.spool_bytes >= self._quota

    def _decide(self) -> bool:
        used = self.spool_bytes / self._quota
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < max(self._reserve, 2 * self._load.largest_open_study):
            return False
        return used < (CLOSE_AT if self._open else REOPEN_AT)
