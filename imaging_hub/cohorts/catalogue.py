"""Frozen cohorts and their releases as they are listed: operators see all, others those of the permits they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from imaging_hub.permits.policy import AccountRole, RequestActor, RequestedResource


@dataclass(frozen=True)
class CohortView:
    """A frozen run of a definition."""

    id: str
    project: str
    name: str
    definition: str
    definition_digest: str
    data_version: str
    flowchart: Any
    frozen_by: str
    frozen_at: datetime


@dataclass(frozen=True)
class ReleaseView:
    """A frozen list of digests, and whether it can be fetched yet."""

    id: str
    cohort: str
    cohort_name: str
    project: str
    permit: str
    state: str
    instances: int | None
    bytes: int | None
    manifest_digest: str | None
    requested_by: str
    created_at: datetime
    ready_at: datetime | None


def cohorts(connection: Connection, actor: RequestActor, cohort_id: str | None = None) -> Sequence[CohortView]:
    """Cohorts of the projects whose permits the actor holds, the newest first; an operator sees all."""
    rows = connection.execute(
        text(
            "SELECT id, project, name, definition, definition_digest, data_version, flowchart, frozen_by, frozen_at"
            " FROM hub.cohort c WHERE (CAST(:id AS text) IS NULL OR id = :id) AND (:all OR EXISTS ("
            "  SELECT 1 FROM hub.permit p JOIN hub.permit_holder h ON h.permit = p.id"
            "  WHERE p.project = c.project AND h.account = :actor)) ORDER BY frozen_at DESC, id"
        ),
        {"id": cohort_id, "all": actor.role is AccountRole.OPERATOR, "actor": actor.name},
    )
    return [CohortView(*row) for row in rows]


def series_by_review_state(connection: Connection, cohort_id: str) -> dict[str, int]:
    """The cohort's series by review state: what a release may have to wait for."""
    rows = connection.execute(
        text(
            "SELECT s.review_state, count(*) AS series FROM hub.cohort_member m"
            " JOIN hub.series s USING (series_instance_uid) WHERE m.cohort = :cohort GROUP BY 1"
        ),
        {"cohort": cohort_id},
    )
    return {row.review_state: row.series for row in rows}


_RELEASE = (
    "SELECT r.id, r.cohort, c.name, c.project, r.permit, r.state, r.instances, r.bytes, r.manifest_digest,"
    " r.requested_by, r.created_at, r.ready_at FROM hub.release r JOIN hub.cohort c ON c.id = r.cohort"
)


def releases(connection: Connection, actor: RequestActor) -> Sequence[ReleaseView]:
    """Releases of the actor's permits, the newest first; an operator sees all."""
    rows = connection.execute(
        text(
            f"{_RELEASE} WHERE :all OR EXISTS (SELECT 1 FROM hub.permit_holder h WHERE h.permit = r.permit"  # noqa: S608
            " AND h.account = :actor) ORDER BY r.created_at DESC, r.id"
        ),
        {"all": actor.role is AccountRole.OPERATOR, "actor": actor.name},
    )
    return [ReleaseView(*row) for row in rows]


def release(connection: Connection, release_id: str) -> ReleaseView | None:
    """One release, whoever may see it."""
    row = connection.execute(text(f"{_RELEASE} WHERE r.id = :id"), {"id": release_id}).one_or_none()
    return ReleaseView(*row) if row else None


def as_resource(connection: Connection, wanted: ReleaseView) -> RequestedResource:
    """What the policy needs to know of a release that is read or downloaded, as it is now."""
    members = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE s.review_state = 'REJECTED') AS rejected,"
            " count(*) FILTER (WHERE m.sid IN (SELECT sid FROM hub.opposed)) AS opposed"
            " FROM hub.cohort_member m JOIN hub.series s USING (series_instance_uid) WHERE m.cohort = :cohort"
        ),
        {"cohort": wanted.cohort},
    ).one()
    return RequestedResource(project=wanted.project, rejected=members.rejected, opposed=members.opposed)


def size_of_item(connection: Connection, release_id: str, digest: str) -> int | None:
    """Bytes of an object that a release lists; None where it does not."""
    size: int | None = connection.execute(
        text("SELECT size FROM hub.release_item WHERE release = :release AND digest = :digest LIMIT 1"),
        {"release": release_id, "digest": digest},
    ).scalar_one_or_none()
    return size


def releases_with(connection: Connection, sids: Sequence[str]) -> int:
    """How many releases, prepared or to be, hold something of these subjects."""
    count = connection.execute(
        text(
            "SELECT count(DISTINCT r.id) FROM hub.release r JOIN hub.cohort_member m USING (cohort)"
            " WHERE m.sid = ANY(:sids) AND r.state <> 'FAILED'"
        ),
        {"sids": list(sids)},
    )
    return int(count.scalar_one())


def releases_by_state(connection: Connection) -> dict[str, int]:
    """How many releases are in each state."""
    rows = connection.execute(text("SELECT state, count(*) AS releases FROM hub.release GROUP BY state"))
    return {row.state: row.releases for row in rows}
