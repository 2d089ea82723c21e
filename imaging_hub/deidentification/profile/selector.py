"""Which public attributes a rule means: by keyword or tag, a pattern of tags, and the sequences around them.

PatientComments                              at every depth
(60xx,3000)                                  every attribute of a repeating group; x stands for any digit
.StudyDescription                            at the top level only
RequestAttributesSequence.AccessionNumber    in items of this sequence of the top level
*.RequestAttributesSequence.AccessionNumber  wherever the sequence stands; `*` is any sequences, or none
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from imaging_hub.deidentification.attribute import attribute_name, parse_attribute, vr_of

_PATTERN = re.compile(r"\(?([0-9A-Fa-fXx]{4}),?\s*([0-9A-Fa-fXx]{4})\)?\Z")
_ANYWHERE = None
_DEEPEST = 12

SequencePlace = tuple[int | None, ...]
"""Tags of sequences from the top level on, None for any of them or none."""


@dataclass(frozen=True, slots=True)
class AttributeSelector:
    """What an attribute's tag and the sequences around it must be."""

    mask: int
    value: int
    place: SequencePlace

    @property
    def tag(self) -> int | None:
        """The attribute, if it is one."""
        return self.value if self.mask == 0xFFFFFFFF else None

    @property
    def vr(self) -> str:
        """VR of all that is selected; empty when a pattern selects several."""
        return "" if self.tag is None else vr_of(self.tag)

    def selects(self, tag: int, path: tuple[int, ...]) -> bool:
        """Whether an attribute inside these sequences is meant."""
        return tag & self.mask == self.value and _leads(self.place, path)

    def covers(self, other: AttributeSelector) -> bool:
        """Whether all that another selects is surely selected too."""
        tags = other.mask & self.mask == self.mask and other.value & self.mask == self.value
        return tags and self.place in (other.place, (_ANYWHERE,))


@lru_cache(maxsize=1024)
def selector(text: str) -> AttributeSelector:
    """Parse the selector that `text` says; raises ValueError with what is wrong."""
    *steps, name = text.strip().split(".")
    if len(steps) > _DEEPEST:
        msg = f"a path has at most {_DEEPEST} sequences"
        raise ValueError(msg)
    place: SequencePlace = (_ANYWHERE,)
    if steps:
        place = tuple(_sequence(step) for step in steps if step or len(steps) > 1)
    tag = parse_attribute(name)
    if tag is not None:
        return AttributeSelector(0xFFFFFFFF, tag, place)
    mask, value = _pattern(name)
    return AttributeSelector(mask, value, place)


def attribute_path(text: str) -> tuple[int, ...]:
    """Parse one attribute with the sequences around it, `A.B.C` from the top level, to tags; raises ValueError."""
    steps = re.sub(r"\[\d+\]", "", text.strip()).split(".")
    path = tuple(tag for step in steps if (tag := parse_attribute(step)) is not None)
    if len(path) != len(steps) or any(vr_of(tag) != "SQ" for tag in path[:-1]):
        raise ValueError("no attribute has this keyword or tag, or what stands before a dot is no sequence")
    return path


def place_of(path: tuple[int, ...]) -> str:
    """Write a path in keywords: `RequestAttributesSequence.AccessionNumber`."""
    return ".".join(attribute_name(tag) for tag in path)


def _sequence(step: str) -> int | None:
    if step == "*":
        return _ANYWHERE
    tag = parse_attribute(step)
    if tag is None or vr_of(tag) != "SQ":
        raise ValueError("what stands before a dot is a sequence of the data dictionary, or `*`")
    return tag


def _pattern(text: str) -> tuple[int, int]:
    """Mask and value of a tag with `x` for digits that may be any."""
    match = _PATTERN.match(text)
    digits = "" if match is None else (match[1] + match[2]).lower()
    if "x" not in digits:
        raise ValueError("no attribute of the data dictionary has this keyword or tag")
    if digits[3] in "13579bdf":
        raise ValueError("private attributes are selected by `private`, with their creator")
    mask = int("".join("0" if digit == "x" else "f" for digit in digits), 16)
    # Of a group that may be any, only the even ones are the Standard's.
    return mask | 0x00010000, int(digits.replace("x", "0"), 16)


def _leads(place: SequencePlace, path: tuple[int, ...]) -> bool:
    if not place:
        return not path
    if place[0] is _ANYWHERE:
        return len(place) == 1 or any(_leads(place[1:], path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and path[0] == place[0] and _leads(place[1:], path[1:])
