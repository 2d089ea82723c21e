"""A whole release to a folder: files in parallel, each verified, and the manifest last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.client import manifest
from imaging_hub.client.hub import HubConnection, Release, locate
from imaging_hub.client.manifest import PARTIAL, ManifestItem
from imaging_hub.client.transfer import AdvanceProgress, ReleaseTransfer, TransferStopped
from imaging_hub.errors import TransferError

_RESERVE_BYTES = 64 << 20  # what stays free on a disk after a download
_POLL_SECONDS = 2.0

BeginProgress = Callable[["DownloadSummary"], AdvanceProgress]
"""Told once what there is to do; returns what is told of every byte."""


@dataclass(frozen=True)
class DownloadSummary:
    """What a release is, and how much of it was here before."""

    release: str
    files: int
    bytes: int
    present_bytes: int
    """Bytes of whole or begun files, by their size; they are verified all the same."""
    folder: str
    complete: bool


def download(
    url: str | None,
    token: str,
    release: str,
    dest: Path | str,
    *,
    parallel: int = 4,
    dry_run: bool = False,
    wait_seconds: float = 0.0,
    begin: BeginProgress | None = None,
) -> DownloadSummary:
    """Bring a release to `dest`, or go on with it; every file is verified by its SHA-256 before it gets its name.

    `release` is an id, or the address of a release (then `url` may be None). With `wait_seconds`, a
    release in preparation is waited for. Raises `TransferError`; what was fetched stays and is resumed.
    """
    origin, name = locate(url, release)
    folder = Path(dest)
    with HubConnection(origin, token, connections=parallel) as hub:
        found = _ready(hub, name, wait_seconds)
        content = hub.manifest(found)
        items = manifest.parse(content)
        _refuse_other(folder, content)
        summary = _summarise(found, items, folder)
        _refuse_full(folder, summary)
        advance = begin(summary) if begin else _silent
        if dry_run:
            return summary
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_all(ReleaseTransfer(hub, found.id, advance), items, folder, parallel)
    _write_last(folder / manifest.NAME, content)
    return DownloadSummary(name, summary.files, summary.bytes, summary.present_bytes, summary.folder, complete=True)


def _ready(hub: HubConnection, name: str, wait_seconds: float) -> Release:
    until = time.monotonic() + wait_seconds
    while True:
        try:
            return hub.release(name)
        except TransferError as fault:
            if fault.code != "release-preparing" or time.monotonic() >= until:
                raise
            time.sleep(_POLL_SECONDS)


def _fetch_all(transfer: ReleaseTransfer, items: Sequence[ManifestItem], folder: Path, parallel: int) -> None:
    """Fetch with `parallel` threads; the first failure stops the others where they are."""
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        jobs = [pool.submit(transfer.fetch, item, folder / item.path) for item in items]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            transfer.stop()
            pool.shutdown(wait=True, cancel_futures=True)
    for fault in (job.exception() for job in jobs if not job.cancelled()):
        if isinstance(fault, OSError):
            raise TransferError(
                "the disk is full or cannot be written", code="disk", hint="free some space and run the command again"
            ) from fault
        if fault is not None and not isinstance(fault, TransferStopped):
            raise fault


def _summarise(found: Release, items: Sequence[ManifestItem], folder: Path) -> DownloadSummary:
    present = 0
    for item in items:
        target = folder / item.path
        for path in (target, target.with_name(target.name + PARTIAL)):
            if path.is_file():
                present += min(path.stat().st_size, item.size)
                break
    total = sum(item.size for item in items)
    return DownloadSummary(found.id, len(items), total, present, str(folder), complete=False)


def _refuse_other(folder: Path, content: bytes) -> None:
    """A folder is of one release."""
    here = folder / manifest.NAME
    if here.exists() and here.read_bytes() != content:
        raise TransferError("the folder holds another release", code="other-release", hint="choose another folder")


def _refuse_full(folder: Path, summary: DownloadSummary) -> None:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    needed = summary.bytes - summary.present_bytes
    if shutil.disk_usage(existing).free < needed + _RESERVE_BYTES:
        message = f"the disk has no room for the {needed} bytes that are missing"
        raise TransferError(message, code="disk-full", hint="free some space or choose another folder")


def _write_last(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + PARTIAL)
    part.write_bytes(content)
    part.replace(path)


def _silent(gained: int) -> None:
    """Nobody watches."""
