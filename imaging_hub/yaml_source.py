"""YAML that people write, with the line of every key, so that each fault can be shown where it stands.

A subset on purpose: one document, a mapping, without aliases (a few lines could mean gigabytes), tags and keys written
twice. Unquoted, `true`, `7`, `0x1F`, `1.5` and `~` are what they look like; all else is a word, so that `yes`,
`2026-01-31`, `12:30` and `24E05` stay as they are written (YAML 1.1 makes a boolean, a date and two numbers of them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from imaging_hub.errors import HubError

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Where something stands: `("imaging", 0, "window")`."""

BYTES_MAX = 1 << 16
"""A thousand rules of sixty bytes; the largest takes a second or two and some megabytes to read."""
DEPTH_MAX = 20
"""Twice what the deepest profile or definition nests, and far from the depth at which Python stops."""

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_HEXADECIMAL = re.compile(r"0x[0-9A-Fa-f]{1,15}")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18})")
_NO_TEXT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""A fault quotes keys on a terminal: what would steer it, or turn the direction of the text, is refused."""


class YamlFault(HubError):
    """A file that people wrote cannot be read; says at which line, what is wrong there, and the remedy."""

    code = "yaml"

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"line {line}: {problem}", hint=remedy)
        self.line = line
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class YamlSource:
    """What a file says, in plain values, and where it says so."""

    content: dict[str, Any]
    lines: dict[KeyPath, int]
    """Line of each key and list entry, by its path."""

    def line(self, path: Sequence[str | int]) -> int:
        """Line of `path`, or of the nearest thing around it; parts that are no keys of the file are passed over."""
        known: KeyPath = ()
        for part in path:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines[known]


def read(path: Path) -> YamlSource:
    """The source in a file; raises `YamlFault`."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError:
        raise YamlFault(1, "the file cannot be read", "check its path and permissions") from None
    if len(content) > BYTES_MAX:
        raise _too_large()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise YamlFault(line, "the file is not UTF-8", "save it as UTF-8") from None
    return parse(text)


def parse(text: str) -> YamlSource:
    """The source in a text; raises `YamlFault`."""
    if len(text) > BYTES_MAX:
        raise _too_large()
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        return _EventReader(loader).source()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = mark.line + 1 if mark else 1
        raise YamlFault(line, fault.problem or "this is not YAML", "check indentation and brackets") from None
    except yaml.reader.ReaderError as fault:
        raise _no_text(text.count("\n", 0, fault.position) + 1) from None
    except (ValueError, OverflowError):
        # PyYAML 6.0 lets these out for an escape such as `\UFFFFFFFF` and a version of thousands of digits.
        line = loader.line + 1 if loader else 1
        raise YamlFault(line, "this is not YAML", "check the escapes after each backslash") from None


class _EventReader:
    """Makes plain values of the events of PyYAML's parser."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._lines: dict[KeyPath, int] = {}
        self._at = 1  # line of the last event

    def source(self) -> YamlSource:
        self._next()  # the stream begins
        if isinstance(self._next(), yaml.StreamEndEvent) or not isinstance(
            start := self._next(), yaml.MappingStartEvent
        ):
            raise YamlFault(1, "the file is not a mapping", "begin with a key and a colon, such as `name: value`")
        content = self._value(start, ())
        self._next()  # the document ends
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise YamlFault(self._at, "a file holds one document", "remove what follows `---`")
        return YamlSource(content, self._lines)

    def _next(self) -> yaml.Event:
        event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
        if event.start_mark is not None:
            self._at = event.start_mark.line + 1
        return event

    def _value(self, event: yaml.Event, path: KeyPath) -> Any:
        self._lines.setdefault(path, self._at)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if not isinstance(event, yaml.CollectionStartEvent):
            raise YamlFault(self._at, "an alias stands here", "write out what it stands for")
        self._refuse_tag(event)
        if len(path) >= DEPTH_MAX:
            raise YamlFault(self._at, "this is nested too deep", f"use at most {DEPTH_MAX} levels")
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise YamlFault(self._at, "a key is a word", "write the key as one word")
            self._scalar(event)
            key = event.value
            if key in values:
                raise YamlFault(self._at, f"`{key}` stands twice", "keep one of the two")
            self._lines[*path, key] = self._at
            values[key] = self._value(self._next(), (*path, key))
        return values

    def _list(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        self._refuse_tag(event)
        written: str = event.value
        if _NO_TEXT.search(written):
            raise _no_text(self._at)
        plain = event.implicit[0]
        if not plain:
            return written
        if written in _NULLS:
            return None
        if written in _BOOLEANS:
            return _BOOLEANS[written]
        if _INTEGER.fullmatch(written):
            return int(written)
        if _HEXADECIMAL.fullmatch(written):
            return int(written, 16)
        return float(written) if _DECIMAL.fullmatch(written) else written

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            raise YamlFault(self._at, "a tag stands here", "write the value without the word after `!`")


def _too_large() -> YamlFault:
    return YamlFault(1, f"the file is larger than {BYTES_MAX >> 10} KiB", "split it")


def _no_text(line: int) -> YamlFault:
    return YamlFault(line, "a character that is no text stands here", "remove control characters; save it as UTF-8")
