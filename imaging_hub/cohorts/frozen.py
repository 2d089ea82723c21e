"""Frozen cohorts: the members of one definition on one data version, for one project, for good."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.differencing import note_asked
from imaging_hub.cohorts.flowchart import CohortResult, Flowchart, run, told
from imaging_hub.cohorts.plan import CohortPlan, plan
from imaging_hub.cohorts.snapshot import take
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import Action, DenialReason, Denied, Permit, RequestActor, RequestedResource, decide


@dataclass(frozen=True)
class FrozenCohort:
    """A cohort that can be released."""

    id: str
    new: bool
    """False when the same definition was frozen on the same data before."""
    flowchart: Flowchart


@dataclass(frozen=True)
class FreezeRequest:
    """What a frozen cohort was asked for with."""

    project: str
    plan: CohortPlan


def freeze(
    connection: Connection,
    definition: str,
    *,
    actor: RequestActor,
    permit: Permit | None,
    tables: Path,
    small_cell: int,
    today: date,
    spark: str | None = None,
) -> FrozenCohort | Denied:
    """Freeze the definition (YAML) as it stands now, for the project of `permit`.

    The same definition on the same data is the same cohort, with the same id, however often it is frozen.
    Raises `DefinitionError` when the definition is wrong.
    """
    wanted = plan(parse(definition))
    resource = RequestedResource(modalities=wanted.modalities, domains=wanted.domains)
    decision = decide(actor, Action.COHORT_FREEZE, resource, permit=permit, today=today)
    if isinstance(decision, Denied) or permit is None:
        return decision if isinstance(decision, Denied) else Denied(DenialReason.NO_PERMIT)
    note_asked(connection, actor.name, today)
    with take(connection, tables, spark) as snapshot:
        outcome, version = run(wanted, snapshot), snapshot.version
        flowchart = told(connection, wanted, outcome, snapshot, actor=actor, small_cell=small_cell, rounded=False)
    identity = json.dumps([permit.project, wanted.digest, version])
    cohort = f"cohort-{hashlib.sha256(identity.encode()).hexdigest()[:20]}"
    new = _insert(
        connection, cohort, permit.project, definition=definition, wanted=wanted, flowchart=flowchart, by=actor.name
    )
    if new:
        _insert_members(connection, cohort, outcome)
        detail = {"project": permit.project, "definition": wanted.digest, "data": version}
        trail.append(connection, actor.name, trail.AuditAction.COHORT_FROZEN, cohort, detail)
    return FrozenCohort(cohort, new, flowchart)


def asked(connection: Connection, cohort: str) -> FreezeRequest:
    """What a frozen cohort was asked for with. Raises `NotFound`."""
    row = connection.execute(
        text("SELECT project, definition FROM hub.cohort WHERE id = :id"), {"id": cohort}
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such cohort", hint="imaging-hub cohort freeze FILE")
    return FreezeRequest(row.project, plan(parse(row.definition)))


def _insert(
    connection: Connection,
    cohort: str,
    project: str,
    *,
    definition: str,
    wanted: CohortPlan,
    flowchart: Flowchart,
    by: str,
) -> bool:
    """Whether it was not there before."""
    inserted = connection.execute(
        text(
            "INSERT INTO hub.cohort (id, project, name, definition, definition_digest, data_version, flowchart,"
            " frozen_by) VALUES (:id, :project, :name, :definition, :digest, :version, CAST(:flowchart AS jsonb), :by)"
            " ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": cohort,
            "project": project,
            "name": wanted.cohort,
            "definition": definition,
            "digest": wanted.digest,
            "version": flowchart.data_version,
            "flowchart": json.dumps(asdict(flowchart)),
            "by": by,
        },
    )
    return bool(inserted.rowcount)


def _insert_members(connection: Connection, cohort: str, outcome: CohortResult) -> None:
    if outcome.members:
        connection.execute(
            text(
                "INSERT INTO hub.cohort_member (cohort, sid, index_date, series_instance_uid, content_digest, age_band,"
                " sex, death_offset_days, link_method, link_score) VALUES (:cohort, :sid, :index_date,"
                " :series_instance_uid, :content_digest, :age_band, :sex, :death_offset_days, :link_method,"
                " :link_score)"
            ),
            [{"cohort": cohort, **asdict(member)} for member in outcome.members],
        )
