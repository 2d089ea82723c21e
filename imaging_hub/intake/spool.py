"""The spool: originals as whole DICOM files, named by their SHA-256; a power cut loses none that was acknowledged.

The order counts: write `.part` → fsync the file → rename → fsync the folder; only then may a journal row name it. With
study keys, each file is sealed, and its name is still the digest of its plain content. An original begins with a
preamble that names its hospital, so that recovery can assign a file without a row, and no two hospitals share a file.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID, uuid4

from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import NotFound, StorageUnavailable
from imaging_hub.intake import file_encryption
from imaging_hub.intake.file_encryption import FileSealer
from imaging_hub.intake.study_keys import OriginalOwner, StudyKeyStore, open_study_keys
from imaging_hub.settings import Settings

_PARTS = ".parts"
_READ_BACK = Lock()
"""Held while a large sealed file is decrypted into memory, so that there is one at a time."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))

START_BYTES = file_encryption.CHUNK_BYTES
"""Bytes read of an original when its beginning may suffice."""
FSYNC_FAILED = "fsync-failed"
"""Code of the fault after which a process must end, since the kernel reports a lost write only once."""


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file that is durable in the spool."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class FileStart:
    """The first bytes of an original."""

    data: Buffer
    size: int
    """Of the whole file, in bytes."""


