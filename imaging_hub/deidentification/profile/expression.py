"""Conditions of a profile on an instance's attributes: `Manufacturer contains "GE" and SliceThickness < 3`.

    condition   = "not" condition | "(" condition ")" | comparison, joined by "and" and "or"
    comparison  = Keyword "exists"
                | Keyword ("==" | "!=" | "<" | "<=" | ">" | ">=") literal
                | Keyword "contains" string
                | Keyword "in" "[" literal, ... "]"
    literal     = number | string in double quotes

Attributes are those of the top level, of the source; of several values one that fits is enough, and case does not
matter. About an attribute that is absent or empty nothing is known but that it does not exist: neither a comparison nor
its opposite holds. Nothing is evaluated but this.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import TypeAlias

from imaging_hub.deidentification.attribute import parse_attribute
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset
from imaging_hub.errors import MalformedDataset

ProfileCondition: TypeAlias = Callable[[Dataset], "bool | None"]
"""What a condition says of a dataset; None when it cannot be told."""

LONGEST = 500
_DEEPEST = 20
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([-+]?\d+(?:\.\d+)?)|([A-Za-z][A-Za-z0-9]*)|(==|!=|<=|>=|[<>()\[\],]))')
_OPERATORS = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_WORDS = frozenset(("and", "or", "not", "in", "contains", "exists"))


@lru_cache(maxsize=256)
def condition(text: str) -> ProfileCondition:
    """Parse the condition that `text` says; raises ValueError with the column where it goes wrong."""
    if len(text) > LONGEST:
        msg = f"a condition has at most {LONGEST} characters"
        raise ValueError(msg)
    return _Parser(text).parsed()


@lru_cache(maxsize=256)
def attributes(text: str) -> frozenset[int]:
    """List the tags of the attributes that a condition asks for; raises as `condition` does."""
    parser = _Parser(text)
    parser.parsed()
    return frozenset(parser.tags)


def holds(text: str, dataset: Dataset) -> bool:
    """Whether a condition is known to hold of an instance."""
    return condition(text)(dataset) is True


def may_hold(text: str, dataset: Dataset) -> bool:
    """Whether a condition holds of an instance, or nobody can tell."""
    return condition(text)(dataset) is not False


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        self.tags: set[int] = set()
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise _wrong(position + len(text[position:]) - len(text[position:].lstrip()), "this is not understood")
            kind = ("string", "number", "word", "sign")[(match.lastindex or 1) - 1]
            self._tokens.append((kind, match[match.lastindex or 1], match.start(match.lastindex or 1)))
            position = match.end()
        self._tokens.append(("end", "", len(text)))
        self._depth = 0

    def parsed(self) -> ProfileCondition:
        whole = self._either()
        kind, token, column = self._tokens[0]
        if kind != "end":
            raise _wrong(column, f"`{token}` is one too many")
        return whole

    def _either(self) -> ProfileCondition:
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda dataset: _or([part(dataset) for part in parts])

    def _both(self) -> ProfileCondition:
        parts = [self._single()]
        while self._took("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda dataset: _and([part(dataset) for part in parts])

    def _single(self) -> ProfileCondition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _wrong(self._tokens[0][2], "the condition is nested too deep")
        if self._took("not"):
            inner = self._single()
            made: ProfileCondition = lambda dataset: _not(inner(dataset))  # noqa: E731 - a name for its type
        elif self._took("("):
            made = self._either()
            self._expect(")")
        else:
            made = self._comparison()
        self._depth -= 1
        return made

    def _comparison(self) -> ProfileCondition:
        kind, word, column = self._tokens.pop(0)
        tag = parse_attribute(word) if kind == "word" and word not in _WORDS else None
        if tag is None:
            raise _wrong(column, "a keyword of the data dictionary is expected here")
        self.tags.add(tag)
        if self._took("exists"):
            return lambda dataset: bool(_texts(dataset, tag))
        if self._took("contains"):
            wanted = self._literal("string")
            return lambda dataset: _any(_texts(dataset, tag), lambda text: str(wanted) in text)
        if self._took("in"):
            return self._one_of(tag)
        kind, sign, column = self._tokens.pop(0)
        if sign not in _OPERATORS:
            raise _wrong(column, "a comparison is expected here: ==, !=, <, <=, >, >=, in, contains, exists")
        return _compared(tag, sign, self._literal())

    def _one_of(self, tag: int) -> ProfileCondition:
        self._expect("[")
        wanted = [self._literal()]
        while self._took(","):
            wanted.append(self._literal())
        self._expect("]")
        parts = [_compared(tag, "==", literal) for literal in wanted]
        return lambda dataset: _or([part(dataset) for part in parts])

    def _literal(self, only: str = "") -> str | float:
        kind, token, column = self._tokens.pop(0)
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", token[1:-1]).casefold()
        if kind != "number" or only:
            raise _wrong(column, "a string in double quotes" + ("" if only else " or a number") + " is expected here")
        return float(token)

    def _took(self, token: str) -> bool:
        kind, word, _ = self._tokens[0]
        if kind in ("word", "sign") and word == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._took(token):
            raise _wrong(self._tokens[0][2], f"`{token}` is expected here")


def _compared(tag: int, sign: str, literal: str | float) -> ProfileCondition:
    operator = _OPERATORS[sign]
    if isinstance(literal, float):
        return lambda dataset: _any(_numbers(dataset, tag), lambda number: operator(number, literal))
    return lambda dataset: _any(_texts(dataset, tag), lambda text: operator(text, literal))


def _texts(dataset: Dataset, tag: int) -> list[str]:
    element = values.find(dataset, tag)
    if element is None or isinstance(element.value, list):
        return []
    return [text.casefold() for text in values.texts(element, values.charset_of(dataset)) if text]


def _numbers(dataset: Dataset, tag: int) -> list[int | float]:
    element = values.find(dataset, tag)
    try:
        return [] if element is None else values.numbers(element)
    except MalformedDataset:
        return []


def _any(present: list[str] | list[int | float], fits: Callable[..., bool]) -> bool | None:
    return any(fits(value) for value in present) if present else None


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part


def _and(parts: list[bool | None]) -> bool | None:
    return False if False in parts else None if None in parts else True


def _or(parts: list[bool | None]) -> bool | None:
    return True if True in parts else None if None in parts else False


def _wrong(column: int, message: str) -> ValueError:
    return ValueError(f"column {column + 1}: {message}")
