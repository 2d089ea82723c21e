"""Transfer of one file from the hub to the disk, resumed by byte range and accepted by its SHA-256 only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event

import httpx

from imaging_hub.client.hub import HubBusy, HubConnection
from imaging_hub.client.manifest import PARTIAL, ManifestItem, sha256
from imaging_hub.errors import TransferError

CHUNK_BYTES = 1 << 18
"""Bytes written at a time, and the most an interrupted transfer fetches again."""

_REHASH_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")

AdvanceProgress = Callable[[int], None]
"""Called with the number of bytes gained; negative when bytes are discarded."""


class TransferStopped(Exception):
    """The transfer was stopped because another file failed."""


class _CannotResume(HubBusy):
    """The hub did not resume at the requested offset; the file starts over."""

    code = "cannot-resume"


class _PartialFile:
    """A partly transferred file, with the digest of its bytes so far."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size, self.length = path, size, 0
        self._sha256 = hashlib.sha256()
        if not path.is_file() or path.stat().st_size > size:
            path.write_bytes(b"")
        with path.open("rb") as file:
            while block := file.read(_REHASH_BYTES):
                self._sha256.update(block)
                self.length += len(block)

    def append(self, block: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(block)
        self._sha256.update(block)
        self.length += len(block)

    def clear(self) -> int:
        """Discard the content and return its length."""
        lost, self.length, self._sha256 = self.length, 0, hashlib.sha256()
        self.path.write_bytes(b"")
        return lost

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()


class ReleaseTransfer:
    """Transfer of one release's files; shared by threads, which stop together."""

    def __init__(self, hub: HubConnection, release: str, advance: AdvanceProgress) -> None:
        self._hub, self._release, self._advance = hub, release, advance
        self._stopping = Event()

    def stop(self) -> None:
        """Stop every thread at its next chunk."""
        self._stopping.set()

    def fetch(self, item: ManifestItem, target: Path) -> None:
        """Fetch `item` to `target`, unless it is already there with the right digest.

        A file with a wrong digest is fetched once more. Raises `TransferError` when it is wrong again or the hub
        refuses, `TransferStopped` when another thread failed.
        """
        try:
            self._fetch(item, target)
        except BaseException:
            self.stop()
            raise

    def _fetch(self, item: ManifestItem, target: Path) -> None:
        self._raise_if_stopped()
        if target.is_file() and target.stat().st_size == item.size and sha256(target) == item.digest:
            self._advance(item.size)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _PartialFile(target.with_name(target.name + PARTIAL), item.size)
        self._advance(part.length)
        for _ in range(2):
            self._complete(item, part)
            if part.digest == item.digest:
                part.path.replace(target)
                return
            self._advance(-part.clear())
        part.path.unlink()
        raise TransferError(
            "a file arrived twice with a wrong SHA-256 and was not kept",
            code="digest-mismatch",
            hint="run the same command again; if it stays, tell the operator the release and this code",
        )

    def _raise_if_stopped(self) -> None:
        if self._stopping.is_set():
            raise TransferStopped

    def _complete(self, item: ManifestItem, part: _PartialFile) -> None:
        """Request the missing bytes until the file has its size; progress resets the count of failures."""
        failures, restarted = 0, False
        while part.length < part.size:
            before = part.length
            try:
                self._append(item, part)
                if part.length == before:
                    raise httpx.RemoteProtocolError("an empty answer")
            except (httpx.TransportError, TransferError) as fault:
                if isinstance(fault, _CannotResume):
                    self._advance(-part.clear())
                    restarted = True
                elif part.length > before and not restarted:
                    failures = 0
                self._hub.pause_before_retry(failures, fault)
                failures += 1

    def _append(self, item: ManifestItem, part: _PartialFile) -> None:
        """Append the bytes of one response; those before a broken connection are kept."""
        with self._hub.object(self._release, item.digest, part.length) as response:
            _check_range(response, part)
            for block in response.iter_raw(CHUNK_BYTES):
                self._raise_if_stopped()
                kept = block[: part.size - part.length]
                part.append(kept)
                self._advance(len(kept))
                if len(kept) < len(block):
                    return  # longer than announced: the digest of the first `size` bytes decides


def _check_range(response: httpx.Response, part: _PartialFile) -> None:
    """Check that the response starts at the requested offset of an object of the expected size (RFC 9110 §14.4)."""
    if response.status_code == 206:
        content_range = _RANGE.match(response.headers.get("content-range", ""))
        if content_range is not None and int(content_range[1]) == part.length and int(content_range[2]) == part.size:
            return
    elif response.status_code == 200 and part.length == 0:
        return
    if part.length:
        raise _CannotResume("the hub does not resume where the transfer stopped")
    raise TransferError(
        "the hub's object does not have the length that the manifest says",
        code="wrong-length",
        hint="tell the operator the release and this code",
    )
