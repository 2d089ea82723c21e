"""Originals at rest: whole DICOM files under their SHA-256; a power cut loses none that was acknowledged.

With a vault, each file is sealed under its study's key; its name is the digest of what it holds all the same.
The order is what counts: write `.part` → fsync the file → rename → fsync the folder; only then may a row
of the journal name it. An original begins with a preamble (PS3.10 §7.1 leaves its use open) that says which
hospital sent it, so that a file whose row was never written still belongs to somebody, and so that
two hospitals never share a file.
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
from imaging_hub.intake import sealing
from imaging_hub.intake.sealing import FileSealer
from imaging_hub.intake.study_keys import OriginalOwner, StudyKeyStore, open_vault
from imaging_hub.settings import Settings

_PARTS = ".parts"
_OPENING = Lock()
"""One large sealed file at a time is opened into memory to be examined."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))

START_BYTES = sealing.CHUNK_BYTES
"""What is read of an original where its beginning may do."""
FSYNC_FAILED = "fsync-failed"
"""Code of the one fault after which a process must not go on: what the kernel dropped it will not report twice."""


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """A file that is in the spool, durably."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class FileStart:
    """The first bytes of an original."""

    data: Buffer
    size: int
    """Bytes of the whole."""


class Spool:
    """The originals below one folder, as `<first two digits>/<digest>.dcm`, mode 0600."""

    def __init__(self, folder: Path, vault: StudyKeyStore | None = None, *, seal: bool = True) -> None:
        """What comes is sealed where there is a vault and `seal`; whatever is sealed, only a vault opens."""
        self.folder = folder
        self.vault = vault
        self.seals = seal and vault is not None
        self._made: set[str] = set()

    def path(self, digest: str) -> Path:
        """Where the original of this digest is, or would be."""
        return self.folder / f"{digest[:2]}/{digest}.dcm"

    def read(self, digest: str) -> Buffer:
        """The whole file, opened; `NotFound` when it is not there, `StorageUnavailable` when it cannot be opened."""
        with self._open(digest) as file:
            opener = self._opener(file)
            return file.read() if opener is None else opener.read()

    def start(self, digest: str) -> FileStart:
        """Its first bytes, opened, all of a small one; raises as `read` does."""
        with self._open(digest) as file:
            opener = self._opener(file)
            if opener is None:
                return FileStart(file.read(START_BYTES), os.fstat(file.fileno()).st_size)
            return FileStart(opener.read(START_BYTES), opener.size)

    def _open(self, digest: str) -> BinaryIO:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound("the original is no longer in the spool", code="original-gone") from None

    def _opener(self, file: BinaryIO) -> sealing.FileOpener | None:
        """None where the file is not sealed."""
        key_id = sealing.key_id(file.read(sealing.HEADER_BYTES))
        file.seek(0)
        return None if key_id is None else sealing.opener(file, self._key(key_id))

    def _key(self, key_id: UUID) -> bytes:
        if self.vault is None:
            raise StorageUnavailable("the original is sealed, and here are no keys", code="original-unreadable")
        return self.vault.by_id(key_id).key

    def remove(self, digest: str) -> None:
        """Delete an original; nothing happens when it is not there."""
        self.path(digest).unlink(missing_ok=True)

    def incoming(self) -> IncomingFile:
        """A new file to write to; raises `StorageUnavailable`."""
        parts = self.folder / _PARTS
        with _storing():
            if not parts.is_dir():
                parts.mkdir(mode=0o700, parents=True, exist_ok=True)
            return IncomingFile(self, parts / f"{uuid4().hex}.part")

    def store(self, chunks: Iterable[Buffer], owner: OriginalOwner) -> SpooledFile:
        """Store the join of `chunks`; durable on return. Raises `StorageUnavailable`."""
        with self.incoming() as part:
            part.write(*chunks)
            return part.keep(owner)

    @staticmethod
    def name(chunks: Iterable[Buffer]) -> SpooledFile:
        """What `store` would return, without storing."""
        sha256, size = hashlib.sha256(), 0
        for chunk in chunks:
            sha256.update(chunk)
            size += len(chunk)
        return SpooledFile(sha256.hexdigest(), size)

    def digests(self) -> Iterator[set[str]]:
        """The digests of all originals, a folder at a time."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield {file.stem for file in folder.iterdir() if file.suffix == ".dcm"}

    def parts(self) -> list[Path]:
        """Files that were begun and not kept."""
        return list((self.folder / _PARTS).glob("*.part"))

    def folder_of(self, digest: str) -> Path:
        """The folder for `digest`, made durably when it is not there."""
        folder = self.folder / digest[:2]
        if digest[:2] not in self._made:
            folder.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self.folder)
            self._made.add(digest[:2])
        return folder


def open_spool(settings: Settings, login: DatabaseLogin) -> Spool:
    """The spool of these settings, as `login` may open what is sealed in it."""
    # Whether or not new ones are sealed, those that are can be opened.
    return Spool(settings.spool, open_vault(settings, login), seal=settings.seal_originals)


class IncomingFile:
    """A file on its way into the spool; leaving the `with` block without `keep` removes it."""

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
            # The header is written last, when it is known whose file it is.
            os.lseek(self._file, sealing.HEADER_BYTES, os.SEEK_SET)

    def write(self, *buffers: Buffer) -> None:
        """Append `buffers`."""
        with _storing():
            for buffer in buffers:
                self._sha256.update(buffer)
                self.size += len(buffer)
            for piece in self._sealer.seal(*buffers) if self._sealer else buffers:
                _write_all(self._file, piece)

    @property
    def digest(self) -> str:
        """SHA-256 of what was written so far."""
        return self._sha256.hexdigest()

    @contextmanager
    def content(self) -> Iterator[Buffer]:
        """What was written, whole, and no more to be written; sealed files are opened into memory, one at a time."""
        with _storing():
            self._finish()
        with self.path.open("rb") as file:
            if self._sealer is None:
                yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                return
            with _OPENING:
                yield self._sealer.reopened(file)

    def _finish(self) -> None:
        """The last chunk of a sealed file."""
        if self._sealer is not None and not self._finished:
            self._finished = True
            _write_all(self._file, self._sealer.finish())

    def _head(self, owner: OriginalOwner) -> None:
        """The header of a sealed file: only now is it known whose it is."""
        if self._sealer is None or self._spool.vault is None:
            return
        try:
            key = self._spool.vault.of(owner)
        except SQLAlchemyError as fault:
            raise StorageUnavailable("the journal could not be written", code="journal-unavailable") from fault
        os.pwrite(self._file, self._sealer.header(key.id, key.key), 0)

    def keep(self, owner: OriginalOwner) -> SpooledFile:
        """Make the file durable under its digest."""
        with _storing():
            self._finish()
            self._head(owner)
            try:
                os.fsync(self._file)
            except OSError as fault:
                raise StorageUnavailable("the disk did not confirm what was written", code=FSYNC_FAILED) from fault
            digest = self.digest
            folder = self._spool.folder_of(digest)
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
        """Close the file, and remove it unless it was kept."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if not self._kept:
            with suppress(FileNotFoundError):
                self.path.unlink()


class _storing:
    """Turns the operating system's refusals into `StorageUnavailable`, with a code and without a path."""

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
