"""The image header that Siemens MR scanners put into one private attribute, (0029,"SIEMENS CSA HEADER",10).

Converters need a few of its numbers to take a mosaic apart and to know a diffusion weighting. The rest are names,
paths and UIDs, and behind many a value lies what was in the scanner's memory before. So it is written anew,
with the fields named here and only with numbers, or words of a short list, in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct, error

CREATOR, ELEMENT = "SIEMENS CSA HEADER", 0x10

_FIELDS = frozenset(
    (
        "B_matrix", "B_value", "BandwidthPerPixelPhaseEncode", "DiffusionDirectionality", "DiffusionGradientDirection",
        "ImageOrientationPatient", "ImagePositionPatient", "MosaicRefAcqTimes", "NumberOfImagesInMosaic",
        "PhaseEncodingDirectionPositive", "ProtocolSliceNumber", "RealDwellTime", "SliceNormalVector", "SliceThickness",
        "SpacingBetweenSlices",
    )
)  # fmt: skip
# No identifier has so few digits before the point, and none has a point.
_VALUE = re.compile(rb"[-+]?\d{1,7}(?:\.\d{1,16})?(?:[eE][-+]?\d{1,3})?|DIRECTIONAL|ISOTROPIC|NONE|BMATRIX")
_MAGIC = b"SV10\x04\x03\x02\x01"
_COUNT = Struct("<LL")
_TAG = Struct("<64sl4slll")
_ITEM = Struct("<llll")
_MOST = 1024
"""Fields, and items of a field, at most; scanners write about a hundred, and six."""


def cleaned(value: bytes) -> bytes | None:
    """Write the header anew with the fields known; None when it has another form, or none of these fields."""
    try:
        fields = list(_fields(value))
    except (error, ValueError):
        return None
    written = [_written(*field) for field in fields]
    return b"".join((_MAGIC, _COUNT.pack(len(fields), 77), *written)) if fields else None


def _fields(value: bytes) -> Iterator[tuple[bytes, bytes, int, int, list[bytes]]]:
    """Name, VR, multiplicity, type and items of each field that stays."""
    if value[:4] != _MAGIC[:4]:
        raise ValueError
    count, _ = _COUNT.unpack_from(value, 8)
    position = 16
    for _ in range(_within(count)):
        name, multiplicity, vr, kind, items, _ = _TAG.unpack_from(value, position)
        position += _TAG.size
        values = []
        for _ in range(_within(items)):
            length = _ITEM.unpack_from(value, position)[1]
            position += _ITEM.size
            if not 0 <= length <= len(value) - position:
                raise ValueError
            values.append(value[position : position + length].partition(b"\0")[0].strip())
            position += (length + 3) // 4 * 4
        name, vr = name.partition(b"\0")[0], vr.partition(b"\0")[0]
        if name.decode("latin-1") in _FIELDS and all(not item or _VALUE.fullmatch(item) for item in values):
            yield name, vr, multiplicity, kind, values


def _within(count: int) -> int:
    if not 0 <= count <= _MOST:
        raise ValueError
    return count


def _written(name: bytes, vr: bytes, multiplicity: int, kind: int, items: list[bytes]) -> bytes:
    parts = [_TAG.pack(name, multiplicity, vr[:2], kind, len(items), 77)]
    for item in items:
        text = item + b"\0" if item else b""
        parts += (_ITEM.pack(len(text), len(text), 77, len(text)), text, b"\0" * (-len(text) % 4))
    return b"".join(parts)
