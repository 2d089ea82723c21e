"""Damaged files through `imaging_hub.deidentification.folder`, with an account of what became of each."""

from __future__ import annotations

import random
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging_hub.deidentification.folder import DEIDENTIFIED, deidentify
from imaging_hub.deidentification.profile import Profile

LARGEST_BYTES = 300_000


@dataclass
class Account:
    """What became of damaged files."""

    states: Counter[str] = field(default_factory=Counter)
    """How many ended in which state, for which reason."""
    wrong: list[str] = field(default_factory=list)
    """What must not be; empty when all is well."""
    longest_seconds: float = 0.0

    @property
    def peak_bytes(self) -> int:
        """The most memory that this process has had."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
        _through_the_door(path, profile, folder / "out", account)
        if account.wrong:
            break
        path.unlink()
    return account


def _damaged(files: Sequence[Path], chance: random.Random) -> Iterator[bytes]:
    from test_dicom_malformed import mutants  # beside the tests that damage what the walk reads

    while True:
        yield next(mutants(chance.choice(files).read_bytes(), chance))


def _through_the_door(path: Path, profile: Profile, destination: Path, account: Account) -> None:
    started = time.perf_counter()
    outcomes = deidentify([path], destination, profile, bytes(32))
    account.longest_seconds = max(account.longest_seconds, time.perf_counter() - started)
    account.states.update(f"{outcome.state} {outcome.reason}".strip() for outcome in outcomes)
    written = {str(file.relative_to(destination)) for file in destination.rglob("*") if file.is_file()}
    if len(outcomes) != 1:
        account.wrong.append(f"{path.name} has {len(outcomes)} states")
    if written != {outcome.output for outcome in outcomes if outcome.state == DEIDENTIFIED}:
        account.wrong.append(f"{path.name}: what is written is not what is named")
    if any(outcome.reason == "engine-fault" for outcome in outcomes):
        account.wrong.append(f"{path.name}: the engine failed")
    shutil.rmtree(destination, ignore_errors=True)
