"""Counting again and again tells of nobody: no difference and no sum of counts that were told is below k."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa
import pytest
from fresh_databases import copied
from hypothesis import given, settings
from hypothesis import strategies as st
from share import Share
from sqlalchemy import Connection, text

from imaging_hub.cohorts import differencing, flowchart
from imaging_hub.cohorts.analytic_engine import duckdb_engine
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.differencing import CountedCells
from imaging_hub.cohorts.flowchart import Flowchart
from imaging_hub.database import Database
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.permits import policy
from imaging_hub.permits.policy import AccountRole, DenialReason, Denied, RequestActor
from tests.cohort_oracle import World, index_series
from tests.differencing_attack import Asked, Subject, a_world, attack

TODAY = date(2026, 11, 27)
K = 11


@pytest.fixture(scope="module")
def made(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Subject]]:
    made, people = a_world(tmp_path_factory.mktemp("world") / "tables", random.Random(7))
    index_series(module_database, made)
    return made, people


@pytest.fixture
def world(
    database: Database, module_database: Database, made: tuple[World, list[Subject]], tmp_path: Path
) -> tuple[World, list[Subject]]:
    """People and their series, in a database and tables of the test's own."""
    copied(module_database, into=database)
    world, people = made
    tables = shutil.copytree(world.tables, tmp_path / "tables")
    return replace(world, tables=tables), people


def count(
    database: Database, world: World, definition: str, *, by: str = "ada", today: date = TODAY
) -> Flowchart | Denied:
    with database.begin(Login.WEB) as connection:
        return flowchart.count(
            connection,
            parse(definition),
            actor=RequestActor(by, AccountRole.RESEARCHER),
            tables=world.tables,
            small_cell=K,
            today=today,
        )


def chart_of(database: Database, world: World, definition: str, by: str = "ada") -> Flowchart:
    found = count(database, world, definition, by=by)
    assert isinstance(found, Flowchart)
    return found


def test_neighbouring_questions_tell_no_small_number(
    database: Database, world: tuple[World, list[Subject]], share: Share
) -> None:
    made, people = world
    queries = share.times(30, 60)
    found = attack(lambda asked: chart_of(database, made, asked), people, queries, random.Random(1))
    assert found.told > queries // 6, "a guard that tells nothing is none"
    assert found.withheld > 10
    assert found.smallest_part >= K
    assert found.smallest_difference >= K
    assert found.changed == 0


def test_without_the_guard_the_same_attack_learns(
    database: Database, world: tuple[World, list[Subject]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differencing.CountedCells, "disclose", lambda *_: True)
    made, people = world
    found = attack(lambda asked: chart_of(database, made, asked), people, 12, random.Random(1))
    assert found.smallest_part < K
    assert found.smallest_difference < K


def test_the_same_question_has_the_same_answer_until_many_people_more_are_counted(
    database: Database, world: tuple[World, list[Subject]]
) -> None:
    made, people = world
    asked = Asked((40, 70), "any", "", "same")
    first = chart_of(database, made, asked.text())
    assert first.steps[-1].subjects.isdigit()
    gone = sorted(asked.counted(people)[-1][1])
    with database.begin(Login.WORKER) as connection:
        _reject(connection, gone[:3])
    assert chart_of(database, made, asked.text()).steps == first.steps, "three people fewer are not told of"
    with database.begin(Login.WORKER) as connection:
        _reject(connection, gone[:60])
    later = chart_of(database, made, asked.text())
    assert int(later.steps[-1].subjects) == (len(gone) - 60) // 10 * 10
    assert later.series == later.steps[-1].subjects


def _reject(connection: Connection, sids: list[str]) -> None:
    connection.execute(
        text(
            "UPDATE hub.series s SET review_state = 'REJECTED' FROM hub.study t"
            " WHERE t.study_instance_uid = s.study_instance_uid AND t.sid = ANY(:sids)"
        ),
        {"sids": sids},
    )


def test_each_account_has_answers_and_a_budget_of_its_own(
    database: Database, world: tuple[World, list[Subject]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = world
    monkeypatch.setattr(policy, "MAX_COUNTS_PER_DAY", 2)
    wide, narrow = Asked((40, 70), "any", "", "wide").text(), Asked((40, 70), "any", "N02BE01", "narrow").text()
    assert chart_of(database, made, wide).steps[-1].subjects.isdigit()
    assert chart_of(database, made, narrow).steps[-1].subjects == "withheld"
    assert count(database, made, narrow) == Denied(DenialReason.BUDGET_SPENT)
    assert chart_of(database, made, narrow, by="bob").steps[-1].subjects.isdigit()
    tomorrow = count(database, made, narrow, today=date(2026, 11, 28))
    assert isinstance(tomorrow, Flowchart)
    assert tomorrow.steps[-1].subjects == "withheld", "a new day brings counts, and no other answers"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 59)) | st.integers(0, 60).map(lambda end: set(range(end))), max_size=9),
    st.integers(2, 6),
)
def test_whatever_sets_are_counted_no_sum_of_those_told_is_small(sets: list[set[int]], k: int) -> None:
    with duckdb_engine() as engine:
        people = engine.create_table("people", pa.table({"sid": [str(number) for number in range(60)]}))
        cells = CountedCells(engine, people, differencing.NOBODY, k)
        told: list[set[int]] = []
        for whom in sets:
            schema = pa.schema([("sid", pa.string())])
            if cells.disclose(ibis.memtable(pa.table({"sid": [str(one) for one in whom]}, schema=schema))):
                told.append(whom)
        counted = dict(zip(*cells.to_table().to_pydict().values(), strict=True))
    parts: dict[tuple[bool, ...], int] = {}
    for number in range(60):
        part = tuple(number in whom for whom in told)
        parts[part] = parts.get(part, 0) + 1
    assert all(size >= k for size in parts.values())
    assert len({counted.get(str(number), 0) for number in range(60)}) == len(parts)
    for place, first in enumerate(told):
        assert all(len(first ^ second) >= k for second in told[:place])
        assert k <= len(first) <= 60 - k
