"""Values of Explicit VR Big Endian (retired in PS3.5 2016b), put into little endian."""

from __future__ import annotations

from array import array

from imaging_hub.dicom import tags
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.errors import MalformedDataset

# VR to the array type of one word: what changes with byte order (PS3.5 §7.3). Text, OB and UN do not.
_WORDS = {"H": "AT OW SS US", "I": "FL OF OL SL UL", "Q": "FD OD OV SV UV"}
_WORD_OF = {vr: word for word, vrs in _WORDS.items() for vr in vrs.split()}


def put_into_little_endian(dataset: Dataset) -> None:
    """Convert the values of a dataset in place, but not those of its sequences' items.

    Raises `MalformedDataset`: `bad-length` for a value that is not made of whole words;
    `unsupported-transfer-syntax` for pixel data of more than 16 bits, since some writers swapped
    16-bit words, as OW says, and others the whole pixel, and nothing tells which.
    """
    for element in dataset:
        value = element.value
        word = _WORD_OF.get(element.vr)
        if isinstance(value, list) or word is None:
            continue
        if element.tag == tags.PixelData and element.vr == "OW" and _bits_allocated(dataset) > 16:
            raise MalformedDataset(
                "The byte order of big endian pixels of more than 16 bits cannot be known.",
                code="unsupported-transfer-syntax",
            )
        element.value = _swapped(word, value)


def _swapped(word: str, value: Buffer) -> bytes:
    words = array(word)
    if len(value) % words.itemsize:
        raise MalformedDataset("A value is not made of whole words of its VR.", code="bad-length")
    words.frombytes(value)
    words.byteswap()
    return words.tobytes()


def _bits_allocated(dataset: Dataset) -> int:
    """Bits Allocated of a dataset whose values before pixel data are little endian already; 0 when absent."""
    for element in dataset:
        if element.tag == tags.BitsAllocated and not isinstance(element.value, list):
            return int.from_bytes(element.value, "little")
    return 0
