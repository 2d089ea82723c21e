"""The part of an object that a request asks for (RFC 9110 §14): one range of bytes, or the whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imaging_hub.http.problems import ProblemDetails

_ONE_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True)
class ByteSpan:
    """Bytes `start` to `end`, the end excluded."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        """As the header says it, the end included."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def asked_span(headers: Mapping[str, str], digest: str, size: int) -> ByteSpan | None:
    """The span asked for; None for the whole, also when several ranges or another version are asked for.

    Raises a 416 `ProblemDetails` for a range outside the object.
    """
    found = _ONE_RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or headers.get("if-range", f'"{digest}"') != f'"{digest}"':
        return None
    first, last = found.groups()
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
