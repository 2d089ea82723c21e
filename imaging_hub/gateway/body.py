"""A dataset while it arrives: in memory as long as it is small, in a file of the spool beyond that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.passages import PassageReader
from imaging_hub.errors import StorageUnavailable
from imaging_hub.gateway.connection import Connection
from imaging_hub.intake.spool import START_BYTES, Incoming, Spool, Spooled
from imaging_hub.intake.vault import Owner

IN_MEMORY_BYTES = 8 << 20
"""Largest dataset held in memory; bounds what an association costs."""
_FIRST_BYTES = 1 << 18


class Body:
    """Receives one dataset after another; the memory is used again."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._buffer = bytearray(_FIRST_BYTES)
        self._filled = 0
        self._head = self._start = b""
        self._part: Incoming | None = None
        self.reader = PassageReader()
        """Reads the datasets: what slices of a series have in common is read once."""
        self.fault: StorageUnavailable | None = None
        """The disk failed; the rest of the dataset is taken from the wire and dropped."""
        self.size = 0

    def begin(self, head: bytes) -> None:
        """A new dataset; `head` is what stands before it in its file."""
        self.discard()
        self._head = head

    def receive(self, connection: Connection, size: int) -> None:
        """Take the next `size` bytes of the dataset from the wire."""
        self.size += size
        while size:
            view = self._room(size)
            connection.read_into(view)
            self._filled += len(view)
            size -= len(view)

    def write(self, data: Buffer) -> None:
        """Take the next piece of the dataset from memory."""
        self.size += len(data)
        while len(data):
            view = self._room(len(data))
            view[:] = data[: len(view)]
            self._filled += len(view)
            data = data[len(view) :]

    def start(self) -> Buffer:
        """The first bytes of the dataset, all of one that is in memory."""
        return memoryview(self._buffer)[: self._filled].toreadonly() if self._part is None else self._start

    @contextmanager
    def dataset(self) -> Iterator[Buffer]:
        """The whole dataset, not copied; raises `StorageUnavailable`."""
        part = self._in_file()
        if part is None:
            yield self.start()
            return
        with part.content() as content:
            yield memoryview(content)[len(self._head) :]

    def keep(self, owner: Owner) -> Spooled:
        """Put the file into the spool, durably; raises `StorageUnavailable`."""
        part = self._in_file()
        return self._spool.store([self._head, self.start()], owner) if part is None else part.keep(owner)

    def digest(self) -> Spooled:
        """Digest and size of the file that `keep` would store, without storing it; raises `StorageUnavailable`."""
        part = self._in_file()
        return self._spool.name([self._head, self.start()]) if part is None else Spooled(part.digest, part.size)

    def _in_file(self) -> Incoming | None:
        """The file in which all of the dataset is, if it is too large for memory."""
        if self._part is not None:
            self._spill()
        if self.fault is not None:
            raise self.fault
        return self._part

    def discard(self) -> None:
        """Forget the dataset."""
        if self._part is not None:
            self._part.close()
            self._part = None
        self._filled = self.size = 0
        self.fault = None

    def _room(self, wanted: int) -> memoryview:
        """A writable stretch of the buffer of at most `wanted` bytes."""
        if self._filled + wanted > len(self._buffer):
            if self._part is None and self._filled + wanted <= IN_MEMORY_BYTES:
                larger = bytearray(min(IN_MEMORY_BYTES, max(2 * len(self._buffer), self._filled + wanted)))
                larger[: self._filled] = memoryview(self._buffer)[: self._filled]
                self._buffer = larger
            elif self._filled:
                self._spill()
        return memoryview(self._buffer)[self._filled : self._filled + wanted]

    def _spill(self) -> None:
        """Move what is in memory to a file of the spool."""
        try:
            if self.fault is None:
                if self._part is None:
                    self._start = bytes(memoryview(self._buffer)[:START_BYTES])
                    self._part = self._spool.incoming()
                    self._part.write(self._head)
                self._part.write(memoryview(self._buffer)[: self._filled])
        except StorageUnavailable as fault:
            self.fault = fault
        self._filled = 0
