"""A table of another edition of PS3.15 Annex E beside the one in use: what a swap of the file would change.

The file has the form of those in `tables/`. It is checked as a whole before anything is said of it: an action
or an option that this engine does not know is not data, it needs code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import vr_of
from imaging_hub.errors import ProfileError

EditionRow: TypeAlias = "Mapping[str, str]"
"""A row of any of the tables: column to value, with a column for each option it names."""

_FILES = {"E.1-1": "e1_1", "E.3.4-1": "e3_4_1", "E.3.10-1": "e3_10_1"}
_KEYS = {"E.1-1": ("tag",), "E.3.4-1": ("code", "scheme", "value type"), "E.3.10-1": ("tag", "creator")}
_ACTIONS = frozenset(("X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"))
_OPTION_ACTIONS = frozenset(("K", "C"))
_TAGS = {"E.1-1": re.compile(r"[0-9A-FX]{8}|private"), "E.3.10-1": re.compile(r"[0-9A-F]{4}xx[0-9A-F]{2}")}
_SELECTOR_UN = "0072006D"


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that the two editions do not have alike; None in the edition that has no such row."""

    before: EditionRow | None
    after: EditionRow | None

    def __str__(self) -> str:
        row = self.after or self.before or {}
        name = " ".join(row[column] for column in ("tag", "creator", "code", "scheme", "value type") if column in row)
        return f"{self._sign} {name} {row.get('name') or row['meaning']}: {self._what}"

    @property
    def _sign(self) -> str:
        if self.before is None:
            return "+"
        return "-" if self.after is None else "~"

    @property
    def _what(self) -> str:
        before, after = self.before, self.after
        if before is None or after is None:
            row = after or before or {}
            hidden = {"tag", "creator", "code", "scheme", "value type", "name", "meaning"}
            return ", ".join(f"{column} {value}" for column, value in row.items() if column not in hidden)
        columns = [column for column in {**before, **after} if before.get(column) != after.get(column)]
        return "; ".join(f"{name} {before.get(name) or 'none'} → {after.get(name) or 'none'}" for name in columns)

    @property
    def concern(self) -> str:
        """What the engine could not do with a row that comes in; empty when the swap is enough."""
        tag = (self.after or {}).get("tag", "")
        if self.before is not None or not re.fullmatch("[0-9A-FX]{8}", tag):
            return ""
        if "X" in tag:
            return "" if tag[:2] in ("50", "60") else "a repeating group that the engine does not treat as one"
        unknown = tag != _SELECTOR_UN and vr_of(int(tag, 16)) == "UN"
        return "no Value Representation is known: removed until dicom/tags.py names one" if unknown else ""


@dataclass(frozen=True, slots=True)
class Edition:
    """A table of one edition."""

    name: str
    """`DICOM PS3.15 2026c`."""
    table: str
    rows: Mapping[tuple[str, ...], EditionRow]

    def differences(self, other: Edition) -> list[RowChange]:
        """List the rows that `other`, of the same table, does not have like this one; in the order of their keys."""
        keys = sorted(self.rows.keys() | other.rows.keys())
        pairs = (RowChange(self.rows.get(key), other.rows.get(key)) for key in keys)
        return [pair for pair in pairs if pair.before != pair.after]


def in_use(table: str) -> Edition:
    """Read the edition of a table, `E.1-1`, that this package has."""
    return _edition(standard_tables.table(_FILES[table]), _FILES[table])


def read(path: Path) -> Edition:
    """Read the edition in a file; raises `ProfileError` when it is not a table that this engine could use."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise _wrong(path.name, "the file cannot be read as JSON") from None
    return _edition(content, path.name)


def _edition(content: Any, source: str) -> Edition:
    if not isinstance(content, dict) or content.get("table") not in _FILES or not isinstance(content.get("rows"), list):
        raise _wrong(source, f"`table` is one of {', '.join(_FILES)}, and `rows` a list")
    table = content["table"]
    columns = standard_tables.table(_FILES[table])["columns"]
    if content.get("columns") != columns or not isinstance(content.get("edition"), str):
        raise _wrong(source, f"the columns are {', '.join(columns)}, and `edition` a name")
    rows: dict[tuple[str, ...], EditionRow] = {}
    for number, values in enumerate(content["rows"], 1):
        row = _row(table, columns, values)
        if row is None:
            raise _wrong(source, f"row {number} is none that this engine knows to read")
        key = tuple(row[column] for column in _KEYS[table])
        if key in rows:
            raise _wrong(source, f"row {number} stands twice")
        rows[key] = row
    return Edition(content["edition"], table, rows)


def _row(table: str, columns: list[str], values: Any) -> EditionRow | None:
    """A row with a column for each of its options; None when something in it is unknown."""
    if not isinstance(values, list) or len(values) != len(columns):
        return None
    row = dict(zip(columns, values, strict=True))
    options = row.pop("options", {})
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in row.values()):
        return None
    known = (
        row.get("basic", "X") in _ACTIONS
        and options.keys() <= set(standard_tables.OPTIONS)
        and set(options.values()) <= _OPTION_ACTIONS
        and (table not in _TAGS or _TAGS[table].fullmatch(row["tag"]) is not None)
    )
    return row | options if known else None


def _wrong(source: str, what: str) -> ProfileError:
    return ProfileError(f"{source}: {what}", code="table", hint="see docs/profiles/editions.md")
