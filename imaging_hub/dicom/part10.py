"""The DICOM File Format (PS3.10 §7): preamble, prefix and file meta information."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error

from imaging_hub.dicom import tags
from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import MalformedDataset

IMPLEMENTATION_CLASS_UID = "2.25.263480093512402717293312478346239217473"
IMPLEMENTATION_VERSION_NAME = "IMAGING_HUB_1"

_PREFIX = b"DICM"
_PREAMBLE = 128
_SHORT = Struct("<HH2sH")
_LONG = Struct("<L")
_LONG_VRS = frozenset((b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR"))


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta information says of the dataset; the two SOP UIDs are empty when it does not."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def split(data: Buffer) -> tuple[FileMeta, Buffer]:
    """The file meta information and the encoded dataset of a DICOM file.

    The group length (0002,0000) is not trusted: the elements of group 0002 are stepped over one
    by one. Raises `MalformedDataset`: `not-dicom` without the prefix, `no-transfer-syntax`, `truncated`.
    """
    view = memoryview(data)
    if view[_PREAMBLE : _PREAMBLE + 4] != _PREFIX:
        raise MalformedDataset("There is no DICM prefix.", code="not-dicom")
    try:
        values, position = _group_two(view, _PREAMBLE + 4)
    except error:
        raise MalformedDataset("The file meta information has no end.", code="truncated") from None
    transfer_syntax_uid = _uid(values.get(tags.TransferSyntaxUID))
    if not transfer_syntax_uid:
        raise MalformedDataset("The file meta information names no transfer syntax.", code="no-transfer-syntax")
    meta = FileMeta(
        _uid(values.get(tags.MediaStorageSOPClassUID)),
        _uid(values.get(tags.MediaStorageSOPInstanceUID)),
        transfer_syntax_uid,
    )
    return meta, view[position:]


def _group_two(view: memoryview, position: int) -> tuple[dict[int, memoryview], int]:
    """Values of the elements of group 0002, always explicit VR little endian, and where they end."""
    values: dict[int, memoryview] = {}
    while position < len(view):
        group, number, code, length = _SHORT.unpack_from(view, position)
        if group != 2:
            break
        position += 8
        if code in _LONG_VRS:
            (length,) = _LONG.unpack_from(view, position)
            position += 4
        if position + length > len(view):
            raise MalformedDataset("The file meta information is cut short.", code="truncated")
        tag = group << 16 | number
        if tag in values:
            raise MalformedDataset("A file meta element occurs twice.", code="duplicate-element")
        values[tag] = view[position : position + length]
        position += length
    return values, position


def _uid(value: memoryview | None) -> str:
    # Latin-1 decodes whatever stands there; whether it is a UID is for `uid.is_valid` to say.
    return "" if value is None else str(value, "latin-1").rstrip("\0 ")


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Everything of a DICOM file before its dataset: a zero preamble, the prefix, fresh file meta information.

    Nothing of another file's meta information is taken over: application entity titles and
    private information identify the sender (PS3.15 §E.1.1).
    """
    group = b"".join(
        (
            b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\0\x01",
            _element(0x0002, "UI", sop_class_uid),
            _element(0x0003, "UI", sop_instance_uid),
            _element(0x0010, "UI", transfer_syntax_uid),
            _element(0x0012, "UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, "SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    return bytes(_PREAMBLE) + _PREFIX + _SHORT.pack(2, 0, b"UL", 4) + _LONG.pack(len(group)) + group


def _element(number: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return _SHORT.pack(2, number, vr.encode(), len(value)) + value
