"""A dataset while it arrives: in memory as long as it is small, in a file of the spool beyond that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imaging_hub.dicom.element_runs import ElementRun, ElementRunReader
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.pixel_stream import PixelStream
from imaging_hub.errors import StorageUnavailable
from imaging_hub.gateway.connection import PeerConnection
from imaging_hub.intake.deidentification_socket import DATASET_BYTES
from imaging_hub.intake.spool import IncomingFile, Spool, SpooledFile
from imaging_hub.intake.study_keys import OriginalOwner

IN_MEMORY_BYTES = DATASET_BYTES
"""Largest dataset held in memory; bounds what an association costs."""
_FIRST_BYTES = 1 << 18


class IncomingDataset:
    """Receives one dataset after another; the memory is used again."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._buffer = bytearray(_FIRST_BYTES)
        self._filled = 0
        self._head = b""
        self._transfer_syntax_uid = ""
        self._part: IncomingFile | None = None
        self._header: list[ElementRun] | None = None
        self._pixels: PixelStream | None = None
        self.reader = ElementRunReader()
        """Reads the datasets: what slices of a series have in common is read once."""
        self.fault: StorageUnavailable | None = None
        """The disk failed; the rest of the dataset is taken from the wire and dropped."""
        self.size = 0

    def begin(self, head: bytes, transfer_syntax_uid: str) -> None:
        """A new dataset; `head` is what stands before it in its file."""
        self.discard()
        self._head = head
        self._transfer_syntax_uid = transfer_syntax_uid

    def receive(self, connection: PeerConnection, size: int) -> None:
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

    def header(self) -> list[ElementRun] | None:
        """The dataset without the pixel data that end it; None where it takes the whole to know that all is well."""
        if self._part is None:
            return self.reader.read_start(self._in_memory(), self._filled, self._transfer_syntax_uid)
        self._spill()
        return self._header if self._pixels is not None and self._pixels.ends_after(0) else None

    @contextmanager
    def dataset(self) -> Iterator[Buffer]:
        """The whole dataset, not copied; raises `StorageUnavailable`."""
        part = self._in_file()
        if part is None:
            yield self._in_memory()
            return
        with part.content() as content:
            yield memoryview(content)[len(self._head) :]

    def held(self) -> Buffer | None:
        """The whole dataset as long as it is in memory, and none of it on the disk."""
        return self._in_memory() if self._part is None and self.fault is None else None

    def keep(self, owner: OriginalOwner) -> SpooledFile:
        """Put the file into the spool, durably; raises `StorageUnavailable`."""
        part = self._in_file()
        return self._spool.store([self._head, self._in_memory()], owner) if part is None else part.keep(owner)

    def digest(self) -> SpooledFile:
        """Digest and size of the file that `keep` would store, without storing it; raises `StorageUnavailable`."""
        part = self._in_file()
        return (
            self._spool.measure([self._head, self._in_memory()])
            if part is None
            else SpooledFile(part.digest, part.size)
        )

    def _in_memory(self) -> memoryview:
        return memoryview(self._buffer)[: self._filled].toreadonly()

    def _in_file(self) -> IncomingFile | None:
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
        self._part = self._header = self._pixels = None
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
        filled, self._filled = self._in_memory(), 0
        if self.fault is not None:
            return
        try:
            if self._part is None:
                # Now or never: the beginning will not be in memory again.
                if (found := self.reader.read_header(filled, self._transfer_syntax_uid)) is not None:
                    self._header, self._pixels = found
                self._part = self._spool.create_file()
                self._part.write(self._head, filled)
            else:
                self._part.write(filled)
                if self._pixels is not None:
                    self._pixels.take(filled)
        except StorageUnavailable as fault:
            self.fault = fault
