"""Longitudinal temporal information with modified dates (PS3.15 §E.3.6): whole days, one offset per patient."""

from __future__ import annotations

import re
from datetime import date, timedelta

# DA, with the dots of ACR-NEMA; DT down to whatever precision, with or without fraction and offset from UTC.
_DATE = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})\Z")
_DATE_TIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?\Z")
_TIME = re.compile(r"(?:\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?|[+-]\d{4})\Z")
_IN_A_YEAR = {b"D": 365, b"W": 52, b"M": 12, b"Y": 1}


def shift(text: str, days: int) -> str | None:
    """A DA or DT value moved by `days`, in the precision it has; None when it is no date.

    A date known to the month or the year only is moved as its middle would be.
    """
    match = _DATE.match(text)
    if match is not None:
        moved = _moved(int(match[1]), int(match[3]), int(match[4]), days)
        return None if moved is None else match[2].join((f"{moved.year:04}", f"{moved.month:02}", f"{moved.day:02}"))
    match = _DATE_TIME.match(text)
    if match is None or (match[4] and not match[3]):
        return None
    year, month, day, time, offset = match.groups()
    moved = _moved(int(year), int(month or 7), int(day or (15 if month else 1)), days)
    if moved is None:
        return None
    parts = (f"{moved.year:04}", month and f"{moved.month:02}", day and f"{moved.day:02}", time, offset)
    return "".join(part for part in parts if part)


def is_time(text: str) -> bool:
    """Whether `text` is a time of day (TM) or an offset from UTC, and nothing more."""
    return _TIME.match(text) is not None


def is_temporal(text: str) -> bool:
    """Whether `text` is a date, a time, both, or an offset from UTC."""
    return is_time(text) or shift(text, 0) is not None


def day_of(text: str) -> date | None:
    """The day of a DA or DT value."""
    match = _DATE.match(text.strip()[:10]) or _DATE.match(text.strip()[:8])
    if match is None:
        return None
    return _moved(int(match[1]), int(match[3]), int(match[4]), 0)


def years(age: bytes) -> int | None:
    """Whole years of an Age String, 0 of an empty one; None when it is no age."""
    if not age:
        return 0
    in_a_year = _IN_A_YEAR.get(age[-1:])
    if in_a_year is None or not age[:-1].isdigit() or len(age) > 4:
        return None
    return int(age[:-1]) // in_a_year


def _moved(year: int, month: int, day: int, days: int) -> date | None:
    try:
        return date(year, month, day) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
