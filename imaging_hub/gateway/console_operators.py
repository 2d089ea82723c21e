"""Operators: people who may use the console, and so see identities: the hospital's staff, and reviewers.

They are in this room beside the senders, since the gateway's role writes both tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.http import access_token


class OperatorRole(StrEnum):
    """Role of an operator at the console."""

    HOSPITAL = "hospital"  # sees receipts and quarantine
    RADIOLOGIST = "radiologist"  # sees the originals of a review


@dataclass(frozen=True)
class Operator:
    """A person who may use the console."""

    name: str
    role: OperatorRole


def add(connection: Connection, name: str, role: OperatorRole, expires_at: datetime, *, by: str) -> str:
    """Add or renew an operator, and return the token, of which only the hash is stored.

    Accounts of the hub and operators of the console are separate: the token of one does not authenticate the other.
    """
    token = access_token.generate_token()
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
    """Return the operator with that token hash; None when there is none or the token has expired."""
    row = connection.execute(
        text("SELECT name, role FROM identifying.operator WHERE token_hash = :hash AND expires_at > :now"),
        {"hash": token_hash, "now": now},
    ).one_or_none()
    return Operator(row.name, OperatorRole(row.role)) if row else None
