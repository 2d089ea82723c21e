"""Originals sealed at rest: AES-256-GCM in chunks, each file under a key of its own, which a study's key wraps.

    "IHUBAES1"  8 bytes
    key id     16 bytes, of the study's key
    file key   40 bytes, wrapped (RFC 3394)
    chunks     of 1 MiB and their 16-byte tag, the last one shorter

The nonce of a chunk is its number and whether it is the last: chunks cannot change places, and a file cannot be cut
short without its last chunk failing. A file key seals one file, so that no nonce comes twice.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import StorageUnavailable

MAGIC = b"IHUBAES1"
HEADER_BYTES = len(MAGIC) + 16 + 40
CHUNK_BYTES = 1 << 20
_TAG_BYTES = 16
_KEY_BYTES = 32


class Sealer:
    """Seals one file as it is written."""

    def __init__(self) -> None:
        self._key = os.urandom(_KEY_BYTES)
        self._cipher = AESGCM(self._key)
        self._number = 0
        self._pending = bytearray()

    def seal(self, *buffers: Buffer) -> list[Buffer]:
        """What of the file can be written now."""
        sealed: list[Buffer] = []
        for buffer in buffers:
            self._pending += buffer
            while len(self._pending) > CHUNK_BYTES:
                sealed.append(self._chunk(CHUNK_BYTES, last=False))
        return sealed

    def finish(self) -> bytes:
        """The last chunk."""
        return self._chunk(len(self._pending), last=True)

    def reopened(self, sealed: Buffer, size: int) -> Buffer:
        """The `size` bytes that were sealed, in memory; for whoever must see them whole before they are kept."""
        plain = mmap.mmap(-1, max(size, 1))
        for chunk in _chunks(self._cipher, sealed):
            plain.write(chunk)
        return memoryview(plain)[:size]

    def header(self, key_id: UUID, study_key: bytes) -> bytes:
        """What stands before the chunks, under the key of the file's study."""
        return MAGIC + key_id.bytes + aes_key_wrap(study_key, self._key)

    def _chunk(self, size: int, *, last: bool) -> bytes:
        with memoryview(self._pending) as view, view[:size] as plain:
            sealed = self._cipher.encrypt(_nonce(self._number, last), plain, None)
        del self._pending[:size]
        self._number += 1
        return sealed


def key_id(sealed: Buffer) -> UUID | None:
    """Of the study key under which a file is sealed; None for a file that is not sealed."""
    if len(sealed) < HEADER_BYTES or bytes(sealed[: len(MAGIC)]) != MAGIC:
        return None
    return UUID(bytes=bytes(sealed[len(MAGIC) : len(MAGIC) + 16]))


def opened(sealed: Buffer, study_key: bytes) -> Iterator[bytes]:
    """The chunks of a sealed file; raises `StorageUnavailable` where key or file are not what they were."""
    try:
        yield from _chunks(AESGCM(aes_key_unwrap(study_key, bytes(sealed[HEADER_BYTES - 40 : HEADER_BYTES]))), sealed)
    except (InvalidTag, InvalidUnwrap):
        raise StorageUnavailable(
            "an original cannot be opened: it was altered, or its key is another",
            code="original-unreadable",
            hint="restore the spool or originals.json from backup",
        ) from None


def _chunks(cipher: AESGCM, sealed: Buffer) -> Iterator[bytes]:
    position, number, last = HEADER_BYTES, 0, False
    while not last:
        end = min(position + CHUNK_BYTES + _TAG_BYTES, len(sealed))
        last = end == len(sealed)
        yield cipher.decrypt(_nonce(number, last), sealed[position:end], None)
        position, number = end, number + 1


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))
