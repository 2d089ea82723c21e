"""The documentation says what is so: settings, terms, commands, links and decisions."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import tomllib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imaging_hub.cli import app
from imaging_hub.dicom.status import StoreStatus
from imaging_hub.dicom.transfer_syntax import NEGOTIATED
from imaging_hub.settings import Settings

if TYPE_CHECKING:
    from conftest import Module

PROSE_COLUMNS = 120
OF_THE_DOOR = {
    "docs/architecture.md",
    "docs/decisions/0001-two-zones-and-one-door.md",
    "docs/decisions/0028-what-is-never-kept-passes-the-door-first.md",
    "docs/glossary.md",
}
"""Pages that say *door*, the de-identification engine as the only way between the zones; others name the engine."""
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"imaging-hub ([a-z-]+)(?: ([a-z-]+))?")


def _pages(root: Path) -> list[Path]:
    first = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    return [*(root / name for name in first), *sorted((root / "docs").rglob("*.md"))]


def test_every_setting_is_documented_and_no_other(root: Path) -> None:
    page = (root / "docs" / "operations.md").read_text("utf-8")
    tables = re.split(r"^## ", page, flags=re.MULTILINE)[2]
    assert tables.startswith("Settings")
    documented = re.findall(r"^\| `([a-z_]+)` \|", tables, re.MULTILINE)
    assert sorted(documented) == sorted(Settings.model_fields)


def test_environment_variables_that_a_page_names_exist(root: Path) -> None:
    known = {f"IMAGING_HUB_{name.upper()}" for name in Settings.model_fields}
    files = [*_pages(root), root / "docker" / "Dockerfile", root / "docker" / "compose.yaml"]
    named = {
        f"{f.name}: {name}" for f in files for name in re.findall(r"IMAGING_HUB_[A-Z_]*[A-Z]", f.read_text("utf-8"))
    }
    assert {name for name in named if name.split(": ")[1] not in known} == set()


def test_every_class_is_in_the_glossary_as_its_docstring_says(root: Path) -> None:
    built = runpy.run_path(str(root / "scripts" / "build_glossary"))["names"]()
    glossary = (root / "docs" / "glossary.md").read_text("utf-8")
    assert glossary.endswith(built), "run scripts/build_glossary"


def test_the_glossary_names_no_class_that_is_not_there(root: Path, modules: list[Module]) -> None:
    defined = {node.name for module in modules for node in module.tree.body if isinstance(node, ast.ClassDef)} | {
        target.id
        for module in modules
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    glossary = (root / "docs" / "glossary.md").read_text("utf-8")
    assert set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", glossary)) - defined == set()


def test_the_code_map_leads_to_what_it_names(root: Path) -> None:
    page = (root / "docs" / "code-map.md").read_text("utf-8")
    rows = re.findall(r"^\| [^|]+ \| `([\w.]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(rows) > 40
    absent = []
    for module, symbols in rows:
        loaded = importlib.import_module(f"imaging_hub.{module}")
        absent += [f"{module}:{name}" for name in re.findall(r"`(\w+)`", symbols) if not hasattr(loaded, name)]
    assert absent == []


def test_words_have_one_meaning(root: Path) -> None:
    """The door is the de-identification engine; an instance has an outcome, an attribute a decision."""
    strangers = []
    for page in (*_pages(root), *(root / "imaging_hub").rglob("*.py"), *(root / "imaging_hub").rglob("*.html")):
        name, text = page.relative_to(root).as_posix(), page.read_text("utf-8")
        text = re.sub(r"\]\([^)]*\)", "]", text)  # links
        words = set(re.findall(r"\bdoors?\b|\bcures?\b|\b(?:becomes?|became) of\b", text, re.IGNORECASE))
        strangers += [f"{name}: {word}" for word in words if word != "door" or name not in OF_THE_DOOR]
    assert strangers == []


def test_links_lead_somewhere(root: Path) -> None:
    broken = []
    for page in _pages(root):
        targets = [target for target in _LINK.findall(page.read_text("utf-8")) if "://" not in target]
        broken += [f"{page.relative_to(root)}: {target}" for target in targets if not (page.parent / target).exists()]
    assert broken == []


def test_lines_of_prose_are_short(root: Path) -> None:
    """Rows of tables, code and pages that scripts write from data are as long as they are."""
    made = {root / "docs" / "conformance.md", root / "docs" / "cohorts" / "README.md"}
    long = []
    for page in _pages(root):
        if page not in made and page.parent.name != "profiles":
            prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
            lines = [line for line in prose.splitlines() if len(line) > PROSE_COLUMNS and not line.startswith("|")]
            long += [f"{page.relative_to(root)}: {line[:40]}" for line in lines if " " in line.strip()]
    assert long == []


def test_files_that_a_page_names_exist(root: Path) -> None:
    named = {
        f"{page.relative_to(root)}: {path}"
        for page in _pages(root)
        for path in re.findall(
            r"`((?:tests|scripts|docker|imaging_hub|anonymization_profiles)/[\w./-]+)`", page.read_text("utf-8")
        )
    }
    assert {name for name in named if not (root / name.split(": ")[1]).exists()} == set()


def test_commands_that_a_page_names_exist(root: Path) -> None:
    code = "\n".join(chain.from_iterable(_CODE.findall(page.read_text("utf-8")) for page in _pages(root)))
    assert {call for call in _COMMAND.findall(code) if not _exists(*call)} == set()


def test_the_conformance_statement_lists_what_is_negotiated_and_answered(root: Path) -> None:
    statement = (root / "docs" / "conformance.md").read_text("utf-8")
    listed = re.findall(r"^\| [^|]+ \| (1\.2\.840\.10008\.1\.2[\d.]*) \|$", statement, re.MULTILINE)
    statuses = {int(code, 16) for code in re.findall(r"^\| (0x[0-9A-F]{4}) \|", statement, re.MULTILINE)}
    assert listed == list(NEGOTIATED)
    assert statuses == set(StoreStatus)


def test_decisions_have_one_form(root: Path) -> None:
    pages = sorted((root / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {page.name[:4]} "), page.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
        assert text.split("## Decision\n\n")[1].startswith("**"), f"{page.name}: the line people will quote"
        assert text.count("\n") < 70, f"{page.name}: one page"


def test_every_dependency_has_its_reason(root: Path) -> None:
    pyproject = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    project = pyproject["project"]
    groups = [*project["optional-dependencies"].values(), *pyproject["dependency-groups"].values()]
    declared = [*project["dependencies"], *chain.from_iterable(groups)]
    names = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in declared}
    reasons = (root / "docs" / "decisions" / "0011-dependencies.md").read_text("utf-8")
    assert names - set(re.findall(r"`([a-z0-9-]+)`", reasons)) == set()


def _exists(verb: str, noun: str) -> bool:
    """Whether the command line has that verb and, where the verb is a group, that noun; or that option of its own."""
    hub = typer.main.get_command(app)
    if verb.startswith("--"):
        return any(verb in option.opts for option in hub.params)
    try:
        command = hub.get_command(hub.context_class(hub), verb)
    except ModuleNotFoundError:
        return False
    return command is not None and (not noun or noun in getattr(command, "commands", {noun}))
