"""A dataset while it arrives: in memory up to a size, then in a file of the spool."""

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
"""Largest dataset held in memory, which bounds the memory of an association."""
_FIRST_BYTES = 1 << 18


class IncomingDataset:
    """Buffer for one dataset after another, whose memory is reused."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._buffer = bytearray(_FIRST_BYTES)
        self._filled = 0
        self._file_meta = b""
        self._transfer_syntax_uid = ""
        self._part: IncomingFile | None = None
        self._header: list[ElementRun] | None = None
        self._pixels: PixelStream | None = None
        self.reader = ElementRunReader()
        """Parses the datasets; elements equal to those of the previous slice are parsed once."""
        self.fault: StorageUnavailable | None = None
        """Fault of the disk; then the rest of the dataset is received and dropped."""
        self.size = 0

    def begin(self, file_meta: bytes, transfer_syntax_uid: str) -> None:
        """Start a new dataset; `file_meta` is written before it in its file."""
        self.discard()
        self._file_meta = file_meta
        self._transfer_syntax_uid = transfer_syntax_uid

    def receive(self, connection: PeerConnection, size: int) -> None:
        """Receive the next `size` bytes of the dataset. Raises `ConnectionEnded`."""
        self.size += size
        while size:
            view = self._free_space(size)
            connection.read_into(view)
            self._filled += len(view)
            size -= len(view)

    def write(self, data: Buffer) -> None:
        """Append `data` to the dataset."""
        self.size += len(data)
        while len(data):
            view = self._free_space(len(data))
            view[:] = data[: len(view)]
            self._filled += len(view)
            data = data[len(view) :]

    def read_header(self) -> list[ElementRun] | None:
        """Parse the dataset up to the Pixel Data that ends it; None when only the whole dataset can be validated."""
        if self._part is None:
            return self.reader.read_start(self._buffered(), self._filled, self._transfer_syntax_uid)
        self._spill()
        return self._header if self._pixels is not None and self._pixels.ends_after(0) else None

    @contextmanager
    def dataset(self) -> Iterator[Buffer]:
        """Yield the whole dataset without a copy. Raises `StorageUnavailable`."""
        part = self._spilled_file()
        if part is None:
            yield self._buffered()
            return
        with part.content() as content:
            yield memoryview(content)[len(self._file_meta) :]

    def in_memory(self) -> Buffer | None:
        """Return the whole dataset if none of it is on the disk, otherwise None."""
        return self._buffered() if self._part is None and self.fault is None else None

    def keep(self, owner: OriginalOwner) -> SpooledFile:
        """Store the file durably in the spool. Raises `StorageUnavailable`."""
        part = self._spilled_file()
        return self._spool.store([self._file_meta, self._buffered()], owner) if part is None else part.keep(owner)

    def measure(self) -> SpooledFile:
        """Return digest and size of the file that `keep` would store. Raises `StorageUnavailable`."""
        part = self._spilled_file()
        return (
            self._spool.measure([self._file_meta, self._buffered()])
            if part is None
            else SpooledFile(part.digest, part.size)
        )

    def _buffered(self) -> memoryview:
        return memoryview(self._buffer)[: self._filled].toreadonly()

    def _spilled_file(self) -> IncomingFile | None:
        """Return the file with the whole dataset, or None if it is in memory."""
        if self._part is not None:
            self._spill()
        if self.fault is not None:
            raise self.fault
        return self._part

    def discard(self) -> None:
        """Drop the dataset."""
        if self._part is not None:
            self._part.close()
        self._part = self._header = self._pixels = None
        self._filled = self.size = 0
        self.fault = None

    def _free_space(self, wanted: int) -> memoryview:
        """Return free space of the buffer, at most `wanted` bytes."""
        if self._filled + wanted > len(self._buffer):
            if self._part is None and self._filled + wanted <= IN_MEMORY_BYTES:
                larger = bytearray(min(IN_MEMORY_BYTES, max(2 * len(self._buffer), self._filled + wanted)))
                larger[: self._filled] = memoryview(self._buffer)[: self._filled]
                self._buffer = larger
            elif self._filled:
                self._spill()
        return memoryview(self._buffer)[self._filled : self._filled + wanted]

    def _spill(self) -> None:
        """Move the buffer to a file of the spool."""
        filled, self._filled = self._buffered(), 0
        if self.fault is not None:
            return
        try:
            if self._part is None:
                # The beginning is in memory for the last time.
                if (start := self.reader.read_header(filled, self._transfer_syntax_uid)) is not None:
                    self._header, self._pixels = start
                self._part = self._spool.create_file()
                self._part.write(self._file_meta, filled)
            else:
                self._part.write(filled)
                if self._pixels is not None:
                    self._pixels.take(filled)
        except StorageUnavailable as fault:
            self.fault = fault
