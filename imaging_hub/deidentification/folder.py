"""A folder of DICOM files de-identified offline: read once to know each patient, then once more to clean.

The first reading unites the identifiers of a patient over all files, since a name may stand in one header and be
hidden in the text of another. Output is named by new UIDs, never by the names of the source.
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import Pseudonyms, Quarantined, SourceInstance
from imaging_hub.dicom import part10, tags, values, walk
from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import HubError, MalformedDataset

_MAPPED_BYTES = 32 << 20
_CHUNK = 16
_WRITTEN_BYTES = 8 << 20
_SHIFT_DAYS_MAX = 3650
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class FileState(StrEnum):
    """How a file can end."""

    DEIDENTIFIED = "DEIDENTIFIED"
    QUARANTINED = "QUARANTINED"
    DUPLICATE = "DUPLICATE"  # it holds, byte for byte, what another file of the folder holds


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """Outcome of one file."""

    path: Path
    state: FileState
    reason: str = ""
    attribute: str = ""
    rule: str = ""
    fault: str = ""
    """Type and place, where the engine itself failed."""
    output: str = ""
    """Path under the destination."""
    needs_review: bool = False
    rules: dict[str, int] = field(default_factory=dict)
    """Rules that fired, and how often."""

    def as_report(self, source: Path) -> dict[str, Any]:
        """Write an entry of the report: without any value of the dataset; the path is the caller's own."""
        entry: dict[str, Any] = {"file": str(self.path.relative_to(source) if source.is_dir() else self.path.name)}
        entry |= {"state": self.state}
        for name in ("reason", "attribute", "rule", "fault", "output", "rules", "needs_review"):
            if getattr(self, name):
                entry[name] = getattr(self, name)
        return entry


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first reading learns of a file; identifying."""

    path: Path
    subject: str
    study: str
    sop_instance: str
    digest: bytes
    identifiers: frozenset[str]
    reason: str = ""


_Task = tuple[Path, Pseudonyms]
FolderProgress = Callable[[str, int], None]
"""Called with the step and the number of files done in it since the last call."""


def files_of(source: Path) -> list[Path]:
    """List the files of a folder tree, or the one file."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.is_file())


def deidentify(
    paths: Sequence[Path],
    destination: Path,
    profile: Profile,
    key: bytes,
    *,
    jobs: int = 1,
    progress: FolderProgress = lambda step, done: None,
) -> list[FileOutcome]:
    """De-identify files into `destination`; an outcome for each path, in their order.

    `key` is the 256-bit key that pseudonyms, UIDs and date shifts follow from. Raises OSError when the destination
    cannot be written, and HubError `process-lost` when one of the `jobs` processes was ended from outside.
    """
    outcomes: dict[Path, FileOutcome] = {}
    with _mapping(jobs) as run:
        headers = []
        for header in run(_read_header, paths):
            progress("read", 1)
            headers.append(header)
        tasks = list(_tasks(headers, key, outcomes))
        progress("clean", len(paths) - len(tasks))
        for outcome in run(partial(_clean_file, profile, destination), tasks):
            progress("clean", 1)
            outcomes[outcome.path] = outcome
    return [outcomes[path] for path in paths]


