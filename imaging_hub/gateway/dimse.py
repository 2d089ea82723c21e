"""Command sets of C-ECHO and C-STORE (PS3.7 §9.3, §E.1), decoded and encoded without a dataset object.

Encoding a response through a dataset object took 43 % of the time of a receiver on stock pynetdicom.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from imaging_hub.dicom.elements import Buffer

NO_DATASET = 0x0101
_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")
_UL = struct.Struct("<L")
_P_DATA = struct.Struct(">BxLLBB")

_RESPONSE = 0x8000


class CommandField(IntEnum):
    """Command Field (0000,0100) of the requests that we handle."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF


class MalformedCommandSet(ValueError):
    """Bytes are no command set."""


@dataclass(frozen=True, slots=True)
class CommandSet:
    """The elements of a request's command set that we use."""

    context_id: int
    command: int
    message_id: int
    has_dataset: bool
    sop_class_uid: str
    sop_instance_uid: str


def parse_command_set(encoded: Buffer, context_id: int) -> CommandSet:
    """Decode a command set, always Implicit VR Little Endian (PS3.7 §6.3.1). Raises `MalformedCommandSet`."""
    values: dict[int, bytes] = {}
    position = 0
    try:
        while position < len(encoded):
            group, number, length = _ELEMENT.unpack_from(encoded, position)
            position += 8
            if group or position + length > len(encoded):
                raise MalformedCommandSet
            values[number] = bytes(encoded[position : position + length])
            position += length
        return CommandSet(
            context_id,
            _US.unpack(values[0x0100])[0],
            _US.unpack(values[0x0110])[0] if 0x0110 in values else 0,
            _US.unpack(values[0x0800])[0] != NO_DATASET,
            _uid(values.get(0x0002, b"")),
            _uid(values.get(0x1000, b"")),
        )
    except (struct.error, KeyError):
        raise MalformedCommandSet from None


def _uid(value: bytes) -> str:
    return value.decode("latin-1").strip("\0 ")


def encode_response(request: CommandSet, status: int) -> bytes:
    """Encode the P-DATA-TF PDU with the response to `request`."""
    elements = [
        _element(0x0002, request.sop_class_uid),
        _number(0x0100, request.command | _RESPONSE),
        _number(0x0120, request.message_id),
        _number(0x0800, NO_DATASET),
        _number(0x0900, status),
    ]
    if request.sop_instance_uid:
        elements.append(_element(0x1000, request.sop_instance_uid))
    body = b"".join(elements)
    message = _ELEMENT.pack(0, 0, 4) + _UL.pack(len(body)) + body
    return _P_DATA.pack(4, len(message) + 6, len(message) + 2, request.context_id, 3) + message


def _number(number: int, value: int) -> bytes:
    return _ELEMENT.pack(0, number, 2) + _US.pack(value)


def _element(number: int, uid: str) -> bytes:
    value = uid.encode("latin-1")
    value += b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, number, len(value)) + value
