"""People who may use the console, and so see identities: of the hospital, or reviewers named for it."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, text

from imaging_hub.audit import trail

ConsoleRole: TypeAlias = Literal["hospital", "radiologist"]

_TOKEN_BYTES = 32


def add(connection: Connection, name: str, role: ConsoleRole, expires_at: datetime, *, by: str) -> str:
    """Let somebody in, or renew them; returns the token, which nobody can see again.

    The console and the hub know nothing of each other's people: a token of one opens nothing in the other.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        text(
            "INSERT INTO identifying.operator (name, role, token_hash, expires_at)"
            " VALUES (:name, :role, :hash, :expires) ON CONFLICT (name) DO UPDATE"
            " SET role = excluded.role, token_hash = excluded.token_hash, expires_at = excluded.expires_at"
        ),
        {
            "name": name,
            "role": role,
            "hash": hashlib.sha256(token.encode()).hexdigest(),
            "expires": expires_at,
        },
    )
    detail = {"role": role, "expires": expires_at.isoformat()}
    trail.append(connection, by, trail.AuditAction.ACCOUNT_ADDED, f"console:{name}", detail)
    return token
