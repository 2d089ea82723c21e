"""Range requests (RFC 9110 §14) for one range of bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imaging_hub.http.problem_details import ProblemDetails

_ONE_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True)
class ByteSpan:
    """Bytes from `start` to `end`, without `end`."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        """Return the value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def parse_range(headers: Mapping[str, str], digest: str, size: int) -> ByteSpan | None:
    """Return the requested span; None for the whole, several ranges, or another version of the object.

    Raises `ProblemDetails` 416 for a range outside the object.
    """
    match = _ONE_RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", f'"{digest}"') != f'"{digest}"':
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None  # not a valid range at all: ignored, as the RFC says
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise ProblemDetails(
            416,
            "range",
            "The range lies outside the object.",
            hint="compare the size in the manifest",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteSpan(start, end)
