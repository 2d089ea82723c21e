"""Counts that may be shown: no number, and no difference of two, tells of fewer than `k` people.

The rule of CASD for the PMSI is k = 11: a count below it is shown as `<11`, zero included, since that
nobody has something is a fact about everybody. A flowchart is a chain of counts that only fall, so a step
that takes few people away is given away by its two neighbours: of two counts that differ by less than k
the earlier one is withheld. The last count decides first, because it is the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROUNDED_TO = 10
"""Feasibility counts are rounded down to this, so that many similar questions say little more than one."""


@dataclass(frozen=True)
class CountedStep:
    """A step with its true counts: never leaves the process."""

    name: str
    subjects: int
    missing: int | None = None
    """Of those who left at this step, how many because a value was missing; None where none can be."""
    withheld: bool = False
    """Not to be told whatever its size, for what was told before; and so the count of the missing."""
    missing_withheld: bool = False


@dataclass(frozen=True)
class ShownStep:
    """A step as people see it."""

    name: str
    subjects: str
    missing: str
    """Empty where none can be, or where the count of the step is not shown."""


def shown(steps: Sequence[CountedStep], k: int, *, rounded: bool = False) -> list[ShownStep]:
    """The steps of a flowchart with every count that could tell of fewer than `k` people held back."""
    visible = _visible(steps, k)
    found = []
    for place, step in enumerate(steps):
        lost = steps[place - 1].subjects - step.subjects if place else 0
        told = place > 0 and visible[place] and visible[place - 1]
        subjects = _text(step.subjects, visible[place], k, rounded)
        found.append(ShownStep(step.name, subjects, _missing(step, lost, k, rounded) if told else ""))
    return found


def one(count: int, k: int, *, rounded: bool = False) -> str:
    """A single count as it may be shown."""
    return _text(count, count >= k, k, rounded)


def _visible(steps: Sequence[CountedStep], k: int) -> list[bool]:
    """Which counts of a falling chain are shown, decided from the last to the first."""
    visible: list[bool] = []
    below = None
    for step in reversed(steps):
        shows = not step.withheld and step.subjects >= k and (below is None or step.subjects - below >= k)
        visible.append(shows)
        below = step.subjects if shows else below
    return visible[::-1]


def _text(count: int, visible: bool, k: int, rounded: bool) -> str:
    if not visible:
        return _held_back(k) if count < k else "withheld"
    return str(_rounded(count) if rounded else count)


def _missing(step: CountedStep, lost: int, k: int, rounded: bool) -> str:
    """Shown when neither it nor the others who left at the step are few."""
    if step.missing is None:
        return ""
    visible = not step.missing_withheld and step.missing >= k and lost - step.missing >= k
    return _text(step.missing, visible, k, rounded)


def _rounded(count: int) -> int:
    return count - count % ROUNDED_TO


def _held_back(k: int) -> str:
    return f"<{k}"
