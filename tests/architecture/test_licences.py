"""Licences of what the hub installs, read in the installed metadata: LGPL is fine, GPL and AGPL are not."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distribution
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

READ_ELSEWHERE: dict[str, str] = {}
"""Distributions whose metadata name no licence, each with the licence and where it was read."""

_GPL = re.compile(r"\bA?GPL|(?<!Lesser )(?<!Library )General Public License|GNU Public License", re.IGNORECASE)
_FAMILY = re.compile(r"LGPL|GPL|BSD|MIT|Apache|MPL|PSF")


def test_nothing_that_the_hub_installs_is_under_the_gpl_or_agpl(root: Path) -> None:
    licences = {name: _licence(installed) for name, installed in _installed_for_the_hub(root).items()}
    assert {name: licence for name, licence in licences.items() if _GPL.search(licence)} == {}


def test_everything_that_the_hub_installs_says_its_licence(root: Path) -> None:
    silent = {name for name, installed in _installed_for_the_hub(root).items() if not _licence(installed)}
    assert silent == set(READ_ELSEWHERE)


def test_the_decision_names_the_licence_of_each_dependency(root: Path) -> None:
    page = (root / "docs" / "decisions" / "0011-dependencies.md").read_text("utf-8")
    named = dict(re.findall(r"`([\w-]+)` \(([^)]+)\)", page))
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    declared = chain(*_declared(project).values(), *project["dependency-groups"].values())
    names = {Requirement(line).name.lower() for line in declared}
    assert names - set(named) == set()
    said = {name: set(_FAMILY.findall(_licence(distribution(name)))) for name in names}
    differing = {name for name in names if said[name] and not set(_FAMILY.findall(named[name])) <= said[name]}
    assert differing == set()


def _installed_for_the_hub(root: Path) -> dict[str, Distribution]:
    """By name: what a plain install and the extra `hub` need, and all that these need, on this machine."""
    declared = _declared(tomllib.loads((root / "pyproject.toml").read_text("utf-8")))
    waiting = [Requirement(line) for line in (*declared[""], *declared["hub"])]
    visited: set[str] = set()
    found: dict[str, Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in visited:
            continue
        visited.add(str(wanted))
        installed = found[canonicalize_name(wanted.name)] = distribution(wanted.name)
        for line in installed.requires or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                waiting.append(requirement)
    return found


def _declared(project: dict[str, dict[str, object]]) -> dict[str, list[str]]:
    """Lines of requirements by extra; those of a plain install under the empty name."""
    return {"": project["project"]["dependencies"], **project["project"]["optional-dependencies"]}  # type: ignore[dict-item]


def _licence(installed: Distribution) -> str:
    """All that the metadata say; empty when they say nothing."""
    metadata = installed.metadata
    classifiers = [line for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    # Of a whole text the title: the rest may quote licences of what it was once copied from.
    title = (metadata.get("License") or "").strip().partition("\n\n")[0]
    written = [" ".join(title.split())]
    return "; ".join([metadata.get("License-Expression") or "", *written, *classifiers]).strip("; ")
