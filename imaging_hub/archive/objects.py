"""Object store: immutable objects addressed by their SHA-256.

An object has the path `<first two digits>/<digest>`. A local folder is written here rather than by obstore, whose local
store renames without fsync (0.12.1 has no option for it): temporary files, sync, hard links to the final names, sync.
S3, GCS and Azure are durable once they respond.
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
_MAX_CONCURRENT_REQUESTS = 4
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Digest and size in bytes of a stored object."""

    digest: str
    size: int


class ObjectStore:
    """The archive's object store at `url` (`file://`, `s3://`, `gs://`, `az://`, `memory://`).

    Every method raises `StorageUnavailable` when the store fails, and `NotFound` for an unknown or malformed digest.
    """

    def __init__(self, url: str) -> None:
        self._folder = Path(unquote(url.removeprefix("file://"))) if url.startswith(("file://", "/")) else None
        if self._folder is None:
            with _translate_faults():
                self._store = from_url(url)
            return
        (self._folder / _PARTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale_parts(self._folder / _PARTS)
        self._store = LocalStore(self._folder)

    def put(self, buffers: Sequence[Buffer]) -> StoredObject:
        """Store the concatenated buffers; durable on return, and not written again when it exists."""
        return self.put_all([buffers])[0]

    def put_all(self, objects: Sequence[Sequence[Buffer]]) -> list[StoredObject]:
        """Store several objects as `put`, with two syncs of the disk for all of them."""
        stored = [_address(buffers) for buffers in objects]
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
        """Delete an object that is not in the index; no effect when it does not exist."""
        with _translate_faults(), suppress(FileNotFoundError):
            obstore.delete(self._store, _path(digest))

    def exists(self, digest: str) -> bool:
        """Return whether the object exists."""
        try:
            return self.size(digest) >= 0
        except NotFound:
            return False

    def missing(self, digests: Collection[str]) -> set[str]:
        """Return those of `digests` whose objects do not exist."""
        if self._folder is not None:
            return {digest for digest in digests if not (self._folder / _path(digest)).exists()}
        with ThreadPoolExecutor(_MAX_CONCURRENT_REQUESTS) as network:
            return {
                digest for digest, exists in zip(digests, network.map(self.exists, digests), strict=True) if not exists
            }

    def size(self, digest: str) -> int:
        """Ask for the size of an object, in bytes."""
        with _translate_faults():
            return int(obstore.head(self._store, _path(digest))["size"])

    def get(self, digest: str) -> bytes:
        """Read the whole object; raises `StorageUnavailable` `object-damaged` when its bytes are not is wrong."""
        return b"".join(self.stream(digest))

    def get_range(self, digest: str, start: int, end: int) -> bytes:
        """Read bytes `start` up to `end`, exclusive, or the end of the object; not verified."""
        with _translate_faults():
            # Stores refuse a range beyond the end with different errors.
            if start >= min(end, self.size(digest)):
                return b""
            return bytes(obstore.get_range(self._store, _path(digest), start=start, end=end))

    def stream(self, digest: str, start: int = 0, end: int | None = None, chunk: int = 1 << 20) -> Iterator[bytes]:
        """Read bytes `start` up to `end` in parts of about `chunk` bytes; a whole object is verified.

        `StorageUnavailable` `object-damaged` is raised after the last block, so a caller that forwards blocks must
        then abort the response.
        """
        whole = start == 0 and end is None
        options: GetOptions = {} if whole else {"range": {"offset": start} if end is None else (start, end)}
        sha256 = hashlib.sha256()
        with _translate_faults():
            response = obstore.get(self._store, _path(digest), options=options)
            for block in response.stream(min_chunk_size=chunk):
                data = bytes(block)
                if whole:
                    sha256.update(data)
                yield data
        if whole and sha256.hexdigest() != digest:
            raise _damaged_error()

    def file(self, digest: str) -> Path | bytes:
        """Give the object to another process: its path in a local folder, else its bytes."""
        if self._folder is not None and self.exists(digest):
            return self._folder / _path(digest)
        return self.get(digest)

    def open(self, digest: str) -> BinaryIO:
        """Open the object as a seekable file; not verified."""
        with _translate_faults():
            if self._folder is not None:
                return (self._folder / _path(digest)).open("rb")
            return BufferedReader(_RemoteFile(obstore.open_reader(self._store, _path(digest))))

    def _put_remotely(self, wanted: Mapping[StoredObject, Sequence[Buffer]]) -> None:
        def put(stored_object: StoredObject) -> None:
            if not self.exists(stored_object.digest):
                with suppress(AlreadyExistsError):
                    # One request: only a whole put can be refused when the name is taken.
                    obstore.put(
                        self._store,
                        _path(stored_object.digest),
                        list(wanted[stored_object]),
                        mode="create",
                        use_multipart=False,
                    )

        with ThreadPoolExecutor(_MAX_CONCURRENT_REQUESTS) as network:
            list(network.map(put, wanted))

    def _put_durably(self, folder: Path, wanted: Mapping[StoredObject, Sequence[Buffer]]) -> None:
        parts: dict[Path, Path] = {}
        disk = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for stored_object, buffers in wanted.items():
                target = folder / _path(stored_object.digest)
                if not target.exists():
                    parts[target] = folder / _PARTS / uuid4().hex
                    _write(parts[target], buffers)
                elif target.stat().st_size != stored_object.size:
                    raise _damaged_error()
            _sync(disk)
            for target, part in parts.items():
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with suppress(FileExistsError):
                    target.hardlink_to(part)  # unlike rename, a link never replaces what is there
            # This sync covers existing objects too, which another process may have linked but not synced yet.
            _sync(disk)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
            os.close(disk)


class _RemoteFile(RawIOBase):
    """obstore's reader as a raw file object."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with _translate_faults():
            read = self._reader.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)


@contextmanager
def _translate_faults() -> Iterator[None]:
    """Turn the store's errors into `NotFound` and `StorageUnavailable`."""
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


def _damaged_error() -> StorageUnavailable:
    return StorageUnavailable(
        "an object is not what its digest says", code="object-damaged", hint="restore it from a copy of the archive"
    )


def _address(buffers: Sequence[Buffer]) -> StoredObject:
    sha256, size = hashlib.sha256(), 0
    for buffer in buffers:
        sha256.update(buffer)
        size += memoryview(buffer).nbytes
    return StoredObject(sha256.hexdigest(), size)


def _write(part: Path, buffers: Sequence[Buffer]) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for buffer in buffers:
            rest = memoryview(buffer).cast("B")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Sync the file system of an open folder with syncfs(2), which costs about as much as the fsync of one file.

    Python does not offer it; Linux reports write errors since the folder was opened.
    """
    if _LIBC.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _remove_stale_parts(parts: Path) -> None:
    """Remove temporary files of killed processes; writing an object takes less than an hour."""
    for part in parts.iterdir():
        try:
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue
