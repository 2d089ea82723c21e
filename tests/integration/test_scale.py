"""Size L in small: the same people, care and images for a seed, as loads and index have them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import run_plan
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.snds import loading
from imaging_hub.synthetic import scale

PERSONS = 12_000
WORKED = Path(__file__).parents[2] / "docs" / "cohorts"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale") / "tables"
    scale.write_tables(folder, PERSONS, seed=1)
    return folder


def contents(tables: Path) -> list[str]:
    """A digest of each file's rows."""
    with duckdb.connect() as reading:
        files = sorted(tables.glob("scale/**/*.parquet"))
        found = [
            str(reading.read_parquet(str(file)).aggregate("md5(string_agg(columns(*)::varchar, '|'))").fetchall())
            for file in files
        ]
    return [*found, *((tables / "rows" / f"{name}.csv").read_text() for name in scale.INDEX_TABLES)]


def test_a_seed_makes_the_same_files_and_another_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        scale.write_tables(tmp_path / name, 2_000, seed)
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True) if "None" not in one)


def test_it_is_a_load_as_cohorts_read_it(tables: Path) -> None:
    load = loading.current_version(tables)
    assert load.persons == PERSONS
    assert sum(load.events.values()) > 150 * load.persons
    with duckdb.connect() as reading:
        reading.read_parquet(str(load.folder / "event/**/*.parquet"), hive_partitioning=True).create_view("event")
        reading.read_parquet(str(load.folder / "person.parquet")).create_view("person")
        strangers = reading.execute("SELECT count(*) FROM event WHERE person NOT IN (SELECT person FROM person)")
        assert strangers.fetchall() == [(0,)]
        outside = reading.execute(
            "SELECT count(*) FROM event WHERE domain <> 'death'"
            " AND start NOT BETWEEN DATE '2017-01-01' AND DATE '2021-12-31'"
        )
        assert outside.fetchall() == [(0,)]
    for file in load.folder.glob("event/**/*.parquet"):
        codes = [code for (code,) in duckdb.read_parquet(str(file)).project("code").fetchall()]
        assert codes == sorted(codes), file


def test_every_worked_cohort_finds_somebody(tables: Path, database: Database) -> None:
    with database.begin(DatabaseRole.OWNER) as owner:
        scale.fill_index(owner, tables)
    with database.begin(DatabaseRole.WEB) as connection, take_snapshot(connection, tables) as snapshot:
        found = {
            path.stem: len(run_plan(make_plan(parse(path.read_text("utf-8"))), snapshot).members)
            for path in WORKED.glob("*.yaml")
        }
    assert len(found) > 10
    assert min(found.values()) > 0, found
