"""Precision and recall of linkage, measured on pairs known by INS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from imaging_hub.snds.exam_claim_concordance import ConcordantPerson

_Z = 1.959964  # 95 %


@dataclass(frozen=True, slots=True)
class Proportion:
    """A proportion with its 95 % confidence interval (Wilson 1927), valid near 0 and 1 too."""

    of: int
    count: int

    @property
    def value(self) -> float | None:
        """`count / of`, or None when `of` is 0."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound; (0, 1) when `of` is 0."""
        if not self.of:
            return 0.0, 1.0
        share, n = self.count / self.of, self.of
        middle = share + _Z * _Z / (2 * n)
        half = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
        scale = 1 + _Z * _Z / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

    @property
    def lower(self) -> float:
        """Lower bound of the interval."""
        return self.interval[0]


@dataclass(frozen=True, slots=True)
class LinkageQuality:
    """Precision and recall on subjects whose person is known."""

    precision: Proportion
    """Correct pairs among the pairs found."""
    recall: Proportion
    """Correct pairs among the known pairs."""


def precision_by_method(
    found: Iterable[ConcordantPerson], known: Mapping[str, str], methods: Iterable[str]
) -> dict[str, Proportion]:
    """Return the precision of each method, on the subjects of `known` (person by sid)."""
    judged = [(pair.method, known[pair.sid] == pair.person) for pair in found if pair.sid in known]
    return {
        method: Proportion(
            sum(judged_method == method for judged_method, _ in judged),
            sum(correct for judged_method, correct in judged if judged_method == method),
        )
        for method in methods
    }


def quality_by_group(
    found: Iterable[ConcordantPerson], known: Mapping[str, str], group: Callable[[str], str]
) -> dict[str, LinkageQuality]:
    """Return precision and recall on the subjects of `known` (person by sid), by `group` of the sid."""
    persons = {pair.sid: pair.person for pair in found if pair.sid in known}
    members: dict[str, list[str]] = {}
    for sid in known:
        members.setdefault(group(sid), []).append(sid)
    return {name: _quality(sids, persons, known) for name, sids in sorted(members.items())}


def _quality(sids: list[str], persons: Mapping[str, str], known: Mapping[str, str]) -> LinkageQuality:
    linked = [sid for sid in sids if sid in persons]
    correct = sum(persons[sid] == known[sid] for sid in linked)
    return LinkageQuality(Proportion(len(linked), correct), Proportion(len(sids), correct))
