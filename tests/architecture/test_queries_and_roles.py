"""Who reaches the database, and as whom: a role is chosen by who starts, and handed to the rooms that work."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Module

CHOOSERS = ("cli/", "console/", "gateway/", "trust/", "web/", "work/", "database.py")
"""Rooms that are processes of a role, or start them. Every other one is handed a `Connection` or a `DatabaseLogin`."""


def test_a_role_is_chosen_only_by_what_runs_as_a_process(modules: list[Module]) -> None:
    choosing = [
        f"{module.path}:{line}"
        for module in modules
        if not module.is_revision and not module.path.removeprefix("imaging_hub/").startswith(CHOOSERS)
        for line in _mentions_of_roles(module.tree)
    ]
    assert choosing == []


def _mentions_of_roles(tree: ast.Module) -> Iterator[int]:
    """Lines that import the roles, under whatever name, or reach them through their module."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.ImportFrom) and any(name.name == "DatabaseRole" for name in node.names)
        reached = isinstance(node, ast.Attribute) and node.attr == "DatabaseRole"
        if named or reached:
            yield node.lineno
