"""Lists of frozen cohorts and releases: operators see all, others those of the permits they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.archive.index import ReviewState
from imaging_hub.cohorts.release import ReleaseState
from imaging_hub.permits.policy import AccountRole, RequestActor, RequestedResource


@dataclass(frozen=True)
class CohortView:
    """A frozen cohort, with its definition and flowchart."""

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
    """A release with its state and, once it is ready, its size."""

    id: str
    cohort: str
    cohort_name: str
    project: str
    permit: str
    state: ReleaseState
    instances: int | None
    bytes: int | None
    manifest_digest: str | None
    requested_by: str
    created_at: datetime
    ready_at: datetime | None


def list_cohorts(connection: Connection, actor: RequestActor, cohort_id: str | None = None) -> Sequence[CohortView]:
    """Return the cohorts that the actor may see, newest first; only the one of `cohort_id` if given."""
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


def count_series_by_review_state(connection: Connection, cohort_id: str) -> dict[ReviewState, int]:
    """Return the number of the cohort's series by review state."""
    rows = connection.execute(
        text(
            "SELECT s.review_state, count(*) AS series FROM hub.cohort_member m"
            " JOIN hub.series s USING (series_instance_uid) WHERE m.cohort = :cohort GROUP BY 1"
        ),
        {"cohort": cohort_id},
    )
    return {ReviewState(row.review_state): row.series for row in rows}


_RELEASE = (
    "SELECT r.id, r.cohort, c.name AS cohort_name, c.project, r.permit, r.state, r.instances, r.bytes,"
    " r.manifest_digest, r.requested_by, r.created_at, r.ready_at"
    " FROM hub.release r JOIN hub.cohort c ON c.id = r.cohort"
)


def list_releases(connection: Connection, actor: RequestActor) -> Sequence[ReleaseView]:
    """Return the releases that the actor may see, newest first."""
    rows = connection.execute(
        text(
            f"{_RELEASE} WHERE :all OR EXISTS (SELECT 1 FROM hub.permit_holder h WHERE h.permit = r.permit"  # noqa: S608
            " AND h.account = :actor) ORDER BY r.created_at DESC, r.id"
        ),
        {"all": actor.role is AccountRole.OPERATOR, "actor": actor.name},
    )
    return [_release(row) for row in rows]


def find_release(connection: Connection, release_id: str) -> ReleaseView | None:
    """Return one release, or None; the caller checks who may see it."""
    row = connection.execute(text(f"{_RELEASE} WHERE r.id = :id"), {"id": release_id}).one_or_none()
    return _release(row) if row else None


def _release(row: Row[Any]) -> ReleaseView:
    return ReleaseView(**{**row._mapping, "state": ReleaseState(row.state)})


def release_resource(connection: Connection, release: ReleaseView) -> RequestedResource:
    """Return the current facts about a release that the policy decides on."""
    members = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE s.review_state = 'REJECTED') AS rejected,"
            " count(*) FILTER (WHERE m.sid IN (SELECT sid FROM hub.opposed)) AS opposed"
            " FROM hub.cohort_member m JOIN hub.series s USING (series_instance_uid) WHERE m.cohort = :cohort"
        ),
        {"cohort": release.cohort},
    ).one()
    return RequestedResource(project=release.project, rejected=members.rejected, opposed=members.opposed)


def item_size(connection: Connection, release_id: str, digest: str) -> int | None:
    """Return the size in bytes of an object of a release, or None when the release does not list it."""
    size: int | None = connection.execute(
        text("SELECT size FROM hub.release_item WHERE release = :release AND digest = :digest LIMIT 1"),
        {"release": release_id, "digest": digest},
    ).scalar_one_or_none()
    return size


def count_releases_with(connection: Connection, sids: Sequence[str]) -> int:
    """Return the number of releases with series of these subjects, without failed ones."""
    count = connection.execute(
        text(
            "SELECT count(DISTINCT r.id) FROM hub.release r JOIN hub.cohort_member m USING (cohort)"
            " WHERE m.sid = ANY(:sids) AND r.state <> 'FAILED'"
        ),
        {"sids": list(sids)},
    )
    return int(count.scalar_one())


def count_releases_by_state(connection: Connection) -> dict[ReleaseState, int]:
    """Return the number of releases by state."""
    rows = connection.execute(text("SELECT state, count(*) AS releases FROM hub.release GROUP BY state"))
    return {ReleaseState(row.state): row.releases for row in rows}
