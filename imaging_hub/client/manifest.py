"""The list of files of a release, checked before anything is written: a path is hostile until proved plain."""

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
"""Name of the manifest in the destination: it is there once everything is."""

PARTIAL = ".part"
"""Ending of a file that is not whole yet."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")  # no separator, colon, control, space; no leading dot or dash
_PATH_MAX = 200  # leaves room for the destination under the 260 characters of Windows
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9]|CONIN\$|CONOUT\$)(\.|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One file of a release."""

    path: PurePosixPath
    digest: str
    size: int


def parse(content: bytes) -> Sequence[ManifestItem]:
    """The items of a manifest; raises `TransferError` on the first that could harm or cannot be kept."""
    try:
        table = pq.read_table(io.BytesIO(content), columns=["path", "digest", "size"])
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise TransferError("the manifest is not the Parquet table it should be", code="manifest-malformed") from fault
    items = [_item(row, number) for number, row in enumerate(rows)]
    taken: set[str] = set()
    for number, item in enumerate(items):
        folded = str(item.path).casefold()  # Windows and macOS hold two such names for one
        if folded in taken or folded == NAME:
            raise _refused("names one file twice", number)
        taken.add(folded)
    folders = {str(parent).casefold() for item in items for parent in item.path.parents}
    if folders & taken:
        raise TransferError("the manifest names a file that is also a folder", code="manifest-path")
    return items


def read(folder: Path) -> Sequence[ManifestItem]:
    """The items of a downloaded release."""
    try:
        return parse((folder / NAME).read_bytes())
    except FileNotFoundError:
        raise TransferError(
            "the folder holds no manifest.parquet: its download did not end",
            code="not-downloaded",
            hint="run the same `imaging-hub download` again; it goes on where it stopped",
        ) from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _item(row: dict[str, object], number: int) -> ManifestItem:
    path, digest, size = row["path"], row["digest"], row["size"]
    if not isinstance(path, str) or not path or len(path) > _PATH_MAX:
        raise _refused("has no path, or one too long", number)
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise _refused("has no SHA-256 digest", number)
    if not isinstance(size, int) or size < 0:
        raise _refused("has no size", number)
    for name in path.split("/"):
        if not _NAME.match(name) or name.endswith(".") or _RESERVED.match(name) or name.endswith(PARTIAL):
            raise _refused("has a path that leaves the folder or that some systems cannot hold", number)
    return ManifestItem(PurePosixPath(path), digest, size)


def _refused(what: str, number: int) -> TransferError:
    message = f"line {number + 1} of the manifest {what}"
    return TransferError(message, code="manifest-path", hint="nothing was written; tell the operator of the hub")
