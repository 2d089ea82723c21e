"""A NIR is found wherever it lies outside the identifying zone, and what is no NIR is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from imaging_hub.audit import nir_at_rest
from imaging_hub.cli.audit import app
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.settings import Settings
from imaging_hub.trust.vault import Vault

NIR = "279035121518989"
CORSICAN = "253072B07300470"


def scanned(database: Database, *folders: Path, excluded: tuple[Path, ...] = ()) -> nir_at_rest.NirScan:
    with database.begin(DatabaseRole.OWNER) as connection:
        return nir_at_rest.scan(connection, folders, excluded=excluded)


@pytest.mark.parametrize(
    "written", [NIR, CORSICAN, CORSICAN.lower(), "2 79 03 51 215 189 89", f"INS:{NIR};", f"<{NIR}>", f"x {NIR}"]
)
def test_a_nir_is_recognised_however_it_is_written(written: str) -> None:
    assert nir_at_rest.count_nirs(written.encode()) == 1


@pytest.mark.parametrize(
    "written",
    [
        "279035121518988",
        f"1{NIR}",
        f"{NIR}0",
        f"2.25.9{NIR}77",
        NIR[:13],
        "679035121518989",
        f"a{NIR}",
        "20261127120000",
    ],
)
def test_what_is_no_nir_is_not(written: str) -> None:
    assert nir_at_rest.count_nirs(written.encode()) == 0


def test_every_column_of_a_hub_is_searched(database: Database) -> None:
    assert scanned(database).findings == {}
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("INSERT INTO hub.subject (sid, pseudonym) VALUES ('s', :nir)"), {"nir": NIR})
        owner.execute(
            text(
                "INSERT INTO hub.study (study_instance_uid, sid, finess, state, procedures)"
                " VALUES ('1', 's', '1', 'OPEN', ARRAY['a', :nir])"
            ),
            {"nir": f"{CORSICAN}|X"},
        )
        owner.execute(
            text("INSERT INTO hub.told (account, day, asked, cells) VALUES ('a', '2026-01-01', 1, :cells)"),
            {"cells": f"\0{NIR}\xff".encode("latin-1")},
        )
        owner.execute(
            text("INSERT INTO identifying.identity (hospital, patient_id, ins) VALUES ('h', 'p', :nir)"), {"nir": NIR}
        )
    found = scanned(database)
    assert found.findings == {"hub.subject.pseudonym": 1, "hub.study.procedures": 1, "hub.told.cells": 1}
    assert found.columns > 100


def test_every_file_is_searched_and_the_identifying_zone_is_not(database: Database, tmp_path: Path) -> None:
    (tmp_path / "identifying").mkdir()
    for name in ("worker.log", "identifying/spooled"):
        (tmp_path / name).write_text(f"patient {NIR} refused")
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(CORSICAN.encode()))
    (tmp_path / "empty").touch()
    pq.write_table(pa.table({"day": [1], "person": [NIR]}), tmp_path / "person.parquet")
    # An object of the archive is named by its digest, whatever it is.
    people = pa.table({"person": [f"{NIR} and {word} besides" for word in ("much", "more", "much") * 9]})
    pq.write_table(people, tmp_path / "74e7585e")
    (tmp_path / "b4c1").write_bytes(gzip.compress(NIR.encode()))
    (tmp_path / "cut.parquet").write_bytes(f"PAR1 {NIR} ".encode())
    found = scanned(database, tmp_path, excluded=(tmp_path / "identifying",))
    assert {Path(place).name for place in found.findings} == {
        "worker.log",
        "old.log.gz",
        "person.parquet",
        "74e7585e",
        "b4c1",
        "cut.parquet",
    }
    assert found.files == 7


def test_the_command_names_places_and_never_a_number(settings: Settings, database: Database, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    clean = CliRunner().invoke(app, ["nir", str(logs), "--json"], env=settings.as_environment())
    assert (clean.exit_code, json.loads(clean.stdout)["findings"]) == (0, {})
    (logs / "hub.log").write_text(NIR)
    told = CliRunner().invoke(app, ["nir", str(logs)], env=settings.as_environment())
    assert told.exit_code == 1
    assert "hub.log: 1" in told.stdout
    assert NIR not in told.stdout


def test_the_third_partys_database_has_no_place_for_care(vault: Vault) -> None:
    """Each column of it was looked at; a new one has to be looked at too."""
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        columns = owner.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            )
        )
        assert {tuple(row) for row in columns} == {
            ("person", "token"), ("person", "kind"), ("person", "epoch"), ("person", "sid"), ("person", "created_at"),
            ("id_acc", "id_acc"), ("id_acc", "sealed_sid"), ("id_acc", "delivery"), ("id_acc", "expires_at"),
            ("id_acc", "destroyed_at"), ("epoch", "epoch"), ("epoch", "fingerprint"), ("epoch", "started_at"),
            ("epoch", "state"), ("epoch", "blinded"), ("imaging_hub_revision", "version_num"),
            ("entry", "sequence"), ("entry", "at"), ("entry", "actor"), ("entry", "action"), ("entry", "object"),
            ("entry", "detail"), ("entry", "previous_hash"), ("entry", "hash"),
        }  # fmt: skip
