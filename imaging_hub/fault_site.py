"""Where a fault rose: type and line of our code. The message of an exception may quote data, so it stays out."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Self

_PACKAGE = f"{__package__}."


@dataclass(frozen=True, slots=True)
class FaultSite:
    """What an operator can look up of an exception, and no value."""

    kind: str
    """Its class, `ValueError`."""
    place: str
    """The innermost line of this package that it passed, `deidentification.engine.actions:71`; else empty."""

    @classmethod
    def of(cls, fault: BaseException) -> Self:
        """The site of an exception that was raised."""
        ours = [
            f"{module.removeprefix(_PACKAGE)}:{line}"
            for frame, line in traceback.walk_tb(fault.__traceback__)
            if (module := frame.f_globals.get("__name__", "")).startswith(_PACKAGE)
        ]
        return cls(type(fault).__name__, ours[-1] if ours else "")

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}" if self.place else self.kind
