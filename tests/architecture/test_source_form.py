"""Form of the source: small files with the field's names, each public name explained."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydicom.datadict import keyword_for_tag

import imaging_hub.errors
from imaging_hub.dicom import tags
from imaging_hub.errors import HubError

if TYPE_CHECKING:
    from conftest import Module

MODULE_LINES = 400
FUNCTION_LINES = 60
LONGER: dict[str, str] = {}
"""Files or `file:function` that may be longer, each with the reason."""

FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|utilit(y|ies)|common|helpers?|misc|managers?)(_|$)", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_a_module_is_short(modules: list[Module]) -> None:
    long = {m.path: m.text.count("\n") for m in modules if m.text.count("\n") > MODULE_LINES}
    assert {path: lines for path, lines in long.items() if path not in LONGER} == {}


def test_a_function_is_short(modules: list[Module]) -> None:
    long = {
        f"{m.path}:{node.name}": node.end_lineno - node.lineno + 1
        for m in modules
        for node in ast.walk(m.tree)
        if isinstance(node, Function) and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}


def test_an_exception_to_the_sizes_is_still_needed(modules: list[Module]) -> None:
    """A file that has become short again leaves the list."""
    needed = {m.path for m in modules if m.text.count("\n") > MODULE_LINES} | {
        f"{m.path}:{node.name}"
        for m in modules
        for node in ast.walk(m.tree)
        if isinstance(node, Function) and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert set(LONGER) <= needed


def test_names_are_nouns_of_the_field(modules: list[Module]) -> None:
    files = [m.path for m in modules if any(FORBIDDEN_NAMES.search(p.removesuffix(".py")) for p in m.path.split("/"))]
    names = [
        f"{m.path}:{node.name}"
        for m in modules
        for node in ast.walk(m.tree)
        if isinstance(node, ast.ClassDef | Function) and FORBIDDEN_NAMES.search(_CAMEL.sub("_", node.name))
    ]
    assert files + names == []


def test_no_class_name_is_there_twice(modules: list[Module]) -> None:
    """An alias of a type is a name like that of a class; capitals alone name a constant. Case makes no other name."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for name in _names_of_types(module.tree):
            places[name.replace("_", "").lower()].append(module.path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_every_public_name_says_what_it_is(modules: list[Module]) -> None:
    silent = [m.path for m in modules if ast.get_docstring(m.tree) is None]
    for module in modules:
        if not module.is_revision:
            silent += [
                f"{module.path}:{name}" for name, node in _public(module.tree) if ast.get_docstring(node) is None
            ]
    assert silent == []


def test_annotations_are_not_evaluated(modules: list[Module]) -> None:
    """Annotations may then name what is imported only for the type checker."""
    evaluated = [
        m.path
        for m in modules
        if not m.is_revision
        and any(isinstance(node, Function | ast.ClassDef) for node in m.tree.body)
        and not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in m.tree.body)
    ]
    assert evaluated == []


def test_only_the_settings_read_the_environment(modules: list[Module]) -> None:
    readers = {m.path for m in modules for node in ast.walk(m.tree) if _reads_environment(node)}
    assert readers <= {"imaging_hub/settings.py"}


def test_attributes_are_named_by_keyword(modules: list[Module]) -> None:
    """A tag in digits stands in `dicom/tags.py` alone; a mask, or the beginning of a range, is no tag."""
    written = {
        f"{m.path}: {literal}"
        for m in modules
        if m.path != "imaging_hub/dicom/tags.py"
        for literal in _tags_in_digits(m.text)
        if keyword_for_tag(int(literal, 16)) or int(literal, 16) in tags.NEWER
    }
    assert written == set()


def test_every_fault_has_a_code_of_its_own(modules: list[Module]) -> None:
    for module in modules:
        if not module.is_revision and not module.path.endswith("__main__.py"):
            importlib.import_module(module.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    faults = [HubError, *(fault for fault in _descendants(HubError) if not fault.__name__.startswith("_"))]
    codes = {fault.__name__: fault.__dict__.get("code") for fault in faults}
    assert {name for name, code in codes.items() if code is None} == set()
    assert sorted(codes.values()) == sorted(set(codes.values()))
    assert [code for code in codes.values() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []


def test_the_tree_of_faults_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"[├└]── (\w+)", imaging_hub.errors.__doc__ or "")
    faults = [fault for fault in _descendants(HubError) if fault.__module__ == imaging_hub.errors.__name__]
    assert drawn == [fault.__name__ for fault in faults]


def _tags_in_digits(text: str) -> list[str]:
    """Tags as one number, with an underscore or without, and as a pair; group 0 is that of a command's statuses too."""
    pairs = re.findall(r"\(\s*0x(?!0000|FFFE)([0-9A-Fa-f]{4}),\s*0x([0-9A-Fa-f]{4})\b", text)
    return [*re.findall(r"\b0x[0-9A-Fa-f]{8}\b", re.sub(r"(?<=[0-9A-Fa-f])_", "", text)), *map("".join, pairs)]


def _names_of_types(tree: ast.Module) -> Iterator[str]:
    """Classes, wherever they stand, and the types and aliases that a module gives a name."""
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp()) if not name.isupper():
                if name[:1].isupper() and "_" not in name:
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name() | ast.Attribute()) if not name.isupper():
                if name[:1].isupper():  # Sender = int
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(made, [ast.Constant(told), *_])):
                if name == told and "TypeVar" not in ast.unparse(made):  # NewType("A", int), namedtuple("A", "b")
                    yield name


def _public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions and classes of a module, and the public methods of those classes."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, Function) and not part.name.startswith("_") and not _says_override(part):
                    yield f"{node.name}.{part.name}", part


def _says_override(function: Function) -> bool:
    """What overrides is explained where it was first declared."""
    return any(isinstance(d, ast.Name) and d.id in ("override", "overload") for d in function.decorator_list)


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("environ", "environb", "getenv", "getenvb")
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(name.name.startswith(("environ", "getenv")) for name in node.names)
    return False


def _descendants(fault: type[HubError]) -> list[type[HubError]]:
    """Subclasses that are loaded, parents first."""
    found = []
    for child in fault.__subclasses__():
        found += [child, *_descendants(child)]
    return found


def test_a_worker_does_not_load_what_only_cohorts_need() -> None:
    """The analytic engine costs a process 0.6 s and 50 MiB, and a hub has several workers."""
    asked = "import sys, imaging_hub.work.worker; print(sorted({'duckdb', 'ibis', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
