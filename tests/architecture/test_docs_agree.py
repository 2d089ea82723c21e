"""The documentation says what is so: settings, terms, commands, links and decisions."""

from __future__ import annotations

import ast
import re
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

WITHOUT_TERMS = ("cli/", "http/", "migrations/", "web/", "synthetic/", "database.py", "metrics.py")
"""What these define is form (pages, commands, responses) or invention (synthetic people), not a term of the field."""

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"imaging-hub ([a-z-]+)(?: ([a-z-]+))?")


def _pages(root: Path) -> list[Path]:
    return [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]


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


def test_every_term_of_the_code_is_in_the_glossary(root: Path, modules: list[Module]) -> None:
    """A value is named as the glossary has it, or of words that the glossary has."""
    words = set(re.findall(r"\w+", (root / "docs" / "glossary.md").read_text("utf-8")))
    known = {word.lower().rstrip("s") for word in words}
    unexplained = {
        node.name: module.path
        for module in modules
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and _is_value(node)
        and not module.path.removeprefix("imaging_hub/").startswith(WITHOUT_TERMS)
        and node.name not in words
        and not {word.lower().rstrip("s") for word in _CAMEL.findall(node.name)} <= known
    }
    assert unexplained == {}, "add a line to docs/glossary.md"


def test_links_lead_somewhere(root: Path) -> None:
    broken = []
    for page in _pages(root):
        targets = [target for target in _LINK.findall(page.read_text("utf-8")) if "://" not in target]
        broken += [f"{page.relative_to(root)}: {target}" for target in targets if not (page.parent / target).exists()]
    assert broken == []


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


def _is_value(node: ast.ClassDef) -> bool:
    """Dataclasses and enumerations: the nouns that travel between rooms."""
    decorators = {ast.unparse(d).split("(")[0] for d in node.decorator_list}
    bases = {ast.unparse(b) for b in node.bases}
    return bool(decorators & {"dataclass", "dataclasses.dataclass"} or bases & {"StrEnum", "IntEnum", "Enum"})


def _exists(verb: str, noun: str) -> bool:
    """Whether the command line has that verb and, where the verb is a group, that noun."""
    hub = typer.main.get_command(app)
    try:
        command = hub.get_command(hub.context_class(hub), verb)
    except ModuleNotFoundError:
        return False
    return command is not None and (not noun or noun in getattr(command, "commands", {noun}))
