"""A reason code in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a reason means and what to do about it, in one language."""

    meaning: str
    remedy: str

    def filled(self, **facts: str) -> ReasonText:
        """The same with these facts in the place of their `{names}`."""
        return ReasonText(self.meaning.format(**facts), self.remedy.format(**facts))


@dataclass(frozen=True, slots=True)
class ReasonExplanation:
    """What a reason means and what to do about it, in both languages."""

    french: ReasonText
    english: ReasonText
