"""The operator's commands around the SNDS, each with its exit code and its JSON."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from synthetic_snds import synthetic_snds
from typer.testing import CliRunner

from imaging_hub.audit import trail
from imaging_hub.cli.snds import app
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.keys.keyring import gateway_keys
from imaging_hub.pseudonymisation import identity
from imaging_hub.pseudonymisation.ins import QualifiedIns
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings


@pytest.fixture
def hub(settings_with_third_party: Settings, database: Database) -> Settings:
    """A hub at first start, with one patient of the synthetic SNDS."""
    settings = settings_with_third_party
    patient = next(one for one in synthetic_snds().truth["patients"] if one["linkable"])
    person = next(one for one in synthetic_snds().truth["persons"] if one["id"] == patient["person"])
    reading = QualifiedIns(person["ins"], date.fromisoformat(person["birth_date"]), person["sex"])
    with ThirdParty.connect(settings) as third_party, database.begin(DatabaseRole.WORKER) as connection:
        identity.register(
            connection, gateway_keys(settings.keys), third_party,
            hospital=patient["hospital"], patient_id=patient["ipp"], reading=reading,
        )  # fmt: skip
    return settings


def run(settings: Settings, *arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env=settings.as_environment())
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.output


def test_tables_are_loaded_and_the_load_is_remembered(hub: Settings, database: Database) -> None:
    said = run(hub, "load", synthetic_snds().folder / "snds", "--json")
    assert Path(said["folder"]).is_relative_to(hub.tables)
    assert sum(said["events"].values()) == len(synthetic_snds().truth["events"])
    assert "shared-psa" in run(hub, "load", synthetic_snds().folder / "snds")
    with database.begin(DatabaseRole.OWNER) as connection:
        assert trail.verify(connection) == 2


def test_a_linkage_goes_there_and_back_and_leaves_no_file(hub: Settings, database: Database) -> None:
    said = run(hub, "link", "--operator", synthetic_snds().folder / "operator", "--json")
    assert (said["subjects"], said["lines"], said["not_archived"], said["id_acc_destroyed"]) == (1, 1, 1, 1)
    assert list((hub.home / "identifying" / "deliveries").iterdir()) == []
    with database.begin(DatabaseRole.OWNER) as connection:
        assert trail.verify(connection) == 2  # exported, linked


def test_an_export_is_private_and_never_written_over(hub: Settings, tmp_path: Path) -> None:
    said = run(hub, "link", "--export", tmp_path / "out.csv", "--json")
    assert said["subjects"] == 1
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o600
    run(hub, "link", "--export", tmp_path / "out.csv", status=1)
    answer = tmp_path / "answer.csv"
    answer.write_text("id_acc;BEN_NIR_ANO\n", "ascii")
    said = run(hub, "link", "--import", answer, "--delivery", said["id"], "--json")
    assert (said["lines"], said["id_acc_destroyed"]) == (0, 1)


@pytest.mark.parametrize(
    "arguments", [(), ("--export", "a", "--operator", "b"), ("--import", "a"), ("--delivery", "d")]
)
def test_a_wrong_call_is_refused(hub: Settings, arguments: tuple[str, ...]) -> None:
    run(hub, "link", *arguments, status=2)
