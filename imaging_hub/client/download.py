"""Download of a release to a folder: files in parallel, each verified, and the manifest last."""

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
_POLL_INTERVAL_SECONDS = 2.0

BeginProgress = Callable[["DownloadSummary"], AdvanceProgress]
"""Called once before the transfer; returns the callback that counts bytes."""


@dataclass(frozen=True)
class DownloadSummary:
    """Size of a release, and how much of it the folder already holds."""

    release: str
    files: int
    bytes: int
    present_bytes: int
    """Bytes of whole and partial files before the download, not verified yet."""
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
    """Download a release to `dest`, or resume it; a file gets its name only after its SHA-256 is verified.

    `release` is an id, or the address of a release (then `url` may be None). `wait_seconds` bounds the wait for
    a release in preparation. Raises `TransferError` when the hub refuses, the disk is full, or a file stays wrong;
    what was fetched is kept for the next call.
    """
    origin, name = locate(url, release)
    folder = Path(dest)
    with HubConnection(origin, token, connections=parallel) as hub:
        opened = _wait_until_ready(hub, name, wait_seconds)
        content = hub.manifest(opened)
        items = manifest.parse(content)
        _refuse_other_release(folder, content)
        summary = _make_summary(opened, items, folder)
        _refuse_full_disk(folder, summary)
        advance = begin(summary) if begin else _ignore_progress
        if dry_run:
            return summary
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_all(ReleaseTransfer(hub, opened.id, advance), items, folder, parallel)
    _write_whole(folder / manifest.NAME, content)
    return DownloadSummary(name, summary.files, summary.bytes, summary.present_bytes, summary.folder, complete=True)


def _wait_until_ready(hub: HubConnection, name: str, wait_seconds: float) -> Release:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return hub.release(name)
        except TransferError as fault:
            if fault.code != "release-preparing" or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_INTERVAL_SECONDS)


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


def _make_summary(release: Release, items: Sequence[ManifestItem], folder: Path) -> DownloadSummary:
    present = 0
    for item in items:
        whole = folder / item.path
        for path in (whole, whole.with_name(whole.name + PARTIAL)):
            if path.is_file():
                present += min(path.stat().st_size, item.size)
                break
    total = sum(item.size for item in items)
    return DownloadSummary(release.id, len(items), total, present, str(folder), complete=False)


def _refuse_other_release(folder: Path, content: bytes) -> None:
    """Refuse a folder that holds the manifest of another release."""
    present = folder / manifest.NAME
    if present.exists() and present.read_bytes() != content:
        raise TransferError("the folder holds another release", code="other-release", hint="choose another folder")


def _refuse_full_disk(folder: Path, summary: DownloadSummary) -> None:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    needed = summary.bytes - summary.present_bytes
    if shutil.disk_usage(existing).free < needed + _RESERVE_BYTES:
        message = f"the disk has no room for the {needed} bytes that are missing"
        raise TransferError(message, code="disk-full", hint="free some space or choose another folder")


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + PARTIAL)
    part.write_bytes(content)
    part.replace(path)


def _ignore_progress(gained: int) -> None:
    """Ignore the progress."""
