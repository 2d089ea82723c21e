"""The contracts of import-linter in pyproject.toml name every room, by its zone."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

IDENTIFYING = {"console", "gateway", "intake", "pseudonymisation", "retrieval"}
DEIDENTIFIED = {"archive", "cohorts", "dicomweb", "permits", "review", "snds", "synthetic", "web"}
BOTH = {"__main__", "cli", "work"}
DEIDENTIFICATION = {"deidentification", "dicom", "pixels"}
THIRD_PARTY = {"trust"}
SHARED = {"audit", "database", "errors", "http", "keys", "log", "settings"}
"""What the third party and the hub both stand on."""
NEITHER = SHARED | {"client", "metrics", "reasons", "spreadsheet", "yaml_source"}
ROOMS = IDENTIFYING | DEIDENTIFIED | BOTH | DEIDENTIFICATION | THIRD_PARTY | NEITHER

CONTRACTS = {
    "The identifying zone does not know the de-identified one": (IDENTIFYING, DEIDENTIFIED | BOTH),
    "The de-identified zone does not know the identifying one": (DEIDENTIFIED, IDENTIFYING | BOTH),
    "De-identification knows neither zone and no database": (
        DEIDENTIFICATION,
        ROOMS - DEIDENTIFICATION - {"errors", "yaml_source"},
    ),
    "The third party shares keys, trail, database, HTTP and log with the hub, and nothing else": (
        THIRD_PARTY,
        ROOMS - THIRD_PARTY - SHARED,
    ),
    "The hub reaches the third party by its process alone": (ROOMS - THIRD_PARTY - {"__main__", "cli"}, THIRD_PARTY),
    "The client depends on nothing of the service": ({"client"}, ROOMS - {"client", "errors"}),
}
"""Each contract with the rooms that it binds, and those that they may not import."""


@pytest.fixture(scope="module")
def contracts(root: Path) -> dict[str, dict[str, Any]]:
    """The contracts by name."""
    tools = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]
    return {one["name"]: one for one in tools["importlinter"]["contracts"]}


def test_every_folder_is_a_package_that_the_contracts_see(root: Path) -> None:
    """Alembic loads its revisions by path."""
    folders = {path.parent for path in (root / "imaging_hub").rglob("*.py")}
    without = {folder.relative_to(root).as_posix() for folder in folders if not (folder / "__init__.py").exists()}
    assert without == {"imaging_hub/migrations", "imaging_hub/migrations/versions", "imaging_hub/trust/migrations"}


def test_every_room_has_a_zone(root: Path) -> None:
    package = root / "imaging_hub"
    rooms = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms - {"__init__"} == ROOMS
    assert sum(map(len, (IDENTIFYING, DEIDENTIFIED, BOTH, DEIDENTIFICATION, THIRD_PARTY, NEITHER))) == len(ROOMS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_names_every_room_of_its_zones(contracts: dict[str, dict[str, Any]], name: str) -> None:
    bound, closed = CONTRACTS[name]
    contract = contracts[name]
    assert set(contract["source_modules"]) == {f"imaging_hub.{room}" for room in bound}
    assert set(contract["forbidden_modules"]) == {f"imaging_hub.{room}" for room in closed}
    assert "ignore_imports" not in contract


def test_the_layers_leave_no_room_out(contracts: dict[str, dict[str, Any]]) -> None:
    layers = contracts["Rooms stand in layers"]
    assert layers["exhaustive"] is True
    assert {room for layer in layers["layers"] for room in layer.split(" | ")} == ROOMS
    assert "ignore_imports" not in layers and "exhaustive_ignores" not in layers


def test_no_contract_between_rooms_is_left_out_here(contracts: dict[str, dict[str, Any]]) -> None:
    assert {name for name, contract in contracts.items() if contract["type"] == "forbidden"} == CONTRACTS.keys()
