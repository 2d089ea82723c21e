"""Journal rows of many associations in one statement: while one commit is on its way to the disk, the next fills.

Nothing waits on purpose. With one sender a statement holds one row; with many, the cost of the
flush is shared, and instances of one study do not queue for the lock on its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import StorageUnavailable
from imaging_hub.intake import journal
from imaging_hub.intake.journal import Arrival, RecordedArrival

BATCH = 64
PATIENCE_SECONDS = 30.0
"""How long an association waits for the journal before it tells the sender to try again."""


@dataclass(frozen=True, slots=True)
class _Entry:
    arrival: Arrival
    profile: str
    same_content: Callable[[str], bool] | None = None
    """None for an arrival with an outcome."""
    recorded: Future[RecordedArrival | None] = field(default_factory=Future)


class GroupCommit:
    """One thread that writes the journal for all associations."""

    def __init__(self, login: DatabaseLogin) -> None:
        self._login = login
        self._entries: SimpleQueue[_Entry | None] = SimpleQueue()
        self._line: psycopg.Connection[tuple[Any, ...]] | None = None
        """A connection of our own on which each statement commits by itself: one round trip, one flush."""
        self._thread = Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to take entries."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was handed in, then end."""
        self._entries.put(None)
        self._thread.join(PATIENCE_SECONDS)

    def record(self, arrival: Arrival, profile: str, same_content: Callable[[str], bool]) -> RecordedArrival:
        """The row of `arrival`, committed; raises `StorageUnavailable` when the journal does not answer."""
        recorded = self._committed(_Entry(arrival, profile, same_content))
        if recorded is None:
            raise ValueError("an arrival without an outcome always has a row")
        return recorded

    def record_passed(self, arrival: Arrival, profile: str) -> RecordedArrival | None:
        """As `journal.record_passed`, committed; raises as `record` does."""
        return self._committed(_Entry(arrival, profile))

    def _committed(self, entry: _Entry) -> RecordedArrival | None:
        self._entries.put(entry)
        try:
            return entry.recorded.result(PATIENCE_SECONDS)
        except (SQLAlchemyError, TimeoutError) as fault:
            raise StorageUnavailable(
                "the journal could not be written", code="journal-unavailable", hint="is PostgreSQL running?"
            ) from fault

    def _run(self) -> None:
        while (first := self._entries.get()) is not None:
            batch, last = self._more(first)
            self._write(batch)
            if last:
                break
        self._hang_up()

    def _more(self, first: _Entry) -> tuple[list[_Entry], bool]:
        """What waits behind `first`; and whether the end was among it."""
        batch = [first]
        while len(batch) < BATCH:
            try:
                entry = self._entries.get_nowait()
            except Empty:
                break
            if entry is None:
                return batch, True
            batch.append(entry)
        return batch, False

    def _write(self, batch: list[_Entry]) -> None:
        """Record a batch: what is readable together, the rest, and whatever that did not settle, one by one."""
        readable = [entry for entry in batch if entry.arrival.reason is None]
        settled = {id(entry): row for entry, row in self._write_readable(readable) if row is not None}
        for entry in batch:
            row = settled.get(id(entry))
            if row is not None:
                entry.recorded.set_result(row)
            else:
                self._write_one(entry)

    def _write_readable(self, entries: list[_Entry]) -> Iterable[tuple[_Entry, RecordedArrival | None]]:
        """Entries with their rows; none when the database did not answer."""
        if not entries:
            return ()
        try:
            if self._line is None:
                self._line = psycopg.connect(self._login.conninfo(), autocommit=True)
            return zip(
                entries, journal.record_readable(self._line, [(e.arrival, e.profile) for e in entries]), strict=True
            )
        except psycopg.Error:
            self._hang_up()
            return ()

    def _write_one(self, entry: _Entry) -> None:
        try:
            with self._login.begin() as connection:
                recorded = (
                    journal.record_passed(connection, entry.arrival, entry.profile)
                    if entry.same_content is None
                    else journal.record(connection, entry.arrival, entry.profile, entry.same_content)
                )
        except Exception as fault:
            # Whatever it is, the association that waits is told.
            entry.recorded.set_exception(fault)
        else:
            entry.recorded.set_result(recorded)

    def _hang_up(self) -> None:
        if self._line is not None:
            with suppress(psycopg.Error):
                self._line.close()
            self._line = None
