"""Loading, linking and freezing are killed at any step: each is done or not at all, and goes on when done again.

At twenty steps in the long form; every run takes the first of each and another third of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from share import Share
from sqlalchemy import text

from imaging_hub.audit import trail
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import run_plan
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.settings import Settings
from imaging_hub.snds import loading
from tests.cohort_oracle import index_series
from tests.dense_tables import a_definition, a_dense_world
from tests.durability.killed_at import ACTIONS
from tests.linked_population import few_linked
from tests.synthetic_snds import synthetic_snds

CHILD = Path(__file__).with_name("killed_at.py")
ROOT = Path(__file__).parents[2]


def begun(hub: Settings, action: str, step: int, told: dict[str, Any]) -> int:
    """Steps of the whole action when `step` is 0; else it was killed at that step."""
    child = subprocess.run(
        [sys.executable, CHILD, action, str(step), json.dumps(told)], capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, **hub.as_environment(), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.returncode == (-signal.SIGKILL if step else 0), child.stderr
    return 0 if step else int(child.stdout)


def points(steps: int, count: int) -> list[int]:
    """So many steps, spread from the first to the last."""
    assert steps >= count
    return [1 + round(place * (steps - 1) / (count - 1)) for place in range(count)]


def killed_everywhere(
    hub: Settings, action: str, told: dict[str, Any], count: int, share: Share, *, state: Callable[[], Any],
    undo: Callable[[], None], between: tuple[Any, ...] = (),
) -> None:  # fmt: skip
    """Whatever the step, the state is that of before, of after, or between two transactions; then it goes on."""
    before = state()
    steps = begun(hub, action, 0, told)
    after = state()
    assert after != before
    seen = []
    for step in sorted({1, *share.of(points(steps, count), 3)}):
        undo()
        assert state() == before
        begun(hub, action, step, told)
        seen.append(state())
        assert seen[-1] in (before, after, *between), f"half done at step {step} of {steps}"
        ACTIONS[action](hub, told)
        assert state() == after
    assert before in seen, "a kill that changes nothing at any step comes too late"


def test_a_load_is_whole_or_not_there(settings: Settings, database: Database, share: Share) -> None:
    first = synthetic_snds(60, 3).folder / "snds"
    told = {"folder": str(synthetic_snds().folder / "snds")}
    old = loading.load(first, settings.tables).version

    def state() -> tuple[str, int, int]:
        """What cohorts read: the version in force, with all its rows."""
        now = loading.current_version(settings.tables)
        whole = sum(1 for _ in (now.folder / "event").rglob("*.parquet"))
        return now.version, now.persons, whole

    def undo() -> None:
        loading.load(first, settings.tables)
        for version in settings.tables.iterdir():
            if version.is_dir() and version.name != old:
                version.rename(settings.home / f"gone-{random.random()}")

    killed_everywhere(settings, "load", told, 7, share, state=state, undo=undo)
    assert not list(settings.tables.glob(".draft-*")), "what a killed load left goes with the next"


def test_links_are_made_together_or_not_at_all(
    settings: Settings, database: Database, tmp_path: Path, share: Share
) -> None:
    linked = few_linked(database, tmp_path, settings.tables)
    by_ins = rows(database, "SELECT sid, snds_person FROM hub.link WHERE method = 'ins' ORDER BY sid")
    answer = tmp_path / "answer.csv"
    answer.write_text("id_acc;BEN_NIR_ANO\n" + "".join(f"{sid};{person}\n" for sid, person in by_ins), "ascii")
    told = {"answer": str(answer), "sids": {sid: sid for sid, _ in by_ins}}

    def state() -> tuple[Any, ...]:
        return (
            rows(database, "SELECT sid, snds_person, method FROM hub.link ORDER BY sid"),
            rows(database, "SELECT sid, snds_person, reason FROM hub.link_proposal ORDER BY sid"),
        )

    def undo() -> None:
        with database.begin(DatabaseRole.OWNER) as owner:
            owner.execute(text("DELETE FROM hub.link"))
            owner.execute(text("DELETE FROM hub.link_proposal"))

    undo()
    only_ins = ([(sid, person, "ins") for sid, person in by_ins], [])
    killed_everywhere(settings, "link", told, 7, share, state=state, undo=undo, between=(only_ins,))
    assert linked.indirect.proposed
    with database.begin(DatabaseRole.OWNER) as owner:
        assert trail.verify(owner) > 0


def test_a_cohort_is_frozen_whole_or_not_at_all(
    settings: Settings, database: Database, tmp_path: Path, share: Share
) -> None:
    chance = random.Random(41)
    settings.tables.mkdir(parents=True)
    dense = a_dense_world(settings.tables, chance)
    index_series(database, dense)
    told = {"definition": _with_members(database, settings, chance), "project": "p", "today": "2026-11-27"}
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(
            text(
                "INSERT INTO hub.account (name, role, token_hash, expires_at)"
                " VALUES ('ada', 'researcher', 'x', '2100-01-01')"
            )
        )
        owner.execute(
            text(
                "INSERT INTO hub.project (id, title, purpose, public_interest, legal_basis)"
                " VALUES ('p', 't', 't', 't', 't')"
            )
        )

    def state() -> tuple[Any, ...]:
        return tuple(
            rows(database, f"SELECT count(*) FROM {table}")
            for table in ("hub.cohort", "hub.cohort_member", "hub.told", "hub.answer")
        )

    def undo() -> None:
        with database.begin(DatabaseRole.OWNER) as owner:
            owner.execute(text("DELETE FROM hub.cohort_member"))
            owner.execute(text("DELETE FROM hub.cohort"))
            owner.execute(text("DELETE FROM hub.told"))
            owner.execute(text("DELETE FROM hub.answer"))

    killed_everywhere(settings, "freeze", told, 6, share, state=state, undo=undo)


def _with_members(database: Database, hub: Settings, chance: random.Random) -> str:
    with database.begin(DatabaseRole.WEB) as connection, take_snapshot(connection, hub.tables) as snapshot:
        while True:
            definition = a_definition(chance)
            if len(run_plan(make_plan(parse(definition)), snapshot).members) > 3:
                return definition


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.begin(DatabaseRole.OWNER) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]
