"""De-identification of a study's originals and storage of the objects, in batches that overlap."""

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
from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom import part10
from imaging_hub.dicom.elements import Buffer
from imaging_hub.intake.journal import JournalEntry
from imaging_hub.intake.spool import FileStart, Spool

BATCH_INSTANCES = 128
BATCH_BYTES = 8 << 20
"""Size of a batch, which bounds the memory of a study and the length of one flush."""
CONCURRENT_BATCHES = 3
LARGE_BYTES = 1 << 20
"""From this size on, the beginning of an original is read before the whole."""
CACHED_BYTES = 64 << 20
"""Bytes of originals that stay in memory between their two readings."""


class StudyOriginals:
    """The originals of a study, which are read twice: for the patient's identifiers, and to be de-identified.

    Small ones are cached between the two, up to `CACHED_BYTES`.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._cached: dict[str, Buffer] = {}
        self._free_bytes = CACHED_BYTES

    def read_start(self, digest: str) -> FileStart:
        """Read the first bytes of a file, all of a small one. Raises as `Spool.read` does."""
        start = self._spool.read_start(digest)
        if start.size == len(start.data) <= self._free_bytes:
            self._cached[digest] = start.data
            self._free_bytes -= start.size
        return start

    def read(self, digest: str) -> Buffer:
        """Read the whole file. Raises as `Spool.read` does."""
        return self._cached.pop(digest, None) or self._spool.read(digest)


def archive_instances(
    objects: ObjectStore,
    engine: Deidentifier,
    entries: Sequence[JournalEntry],
    pseudonyms: Pseudonyms,
    originals: StudyOriginals,
) -> tuple[list[tuple[JournalEntry, StoredInstance]], list[tuple[JournalEntry, Quarantined]]]:
    """De-identify instances and store their objects; return the durable ones, and the quarantined ones.

    Raises `StorageUnavailable` when an object cannot be stored.
    """
    quarantined: list[tuple[JournalEntry, Quarantined]] = []
    with StudyArchiver(objects) as archiver:
        for entry in entries:
            outcome = _deidentify(engine, entry, pseudonyms, originals)
            if isinstance(outcome, Quarantined):
                quarantined.append((entry, outcome))
            else:
                archiver.add(entry, outcome)
    return archiver.admissions, quarantined


def _deidentify(
    engine: Deidentifier, entry: JournalEntry, pseudonyms: Pseudonyms, originals: StudyOriginals
) -> DeidentifiedInstance | Quarantined:
    if entry.size >= LARGE_BYTES:
        start = originals.read_start(entry.digest)
        meta, encoded = part10.split(start.data)
        size = start.size - (len(start.data) - len(encoded))
        refusal = engine.refusal(encoded, size, meta.transfer_syntax_uid, pseudonyms)
        if refusal is not None:
            return refusal
    meta, dataset = part10.split(originals.read(entry.digest))
    return engine.deidentify(SourceInstance(dataset, meta.transfer_syntax_uid), pseudonyms)


class StudyArchiver:
    """Stores the instances of a study; at the end of the `with` block all are durable."""

    def __init__(self, objects: ObjectStore) -> None:
        self.admissions: list[tuple[JournalEntry, StoredInstance]] = []
        """The durable instances, in the order of `add`."""
        self._objects = objects
        self._disk = ThreadPoolExecutor(CONCURRENT_BATCHES)
        self._batch: list[tuple[JournalEntry, DeidentifiedInstance]] = []
        self._bytes = 0
        self._submitted: deque[tuple[list[tuple[JournalEntry, DeidentifiedInstance]], Future[list[StoredObject]]]] = (
            deque()
        )

    def add(self, entry: JournalEntry, instance: DeidentifiedInstance) -> None:
        """Store one more instance. Raises `StorageUnavailable` when an earlier one could not be stored."""
        self._batch.append((entry, instance))
        self._bytes += sum(len(part) for part in instance.part10)
        if self._bytes >= BATCH_BYTES or len(self._batch) >= BATCH_INSTANCES:
            self._submit()
            if len(self._submitted) > CONCURRENT_BATCHES:
                self._collect()

    def _submit(self) -> None:
        stored = self._disk.submit(self._objects.put_all, [instance.part10 for _, instance in self._batch])
        # Only the writing thread keeps the bytes, and drops them.
        self._submitted.append(([(entry, replace(instance, part10=())) for entry, instance in self._batch], stored))
        self._batch, self._bytes = [], 0

    def _collect(self) -> None:
        batch, stored = self._submitted.popleft()
        self.admissions += [
            (entry, StoredInstance(instance, stored_object.digest, stored_object.size))
            for (entry, instance), stored_object in zip(batch, stored.result(), strict=True)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._disk:
            if error is None:
                if self._batch:
                    self._submit()
                while self._submitted:
                    self._collect()
