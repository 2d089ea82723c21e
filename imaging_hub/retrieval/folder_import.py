"""Import of a folder of DICOM files into spool and journal, as if a sender had sent them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.dicom.status import StoreSituation
from imaging_hub.gateway.incoming_dicom_file import IncomingFileReader
from imaging_hub.gateway.reception import ReceivedInstance, Reception
from imaging_hub.gateway.senders import Sender

CONCURRENT_FILES = 4
"""Files imported at the same time: while the disk flushes some, the next are read."""
_CHUNK_BYTES = 1 << 20
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """The result of one file."""

    path: Path
    received: ReceivedInstance


def list_files(source: Path) -> list[Path]:
    """List `source` itself, or every file below it, in order; symbolic links are not followed."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())


def import_files(
    reception: Reception,
    sender: Sender,
    files: Sequence[Path],
    dataset_max_bytes: int,
    *,
    on_wait: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[ImportedFile]:
    """Import files in order, and wait while spool or disk has too little room: `on_wait` is called as a wait begins.

    Raises `StorageUnavailable` after a failed fsync, when the disk can no longer be trusted.
    """
    readers = [IncomingFileReader(reception, sender, dataset_max_bytes) for _ in range(CONCURRENT_FILES)]
    with ThreadPoolExecutor(CONCURRENT_FILES) as pool:
        for start in range(0, len(files), CONCURRENT_FILES):
            if not reception.is_accepting():
                on_wait()
                while not reception.is_accepting():
                    sleep(_PAUSE_SECONDS)
            yield from pool.map(_import_file, readers, files[start : start + CONCURRENT_FILES])


def _import_file(reader: IncomingFileReader, path: Path) -> ImportedFile:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                reader.write(chunk)
    except OSError:
        reader.discard()
        return ImportedFile(path, ReceivedInstance(StoreSituation.MALFORMED, "file-unreadable"))
    return ImportedFile(path, reader.finish().received)
