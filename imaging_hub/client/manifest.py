"""Manifest of a release: its files with digest and size, each path checked before anything is written."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from imaging_hub.errors import TransferError

NAME = "manifest.parquet"
"""File name of the manifest in the destination; written last, so it marks a complete download."""

PARTIAL = ".part"
"""Suffix of a file that is still being transferred."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")  # no separator, colon, control, space; no leading dot or dash
_PATH_MAX = 200  # leaves room for the destination under the 260 characters of Windows
_WINDOWS_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9]|CONIN\$|CONOUT\$)(\.|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One file of a release."""

    path: PurePosixPath
    digest: str
    size: int


def parse(content: bytes) -> Sequence[ManifestItem]:
    """Return the items of a manifest; raises `TransferError` on the first unsafe or unportable path."""
    try:
        table = pq.read_table(io.BytesIO(content), columns=["path", "digest", "size"])
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise TransferError("the manifest is not the Parquet table it should be", code="manifest-malformed") from fault
    items = [_checked_item(row, number) for number, row in enumerate(rows)]
    names: set[str] = set()
    for number, item in enumerate(items):
        folded = str(item.path).casefold()  # Windows and macOS hold two such names for one
        if folded in names or folded == NAME:
            raise _line_error("names one file twice", number)
        names.add(folded)
    folders = {str(parent).casefold() for item in items for parent in item.path.parents}
    if folders & names:
        raise TransferError("the manifest names a file that is also a folder", code="manifest-path")
    return items


def read(folder: Path) -> Sequence[ManifestItem]:
    """Return the items of a downloaded release; raises `TransferError` when `folder` holds no valid manifest."""
    try:
        return parse((folder / NAME).read_bytes())
    except FileNotFoundError:
        raise TransferError(
            "the folder holds no manifest.parquet: its download did not end",
            code="not-downloaded",
            hint="run the same `imaging-hub download` again; it goes on where it stopped",
        ) from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_item(row: dict[str, object], number: int) -> ManifestItem:
    path, digest, size = row["path"], row["digest"], row["size"]
    if not isinstance(path, str) or not path or len(path) > _PATH_MAX:
        raise _line_error("has no path, or one too long", number)
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise _line_error("has no SHA-256 digest", number)
    if not isinstance(size, int) or size < 0:
        raise _line_error("has no size", number)
    for name in path.split("/"):
        if not _SAFE_NAME.match(name) or name.endswith(".") or _WINDOWS_RESERVED.match(name) or name.endswith(PARTIAL):
            raise _line_error("has a path that leaves the folder or that some systems cannot hold", number)
    return ManifestItem(PurePosixPath(path), digest, size)


def _line_error(fault: str, number: int) -> TransferError:
    message = f"line {number + 1} of the manifest {fault}"
    return TransferError(message, code="manifest-path", hint="nothing was written; tell the operator of the hub")
