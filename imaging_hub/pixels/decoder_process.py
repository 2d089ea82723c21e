"""The child process that decodes frames; it forks for each frame, so that a fault ends one frame only.

`decoding` starts it as `python -m imaging_hub.pixels.decoder_process FD`. A request on the socket FD is a frame
number with two open files: the instance, and where to write the result. The response is one byte, 0 for success.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import socket
import sys
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels import get_decoder

from imaging_hub.dicom import dictionary, part10, tags, walk
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, KNOWN
from imaging_hub.dicom.values import find, items, number, numbers, tag, text_at
from imaging_hub.pixels import jpeg

MEMORY_BYTES = 4 << 30
CPU_SECONDS = 20
MAX_SAMPLES = 1 << 28
"""Rows × columns × samples of one frame."""

_PIXEL_DATA_TAGS = {dictionary.keyword(one): one for one in tags.PIXEL_DATA_ATTRIBUTES}
_BITS_ALLOCATED = (1, 8, 16, 32, 64)

jpeg.register()


def serve(connection: socket.socket) -> None:
    """Serve requests until the peer closes the socket."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
        if not message or len(descriptors) != 2:
            return
        child = os.fork()
        if child == 0:
            source, result = descriptors
            os._exit(_decode_and_write(source, result, int.from_bytes(message, "little", signed=True)))
        _, status = os.waitpid(child, 0)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(b"\1" if status else b"\0")


def _decode_and_write(source: int, result: int, frame: int) -> int:
    """Decode one frame in the forked child and return its exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        with mmap.mmap(source, 0, prot=mmap.PROT_READ) as data:
            presentation, pixels = decode(memoryview(data), frame)
            header = {**presentation, "shape": pixels.shape, "dtype": pixels.dtype.str}
            with os.fdopen(result, "wb") as file:
                file.write(json.dumps(header).encode() + b"\n")
                file.write(np.ascontiguousarray(pixels).data)
    except BaseException:
        # Every exception of a decoder means the same, and its message may quote the data.
        return 1
    return 0


def decode(data: Buffer, frame: int) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return how to show one frame of a DICOM file, and its pixels; raises whatever a decoder raises."""
    meta, encoded = part10.split(data)
    dataset = walk.read(encoded, meta.transfer_syntax_uid)
    options = _decoder_options(dataset, frame)
    element = find(dataset, _PIXEL_DATA_TAGS[options["pixel_keyword"]])
    if element is None or isinstance(element.value, list):
        raise ValueError("There are no pixel data.")
    syntax = KNOWN[meta.transfer_syntax_uid]
    if not element.encapsulated and len(element.value) < _native_size(options):
        raise ValueError("The pixel data are shorter than the header announces.")
    # The walk has inflated a deflated dataset and turned big endian values into little endian.
    uid = syntax.uid if element.encapsulated else EXPLICIT_VR_LITTLE_ENDIAN
    source = BytesIO(element.value) if element.encapsulated else element.value
    plugin = jpeg.PLUGIN if uid in jpeg.SYNTAXES else ""
    pixels, properties = get_decoder(uid).as_array(source, index=frame, decoding_plugin=plugin, **options)
    interpretation = str(properties["photometric_interpretation"])
    if interpretation == "PALETTE COLOR":
        pixels = _apply_palette(pixels, dataset)
    return _display_attributes(dataset, frame, interpretation), pixels


def _decoder_options(dataset: Dataset, frame: int) -> dict[str, Any]:
    """Return the Image Pixel module (PS3.3 §C.7.6.3), checked before a decoder gets any of it."""

    def integer(keyword: str, default: int | None = None) -> int:
        element = find(dataset, tag(keyword))
        values = [] if element is None else numbers(element)
        if not values and default is None:
            raise ValueError("An attribute of the Image Pixel module is missing.")
        return int(values[0]) if values else int(default or 0)

    keyword = next(keyword for keyword, tag_ in _PIXEL_DATA_TAGS.items() if find(dataset, tag_) is not None)
    bits_allocated = integer("BitsAllocated")
    options: dict[str, Any] = {
        "pixel_keyword": keyword,
        "rows": integer("Rows"),
        "columns": integer("Columns"),
        "samples_per_pixel": integer("SamplesPerPixel", 1),
        "bits_allocated": bits_allocated,
        "bits_stored": integer("BitsStored", bits_allocated),
        "number_of_frames": integer("NumberOfFrames", 1) or 1,
        "photometric_interpretation": text_at(dataset, tag("PhotometricInterpretation")),
        "pixel_representation": integer("PixelRepresentation", 0),
        "planar_configuration": integer("PlanarConfiguration", 0),
    }
    samples = options["rows"] * options["columns"] * options["samples_per_pixel"]
    if not 0 < samples <= MAX_SAMPLES or bits_allocated not in _BITS_ALLOCATED:
        raise ValueError("The frame's size is impossible.")
    if options["samples_per_pixel"] not in (1, 3) or not 0 <= frame < options["number_of_frames"]:
        raise ValueError("There is no such frame.")
    return options


def _native_size(options: dict[str, Any]) -> int:
    """Return the length in bytes of uncompressed pixel data (PS3.5 §8.1.1)."""
    bits = options["rows"] * options["columns"] * options["samples_per_pixel"] * options["bits_allocated"]
    if options["photometric_interpretation"] == "YBR_FULL_422":
        bits = bits // 3 * 2
    return int((bits * options["number_of_frames"] + 7) // 8)


def _apply_palette(indices: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Return palette colour as 8-bit RGB (PS3.3 §C.7.6.3.1.5, §C.7.6.3.1.6)."""
    channels = []
    for colour in ("Red", "Green", "Blue"):
        descriptor = find(dataset, tag(f"{colour}PaletteColorLookupTableDescriptor"))
        data = find(dataset, tag(f"{colour}PaletteColorLookupTableData"))
        if descriptor is None or data is None or isinstance(descriptor.value, list) or isinstance(data.value, list):
            raise ValueError("A palette is missing or segmented.")
        entries, first, bits = (int(word) for word in np.frombuffer(descriptor.value, "<u2"))
        entries = entries or 1 << 16
        wide = len(data.value) >= 2 * entries
        table = np.frombuffer(data.value, "<u2" if wide else "u1")[:entries]
        if bits == 16 and wide:
            table = table >> 8
        positions = np.clip(indices.astype(np.int64) - first, 0, len(table) - 1)
        channels.append(table[positions].astype(np.uint8))
    return np.stack(channels, axis=-1)


def _display_attributes(dataset: Dataset, frame: int, interpretation: str) -> dict[str, Any]:
    """Return rescale and window from the frame's functional groups, the shared ones or the header, in this order."""
    sources = [dataset]
    for group in (*items(dataset, tag("SharedFunctionalGroupsSequence"))[:1], *_per_frame_groups(dataset, frame)):
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            sources += items(group, tag(macro))[:1]

    def last(keyword: str) -> float | None:
        values = [value for source in sources if (value := number(source, tag(keyword))) is not None]
        return float(values[-1]) if values else None

    return {
        "slope": last("RescaleSlope") or 1.0,
        "intercept": last("RescaleIntercept") or 0.0,
        "center": last("WindowCenter"),
        "width": last("WindowWidth"),
        "inverted": interpretation == "MONOCHROME1",
    }


def _per_frame_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    return items(dataset, tag("PerFrameFunctionalGroupsSequence"))[frame : frame + 1]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
