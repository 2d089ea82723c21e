"""The package's own source, parsed once, for the tests that read it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: str  # below the project, with slashes
    text: str
    tree: ast.Module

    @property
    def is_revision(self) -> bool:
        """Migrations follow Alembic's form, not ours."""
        return self.path.startswith(("imaging_hub/migrations/", "imaging_hub/trust/migrations/"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    """Every module of the package."""
    found = []
    for path in sorted((ROOT / "imaging_hub").rglob("*.py")):
        text = path.read_text("utf-8")
        found.append(Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text, str(path))))
    return found
