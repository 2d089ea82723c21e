"""People who may use the console, and so see identities: of the hospital, or reviewers named for it.

They stand beside the senders: both are let into the identifying zone by its operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.http import access_token


class OperatorRole(StrEnum):
    """What an operator of the identifying zone is for."""

    HOSPITAL = "hospital"  # sees what came and what is held
    RADIOLOGIST = "radiologist"  # sees the BEFORE of a review


@dataclass(frozen=True)
class Operator:
    """An operator of the identifying zone."""

    name: str
    role: OperatorRole


def add(connection: Connection, name: str, role: OperatorRole, expires_at: datetime, *, by: str) -> str:
    """Let somebody in, or renew them; returns the token, which nobody can see again.

    The console and the hub know nothing of each other's people: a token of one opens nothing in the other.
    """
    token = access_token.draw()
    connection.execute(
        text(
            "INSERT INTO identifying.operator (name, role, token_hash, expires_at)"
            " VALUES (:name, :role, :hash, :expires) ON CONFLICT (name) DO UPDATE"
            " SET role = excluded.role, token_hash = excluded.token_hash, expires_at = excluded.expires_at"
        ),
        {"name": name, "role": role.value, "hash": access_token.token_hash(token), "expires": expires_at},
    )
    detail = {"role": role.value, "expires": expires_at.isoformat()}
    trail.append(connection, by, trail.AuditAction.ACCOUNT_ADDED, f"console:{name}", detail)
    return token


def authenticate(connection: Connection, token_hash: str, now: datetime) -> Operator | None:
    """The bearer of the token with this hash; None when nobody has it, or their time is over."""
    row = connection.execute(
        text("SELECT name, role FROM identifying.operator WHERE token_hash = :hash AND expires_at > :now"),
        {"hash": token_hash, "now": now},
    ).one_or_none()
    return Operator(row.name, OperatorRole(row.role)) if row else None
