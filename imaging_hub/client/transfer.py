"""One file from the hub to the disk: resumed from its true offset, and accepted by its SHA-256 only."""

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
"""Bytes written at a time: the most that an interrupted transfer fetches again."""

_REHASH_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")

AdvanceProgress = Callable[[int], None]
"""Told the bytes gained; negative when bytes turned out worthless."""


class TransferStopped(Exception):
    """Another file failed for good, so this one stops where it is."""


class _CannotResume(HubBusy):
    """The hub does not go on from where we stopped: begin the file again."""

    code = "cannot-resume"


class _Part:
    """A file in the making, with the digest of what it holds so far."""

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
        """Begin again; returns the bytes lost."""
        lost, self.length, self._sha256 = self.length, 0, hashlib.sha256()
        self.path.write_bytes(b"")
        return lost

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()


class ReleaseTransfer:
    """The files of one release on their way; shared by threads, which stop together."""

    def __init__(self, hub: HubConnection, release: str, advance: AdvanceProgress) -> None:
        self._hub, self._release, self._advance = hub, release, advance
        self._stopping = Event()

    def stop(self) -> None:
        """Let every thread stop at its next chunk."""
        self._stopping.set()

    def fetch(self, item: ManifestItem, target: Path) -> None:
        """Bring `item` to `target`; what is there is kept only if it is the item.

        A file whose digest is wrong is deleted and fetched once more; then it is a `TransferError`.
        """
        try:
            self._fetch(item, target)
        except BaseException:
            self.stop()
            raise

    def _fetch(self, item: ManifestItem, target: Path) -> None:
        self._go_on()
        if target.is_file() and target.stat().st_size == item.size and sha256(target) == item.digest:
            self._advance(item.size)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(target.with_name(target.name + PARTIAL), item.size)
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

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise TransferStopped

    def _complete(self, item: ManifestItem, part: _Part) -> None:
        """Ask for the rest until the file has its size; progress forgives failures, a new beginning does not."""
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
                self._hub.rest(failures, fault)
                failures += 1

    def _append(self, item: ManifestItem, part: _Part) -> None:
        """One request's worth of bytes; what came before a break is kept."""
        with self._hub.object(self._release, item.digest, part.length) as answer:
            _agree(answer, part)
            for block in answer.iter_raw(CHUNK_BYTES):
                self._go_on()
                kept = block[: part.size - part.length]
                part.append(kept)
                self._advance(len(kept))
                if len(kept) < len(block):
                    return  # longer than announced: the digest of its beginning decides


def _agree(answer: httpx.Response, part: _Part) -> None:
    """The answer goes on exactly where we stopped, in an object of the size we know."""
    if answer.status_code == 206:
        stated = _RANGE.match(answer.headers.get("content-range", ""))
        if stated is not None and int(stated[1]) == part.length and int(stated[2]) == part.size:
            return
    elif answer.status_code == 200 and part.length == 0:
        return
    if part.length:
        raise _CannotResume("the hub does not go on from where the transfer stopped")
    raise TransferError(
        "the hub's object does not have the length that the manifest says",
        code="wrong-length",
        hint="tell the operator the release and this code",
    )
