"""What the doctor names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or will be soon."""

    subject: str
    """The part of the hub, in a word."""
    message: str
    cure: str
    is_error: bool = True
    """Whether something does not work now; otherwise it soon may not."""
