"""Counts that may be shown: no number, and no difference of two, tells of fewer than `k` people.

The rule of CASD for the PMSI is k = 11: a count below it is shown as `<11`, zero included, since that
nobody has something is a fact about everybody. A flowchart is a chain of counts that only fall, so a step
that takes few people away is given away by its two neighbours: of two counts that differ by less than k
the earlier one is withheld. The last count decides first, because it is the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

ROUNDED_TO = 10
"""Feasibility counts are rounded down to this, so that many similar questions say little more than one."""


@dataclass(frozen=True)
class Counted:
    """A step with its true counts: never leaves the process."""

    name: str
    subjects: int
    missing: int | None = None
    """Of those who left at this step, how many because a value was missing; None where none can be."""


@dataclass(frozen=True)
class Shown:
    """A step as people see it."""

    name: str
    subjects: str
    missing: str
    """Empty where none can be, or where the count of the step is not shown."""


def shown(
    steps: Sequence[Counted],
    k: int,
    *,
    rounded: bool = False,
    withheld: Collection[int] = (),
    missing_withheld: Collection[int] = (),
) -> list[Shown]:
    """The steps of a flowchart with every count that could tell of fewer than `k` people held back.

    `withheld` and `missing_withheld` are the places of counts that must not be told for another reason.
    """
    visible = _visible([step.subjects for step in steps], k, withheld)
    found = []
    for place, step in enumerate(steps):
        lost = steps[place - 1].subjects - step.subjects if place else 0
        told = place > 0 and visible[place] and visible[place - 1]
        subjects = _text(step.subjects, visible[place], k, rounded)
        few = place in missing_withheld
        found.append(Shown(step.name, subjects, _missing(step.missing, lost, k, rounded, few) if told else ""))
    return found


def one(count: int, k: int, *, rounded: bool = False) -> str:
    """A single count as it may be shown."""
    return _text(count, count >= k, k, rounded)


def _visible(counts: Sequence[int], k: int, withheld: Collection[int]) -> list[bool]:
    """Which counts of a falling chain are shown, decided from the last to the first."""
    visible, below = [False] * len(counts), None
    for place in range(len(counts) - 1, -1, -1):
        if place not in withheld and counts[place] >= k and (below is None or counts[place] - below >= k):
            visible[place], below = True, counts[place]
    return visible


def _text(count: int, visible: bool, k: int, rounded: bool) -> str:
    if not visible:
        return _held_back(k) if count < k else "withheld"
    return str(_rounded(count) if rounded else count)


def _missing(missing: int | None, lost: int, k: int, rounded: bool, withheld: bool) -> str:
    """Shown when neither it nor the others who left at the step are few."""
    if missing is None:
        return ""
    return _text(missing, missing >= k and lost - missing >= k and not withheld, k, rounded)


def _rounded(count: int) -> int:
    return count - count % ROUNDED_TO


def _held_back(k: int) -> str:
    return f"<{k}"
