"""From originals to objects: instances of a study de-identified, some made durable while the next are worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from imaging_hub.archive.index import StoredInstance
from imaging_hub.archive.objects import ObjectStore, StoredObject
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.instance import DeidentifiedInstance, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.dicom import part10
from imaging_hub.dicom.elements import Buffer
from imaging_hub.intake.journal import JournalEntry
from imaging_hub.intake.spool import FileStart, Spool

BATCH_INSTANCES = 128
BATCH_BYTES = 8 << 20
"""What is made durable together; bounds what a study needs of memory, and how long the disk is kept busy at a time."""
BATCHES_AT_ONCE = 3
LARGE_BYTES = 1 << 20
"""From this size on it is worth looking at the beginning of an original before the whole of it."""
HELD_BYTES = 64 << 20
"""Originals of a study that stay in memory between their two readings."""


class StudyOriginals:
    """The originals of a study, which are read twice: for what identifies the patient, and to be de-identified.

    As many small ones as fit stay in memory in between.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: dict[str, Buffer] = {}
        self._room = HELD_BYTES

    def start(self, digest: str) -> FileStart:
        """Read the first bytes of a file, all of a small one."""
        start = self._spool.read_start(digest)
        if start.size == len(start.data) <= self._room:
            self._held[digest] = start.data
            self._room -= start.size
        return start

    def read(self, digest: str) -> Buffer:
        """Read the whole file."""
        return self._held.pop(digest, None) or self._spool.read(digest)


def archived(
    objects: ObjectStore,
    engine: Deidentifier,
    entries: Sequence[JournalEntry],
    pseudonyms: Pseudonyms,
    originals: StudyOriginals,
) -> tuple[list[tuple[JournalEntry, StoredInstance]], list[tuple[JournalEntry, Quarantined]]]:
    """De-identify instances and store their objects: those that passed, durable now, and those that did not.

    Raises `StorageUnavailable` when an object cannot be stored.
    """
    refusals: list[tuple[JournalEntry, Quarantined]] = []
    with StudyArchiver(objects) as archiving:
        for entry in entries:
            outcome = _deidentified(engine, entry, pseudonyms, originals)
            if isinstance(outcome, Quarantined):
                refusals.append((entry, outcome))
            else:
                archiving.add(entry, outcome)
    return archiving.admissions, refusals


def _deidentified(
    engine: Deidentifier, entry: JournalEntry, pseudonyms: Pseudonyms, originals: StudyOriginals
) -> DeidentifiedInstance | Quarantined:
    if entry.size >= LARGE_BYTES:
        start = originals.start(entry.digest)
        meta, encoded = part10.split(start.data)
        size = start.size - (len(start.data) - len(encoded))
        refusal = engine.refusal(encoded, size, meta.transfer_syntax_uid, pseudonyms)
        if refusal is not None:
            return refusal
    meta, dataset = part10.split(originals.read(entry.digest))
    return engine.deidentify(SourceInstance(dataset, meta.transfer_syntax_uid), pseudonyms)


class StudyArchiver:
    """Takes the instances of a study one by one; at the end of the `with` block all are durable."""

    def __init__(self, objects: ObjectStore) -> None:
        self.admissions: list[tuple[JournalEntry, StoredInstance]] = []
        """Those that are durable, in the order in which they came."""
        self._objects = objects
        self._disk = ThreadPoolExecutor(BATCHES_AT_ONCE)
        self._batch: list[tuple[JournalEntry, DeidentifiedInstance]] = []
        self._bytes = 0
        self._under_way: deque[tuple[list[tuple[JournalEntry, DeidentifiedInstance]], Future[list[StoredObject]]]] = (
            deque()
        )

    def add(self, entry: JournalEntry, instance: DeidentifiedInstance) -> None:
        """Archive one more; raises `StorageUnavailable` when the disk failed one of those before."""
        self._batch.append((entry, instance))
        self._bytes += sum(len(part) for part in instance.part10)
        if self._bytes >= BATCH_BYTES or len(self._batch) >= BATCH_INSTANCES:
            self._hand_over()
            if len(self._under_way) > BATCHES_AT_ONCE:
                self._admit()

    def _hand_over(self) -> None:
        stored = self._disk.submit(self._objects.put_all, [instance.part10 for _, instance in self._batch])
        # Only the disk keeps their bytes, and lets go of them.
        self._under_way.append(([(entry, replace(one, part10=())) for entry, one in self._batch], stored))
        self._batch, self._bytes = [], 0

    def _admit(self) -> None:
        batch, stored = self._under_way.popleft()
        self.admissions += [
            (entry, StoredInstance(instance, one.digest, one.size))
            for (entry, instance), one in zip(batch, stored.result(), strict=True)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._disk:
            if error is None:
                if self._batch:
                    self._hand_over()
                while self._under_way:
                    self._admit()
