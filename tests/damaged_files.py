"""Damaged files through `imaging_hub.deidentification.folder`, with an account of their outcomes."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import process_memory
from pydicom.datadict import DicomDictionary

from imaging_hub.deidentification.folder import FileState, deidentify
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.dicom import encode, part10, values, walk
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.errors import MalformedDataset

LARGEST_BYTES = 300_000
# VRs of one nature: what has none of them is refused as it is read.
_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
_TAGS = {
    vr: [tag for tag, entry in sorted(DicomDictionary.items()) if entry[0] == vr and tag >> 16 > 2]
    for vr in (*_VRS, "SQ", "US", "FD")
}


@dataclass
class Account:
    """Outcomes of damaged files."""

    states: Counter[str] = field(default_factory=Counter)
    """How many ended in which state, for which reason."""
    wrong: list[str] = field(default_factory=list)
    """What must not be; empty when all is well."""
    longest_seconds: float = 0.0

    @property
    def peak_bytes(self) -> int:
        """The most memory that this process has had."""
        return process_memory.peak_bytes()


def originals(folder: Path) -> list[Path]:
    """Files small enough to be damaged by the thousand."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and 400 < path.stat().st_size < LARGEST_BYTES)


def fuzz(files: Sequence[Path], count: int, seed: int, profile: Profile, folder: Path) -> Account:
    """Damage `files` at random, `count` times in all, and de-identify each of what comes of it by itself."""
    account = Account()
    stream = _damaged(files, random.Random(seed))
    for number in range(count):
        path = folder / f"{number}.dcm"
        path.write_bytes(next(stream))
        _deidentify_with_engine(path, profile, folder / "out", account)
        if account.wrong:
            break
        path.unlink()
    return account


def _damaged(files: Sequence[Path], chance: random.Random) -> Iterator[bytes]:
    from test_dicom_malformed import mutants  # beside the tests that damage what the walk reads

    while True:
        original = chance.choice(files).read_bytes()
        odd = _odd(original, chance) if chance.random() < 0.4 else None
        yield odd or next(mutants(original, chance))


def _odd(original: bytes, chance: random.Random) -> bytes | None:
    """A well-formed file of attributes that do not fit: other VRs, values, tags, places. None if it cannot be read."""
    try:
        meta, encoded = part10.split(original)
        dataset = walk.read(encoded, meta.transfer_syntax_uid)
        uids = [values.text_at(dataset, tag) for tag in (0x00080016, 0x00080018)]
        syntax = encode.output_syntax(meta.transfer_syntax_uid)
        for _ in range(chance.randrange(1, 8)):
            _misplace(dataset, chance)
        return b"".join((part10.file_meta(uids[0], uids[1], syntax), *encode.write(dataset, syntax)))
    except MalformedDataset:
        return None


def _misplace(dataset: Dataset, chance: random.Random) -> None:
    """Change one element in place, at any depth."""
    place = chance.randrange(len(dataset))
    tag, vr, value = dataset[place].tag, dataset[place].vr, dataset[place].value
    if isinstance(value, list):
        if value and value[0] and chance.random() < 0.7:
            _misplace(chance.choice([item for item in value if item]), chance)
            return
    elif not dataset[place].encapsulated:
        match chance.randrange(4):
            case 0:
                vr = chance.choice(_VRS) if vr in _VRS else vr
            case 1:
                value = chance.randbytes(chance.randrange(0, 40, 2))
            case 2:
                value = bytes(chance.choice([one.value for one in dataset if not isinstance(one.value, list)])[:64])  # type: ignore[arg-type]
            case _:
                vr, value = "SQ", [[dataset[place]]]
    if vr == "SQ" or chance.random() < 0.3:
        tag = chance.choice(_TAGS.get(vr, [tag]))
    dataset[place] = Element(tag, vr, value)
    dataset[:] = [element for _, element in sorted({element.tag: element for element in dataset}.items())]


def _deidentify_with_engine(path: Path, profile: Profile, destination: Path, account: Account) -> None:
    started = time.perf_counter()
    outcomes = deidentify([path], destination, profile, bytes(32))
    account.longest_seconds = max(account.longest_seconds, time.perf_counter() - started)
    account.states.update(f"{outcome.state} {outcome.reason}".strip() for outcome in outcomes)
    written = {str(file.relative_to(destination)) for file in destination.rglob("*") if file.is_file()}
    if len(outcomes) != 1:
        account.wrong.append(f"{path.name} has {len(outcomes)} states")
    if written != {outcome.output for outcome in outcomes if outcome.state is FileState.DEIDENTIFIED}:
        account.wrong.append(f"{path.name}: what is written is not what is named")
    if any(outcome.reason == "engine-fault" for outcome in outcomes):
        account.wrong.append(f"{path.name}: the engine failed")
    shutil.rmtree(destination, ignore_errors=True)
