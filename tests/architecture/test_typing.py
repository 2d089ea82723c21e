"""What the type checker sees: our own types by whoever installs us, and those of every library that has some."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path


def test_the_package_says_that_it_is_typed(root: Path) -> None:
    assert (root / "imaging_hub" / "py.typed").exists()


def test_only_what_ships_no_types_is_taken_for_untyped(root: Path) -> None:
    overrides = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["overrides"]
    assert [override for override in overrides if "follow_imports" in override] == []
    untyped = [
        module.removesuffix(".*")
        for override in overrides
        if override.get("ignore_missing_imports")
        for module in override["module"]
    ]
    assert [module for module in untyped if _is_typed(module)] == []


def _is_typed(module: str) -> bool:
    spec = find_spec(module)
    assert spec is not None, f"{module} is not installed"
    assert spec.origin is not None
    return (Path(spec.origin).parent / "py.typed").exists()
