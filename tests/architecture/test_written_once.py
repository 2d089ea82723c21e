"""What more than one room needs is written once: one module has the library, the others have the module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Module

ONE_MODULE = {
    "yaml": "imaging_hub/yaml_source.py",
    "tomllib": "imaging_hub/settings.py",
    "cryptography.hazmat.primitives.ciphers": "imaging_hub/keys/aead.py",
}


@pytest.mark.parametrize("library", ONE_MODULE)
def test_one_module_uses(library: str, modules: list[Module]) -> None:
    users = {m.path for m in modules if any(f"{name}.".startswith(f"{library}.") for name in imported(m.tree))}
    assert users == {ONE_MODULE[library]}


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
