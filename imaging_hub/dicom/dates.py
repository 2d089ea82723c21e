"""Dates, times and ages as values of attributes (DA, DT, TM and AS; PS3.5 §6.2): checked, read, moved by whole days.

Whole days keep every interval exact, to the microsecond and in whatever time zone, and leave times of day as they are
(Longitudinal Temporal Information, PS3.15 §E.3.6).
"""

from __future__ import annotations

import re
from datetime import date, timedelta

# DA, with the dots of ACR-NEMA; TM, with its colons; DT down to whatever precision (PS3.5 §6.2).
_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})\Z")
_HOUR, _SIXTIETH, _SECOND = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]", r"(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?"
_OFFSET = r"(?:\+(?:0[0-9]|1[0-4])|-(?:0[0-9]|1[0-2]))[0-5][0-9]"
_DATE_TIME = re.compile(
    rf"([0-9]{{4}})(?:([0-9]{{2}})(?:([0-9]{{2}})({_HOUR}(?:{_SIXTIETH}(?:{_SECOND})?)?)?)?)?({_OFFSET})?\Z"
)
_IN_A_YEAR = {b"D": 365, b"W": 52, b"M": 12, b"Y": 1}
_TIME = re.compile(rf"(?:{_HOUR}(?::?{_SIXTIETH}(?::?{_SECOND})?)?|{_OFFSET})\Z")


def shift(text: str, days: int) -> str | None:
    """A DA or DT value moved by `days`, in the precision it has; None when it is no date.

    A partial date, known to the month or the year only, is moved as its middle would be.
    """
    match = _DATE.match(text)
    if match is not None:
        moved = _moved(int(match[1]), int(match[3]), int(match[4]), days)
        return None if moved is None else match[2].join((f"{moved.year:04}", f"{moved.month:02}", f"{moved.day:02}"))
    match = _DATE_TIME.match(text)
    if match is None:
        return None
    year, month, day, time, offset = match.groups()
    moved = _moved(int(year), int(month or 7), int(day or (15 if month else 1)), days)
    if moved is None:
        return None
    parts = (f"{moved.year:04}", month and f"{moved.month:02}", day and f"{moved.day:02}", time, offset)
    return "".join(part for part in parts if part)


def is_partial(text: str) -> bool:
    """Whether a DA or DT value is known to the month or the year only."""
    match = _DATE_TIME.match(text)
    return match is not None and match[3] is None


def is_date(text: str) -> bool:
    """Whether `text` is a date (DA), with or without a time (DT)."""
    return shift(text, 0) is not None


def is_time(text: str) -> bool:
    """Whether `text` is a time of day (TM) or an offset from UTC, and nothing more."""
    return _TIME.match(text) is not None


def fits(vr: str, value: str) -> bool:
    """Whether every value is a date where one belongs, or else a time: a date in its place would pass unmoved."""
    is_valid = is_date if vr in ("DA", "DT") else is_time
    return all(not part.strip(" \0") or is_valid(part.strip(" \0")) for part in value.split("\\"))


def day_of(text: str) -> date | None:
    """The day of a DA or DT value; None when it is no date."""
    match = _DATE.match(text.strip()[:10]) or _DATE.match(text.strip()[:8])
    if match is None:
        return None
    return _moved(int(match[1]), int(match[3]), int(match[4]), 0)


def years(age: bytes) -> int | None:
    """The whole years of an Age String (AS), 0 of an empty one; None when it is no age."""
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
