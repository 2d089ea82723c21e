"""Group commit of journal rows: those that associations hand in during one commit share the next one.

No row waits on purpose. With one sender a statement holds one row; with many, they share the cost of the flush, and
instances of one study do not queue for the lock on its row.
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
TIMEOUT_SECONDS = 30.0
"""How long an association waits for the journal before it answers "out of resources"."""


@dataclass(frozen=True, slots=True)
class _WaitingArrival:
    arrival: Arrival
    profile: str
    same_content: Callable[[str], bool] | None = None
    """None for an arrival that was de-identified before the acknowledgement."""
    recorded: Future[RecordedArrival | None] = field(default_factory=Future)


class GroupCommit:
    """Writes the journal for all associations in one thread."""

    def __init__(self, login: DatabaseLogin) -> None:
        self._login = login
        self._entries: SimpleQueue[_WaitingArrival | None] = SimpleQueue()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        """In autocommit, so that a statement costs one round trip and one flush."""
        self._thread = Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write the rows that were handed in, then end the thread."""
        self._entries.put(None)
        self._thread.join(TIMEOUT_SECONDS)

    def record(self, arrival: Arrival, profile: str, same_content: Callable[[str], bool]) -> RecordedArrival:
        """As `journal.record`, committed. Raises `StorageUnavailable` when the journal does not answer."""
        recorded = self._commit(_WaitingArrival(arrival, profile, same_content))
        if recorded is None:
            raise ValueError("an arrival without an outcome always has a row")
        return recorded

    def record_deidentified(self, arrival: Arrival, profile: str) -> RecordedArrival | None:
        """As `journal.record_deidentified`, committed. Raises `StorageUnavailable` as `record` does."""
        return self._commit(_WaitingArrival(arrival, profile))

    def _commit(self, entry: _WaitingArrival) -> RecordedArrival | None:
        self._entries.put(entry)
        try:
            return entry.recorded.result(TIMEOUT_SECONDS)
        except (SQLAlchemyError, TimeoutError) as fault:
            raise StorageUnavailable(
                "the journal could not be written", code="journal-unavailable", hint="is PostgreSQL running?"
            ) from fault

    def _run(self) -> None:
        while (first := self._entries.get()) is not None:
            batch, last = self._take_waiting(first)
            self._write(batch)
            if last:
                break
        self._disconnect()

    def _take_waiting(self, first: _WaitingArrival) -> tuple[list[_WaitingArrival], bool]:
        """Return `first` with the entries that wait behind it, and whether the thread has to end after them."""
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

    def _write(self, batch: list[_WaitingArrival]) -> None:
        """Record the valid instances of a batch in one statement, and the others one by one."""
        valid = [entry for entry in batch if entry.arrival.reason is None]
        recorded = {id(entry): row for entry, row in self._write_valid(valid) if row is not None}
        for entry in batch:
            row = recorded.get(id(entry))
            if row is not None:
                entry.recorded.set_result(row)
            else:
                self._write_one(entry)

    def _write_valid(self, entries: list[_WaitingArrival]) -> Iterable[tuple[_WaitingArrival, RecordedArrival | None]]:
        """Return the entries with their rows; nothing when the database does not answer."""
        if not entries:
            return ()
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._login.conninfo(), autocommit=True)
            return zip(
                entries, journal.record_batch(self._connection, [(e.arrival, e.profile) for e in entries]), strict=True
            )
        except psycopg.Error:
            self._disconnect()
            return ()

    def _write_one(self, entry: _WaitingArrival) -> None:
        try:
            with self._login.begin() as connection:
                recorded = (
                    journal.record_deidentified(connection, entry.arrival, entry.profile)
                    if entry.same_content is None
                    else journal.record(connection, entry.arrival, entry.profile, entry.same_content)
                )
        except Exception as fault:
            # Whatever the fault, the association that waits must learn of it.
            entry.recorded.set_exception(fault)
        else:
            entry.recorded.set_result(recorded)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
