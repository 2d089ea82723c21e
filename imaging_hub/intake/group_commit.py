"""Journal rows of many associations in one transaction: while one commit is on its way to the disk, the next fills.

Nothing waits on purpose. With one sender a transaction holds one row; with many, the cost of the
flush is shared, and instances of one study do not queue for the lock on its row.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

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
                return

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
        try:
            with self._database.begin(Role.GATEWAY) as connection:
                rows = [journal.record(connection, e.arrival, e.profile, e.same_content) for e in batch]
        except Exception as fault:
            # Whatever it is, those who wait are told.
            if len(batch) == 1:
                batch[0].recorded.set_exception(fault)
                return
            # One bad entry must not take the others with it.
            for entry in batch:
                self._write([entry])
            return
        for entry, recorded in zip(batch, rows, strict=True):
            entry.recorded.set_result(recorded)
