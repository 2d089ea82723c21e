"""Room in the spool: the bytes it holds, and watermarks with hysteresis, so that senders do not bounce."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.settings import Settings

CLOSE_AT = 0.85
"""Share of the spool quota from which new associations are refused with the result "rejected-transient"."""
REOPEN_AT = 0.70
"""Share below which they are accepted again."""
DISK_CHECK_SECONDS = 2.0
JOURNAL_CHECK_SECONDS = 30.0
"""How often free disk space is read, and how often the journal's sums are."""


@dataclass(frozen=True, slots=True)
class SpoolUsage:
    """Bytes in the spool, by the journal."""

    total: int
    largest_open_study: int


def quarantined_bytes(connection: Connection) -> int:
    """Bytes kept of instances without a valid study UID; the quarantine quota limits them."""
    return int(
        connection.execute(
            text(
                "SELECT coalesce(sum(size), 0) FROM identifying.instance"
                " WHERE state = 'QUARANTINED' AND study IS NULL AND purged_at IS NULL"
            )
        ).scalar_one()
    )


def spool_bytes(connection: Connection) -> int:
    """Bytes of all originals that are still in the spool."""
    total = connection.execute(text("SELECT coalesce(sum(size), 0) FROM identifying.instance WHERE purged_at IS NULL"))
    return int(total.scalar_one())


def largest_open_study_bytes(connection: Connection) -> int:
    """Bytes of the largest study that is still arriving."""
    total = connection.execute(
        text(
            "SELECT coalesce(max(bytes), 0) FROM (SELECT sum(i.size) AS bytes FROM identifying.instance i"
            " JOIN identifying.study s ON s.id = i.study WHERE s.state = 'OPEN' AND i.purged_at IS NULL"
            " GROUP BY s.id) AS study"
        )
    )
    return int(total.scalar_one())


class SpoolCapacity:
    """Watermarks of one receiver; thread-safe, since at worst two threads measure at once."""

    def __init__(
        self, settings: Settings, measure: Callable[[], SpoolUsage], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder: Path = settings.spool
        self._quota = settings.spool_max_bytes
        self._reserve = settings.spool_reserve_bytes
        self._measure = measure
        self._clock = clock
        self._usage = SpoolUsage(0, 0)
        self._stored_since = 0
        self._open = True
        self._disk_checked_at = self._journal_checked_at = float("-inf")

    @property
    def spool_bytes(self) -> int:
        """Bytes in the spool: the last sum of the journal, and what was stored since."""
        return self._usage.total + self._stored_since

    def is_accepting(self) -> bool:
        """Whether a new association may begin. Raises `SQLAlchemyError` when the journal does not answer."""
        now = self._clock()
        if now - self._journal_checked_at >= JOURNAL_CHECK_SECONDS:
            self._journal_checked_at = now
            self._usage, self._stored_since = self._measure(), 0
        if now - self._disk_checked_at >= DISK_CHECK_SECONDS:
            self._disk_checked_at = now
            self._open = self._is_below_watermark()
        return self._open

    def add_stored(self, size: int) -> None:
        """Count an original of `size` bytes that was stored."""
        self._stored_since += size

    def is_full(self) -> bool:
        """Whether instances are refused on established associations too."""
        return self.spool_bytes >= self._quota

    def _is_below_watermark(self) -> bool:
        used = self.spool_bytes / self._quota
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < max(self._reserve, 2 * self._usage.largest_open_study):
            return False
        return used < (CLOSE_AT if self._open else REOPEN_AT)
