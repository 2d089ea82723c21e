"""Running a plan: the steps counted one after the other, and the series that are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from imaging_hub.audit import trail
from imaging_hub.cohorts import counts
from imaging_hub.cohorts.compilation import Narrowed, indexed, narrowed, pictured
from imaging_hub.cohorts.counts import Counted, Shown
from imaging_hub.cohorts.criteria import Definition
from imaging_hub.cohorts.plan import Plan, plan
from imaging_hub.cohorts.snapshot import Snapshot, take
from imaging_hub.permits.policy import Action, Actor, Denied, Permit, Resource, decide

_OLDEST_BAND = 90  # so few are older that a band would name them


@dataclass(frozen=True)
class Member:
    """A series of the cohort, and what its release may say of the subject."""

    sid: str
    index_date: date
    series_instance_uid: str
    content_digest: str
    age_band: str
    """Five completed years at the index date, `90+`, or empty."""
    sex: str


@dataclass(frozen=True)
class Outcome:
    """A plan run on a snapshot; true counts, for this process only."""

    steps: Sequence[Counted]
    members: Sequence[Member]


@dataclass(frozen=True)
class Flowchart:
    """What people see of an outcome."""

    steps: Sequence[Shown]
    series: str
    data_version: str


def run(wanted: Plan, snapshot: Snapshot) -> Outcome:
    """Narrow the subjects step by step, and take the images of those who are left."""
    tables = snapshot.tables
    steps = [Counted("linked subjects", _count(tables.subject))]
    step = _settled(indexed(wanted, tables), steps)
    for condition in wanted.steps:
        step = _settled(narrowed(wanted, tables, step, condition), steps)
    pictures = pictured(wanted.images, tables, step)
    series = pictures.cohort.cache()
    steps.append(_counted(pictures, series.sid.nunique().to_pyarrow().as_py()))
    about = step.select("sid", "birth_month", "sex")
    rows = series.join(about, "sid").order_by("series_instance_uid").to_pyarrow().to_pylist()
    return Outcome(steps, [_member(row, snapshot.contents) for row in rows])


def shown(outcome: Outcome, data_version: str, small_cell: int, *, rounded: bool) -> Flowchart:
    """An outcome with small cells held back."""
    steps = counts.shown(outcome.steps, small_cell, rounded=rounded)
    few = steps[-1].subjects.startswith("<")
    series = steps[-1].subjects if few else counts.one(len(outcome.members), small_cell, rounded=rounded)
    return Flowchart(steps, series, data_version)


def count(
    connection: Connection,
    definition: Definition,
    *,
    actor: Actor,
    tables: Path,
    small_cell: int,
    today: date,
    permit: Permit | None = None,
) -> Flowchart | Denied:
    """How many there would be: rounded, so that it can be asked without a permit."""
    wanted = plan(definition)
    resource = Resource(modalities=wanted.modalities, domains=wanted.domains)
    decision = decide(actor, Action.COHORT_COUNT, resource, permit=permit, today=today)
    if isinstance(decision, Denied):
        return decision
    with take(connection, tables) as snapshot:
        flowchart = shown(run(wanted, snapshot), snapshot.version, small_cell, rounded=True)
    detail = {"definition": wanted.digest, "data": flowchart.data_version}
    trail.append(connection, actor.name, trail.Action.COHORT_COUNTED, wanted.cohort, detail)
    return flowchart


def _settled(step: Narrowed, steps: list[Counted]) -> Any:
    """The cohort after a step, computed once, and its count noted."""
    cohort = step.cohort.cache()
    steps.append(_counted(step, _count(cohort)))
    return cohort


def _counted(step: Narrowed, subjects: int) -> Counted:
    return Counted(step.name, subjects, None if step.missing is None else _count(step.missing))


def _count(table: Any) -> int:
    return int(table.count().to_pyarrow().as_py())


def _member(row: dict[str, Any], contents: dict[str, str]) -> Member:
    uid = row["series_instance_uid"]
    return Member(
        row["sid"],
        row["index_date"],
        uid,
        contents[uid],
        _age_band(row["birth_month"], row["index_date"]),
        row["sex"] or "",
    )


def _age_band(born: date | None, at: date) -> str:
    if born is None:
        return ""
    years = (at.year * 12 + at.month - born.year * 12 - born.month) // 12
    low = years - years % 5
    return f"{_OLDEST_BAND}+" if low >= _OLDEST_BAND else f"{low}-{low + 4}"
