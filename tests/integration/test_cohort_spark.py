"""Cohorts on DuckDB, on a real Spark, and by brute force: the same series of the same subjects.

Of fifty, every run takes another tenth.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
from datetime import date
from pathlib import Path

import pytest
from share import Share

from imaging_hub.cohorts import flowchart
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import Flowchart, run_plan
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.database import Database
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.permits.policy import AccountRole, RequestActor
from tests.cohort_oracle import index_series, oracle
from tests.dense_tables import a_definition, a_dense_world
from tests.differencing_attack import Asked, a_world

pytestmark = pytest.mark.skipif(
    shutil.which("java") is None or importlib.util.find_spec("pyspark") is None,
    reason="needs Java and PySpark (the extra `spark`)",
)

MASTER = "local[2]"
COHORTS = 50


def test_cohorts_agree_on_both_engines_and_with_brute_force(database: Database, tmp_path: Path, share: Share) -> None:
    chance = random.Random(41)
    dense = a_dense_world(tmp_path, chance)
    index_series(database, dense)
    definitions = share.of([a_definition(chance) for _ in range(COHORTS)], 10)
    found: dict[str | None, list[set[tuple[object, ...]]]] = {}
    versions = set()
    with database.begin(Login.WEB) as connection:
        for spark in (None, MASTER):
            with take_snapshot(connection, dense.tables, spark) as snapshot:
                versions.add(snapshot.version)
                outcomes = [run_plan(make_plan(parse(definition)), snapshot) for definition in definitions]
                found[spark] = [
                    {(member.sid, member.index_date, member.series_instance_uid) for member in outcome.members}
                    for outcome in outcomes
                ]
    for number, definition in enumerate(definitions):
        assert found[None][number] == found[MASTER][number] == oracle(definition, dense), definition
    assert sum(map(len, found[None])) > share.times(0, 50), "a comparison of empty sets would prove nothing"
    assert len(versions) == 1, "the data are the same, whatever runs on them"
    assert list(dense.tables.glob(".snapshot-*")) == []


def test_a_flowchart_is_the_same_on_both(database: Database, tmp_path: Path, share: Share) -> None:
    made, _ = a_world(tmp_path / "tables", random.Random(7))
    index_series(database, made)
    asked = [Asked((40, 70), "female", "", "one").text(), Asked((40, 69), "female", "L01XC02", "two").text()]
    charts = {}
    for spark in (None, MASTER):
        with database.begin(Login.WEB) as connection:
            charts[spark] = [
                flowchart.count(
                    connection, parse(definition), actor=RequestActor(f"on {spark}", AccountRole.RESEARCHER),
                    tables=made.tables,
                    small_cell=11, today=date(2026, 11, 27), spark=spark,
                )
                for definition in share.of(asked, 2)
            ]  # fmt: skip
    assert charts[None] == charts[MASTER]
    assert all(isinstance(chart, Flowchart) for chart in charts[None])