def _tasks(headers: Iterable[_Header], key: bytes, outcomes: dict[Path, FileOutcome]) -> Iterator[_Task]:
    """The files to clean, each with its patient's pseudonyms; the outcome of the others."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    subjects_of: defaultdict[str, set[str]] = defaultdict(set)
    readable = []
    for header in headers:
        if header.reason:
            outcomes[header.path] = FileOutcome(header.path, FileState.QUARANTINED, header.reason)
            continue
        readable.append(header)
        known[header.subject] |= header.identifiers
        subjects_of[header.study].add(header.subject)
    frozen = {subject: frozenset(found) for subject, found in known.items()}
    seen: dict[str, bytes] = {}
    for header in readable:
        first = seen.setdefault(header.sop_instance, header.digest)
        if len(subjects_of[header.study]) > 1:
            outcomes[header.path] = FileOutcome(
                header.path, FileState.QUARANTINED, "study-of-two-patients", "PatientID"
            )
        elif header.sop_instance and first is not header.digest:
            state = FileState.DUPLICATE if first == header.digest else FileState.QUARANTINED
            reason = "" if first == header.digest else "sop-instance-conflict"
            outcomes[header.path] = FileOutcome(header.path, state, reason, "SOPInstanceUID")
        else:
            yield header.path, pseudonyms(key, header.subject, frozen[header.subject])


def pseudonyms(key: bytes, subject: str, known: frozenset[str] = frozenset()) -> Pseudonyms:
    """Derive the pseudonyms of a subject from a 256-bit key: always the same, nothing to be got back without it."""
    number = int.from_bytes(_derived(key, f"PATIENT|1|{subject}")[:10], "big")
    digits = "".join(_DIGITS[number >> shift & 31] for shift in range(75, -1, -5))
    shift = int.from_bytes(_derived(key, f"SHIFT|1|{subject}"), "big")
    return Pseudonyms(
        patient="-".join(("P", *(digits[start : start + 4] for start in range(0, 16, 4)))),
        uid_key=_derived(key, "UID|1"),
        date_shift_days=-(1 + shift % _SHIFT_DAYS_MAX),
        identifiers=known,
    )


def _derived(key: bytes, use: str) -> bytes:
    return hmac.digest(key, use.encode(), hashlib.sha256)


# What runs in a worker process, if there are any.


@contextmanager
def _mapping(jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Something that maps a function over tasks, in this process or in `jobs` others."""
    if jobs == 1:
        yield map
        return
    try:
        with ProcessPoolExecutor(jobs) as pool:
            yield lambda function, tasks: pool.map(function, tasks, chunksize=_CHUNK)
    except BrokenProcessPool:
        raise HubError(
            "a process ended before its work was done", code="process-lost", hint="look for memory, try fewer --jobs"
        ) from None


@lru_cache(maxsize=1)
def _engine(profile: Profile) -> Deidentifier:
    """One engine a process: its plan fills as instances come."""
    return Deidentifier(compile(profile))


def _contents(path: Path) -> Buffer:
    """The bytes of a file; large ones stay on disk and are paged in as they are written out."""
    if path.stat().st_size < _MAPPED_BYTES:
        return path.read_bytes()
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _digest(path: Path) -> bytes:
    """SHA-256 of a file, read piece by piece: through a mapping, all of it would come to rest in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _read_header(path: Path) -> _Header:
    try:
        data = _contents(path)
        meta, encoded = part10.split(data)
        dataset = walk.read(encoded, meta.transfer_syntax_uid)
        digest = _digest(path)
    except MalformedDataset as fault:
        reason = fault.code if fault.code in ("not-dicom", "no-transfer-syntax") else f"malformed-{fault.code}"
        return _Header(path, "", "", "", b"", frozenset(), reason)
    except OSError:
        return _Header(path, "", "", "", b"", frozenset(), "unreadable-file")
    charset = values.charset_of(dataset)
    patient_id = values.text_at(dataset, tags.PatientID, charset)
    issuer = values.text_at(dataset, tags.IssuerOfPatientID, charset)
    study = values.text_at(dataset, tags.StudyInstanceUID) or f"file:{path}"
    subject = f"{patient_id}|{issuer}" if patient_id else f"study|{study}"
    return _Header(
        path,
        subject,
        study,
        values.text_at(dataset, tags.SOPInstanceUID),
        digest,
        collector.collect(dataset),
    )


def _clean_file(profile: Profile, destination: Path, task: _Task) -> FileOutcome:
    path, pseudonyms = task
    try:
        meta, encoded = part10.split(_contents(path))
    except (MalformedDataset, OSError):
        return FileOutcome(path, FileState.QUARANTINED, "unreadable-file")
    outcome = _engine(profile).deidentify(SourceInstance(encoded, meta.transfer_syntax_uid), pseudonyms)
    if isinstance(outcome, Quarantined):
        fault = str(outcome.fault or "")
        return FileOutcome(path, FileState.QUARANTINED, outcome.reason, outcome.attribute, outcome.rule, fault)
    name = Path(outcome.study_instance_uid, outcome.series_instance_uid, f"{outcome.sop_instance_uid}.dcm")
    _write(destination / name, outcome.part10)
    rules = Counter(change.rule for change in outcome.changes)
    return FileOutcome(
        path, FileState.DEIDENTIFIED, output=str(name), needs_review=outcome.needs_review, rules=dict(rules)
    )


def _write(path: Path, parts: Iterable[Buffer]) -> None:
    """A whole file or none: the name appears when the content is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb", buffering=0) as file:
            for part in parts:
                _write_part(file.fileno(), memoryview(part))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_part(file: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(file, rest[:_WRITTEN_BYTES]) :]
        if isinstance(rest.obj, mmap.mmap):
            # What was paged in to be written is not needed again.
            rest.obj.madvise(mmap.MADV_DONTNEED)