class Spool:
    """Originals below one folder, as `<first two digits>/<digest>.dcm`, mode 0600."""

    def __init__(self, folder: Path, study_keys: StudyKeyStore | None, *, seal: bool = True) -> None:
        """Seal new files with `study_keys` if `seal`; sealed files can be read in either case."""
        self.folder = folder
        self.study_keys = study_keys
        self.seals = seal and study_keys is not None
        self._synced_folders: set[str] = set()

    def path(self, digest: str) -> Path:
        """Path of the original with this digest, whether it exists or not."""
        return self.folder / f"{digest[:2]}/{digest}.dcm"

    def read(self, digest: str) -> Buffer:
        """Return the whole plain file. Raises `NotFound`, or `StorageUnavailable` when it cannot be decrypted."""
        with self._open(digest) as file:
            sealed = self._open_sealed(file)
            return file.read() if sealed is None else sealed.read()

    def read_start(self, digest: str) -> FileStart:
        """Return the first bytes of a file, all of a small one. Raises as `read` does."""
        with self._open(digest) as file:
            sealed = self._open_sealed(file)
            if sealed is None:
                return FileStart(file.read(START_BYTES), os.fstat(file.fileno()).st_size)
            return FileStart(sealed.read(START_BYTES), sealed.size)

    def _open(self, digest: str) -> BinaryIO:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound("the original is no longer in the spool", code="original-gone") from None

    def _open_sealed(self, file: BinaryIO) -> file_encryption.SealedFileReader | None:
        """Return None when the file is not sealed."""
        key_id = file_encryption.read_key_id(file.read(file_encryption.HEADER_BYTES))
        file.seek(0)
        return None if key_id is None else file_encryption.open_sealed_file(file, self._key(key_id))

    def _key(self, key_id: UUID) -> bytes:
        if self.study_keys is None:
            raise StorageUnavailable("the original is sealed, and this process has no keys", code="original-unreadable")
        return self.study_keys.find_key(key_id).key

    def remove(self, digest: str) -> None:
        """Delete an original if it exists."""
        self.path(digest).unlink(missing_ok=True)

    def create_file(self) -> IncomingFile:
        """Create a file to write an original to. Raises `StorageUnavailable`."""
        parts = self.folder / _PARTS
        with _storage_faults():
            if not parts.is_dir():
                parts.mkdir(mode=0o700, parents=True, exist_ok=True)
            return IncomingFile(self, parts / f"{uuid4().hex}.part")

    def store(self, chunks: Iterable[Buffer], owner: OriginalOwner) -> SpooledFile:
        """Store the concatenation of `chunks`, durable on return. Raises `StorageUnavailable`."""
        with self.create_file() as part:
            part.write(*chunks)
            return part.keep(owner)

    @staticmethod
    def measure(chunks: Iterable[Buffer]) -> SpooledFile:
        """Return digest and size of the file that `store` would make."""
        sha256, size = hashlib.sha256(), 0
        for chunk in chunks:
            sha256.update(chunk)
            size += len(chunk)
        return SpooledFile(sha256.hexdigest(), size)

    def digests(self) -> Iterator[set[str]]:
        """Yield the digests of all originals, a folder at a time."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield {file.stem for file in folder.iterdir() if file.suffix == ".dcm"}

    def unfinished_files(self) -> list[Path]:
        """List the `.part` files, which a crash may have left."""
        return list((self.folder / _PARTS).glob("*.part"))

    def make_folder(self, digest: str) -> Path:
        """Return the folder for `digest`, created durably if needed. Raises `StorageUnavailable`."""
        folder = self.folder / digest[:2]
        if digest[:2] not in self._synced_folders:
            folder.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self.folder)
            self._synced_folders.add(digest[:2])
        return folder


def open_spool(settings: Settings, login: DatabaseLogin) -> Spool:
    """Open the spool of these settings; `login` reads the study keys."""
    # Files that were sealed earlier can be read also when new ones are not sealed.
    return Spool(settings.spool, open_study_keys(settings, login), seal=settings.seal_originals)


class IncomingFile:
    """A new file of the spool, removed at the end of the `with` block unless `keep` was called."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool = spool
        self.path = path
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._kept = self._finished = False
        self._sealer: FileSealer | None = None
        if spool.seals:
            self._sealer = FileSealer()
            # The header is written last, when the study is known.
            os.lseek(self._file, file_encryption.HEADER_BYTES, os.SEEK_SET)

    def write(self, *buffers: Buffer) -> None:
        """Append `buffers`. Raises `StorageUnavailable`."""
        with _storage_faults():
            for buffer in buffers:
                self._sha256.update(buffer)
                self.size += len(buffer)
            for piece in self._sealer.seal(*buffers) if self._sealer else buffers:
                _write_all(self._file, piece)

    @property
    def digest(self) -> str:
        """SHA-256 of the plain content written so far."""
        return self._sha256.hexdigest()

    @contextmanager
    def content(self) -> Iterator[Buffer]:
        """Yield the whole plain content, after which nothing may be written. Raises `StorageUnavailable`.

        Sealed files are decrypted into memory, one at a time.
        """
        with _storage_faults():
            self._finish()
        with self.path.open("rb") as file:
            if self._sealer is None:
                yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                return
            with _READ_BACK:
                yield self._sealer.read_back(file)

    def _finish(self) -> None:
        """Write the last chunk of a sealed file."""
        if self._sealer is not None and not self._finished:
            self._finished = True
            _write_all(self._file, self._sealer.finish())

    def _write_header(self, owner: OriginalOwner) -> None:
        """Write the header of a sealed file under its study's key."""
        if self._sealer is None or self._spool.study_keys is None:
            return
        try:
            key = self._spool.study_keys.get_key(owner)
        except SQLAlchemyError as fault:
            raise StorageUnavailable("the journal could not be written", code="journal-unavailable") from fault
        os.pwrite(self._file, self._sealer.header(key.id, key.key), 0)

    def keep(self, owner: OriginalOwner) -> SpooledFile:
        """Make the file durable under its digest. Raises `StorageUnavailable`."""
        with _storage_faults():
            self._finish()
            self._write_header(owner)
            try:
                os.fsync(self._file)
            except OSError as fault:
                raise StorageUnavailable("the disk did not confirm what was written", code=FSYNC_FAILED) from fault
            digest = self.digest
            folder = self._spool.make_folder(digest)
            # An original of the same digest is the same file: replacing it changes nothing, and the fsync
            # of the folder then covers it whoever wrote it first.
            self.path = self.path.rename(folder / f"{digest}.dcm")
            self._kept = True
            _sync_folder(folder)
            return SpooledFile(digest, self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove it unless `keep` was called."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if not self._kept:
            with suppress(FileNotFoundError):
                self.path.unlink()


class _storage_faults:
    """Context in which an `OSError` becomes `StorageUnavailable`, with a code and without a path."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            code = "disk-full" if error.errno in _FULL else "storage-failed"
            hint = "free space below the spool, or enlarge it" if code == "disk-full" else "look at the disk's health"
            raise StorageUnavailable("the original could not be written", code=code, hint=hint) from error


def _write_all(file: int, buffer: Buffer) -> None:
    left = memoryview(buffer)
    while left:
        left = left[os.write(file, left) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        raise StorageUnavailable("the disk did not confirm what was written", code=FSYNC_FAILED) from fault
    finally:
        os.close(descriptor)
