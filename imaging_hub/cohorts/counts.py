"""Suppression of small cells: no count shown, and no difference of two, is of fewer than `k` people.

CASD's rule for the PMSI is k = 11. A smaller count is shown as `<11`, zero included, because zero is a fact about
everybody. Counts of a flowchart only fall, so the difference of two neighbours is the number of people who left at a
step: of two counts that differ by less than k the earlier is withheld, beginning at the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROUNDING_UNIT = 10
"""Feasibility counts are rounded down to a multiple of this, so that similar questions reveal little more than one."""


@dataclass(frozen=True)
class CountedStep:
    """A step of a flowchart with true counts, which never leave the process."""

    name: str
    subjects: int
    missing: int | None = None
    """Subjects who left at this step because a value is missing; None when none can be missing."""
    withheld: bool = False
    """Whether `differencing` forbids to show `subjects`."""
    missing_withheld: bool = False
    """Whether it forbids to show `missing`."""


@dataclass(frozen=True)
class ShownStep:
    """A step of a flowchart with counts as shown: a number, `<k` or `withheld`."""

    name: str
    subjects: str
    missing: str
    """Empty when no value can be missing, or the step's count is not shown."""


def suppress_small_cells(steps: Sequence[CountedStep], k: int, *, rounded: bool = False) -> list[ShownStep]:
    """Return the steps of a flowchart without counts that reveal fewer than `k` people."""
    visible = _which_visible(steps, k)
    shown_steps = []
    for place, step in enumerate(steps):
        lost = steps[place - 1].subjects - step.subjects if place else 0
        with_missing = place > 0 and visible[place] and visible[place - 1]
        subjects = _count_text(step.subjects, visible[place], k, rounded)
        shown_steps.append(
            ShownStep(step.name, subjects, _missing_text(step, lost, k, rounded) if with_missing else "")
        )
    return shown_steps


def suppress_small_cell(count: int, k: int, *, rounded: bool = False) -> str:
    """Return a single count as shown."""
    return _count_text(count, count >= k, k, rounded)


def _which_visible(steps: Sequence[CountedStep], k: int) -> list[bool]:
    """Decide which counts of a falling chain are shown, from the last to the first."""
    visible: list[bool] = []
    below = None
    for step in reversed(steps):
        is_visible = not step.withheld and step.subjects >= k and (below is None or step.subjects - below >= k)
        visible.append(is_visible)
        below = step.subjects if is_visible else below
    return visible[::-1]


def _count_text(count: int, visible: bool, k: int, rounded: bool) -> str:
    if not visible:
        return _held_back(k) if count < k else "withheld"
    return str(_round_down(count) if rounded else count)


def _missing_text(step: CountedStep, lost: int, k: int, rounded: bool) -> str:
    """Return the count of missing values, shown when neither it nor the rest of those who left is below k."""
    if step.missing is None:
        return ""
    visible = not step.missing_withheld and step.missing >= k and lost - step.missing >= k
    return _count_text(step.missing, visible, k, rounded)


def _round_down(count: int) -> int:
    return count - count % ROUNDING_UNIT


def _held_back(k: int) -> str:
    return f"<{k}"
