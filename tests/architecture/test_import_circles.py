"""No circle of imports between modules or packages, not even one hidden in a function or behind TYPE_CHECKING."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Module

PACKAGE = "imaging_hub"
Graph = Mapping[str, Set[str]]
_BY_STRING = (
    "import_module", "__import__", "spec_from_file_location", "resolve_name", "run_module", "run_path", "exec", "eval",
)  # fmt: skip


def test_no_modules_import_each_other(modules: list[Module]) -> None:
    assert list(circles(imports(modules))) == []


def test_no_rooms_import_each_other(modules: list[Module]) -> None:
    """A room is what stands directly in the package; `imaging_hub` itself holds the version only."""
    assert list(circles(lifted(imports(modules), depth=2))) == []


def test_no_packages_within_a_room_import_each_other(modules: list[Module]) -> None:
    assert list(circles(lifted(imports(modules), depth=3))) == []


def test_imports_are_statements(modules: list[Module]) -> None:
    """What is imported by a name in a string is in no graph; only a verb finds its command so."""
    hidden = {
        module.path
        for module in modules
        for node in ast.walk(module.tree)
        if getattr(node, "attr", getattr(node, "id", "")) in _BY_STRING
        or (isinstance(node, ast.alias) and node.name == "import_module")
    }
    assert hidden == {"imaging_hub/cli/__init__.py"}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}, "e": {"a", "c"}}, [["a", "b"], ["c", "d"]]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, []),
    ],
)
def test_a_circle_is_found_and_a_diamond_is_none(graph: Graph, expected: list[list[str]]) -> None:
    assert sorted(circles(graph)) == expected


def imports(modules: list[Module]) -> Graph:
    """The modules of ours that each module names in an import statement, wherever that stands."""
    trees = {dotted(module.path): module.tree for module in modules}
    return {name: set(imported(tree, trees.keys())) - {name} for name, tree in trees.items()}


def imported(tree: ast.Module, known: Set[str]) -> Iterator[str]:
    """`from x import y` is an import of the module `x.y`, where there is one, and of `x` otherwise."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from {name if name in known else node.module or ""} & known
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known


def dotted(path: str) -> str:
    """`imaging_hub/http/__init__.py` is `imaging_hub.http`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def lifted(graph: Graph, depth: int) -> Graph:
    """The graph of packages: names cut to so many parts, without what imports itself and without `imaging_hub`."""
    packages: defaultdict[str, set[str]] = defaultdict(set)
    for name, targets in graph.items():
        own = cut(name, depth)
        packages[own] |= {cut(target, depth) for target in targets} - {own, PACKAGE}
    return packages


def cut(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


def circles(graph: Graph) -> Iterator[list[str]]:
    """The strongly connected components of more than one name: within each, every name reaches every other."""
    reached = {name: reach(graph, name) for name in graph}
    seen: set[str] = set()
    for name in sorted(graph):
        circle = {other for other in reached[name] if name in reached.get(other, ())}
        if len(circle) > 1 and name not in seen:
            seen |= circle
            yield sorted(circle)


def reach(graph: Graph, start: str) -> set[str]:
    """All that can be reached from a name by one step or more."""
    found: set[str] = set()
    pending = list(graph[start])
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph.get(name, ())
    return found
