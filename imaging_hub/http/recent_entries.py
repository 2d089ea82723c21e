"""Remembering what was already put on the trail, so that one sitting is one entry and not one per image."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock


class RecentEntries:
    """A bounded set of things done. Forgetting one only means one more entry on the trail."""

    def __init__(self, most: int = 4096) -> None:
        self._done: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._lock = Lock()
        self._most = most

    def is_new(self, *what: str) -> bool:
        """True the first time; call `done` only after the entry is committed."""
        with self._lock:
            return what not in self._done

    def done(self, *what: str) -> None:
        """Remember it; the oldest gives way."""
        with self._lock:
            self._done[what] = None
            while len(self._done) > self._most:
                self._done.popitem(last=False)
