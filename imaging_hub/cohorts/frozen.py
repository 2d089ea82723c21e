"""Frozen cohorts: the members of a definition on one data version, for one project, unchangeable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.cohorts.cohort_plan import CohortPlan, make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.differencing import record_request
from imaging_hub.cohorts.flowchart import CohortResult, Flowchart, disclose, run_plan
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.errors import NotFound
from imaging_hub.permits.policy import Action, DenialReason, Denied, Permit, RequestActor, RequestedResource, decide


@dataclass(frozen=True)
class FrozenCohort:
    """A frozen cohort, which can be released."""

    id: str
    new: bool
    """False when the same definition was already frozen on the same data."""
    flowchart: Flowchart


@dataclass(frozen=True)
class FreezeRequest:
    """Project and plan of a frozen cohort."""

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
    """Freeze a definition (YAML) on the current data, for the project of `permit`.

    The same definition on the same data gives the same cohort with the same id. Raises `DefinitionError` when the
    definition is wrong, `HubError` as `flowchart.run_plan`, and `LinkageError` when no SNDS tables are loaded.
    """
    plan = make_plan(parse(definition))
    resource = RequestedResource(modalities=plan.modalities, domains=plan.domains)
    decision = decide(actor, Action.COHORT_FREEZE, resource, permit=permit, today=today)
    if isinstance(decision, Denied) or permit is None:
        return decision if isinstance(decision, Denied) else Denied(DenialReason.NO_PERMIT)
    record_request(connection, actor.name, today)
    with take_snapshot(connection, tables, spark) as snapshot:
        result, version = run_plan(plan, snapshot), snapshot.version
        flowchart = disclose(connection, plan, result, snapshot, actor=actor, small_cell=small_cell, rounded=False)
    identity = json.dumps([permit.project, plan.digest, version])
    cohort = f"cohort-{hashlib.sha256(identity.encode()).hexdigest()[:20]}"
    new = _insert_cohort(
        connection, cohort, permit.project, definition=definition, plan=plan, flowchart=flowchart, by=actor.name
    )
    if new:
        _insert_members(connection, cohort, result)
        detail = {"project": permit.project, "definition": plan.digest, "data": version}
        trail.append(connection, actor.name, trail.AuditAction.COHORT_FROZEN, cohort, detail)
    return FrozenCohort(cohort, new, flowchart)


def load_request(connection: Connection, cohort: str) -> FreezeRequest:
    """Return project and plan of a frozen cohort; raises `NotFound`."""
    row = connection.execute(
        text("SELECT project, definition FROM hub.cohort WHERE id = :id"), {"id": cohort}
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such cohort", hint="imaging-hub cohort freeze FILE")
    return FreezeRequest(row.project, make_plan(parse(row.definition)))


def _insert_cohort(
    connection: Connection,
    cohort: str,
    project: str,
    *,
    definition: str,
    plan: CohortPlan,
    flowchart: Flowchart,
    by: str,
) -> bool:
    """Insert the cohort, and return whether it is new."""
    inserted = connection.execute(
        text(
            "INSERT INTO hub.cohort (id, project, name, definition, definition_digest, data_version, flowchart,"
            " frozen_by) VALUES (:id, :project, :name, :definition, :digest, :version, CAST(:flowchart AS jsonb), :by)"
            " ON CONFLICT (id) DO NOTHING"
        ),
        {
            "id": cohort,
            "project": project,
            "name": plan.cohort,
            "definition": definition,
            "digest": plan.digest,
            "version": flowchart.data_version,
            "flowchart": json.dumps(asdict(flowchart)),
            "by": by,
        },
    )
    return bool(inserted.rowcount)


def _insert_members(connection: Connection, cohort: str, result: CohortResult) -> None:
    if result.members:
        connection.execute(
            text(
                "INSERT INTO hub.cohort_member (cohort, sid, index_date, series_instance_uid, content_digest, age_band,"
                " sex, death_offset_days, link_method, link_score) VALUES (:cohort, :sid, :index_date,"
                " :series_instance_uid, :content_digest, :age_band, :sex, :death_offset_days, :link_method,"
                " :link_score)"
            ),
            [{"cohort": cohort, **asdict(member)} for member in result.members],
        )
