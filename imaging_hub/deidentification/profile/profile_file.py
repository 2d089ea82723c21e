"""YAML with the line of every key, so that a mistake in a profile can be pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

from imaging_hub.errors import ProfileError

KeyLines: TypeAlias = "dict[tuple[str | int, ...], int]"
"""Line of each key and list entry, by its path."""


def wrong(path: Path, line: int, what: str, cure: str) -> ProfileError:
    """The error that says where a profile is wrong, what is wrong and what to do."""
    message = f"{path.name}:{line}: {what}"
    return ProfileError(message, hint=cure)


def read_yaml(path: Path) -> tuple[dict[str, Any], KeyLines]:
    """The mapping a YAML file holds, and its lines; raises `ProfileError`."""
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except OSError:
        raise wrong(path, 1, "the file cannot be read", "check its path and permissions") from None
    except UnicodeDecodeError:
        raise wrong(path, 1, "the file is not UTF-8", "save it as UTF-8") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or "not YAML"
        raise wrong(path, mark.line + 1 if mark else 1, problem, "correct the YAML at this line") from None
    if not isinstance(node, yaml.MappingNode):
        raise wrong(path, 1, "a profile is a mapping", "start with `name:`")
    lines: KeyLines = {}
    values: dict[str, Any] = _plain(node, (), lines, path)
    return values, lines


def _plain(node: yaml.Node, at: tuple[str | int, ...], lines: KeyLines, path: Path) -> Any:
    """A YAML node as plain values; notes the line of each key and refuses keys written twice."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in result:
                raise wrong(path, line, "this key stands twice", "keep one of the two")
            lines[*at, key.value] = line
            result[key.value] = _plain(value, (*at, key.value), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, (*at, place), lines, path) for place, value in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)
