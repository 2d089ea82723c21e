"""What a flowchart may tell: nothing of fewer than k people, also to somebody who knows the rule."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.cohorts.counts import ROUNDING_UNIT, CountedStep, suppress_small_cell, suppress_small_cells

Chain = tuple[int, ...]


def chain(counts: Chain) -> list[CountedStep]:
    return [CountedStep(f"step {number}", count) for number, count in enumerate(counts)]


def published(counts: Chain, k: int) -> tuple[str, ...]:
    return tuple(step.subjects for step in suppress_small_cells(chain(counts), k))


falling = st.lists(st.integers(0, 500), min_size=1, max_size=8).map(lambda counts: sorted(counts, reverse=True))


@given(falling, st.integers(2, 20))
def test_no_shown_count_and_no_difference_of_two_is_below_k(counts: list[int], k: int) -> None:
    numbers = [int(step.subjects) for step in suppress_small_cells(chain(tuple(counts)), k) if step.subjects.isdigit()]
    assert all(number >= k for number in numbers)
    assert all(earlier - later >= k for earlier, later in combinations(numbers, 2))


@given(falling, st.integers(2, 20))
def test_what_is_shown_is_true_and_the_last_count_is_shown_when_it_may_be(counts: list[int], k: int) -> None:
    for step, true in zip(suppress_small_cells(chain(tuple(counts)), k), counts, strict=True):
        assert step.subjects in (str(true), f"<{k}" if true < k else "withheld")
    if counts[-1] >= k:
        assert suppress_small_cells(chain(tuple(counts)), k)[-1].subjects == str(counts[-1])


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_nobody_who_knows_the_rule_can_work_out_a_small_cell(k: int, steps: int) -> None:
    """Every chain that looks the same is held side by side: each small cell has at least two values there."""
    most = 4 * k
    alike: dict[tuple[str, ...], list[Chain]] = defaultdict(list)
    for counts in product(range(most + 1), repeat=steps):
        if all(earlier >= later for earlier, later in pairwise(counts)):
            alike[published(counts, k)].append(counts)
    for view, chains in alike.items():
        if view[0] == "withheld" or not any(part.isdigit() for part in view):
            continue  # unbounded above: the limit of this enumeration, not of what is known, would decide
        for first, last in combinations(range(steps), 2):
            cells = {counts[first] - counts[last] for counts in chains}
            assert len(cells) > 1 or not 0 < min(cells) < k, (view, first, last)
        for place in range(steps):
            cells = {counts[place] for counts in chains}
            assert len(cells) > 1 or not 0 < min(cells) < k, (view, place)


@settings(max_examples=500)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 30), st.integers(2, 20))
def test_a_count_of_missing_values_tells_of_no_small_cell(left: int, missing: int, others: int, k: int) -> None:
    steps = [CountedStep("before", left + missing + others), CountedStep("after", left, missing)]
    before, after = suppress_small_cells(steps, k)
    if after.missing.isdigit():
        assert int(after.missing) == missing >= k
        assert others >= k
        assert before.subjects.isdigit()
        assert after.subjects.isdigit()


@given(falling, st.integers(2, 20))
def test_rounded_counts_are_rounded_down(counts: list[int], k: int) -> None:
    for exact, rounded in zip(
        suppress_small_cells(chain(tuple(counts)), k),
        suppress_small_cells(chain(tuple(counts)), k, rounded=True),
        strict=True,
    ):
        if exact.subjects.isdigit():
            assert int(rounded.subjects) == int(exact.subjects) // ROUNDING_UNIT * ROUNDING_UNIT
        else:
            assert rounded.subjects == exact.subjects


def test_a_single_count() -> None:
    assert [suppress_small_cell(count, 11) for count in (0, 10, 11)] == ["<11", "<11", "11"]
