"""Projects and their permits in the database; `permits.policy` decides what they allow."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from imaging_hub.audit import trail
from imaging_hub.errors import HubError, NotFound
from imaging_hub.permits.policy import Permit

DOMAINS = frozenset(
    {"diagnosis", "act", "drug", "package", "device", "stay", "ald", "death", "biology", "cause_of_death"}
)
"""SNDS domains that a permit can cover."""


@dataclass(frozen=True)
class Project:
    """A research project as shown in the public register."""

    id: str
    title: str
    purpose: str
    public_interest: str
    legal_basis: str
    """`CNIL authorisation …`, `MR-004 …`, `permanent access`."""
    created_at: datetime


def add(
    connection: Connection, project: str, *, title: str, purpose: str, public_interest: str, legal_basis: str, by: str
) -> None:
    """Add a project; raises `HubError` `project` when its name is taken or a field is empty."""
    fields = {"title": title, "purpose": purpose, "public_interest": public_interest, "legal_basis": legal_basis}
    if not all(value.strip() for value in (project, *fields.values())):
        raise HubError("a project needs a name, title, purpose, public interest and legal basis", code="project")
    row = connection.execute(
        text(
            "INSERT INTO hub.project (id, title, purpose, public_interest, legal_basis)"
            " VALUES (:id, :title, :purpose, :public_interest, :legal_basis) ON CONFLICT DO NOTHING RETURNING id"
        ),
        {"id": project, **fields},
    ).one_or_none()
    if row is None:
        raise HubError("there is a project of that name", code="project", hint="choose another name")
    trail.append(connection, by, trail.AuditAction.PROJECT_ADDED, project)


def list_projects(connection: Connection) -> Sequence[Project]:
    """Return all projects, sorted by name."""
    rows = connection.execute(
        text("SELECT id, title, purpose, public_interest, legal_basis, created_at FROM hub.project ORDER BY id")
    )
    return [Project(*row) for row in rows]


def grant(
    connection: Connection,
    project: str,
    *,
    valid_from: date,
    valid_until: date,
    holders: Collection[str],
    modalities: Collection[str],
    domains: Collection[str],
    by: str,
) -> str:
    """Grant a permit and return its id.

    Raises `HubError` `permit` when dates, holders or scope are invalid, `NotFound` when there is no such project or
    account.
    """
    if valid_until < valid_from:
        raise HubError("a permit ends on or after the day it begins", code="permit")
    if not holders or not modalities:
        raise HubError("a permit names its holders and its modalities", code="permit")
    if not set(domains) <= DOMAINS:
        raise HubError("a domain of the scope is unknown", code="permit", hint=f"one of {', '.join(sorted(DOMAINS))}")
    scope = {"modalities": sorted(set(modalities)), "domains": sorted(set(domains))}
    permit = f"permit-{secrets.token_hex(6)}"
    try:
        connection.execute(
            text(
                "INSERT INTO hub.permit (id, project, valid_from, valid_until, scope, granted_by)"
                " VALUES (:id, :project, :valid_from, :valid_until, CAST(:scope AS jsonb), :by)"
            ),
            {
                "id": permit,
                "project": project,
                "valid_from": valid_from,
                "valid_until": valid_until,
                "scope": json.dumps(scope),
                "by": by,
            },
        )
        connection.execute(
            text("INSERT INTO hub.permit_holder (permit, account) VALUES (:permit, :account)"),
            [{"permit": permit, "account": holder} for holder in sorted(set(holders))],
        )
    except IntegrityError as fault:
        raise NotFound("no such project, or no such account", hint="imaging-hub account list") from fault
    detail = {"project": project, "until": valid_until.isoformat(), **scope}
    trail.append(connection, by, trail.AuditAction.PERMIT_GRANTED, permit, detail)
    return permit


def revoke(connection: Connection, permit: str, *, by: str) -> None:
    """Revoke a permit now; revoking again has no effect. Raises `NotFound` when there is no such permit."""
    row = connection.execute(
        text("UPDATE hub.permit SET revoked_at = COALESCE(revoked_at, now()) WHERE id = :id RETURNING project"),
        {"id": permit},
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such permit", hint="imaging-hub permit list")
    trail.append(connection, by, trail.AuditAction.PERMIT_REVOKED, permit, {"project": row.project})


_SELECT = (
    "SELECT p.id, p.project, p.valid_from, p.valid_until, p.revoked_at IS NOT NULL AS revoked, p.scope,"
    " array_agg(h.account) AS holders FROM hub.permit p JOIN hub.permit_holder h ON h.permit = p.id"
)


def find_permit(connection: Connection, permit_id: str | None) -> Permit | None:
    """Return the permit of that id, or None, which `policy.decide` denies."""
    row = connection.execute(text(f"{_SELECT} WHERE p.id = :id GROUP BY p.id"), {"id": permit_id}).one_or_none()
    return _as_permit(row) if row else None


def list_permits(connection: Connection, *, holder: str | None = None, project: str | None = None) -> Sequence[Permit]:
    """Return all permits, or those of one holder or project, the one that ends last first."""
    rows = connection.execute(
        text(
            f"{_SELECT} WHERE (CAST(:project AS text) IS NULL OR p.project = :project) GROUP BY p.id"
            " HAVING CAST(:holder AS text) IS NULL OR bool_or(h.account = :holder) ORDER BY p.valid_until DESC, p.id"
        ),
        {"holder": holder, "project": project},
    )
    return [_as_permit(row) for row in rows]


def _as_permit(row: Row[tuple[object, ...]]) -> Permit:
    return Permit(
        row.id,
        row.project,
        row.valid_from,
        row.valid_until,
        row.revoked,
        frozenset(row.holders),
        frozenset(row.scope["modalities"]),
        frozenset(row.scope["domains"]),
    )
