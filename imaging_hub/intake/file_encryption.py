"""Encryption of originals at rest: AES-256-GCM in chunks, under a key per file, which the study's key wraps.

    "IHUBAES2"  8 bytes
    key id     16 bytes, of the study's key
    file key   40 bytes, wrapped (RFC 3394)
    chunks     of 64 KiB and their 16-byte tag, the last one shorter

The nonce of a chunk is its number and whether it is the last, so that chunks can neither be reordered nor cut off. A
file key encrypts one file, so that no nonce is used twice. Chunks are small so that the header of an instance can be
read without its pixel data; "IHUBAES1" had chunks of 1 MiB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import SealBroken, StorageUnavailable
from imaging_hub.keys.aead import KEY_BYTES, TAG_BYTES, AuthenticatedCipher

MAGIC = b"IHUBAES2"
HEADER_BYTES = len(MAGIC) + 16 + 40
CHUNK_BYTES = 1 << 16
_CHUNK_BYTES = {MAGIC: CHUNK_BYTES, b"IHUBAES1": 1 << 20}


class FileSealer:
    """Encrypts one file while it is written."""

    def __init__(self) -> None:
        self._key = os.urandom(KEY_BYTES)
        self._cipher = AuthenticatedCipher(self._key)
        self._number = 0
        self._plain = memoryview(bytearray(CHUNK_BYTES))
        self._filled = 0
        self._sealed = memoryview(bytearray(CHUNK_BYTES + TAG_BYTES))

    def seal(self, *buffers: Buffer) -> Iterator[Buffer]:
        """Yield encrypted chunks to be written; each is valid until the next one."""
        for buffer in buffers:
            rest = memoryview(buffer)
            while rest:
                if self._filled == CHUNK_BYTES:  # more follows, so it is not the last
                    yield self._chunk(last=False)
                taken = rest[: CHUNK_BYTES - self._filled]
                self._plain[self._filled : self._filled + len(taken)] = taken
                self._filled += len(taken)
                rest = rest[len(taken) :]

    def finish(self) -> Buffer:
        """Return the last chunk."""
        return self._chunk(last=True)

    def header(self, key_id: UUID, study_key: bytes) -> bytes:
        """Return the bytes before the chunks: magic, key id and the wrapped file key."""
        return MAGIC + key_id.bytes + aes_key_wrap(study_key, self._key)

    def read_back(self, file: BinaryIO) -> Buffer:
        """Decrypt the whole file into memory before its header is written. Raises `StorageUnavailable`."""
        return SealedFileReader(file, self._cipher, CHUNK_BYTES).read()

    def _chunk(self, *, last: bool) -> Buffer:
        sealed = self._sealed[: self._filled + TAG_BYTES]
        self._cipher.seal_into(_nonce(self._number, last), self._plain[: self._filled], sealed)
        self._number += 1
        self._filled = 0
        return sealed


class SealedFileReader:
    """Decrypts a sealed file, whole or from its beginning."""

    def __init__(self, file: BinaryIO, cipher: AuthenticatedCipher, chunk_bytes: int) -> None:
        self._file = file
        self._cipher = cipher
        self._chunk_bytes = chunk_bytes
        stored = file.seek(0, os.SEEK_END) - HEADER_BYTES
        self._chunks = max(1, -(-stored // (chunk_bytes + TAG_BYTES)))
        self.size = stored - self._chunks * TAG_BYTES
        """Of the decrypted file, in bytes."""
        if self.size < (self._chunks - 1) * chunk_bytes:
            raise _unreadable()

    def read(self, wanted: int | None = None) -> Buffer:
        """Decrypt the file, or the chunks with its first `wanted` bytes. Raises `StorageUnavailable` when altered."""
        chunks = self._chunks if wanted is None else min(self._chunks, -(-wanted // self._chunk_bytes))
        plain = memoryview(bytearray(min(self.size, chunks * self._chunk_bytes)))
        buffer = memoryview(bytearray(min(self.size, self._chunk_bytes) + TAG_BYTES))
        self._file.seek(HEADER_BYTES)
        for number in range(chunks):
            sealed = buffer[: self._file.readinto(buffer)]  # type: ignore[attr-defined]
            begin = number * self._chunk_bytes
            into = plain[begin : begin + len(sealed) - TAG_BYTES]
            try:
                self._cipher.open_into(_nonce(number, number + 1 == self._chunks), sealed, into)
            except SealBroken:
                raise _unreadable() from None
        return plain.toreadonly()


def read_key_id(start: Buffer) -> UUID | None:
    """Return the id of the study key in the first `HEADER_BYTES` of a file; None when it is not sealed."""
    if len(start) < HEADER_BYTES or bytes(start[: len(MAGIC)]) not in _CHUNK_BYTES:
        return None
    return UUID(bytes=bytes(start[len(MAGIC) : len(MAGIC) + 16]))


def open_sealed_file(file: BinaryIO, study_key: bytes) -> SealedFileReader:
    """Open a sealed file for reading. Raises `StorageUnavailable` when the key is another or the file was altered."""
    file.seek(0)
    header = file.read(HEADER_BYTES)
    try:
        file_key = aes_key_unwrap(study_key, header[-40:])
    except InvalidUnwrap:
        raise _unreadable() from None
    return SealedFileReader(file, AuthenticatedCipher(file_key), _CHUNK_BYTES[header[: len(MAGIC)]])


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes((last,))


def _unreadable() -> StorageUnavailable:
    return StorageUnavailable(
        "an original cannot be opened: it was altered, or its key is another",
        code="original-unreadable",
        hint="restore the spool or originals.json from backup",
    )
