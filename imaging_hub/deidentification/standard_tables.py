"""What PS3.15 Annex E says, as data: the tables of this package and nothing of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

BASIC = "basic"
"""Name of the Basic Application Level Confidentiality Profile itself, beside its options."""

CLEAN_GRAPHICS = "clean-graphics"
CLEAN_STRUCTURED_CONTENT = "clean-structured-content"
MODIFIED_DATES = "retain-longitudinal-modified-dates"
FULL_DATES = "retain-longitudinal-full-dates"
RETAIN_UIDS = "retain-uids"
SAFE_PRIVATE = "retain-safe-private"

OPTIONS = (
    "clean-descriptors",
    CLEAN_GRAPHICS,
    CLEAN_STRUCTURED_CONTENT,
    "retain-device-identity",
    "retain-institution-identity",
    FULL_DATES,
    MODIFIED_DATES,
    "retain-patient-characteristics",
    SAFE_PRIVATE,
    RETAIN_UIDS,
)
"""The options of PS3.15 §E.3 that have a column in Table E.1-1."""


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """One row of Table E.1-1."""

    pattern: str
    """Tag in hexadecimal, `50XXXXXX` for a repeating group, `private` for private attributes."""
    name: str
    basic: str
    """Action of the Basic Profile, e.g. `X/Z`."""
    options: Mapping[str, str]
    """Action of each option that has one."""

    @property
    def tag(self) -> int | None:
        """The tag, unless the row stands for many."""
        return None if self.pattern == "private" or "X" in self.pattern else int(self.pattern, 16)


@dataclass(frozen=True, slots=True)
class SafePrivateRow:
    """One row of Table E.3.10-1: a private attribute known to be safe from identity leakage."""

    group: int
    creator: str
    element: int
    """The last two digits: the block is where the creator reserved it."""
    vr: str
    """Empty where the table names none."""
    meaning: str


@dataclass(frozen=True, slots=True)
class ContentItemRow:
    """One row of Table E.3.4-1: what to do with an SR content item of this concept and value type."""

    meaning: str
    code: str
    scheme: str
    value_type: str
    basic: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeidentificationMethod:
    """One code of CID 7050."""

    option: str
    code: str
    meaning: str


def edition() -> str:
    """Name the edition of the Standard that the tables are of, e.g. `DICOM PS3.15 2026c`."""
    return str(table("e1_1")["edition"])


@cache
def rows() -> tuple[AttributeRow, ...]:
    """Read Table E.1-1, in its order."""
    return tuple(
        AttributeRow(pattern, name, basic, MappingProxyType(options))
        for pattern, name, basic, options in table("e1_1")["rows"]
    )


@cache
def by_tag() -> Mapping[int, AttributeRow]:
    """Index the rows of Table E.1-1 that stand for one attribute, by its tag."""
    return MappingProxyType({row.tag: row for row in rows() if row.tag is not None})


@cache
def safe_private() -> Mapping[tuple[int, str, int], SafePrivateRow]:
    """Index Table E.3.10-1 by group, creator and element."""
    rows_of_table = {}
    for tag, creator, vr, _, meaning in table("e3_10_1")["rows"]:
        row = SafePrivateRow(int(tag[:4], 16), creator, int(tag[-2:], 16), vr.partition("/")[0], meaning)
        rows_of_table[row.group, row.creator, row.element] = row
    return MappingProxyType(rows_of_table)


@cache
def content_items() -> Mapping[tuple[str, str, str], ContentItemRow]:
    """Index Table E.3.4-1 by code, scheme and value type."""
    rows_of_table = {}
    for meaning, code, scheme, value_type, basic, options in table("e3_4_1")["rows"]:
        rows_of_table[code, scheme, value_type] = ContentItemRow(
            meaning, code, scheme, value_type, basic, MappingProxyType(options)
        )
    return MappingProxyType(rows_of_table)


@cache
def methods() -> Mapping[str, DeidentificationMethod]:
    """Index CID 7050 by the option each code stands for."""
    return MappingProxyType(
        {option: DeidentificationMethod(option, code, meaning) for option, code, meaning in table("cid7050")["rows"]}
    )


@cache
def table(name: str) -> dict[str, Any]:
    """Read a table of this package as its file has it: `e1_1`, `e3_4_1`, `e3_10_1`, `cid7050`, `iod_types`."""
    content: dict[str, Any] = json.loads(files(__package__).joinpath("tables", f"{name}.json").read_text("utf-8"))
    return content


@cache
def _types() -> dict[str, Any]:
    return table("iod_types")


def iod(sop_class_uid: str) -> str | None:
    """Look up the IOD of a storage SOP Class, `ct-image`; None for one that is not of the Standard."""
    name: str | None = _types()["sop_classes"].get(sop_class_uid)
    return name


def sop_classes() -> tuple[str, ...]:
    """List the UIDs of the Standard's storage SOP Classes."""
    return tuple(_types()["sop_classes"])


def type_of(sop_class_uid: str, path: tuple[int, ...]) -> str:
    """Look up the Type of an attribute in an IOD (PS3.5 §7.4): `1`, `2` or `3`.

    `path` holds the tags of the enclosing sequences and of the attribute. A conditional Type counts as
    required, since its condition may well be met; what the IOD does not name is Type 3.
    """
    key = "/".join(f"{tag:08X}" for tag in path)
    types = _types()
    own = types["iods"].get(iod(sop_class_uid) or "", {})
    kind: str = own.get(key) or types["everywhere"].get(key, "3")
    return kind[0]
