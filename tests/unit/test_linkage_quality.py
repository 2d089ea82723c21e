"""Proportions with their intervals, and who counts in them."""

from __future__ import annotations

import pytest

from imaging_hub.snds.exam_claim_concordance import ConcordantPerson
from imaging_hub.snds.indirect_linkage import METHODS
from imaging_hub.snds.linkage_quality import Proportion, precision_by_method, quality_by_group


def a_found(sid: str, person: str, method: str = "exact") -> ConcordantPerson:
    return ConcordantPerson(sid, person, method, 1, 1)


@pytest.mark.parametrize(
    ("of", "count", "lower", "upper"),
    [
        (10, 8, 0.4902, 0.9433),
        (1, 0, 0.0, 0.7935),
        (263, 81, 0.2553, 0.3662),
        (1000, 1000, 0.9962, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_intervals_are_wilsons(of: int, count: int, lower: float, upper: float) -> None:
    assert Proportion(of, count).interval == pytest.approx((lower, upper), abs=5e-5)


def test_precision_is_measured_on_known_pairs_only() -> None:
    shares = precision_by_method(
        [a_found("a", "A"), a_found("b", "X"), a_found("c", "C")], {"a": "A", "b": "B"}, METHODS
    )
    assert shares["exact"] == Proportion(2, 1)
    assert shares["without-act"] == Proportion(0, 0)


def test_recall_counts_those_who_were_not_found() -> None:
    known = {"a": "A", "b": "B", "c": "C"}
    groups = quality_by_group(
        [a_found("a", "A"), a_found("b", "X")], known, lambda sid: "late" if sid == "c" else "early"
    )
    assert groups["early"].precision == Proportion(2, 1)
    assert groups["early"].recall == Proportion(2, 1)
    assert groups["late"].precision == Proportion(0, 0)
    assert groups["late"].recall == Proportion(1, 0)
