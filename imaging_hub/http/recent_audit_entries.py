"""Audit entries made recently, so that a session makes one entry per object and not one per image."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock


class RecentAuditEntries:
    """A bounded set of entries; forgetting one only leads to one more entry in the audit trail."""

    def __init__(self, max_entries: int = 4096) -> None:
        self._entries: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._lock = Lock()
        self._max_entries = max_entries

    def is_new(self, *entry: str) -> bool:
        """Whether the entry was not recorded yet; call `add` after it is committed."""
        with self._lock:
            return entry not in self._entries

    def add(self, *entry: str) -> None:
        """Record an entry, and drop the oldest when there are too many."""
        with self._lock:
            self._entries[entry] = None
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
