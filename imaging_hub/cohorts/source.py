"""YAML with the line of every key, so that each fault can be shown where it stands.

A subset on purpose: no aliases (a few lines could mean gigabytes), no tags, no key twice, and only
`true` and `false` are booleans: in `contrast: [yes, unknown]` the `yes` is a word.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from imaging_hub.errors import DefinitionError

KeyPath = tuple[str | int, ...]
"""Where something stands: `("imaging", 0, "window")`."""

BYTES_MAX = 1 << 16


class SourceFile:
    """A parsed file: its content, and the line of each path in it."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[KeyPath, int] = {}
        if len(text.encode()) > BYTES_MAX:
            raise self.fault([((), "the file is larger than a definition can be; split it")])
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.content = self._value(loader, node, ()) if node is not None else None
        except yaml.MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            line = mark.line + 1 if mark else 1
            message = f"{name}:{line}: {fault.problem or 'not YAML'}; check indentation and brackets"
            raise DefinitionError(message) from None
        except (yaml.YAMLError, RecursionError, ValueError) as fault:
            message = f"{name}:1: this is not YAML; check for control characters and deep nesting"
            raise DefinitionError(message) from fault
        if not isinstance(self.content, dict):
            raise self.fault([((), "a definition is a mapping; begin with `cohort: name`")])

    def line(self, path: Sequence[str | int]) -> int:
        """Line of `path`, or of the nearest thing around it; parts that are no keys of the file are passed over."""
        known: KeyPath = ()
        for part in path:
            if (*known, part) in self._lines:
                known = (*known, part)
        return self._lines.get(known, 1)

    def fault(self, findings: Sequence[tuple[Sequence[str | int], str]]) -> DefinitionError:
        """One error that names every finding, in the order of the lines."""
        placed = sorted({(self.line(path), problem) for path, problem in findings})
        return DefinitionError("\n".join(f"{self.name}:{line}: {problem}" for line, problem in placed))

    def _value(self, loader: _Loader, node: yaml.Node, path: KeyPath) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            found: dict[str, object] = {}
            for key_node, value_node in node.value:
                key = _key(key_node)
                if key in found:
                    raise yaml.MarkedYAMLError(problem=f"`{key}` stands twice", problem_mark=key_node.start_mark)
                self._lines[*path, key] = key_node.start_mark.line + 1
                found[key] = self._value(loader, value_node, (*path, key))
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*path, number)) for number, item in enumerate(node.value)]
        return loader.construct_object(node)


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases, dates and the booleans of YAML 1.1."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias; write it out", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_OTHERWISE = {"y": "bool", "Y": "bool", "n": "bool", "N": "bool", "o": "bool", "O": "bool"}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, form)
        for tag, form in resolvers
        if tag.rpartition(":")[2] not in {"timestamp", _OTHERWISE.get(first, "timestamp")}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(problem="a key is a word", problem_mark=node.start_mark)
    return str(node.value)
