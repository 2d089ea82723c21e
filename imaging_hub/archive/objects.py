"""Objects under their SHA-256, written once, never changed.

An object lies at `<first two digits>/<digest>`. A local folder is written here rather than by
obstore, whose local store renames without fsync (0.12.1 has no option for it): temporary files,
sync, links under their names, sync. S3, GCS and Azure are durable once they answer.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import NotFound, StorageUnavailable

if TYPE_CHECKING:
    from obstore import GetOptions

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PARTS = ".parts"
_STALE_SECONDS = 3600
_REQUESTS_AT_ONCE = 4
_LIBC = ctypes.CDLL(None, use_errno=True)


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
        return self.put_all([buffers])[0]

    def put_all(self, objects: Sequence[Sequence[Buffer]]) -> list[StoredObject]:
        """Store several, each as `put` does; the disk is asked twice for all of them."""
        stored = [_named(buffers) for buffers in objects]
        wanted = dict(zip(stored, objects, strict=True))
        try:
            if self._folder is not None:
                self._put_durably(self._folder, wanted)
            else:
                self._put_remotely(wanted)
        except (OSError, BaseError) as fault:
            raise StorageUnavailable(
                "the archive could not store an object", hint="check its disk or bucket"
            ) from fault
        return stored

    def remove(self, digest: str) -> None:
        """Delete an object that was never admitted to the index; nothing happens when it is not there."""
        with _faults_named(), suppress(FileNotFoundError):
            obstore.delete(self._store, _path(digest))

    def holds(self, digest: str) -> bool:
        """Whether the object is there."""
        try:
            return self.size(digest) >= 0
        except NotFound:
            return False

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that are not there."""
        if self._folder is not None:
            return {digest for digest in digests if not (self._folder / _path(digest)).exists()}
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as network:
            return {
                digest for digest, there in zip(digests, network.map(self.holds, digests), strict=True) if not there
            }

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
        options: GetOptions = {} if whole else {"range": {"offset": start} if end is None else (start, end)}
        sha256 = hashlib.sha256()
        with _faults_named():
            found = obstore.get(self._store, _path(digest), options=options)
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

    def _put_remotely(self, wanted: Mapping[StoredObject, Sequence[Buffer]]) -> None:
        def put(one: StoredObject) -> None:
            if not self.holds(one.digest):
                with suppress(AlreadyExistsError):
                    # One request: only a whole put can be refused when the name is taken.
                    obstore.put(self._store, _path(one.digest), list(wanted[one]), mode="create", use_multipart=False)

        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as network:
            list(network.map(put, wanted))

    def _put_durably(self, folder: Path, wanted: Mapping[StoredObject, Sequence[Buffer]]) -> None:
        parts: dict[Path, Path] = {}
        disk = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for one, buffers in wanted.items():
                target = folder / _path(one.digest)
                if not target.exists():
                    parts[target] = folder / _PARTS / uuid4().hex
                    _write(parts[target], buffers)
                elif target.stat().st_size != one.size:
                    raise _damaged()
            _sync(disk)
            for target, part in parts.items():
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with suppress(FileExistsError):
                    target.hardlink_to(part)  # unlike rename, a link never replaces what is there
            # This covers those that were there already too: who linked them may not have come so far.
            _sync(disk)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
            os.close(disk)


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


def _named(buffers: Sequence[Buffer]) -> StoredObject:
    sha256, size = hashlib.sha256(), 0
    for buffer in buffers:
        sha256.update(buffer)
        size += memoryview(buffer).nbytes
    return StoredObject(sha256.hexdigest(), size)


def _write(part: Path, buffers: Sequence[Buffer]) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for buffer in buffers:
            left = memoryview(buffer).cast("B")
            while left:
                left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Have the file system of an open folder write all it holds: many files and folders cost about what one does.

    syncfs(2), which Python does not have; Linux reports what failed since the folder was opened.
    """
    if _LIBC.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _forget_stale(parts: Path) -> None:
    """Remove what a killed process left: nobody writes one object for an hour."""
    for part in parts.iterdir():
        try:
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue
