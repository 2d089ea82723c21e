"""The pages of the profiles say what the engine does: their tables are made by doing it."""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from imaging_hub.deidentification.profile.profile import shipped

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/build_profile_pages as a module."""
    loader = SourceFileLoader("build_profile_pages", str(ROOT / "scripts" / "build_profile_pages"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loader.name, module)  # its dataclasses look themselves up
    loader.exec_module(module)
    return module


def _differing(builder: ModuleType) -> list[str]:
    return [path.name for path, text in builder.pages() if path.read_text("utf-8") != text]


def test_every_profile_that_ships_has_a_page_with_what_the_engine_does(builder: ModuleType) -> None:
    assert _differing(builder) == [], "run scripts/build_profile_pages"
    assert {path.stem for path, _ in builder.pages()} >= set(shipped())


def test_a_page_that_says_otherwise_is_found(builder: ModuleType, tmp_path: Path) -> None:
    pages = tmp_path / "profiles"
    shutil.copytree(builder.PAGES, pages)
    builder.PAGES = pages
    page = pages / "basic.md"
    page.write_text(page.read_text("utf-8").replace("| PatientAddress |", "| PatientAdress |"), "utf-8")
    assert _differing(builder) == ["basic.md"]


def test_every_page_tells_it_in_french_too(builder: ModuleType) -> None:
    assert [path.name for path, text in builder.pages() if path.suffix == ".md" and "## En bref" not in text] == []
