"""What more than one room needs is written once: one module has the library, the others have the module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from imaging_hub.archive.index import ArchivedStudyState, ReviewState
from imaging_hub.cohorts.release import ReleaseState
from imaging_hub.deidentification.folder import FileState
from imaging_hub.intake.completeness import ReceivedStudyState
from imaging_hub.intake.journal import InstanceState
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.permits.policy import PermitState
from imaging_hub.trust.vault import EpochState

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


STATES: tuple[type[StrEnum], ...] = (
    ReceivedStudyState, InstanceState, ArchivedStudyState, ReviewState, ReleaseState, EpochState, FileState,
    PermitState, KeepOriginals,
)  # fmt: skip
HEARD_OF_OVER_HTTP = ("imaging_hub/client/", "imaging_hub/pseudonymisation/rekeying.py")
"""What may not import the room that owns a state, and reads it from an answer."""


def test_a_state_is_written_as_its_enumeration(modules: list[Module]) -> None:
    """In SQL it stands as it is, and the database checks it."""
    states = {state.value for states in STATES for state in states}
    written = [
        f"{module.path}:{node.lineno}: {node.value}"
        for module in modules
        if not module.is_revision and not module.path.startswith(HEARD_OF_OVER_HTTP)
        for node in outside_enumerations(module.tree)
        if isinstance(node, ast.Constant) and node.value in states
    ]
    assert written == []


def outside_enumerations(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module without those of its enumerations."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.ClassDef) and "StrEnum" in {ast.unparse(base) for base in node.bases}):
            yield node
            yield from outside_enumerations(node)


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
