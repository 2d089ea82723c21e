"""A short run takes a share of what is too long for every run; days take turns until all had theirs."""

from __future__ import annotations

from itertools import chain

from share import Case, Share

CASES = [Case("walks", str(case), parts=3) for case in range(7)]
ALWAYS, LONG = Case("counts", ""), Case("cuts the power", "", is_long=True)


def kept(share: Share, tests: list[Case]) -> list[Case]:
    return [test for test, stays in zip(tests, share.kept(tests), strict=True) if stays]


def test_so_many_days_have_run_every_case_once() -> None:
    days = [kept(Share(day), CASES) for day in (20_000, 20_001, 20_002)]
    assert sorted(chain(*days)) == CASES
    assert [len(day) for day in days] == [2, 3, 2]
    assert kept(Share(20_003), CASES) == days[0]


def test_a_case_alone_always_runs() -> None:
    assert all(kept(Share(day), [case]) == [case] for day in range(3) for case in CASES)


def test_the_order_of_tests_does_not_change_which_run() -> None:
    assert sorted(kept(Share(1), CASES[::-1])) == kept(Share(1), CASES)


def test_the_long_form_runs_everything() -> None:
    tests = [*CASES, ALWAYS, LONG]
    assert kept(Share(5, is_long=True), tests) == tests
    assert kept(Share(5), [ALWAYS, LONG]) == [ALWAYS]
    assert Share(5).of([1, 2, 3], 5) == [3]
    assert (Share(5).times(2, 9), Share(5, is_long=True).times(2, 9)) == (2, 9)
