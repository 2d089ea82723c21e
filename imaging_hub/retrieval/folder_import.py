"""A folder of DICOM files taken into the spool and the journal as if its files had been sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.dicom.status import StoreSituation
from imaging_hub.gateway.dicom_file import IncomingFileReader
from imaging_hub.gateway.reception import ReceivedInstance, Reception
from imaging_hub.gateway.senders import Sender

AT_ONCE = 4
"""Files under way: while the disk confirms some, the next are read."""
_PIECE = 1 << 20
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file, and what became of it."""

    path: Path
    received: ReceivedInstance


def files_of(source: Path) -> list[Path]:
    """The file, or every file below the folder, in order; links are not followed."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())


def take(
    reception: Reception,
    sender: Sender,
    files: Sequence[Path],
    dataset_max_bytes: int,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[ImportedFile]:
    """Take files, in order; when the spool is above its watermark, wait until the workers have made room.

    Raises `StorageUnavailable` for a disk that can no longer be trusted.
    """
    arriving = [IncomingFileReader(reception, sender, dataset_max_bytes) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(files), AT_ONCE):
            while not reception.is_accepting():
                sleep(_PATIENCE_SECONDS)
            yield from pool.map(_take, arriving, files[start : start + AT_ONCE])


def _take(arriving: IncomingFileReader, path: Path) -> ImportedFile:
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                arriving.write(piece)
    except OSError:
        arriving.discard()
        return ImportedFile(path, ReceivedInstance(StoreSituation.MALFORMED, "file-unreadable"))
    return ImportedFile(path, arriving.finish().received)
