"""Pixel data of an archived object, with access to single frames.

The index stores each header as it is encoded in its object, so the pixel data begin where the header ends. Reading a
frame of a multi-frame image reads the bytes of that frame only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

import numpy as np
from pydicom.encaps import generate_frames, get_frame

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.archive.stored_header import StoredHeader
from imaging_hub.dicom import part10, tags
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.transfer_syntax import KNOWN
from imaging_hub.dicom.values import find, tag
from imaging_hub.errors import NotFound

PIXEL_DATA = {tags.FloatPixelData: "OF", tags.DoubleFloatPixelData: "OD", tags.PixelData: "OW"}
"""Attributes of pixel data, with their VR in implicit VR (PS3.5 §A.1)."""

_LONG = Struct("<HH2s2xL")
_IMPLICIT = Struct("<HHL")
_MAX_META_BYTES = 1 << 16


@dataclass(frozen=True)
class PixelData:
    """The pixel data element of one object."""

    objects: ObjectStore
    instance: ArchivedInstance
    header: StoredHeader
    tag: int
    start: int
    """Offset of the value in the object."""
    size: int
    """Length of the value; to the end of the object when it is encapsulated."""
    encapsulated: bool

    @property
    def frame_size(self) -> int:
        """Bytes of a native frame, rounded up; 0 when the header lacks its size (PS3.5 §8.1.1)."""
        return (self._frame_bits + 7) // 8

    @property
    def _frame_bits(self) -> int:
        pixels = (self.instance.rows or 0) * (self.instance.columns or 0)
        bits = self.header.integer("BitsAllocated") or 0
        samples = self.header.integer("SamplesPerPixel") or 1
        if self.header.text("PhotometricInterpretation") == "YBR_FULL_422":
            samples = 2  # two pixels share their chrominance samples
        return pixels * bits * samples

    def frame(self, number: int) -> bytes:
        """Return frame `number`, counted from 1, as it is stored; raises `NotFound`."""
        if not 1 <= number <= self.instance.frames:
            raise NotFound("This instance does not have that frame.")
        return self._fragments(number - 1) if self.encapsulated else self._native(number - 1)

    def frames(self) -> Iterator[bytes]:
        """Yield all frames of encapsulated pixel data in one pass."""
        with self.objects.open(self.instance.digest) as file:
            file.seek(self.start)
            yield from generate_frames(
                file, number_of_frames=self.instance.frames, extended_offsets=self._extended_offsets()
            )

    def _native(self, index: int) -> bytes:
        bits = self._frame_bits
        first, last = index * bits, (index + 1) * bits
        if not bits or (last + 7) // 8 > self.size:
            raise NotFound("The pixel data do not hold that frame.")
        read = self.objects.get_range(self.instance.digest, self.start + first // 8, self.start + (last + 7) // 8)
        if first % 8 == 0:
            return read
        unpacked = np.unpackbits(np.frombuffer(read, np.uint8), bitorder="little")  # one bit per pixel (PS3.5 §D)
        return np.packbits(unpacked[first % 8 : first % 8 + bits], bitorder="little").tobytes()

    def _fragments(self, index: int) -> bytes:
        with self.objects.open(self.instance.digest) as file:
            file.seek(self.start)
            try:
                return bytes(
                    get_frame(
                        file,
                        index,
                        number_of_frames=self.instance.frames,
                        extended_offsets=self._extended_offsets(),
                    )
                )
            except (ValueError, IndexError, EOFError):
                raise NotFound("The pixel data do not hold that frame.") from None

    def _extended_offsets(self) -> tuple[bytes, bytes] | None:
        tables = [find(self.header.dataset, tag(k)) for k in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
        values = [bytes(e.value) for e in tables if e is not None and not isinstance(e.value, list)]
        return (values[0], values[1]) if len(values) == 2 else None


def locate(objects: ObjectStore, instance: ArchivedInstance, encoded_header: Buffer) -> PixelData:
    """Locate the pixel data of an instance; raises `NotFound` when it has none."""
    syntax = KNOWN[instance.transfer_syntax_uid]
    head = objects.get_range(instance.digest, 0, min(_MAX_META_BYTES, instance.size))
    _, dataset = part10.split(head)
    start = len(head) - len(dataset) + len(encoded_header)
    element = _IMPLICIT if syntax.implicit else _LONG
    read = objects.get_range(instance.digest, start, start + element.size)
    if len(read) < element.size:
        raise _no_pixel_data_error()
    group, number, *_, length = element.unpack(read)
    if group << 16 | number not in PIXEL_DATA:
        raise _no_pixel_data_error()
    start += element.size
    encapsulated = length == 0xFFFFFFFF
    size = instance.size - start if encapsulated else length
    header = StoredHeader.read(encoded_header, instance.transfer_syntax_uid)
    return PixelData(objects, instance, header, group << 16 | number, start, size, encapsulated)


def _no_pixel_data_error() -> NotFound:
    return NotFound("This instance has no pixel data.")
