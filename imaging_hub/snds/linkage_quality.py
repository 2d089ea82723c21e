"""How good a way of linking is, measured on pairs that are known to be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from imaging_hub.snds.concordance import ConcordantPerson

_Z = 1.959964  # 95 %


@dataclass(frozen=True, slots=True)
class Proportion:
    """A proportion with its 95 % confidence interval (Wilson 1927), which holds for shares near 1 too."""

    of: int
    count: int

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound; 0 to 1 of nothing."""
        if not self.of:
            return 0.0, 1.0
        share, n = self.count / self.of, self.of
        middle = share + _Z * _Z / (2 * n)
        half = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
        scale = 1 + _Z * _Z / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

    @property
    def lower(self) -> float:
        """Lower bound."""
        return self.interval[0]


@dataclass(frozen=True, slots=True)
class LinkageQuality:
    """What was found of subjects whose person is known."""

    precision: Proportion
    """Of what was found, how much is right."""
    recall: Proportion
    """Of whom could have been found, how many were, rightly."""


def by_method(
    found: Iterable[ConcordantPerson], known: Mapping[str, str], methods: Iterable[str]
) -> dict[str, Proportion]:
    """Precision of each of `methods`, on the subjects of `known` (person by sid)."""
    judged = [(one.method, known[one.sid] == one.person) for one in found if one.sid in known]
    return {
        one: Proportion(
            sum(method == one for method, _ in judged),
            sum(right for method, right in judged if method == one),
        )
        for one in methods
    }


def by_group(
    found: Iterable[ConcordantPerson], known: Mapping[str, str], group: Callable[[str], str]
) -> dict[str, LinkageQuality]:
    """Precision and recall on the subjects of `known`, by what `group` says of a sid."""
    persons = {one.sid: one.person for one in found if one.sid in known}
    members: dict[str, list[str]] = {}
    for sid in known:
        members.setdefault(group(sid), []).append(sid)
    return {name: _quality(sids, persons, known) for name, sids in sorted(members.items())}


def _quality(sids: list[str], persons: Mapping[str, str], known: Mapping[str, str]) -> LinkageQuality:
    found = [sid for sid in sids if sid in persons]
    right = sum(persons[sid] == known[sid] for sid in found)
    return LinkageQuality(Proportion(len(found), right), Proportion(len(sids), right))
