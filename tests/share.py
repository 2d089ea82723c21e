"""Which part of what is too long for every run a run takes: all with `--long`, else a share that changes daily."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Case(NamedTuple):
    """A test, or one case of it."""

    function: str
    case: str
    parts: int = 0
    """How many shares its cases make; 0 if they do not take turns."""
    is_long: bool = False


@dataclass(frozen=True)
class Share:
    """A short run's number, which changes every day, or the long form."""

    number: int
    is_long: bool = False

    def of(self, cases: Sequence[T], parts: int) -> Sequence[T]:
        """All cases in the long form; else every `parts`-th, and at least one, beginning at another each day."""
        step = max(1, min(parts, len(cases)))
        return cases if self.is_long else cases[self.number % step :: step]

    def times(self, short: int, long: int) -> int:
        """How often something is done."""
        return long if self.is_long else short

    def kept(self, tests: Sequence[Case]) -> list[bool]:
        """Whether each runs; of the cases of one function that take turns some always do."""
        turns: dict[str, list[Case]] = defaultdict(list)
        for test in sorted(tests):
            if test.parts:
                turns[test.function].append(test)
        chosen = {test for cases in turns.values() for test in self.of(cases, cases[0].parts)}
        return [self.is_long or (not test.is_long and (not test.parts or test in chosen)) for test in tests]
