"""Objects under their SHA-256, written once, never changed.

An object lies at `<first two digits>/<digest>`. A local folder is written here rather than by
obstore, whose local store renames without fsync (0.12.1 has no option for it): temporary file,
fsync, link under its name, fsync of the folder. S3, GCS and Azure are durable once they answer.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import NotFound, StorageUnavailable

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PARTS = ".parts"
_STALE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What was stored: its name and its size in bytes."""

    digest: str
    size: int


class ObjectStore:
    """The archive's objects at `url` (`file://`, `s3://`, `gs://`, `az://`, `memory://`).

    Every method raises `StorageUnavailable` when the store fails, and `NotFound` for a digest it
    does not hold or that is none.
    """

    def __init__(self, url: str) -> None:
        self._folder = Path(unquote(url.removeprefix("file://"))) if url.startswith(("file://", "/")) else None
        if self._folder is None:
            with _faults_named():
                self._store = from_url(url)
            return
        (self._folder / _PARTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_stale(self._folder / _PARTS)
        self._store = LocalStore(self._folder)

    def put(self, buffers: Sequence[Buffer]) -> StoredObject:
        """Store the join of `buffers`; durable on return, nothing written when it is there already."""
        sha256, size = hashlib.sha256(), 0
        for buffer in buffers:
            sha256.update(buffer)
            size += memoryview(buffer).nbytes
        stored = StoredObject(sha256.hexdigest(), size)
        try:
            if self._folder is not None:
                self._put_durably(self._folder, stored, buffers)
            elif not self.holds(stored.digest):
                # One request: only a whole put can be refused when the name is taken.
                obstore.put(self._store, _path(stored.digest), list(buffers), mode="create", use_multipart=False)
        except AlreadyExistsError:
            pass
        except (OSError, BaseError) as fault:
            raise StorageUnavailable(
                "the archive could not store an object", hint="check its disk or bucket"
            ) from fault
        return stored

    def holds(self, digest: str) -> bool:
        """Whether the object is there."""
        try:
            return self.size(digest) >= 0
        except NotFound:
            return False

    def size(self, digest: str) -> int:
        """Size in bytes."""
        with _faults_named():
            return int(obstore.head(self._store, _path(digest))["size"])

    def get(self, digest: str) -> bytes:
        """The whole object; `StorageUnavailable('object-damaged')` when its bytes are no longer its own."""
        return b"".join(self.stream(digest))

    def get_range(self, digest: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end`, the end excluded and cut at the object's own."""
        with _faults_named():
            # Stores refuse a range that begins beyond the end, each with an error of its own.
            if start >= min(end, self.size(digest)):
                return b""
            return bytes(obstore.get_range(self._store, _path(digest), start=start, end=end))

    def stream(self, digest: str, start: int = 0, end: int | None = None, chunk: int = 1 << 20) -> Iterator[bytes]:
        """Bytes `start` to `end` in pieces of about `chunk`; a whole object is verified as it passes.

        The fault of a damaged object comes after its last piece, so a caller who has sent the
        pieces on must break off rather than end properly.
        """
        whole = start == 0 and end is None
        wanted = {"offset": start} if end is None else (start, end)
        sha256 = hashlib.sha256()
        with _faults_named():
            found = obstore.get(self._store, _path(digest), options={} if whole else {"range": wanted})
            for piece in found.stream(min_chunk_size=chunk):
                data = bytes(piece)
                if whole:
                    sha256.update(data)
                yield data
        if whole and sha256.hexdigest() != digest:
            raise _damaged()

    def file(self, digest: str) -> Path | bytes:
        """The object for a decoder in another process: its path in a local folder, else its bytes."""
        if self._folder is not None and self.holds(digest):
            return self._folder / _path(digest)
        return self.get(digest)

    def open(self, digest: str) -> BinaryIO:
        """The object as a file to seek in; unverified, as ranges are."""
        with _faults_named():
            if self._folder is not None:
                return (self._folder / _path(digest)).open("rb")
            return BufferedReader(_RemoteFile(obstore.open_reader(self._store, _path(digest))))

    def _put_durably(self, folder: Path, stored: StoredObject, buffers: Sequence[Buffer]) -> None:
        target = folder / _path(stored.digest)
        if target.exists():
            # Linked by somebody who may not have come to the fsync yet: our caller relies on it now.
            if target.stat().st_size != stored.size:
                raise _damaged()
            _sync_folder(target.parent)
            return
        part = folder / _PARTS / uuid4().hex
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
                for buffer in buffers:
                    _write_all(file.fileno(), buffer)
                os.fsync(file.fileno())
            _make_folder(target.parent)
            with suppress(FileExistsError):
                target.hardlink_to(part)  # unlike rename, a link never replaces what is there
            _sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)


class _RemoteFile(RawIOBase):
    """obstore's reader as Python's own kind of file."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with _faults_named():
            read = self._reader.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)


@contextmanager
def _faults_named() -> Iterator[None]:
    """Turn the store's faults into ours."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound("the archive does not hold this object") from None
    except (OSError, BaseError) as fault:
        raise StorageUnavailable("the archive could not read an object", hint="check its disk or bucket") from fault


def _path(digest: str) -> str:
    if not _DIGEST.match(digest):
        raise NotFound("the archive does not hold this object")
    return f"{digest[:2]}/{digest}"


def _damaged() -> StorageUnavailable:
    return StorageUnavailable(
        "an object is not what its digest says", code="object-damaged", hint="restore it from a copy of the archive"
    )


def _write_all(descriptor: int, buffer: Buffer) -> None:
    left = memoryview(buffer).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _forget_stale(parts: Path) -> None:
    """Remove what a killed process left: nobody writes one object for an hour."""
    for part in parts.iterdir():
        try:
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue
