"""Journal rows of many associations in one statement: while one commit is on its way to the disk, the next fills.

Nothing waits on purpose. With one sender a statement holds one row; with many, the cost of the
flush is shared, and instances of one study do not queue for the lock on its row.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import Database, Role
from imaging_hub.errors import StorageUnavailable
from imaging_hub.intake import journal
from imaging_hub.intake.journal import Arrival, Recorded

BATCH = 64
PATIENCE_SECONDS = 30.0
"""How long an association waits for the journal before it tells the sender to try again."""


@dataclass(frozen=True, slots=True)
class _Entry:
    arrival: Arrival
    profile: str
    same_content: Callable[[str], bool]
    recorded: Future[Recorded] = field(default_factory=Future)


class GroupCommit:
    """One thread that writes the journal for all associations."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: SimpleQueue[_Entry | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._thread = Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to take entries."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was handed in, then end."""
        self._entries.put(None)
        self._thread.join(PATIENCE_SECONDS)

    def record(self, arrival: Arrival, profile: str, same_content: Callable[[str], bool]) -> Recorded:
        """The row of `arrival`, committed; raises `StorageUnavailable` when the journal does not answer."""
        entry = _Entry(arrival, profile, same_content)
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
        try:
            rows = journal.record_readable(self._line(), [(e.arrival, e.profile) for e in readable]) if readable else []
        except SQLAlchemyError:
            self._hang_up()
            rows = [None] * len(readable)
        settled = {id(entry): row for entry, row in zip(readable, rows, strict=True) if row is not None}
        for entry in batch:
            row = settled.get(id(entry))
            if row is not None:
                entry.recorded.set_result(row)
            else:
                self._write_one(entry)

    def _write_one(self, entry: _Entry) -> None:
        try:
            with self._database.begin(Role.GATEWAY) as connection:
                recorded = journal.record(connection, entry.arrival, entry.profile, entry.same_content)
        except Exception as fault:
            # Whatever it is, the association that waits is told.
            entry.recorded.set_exception(fault)
        else:
            entry.recorded.set_result(recorded)

    def _line(self) -> Connection:
        """A connection of our own on which each statement commits by itself: one round trip, one flush."""
        if self._connection is None:
            self._connection = (
                self._database.engine(Role.GATEWAY).connect().execution_options(isolation_level="AUTOCOMMIT")
            )
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None
