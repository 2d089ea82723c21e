"""Accounts with a role, a bearer token shown once, and an expiry (référentiel 5.1: accounts are time-limited)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.errors import HubError, NotFound
from imaging_hub.http import access_token
from imaging_hub.permits.policy import AccountRole, RequestActor


@dataclass(frozen=True)
class Account:
    """An account as the operator sees it, without its token, which is not stored."""

    name: str
    role: AccountRole
    expires_at: datetime
    finess: str | None


def add(
    connection: Connection, name: str, role: AccountRole, expires_at: datetime, *, finess: str | None = None, by: str
) -> str:
    """Add an account, or renew one with a new token; returns the token, which is shown only once.

    Raises `HubError` `account` when the name has another role, since earlier actions were taken in that role, or
    when `finess` does not fit the role.
    """
    if (role is AccountRole.HOSPITAL) != (finess is not None):
        raise HubError("a hospital account names its FINESS, others do not", code="account", hint="--finess 9 digits")
    token = access_token.generate_token()
    row = connection.execute(
        text(
            "INSERT INTO hub.account (name, role, token_hash, expires_at, finess)"
            " VALUES (:name, :role, :hash, :expires, :finess)"
            " ON CONFLICT (name) DO UPDATE SET token_hash = EXCLUDED.token_hash, expires_at = EXCLUDED.expires_at"
            " WHERE account.role = EXCLUDED.role AND account.finess IS NOT DISTINCT FROM EXCLUDED.finess"
            " RETURNING name"
        ),
        {
            "name": name,
            "role": role.value,
            "hash": access_token.token_hash(token),
            "expires": expires_at,
            "finess": finess,
        },
    ).one_or_none()
    if row is None:
        raise HubError("the name is taken by an account of another role", code="account", hint="choose another name")
    detail = {"role": role.value, "expires": expires_at.isoformat()}
    trail.append(connection, by, trail.AuditAction.ACCOUNT_ADDED, name, detail)
    return token


def authenticate(connection: Connection, token_hash: str, now: datetime) -> RequestActor | None:
    """Return the bearer of the token with this hash, or None when no account has it.

    The actor of an expired account says so, so that the denial can name the reason.
    """
    row = connection.execute(
        text("SELECT name, role, expires_at, finess FROM hub.account WHERE token_hash = :hash"),
        {"hash": token_hash},
    ).one_or_none()
    return _as_actor(row.name, row.role, row.expires_at, row.finess, now) if row else None


def load_actor(connection: Connection, name: str, now: datetime) -> RequestActor:
    """Return the account of that name, for a command on the hub's own machine; raises `NotFound`."""
    row = connection.execute(
        text("SELECT name, role, expires_at, finess FROM hub.account WHERE name = :name"), {"name": name}
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such account", hint="imaging-hub account list")
    return _as_actor(row.name, row.role, row.expires_at, row.finess, now)


def list_accounts(connection: Connection) -> Sequence[Account]:
    """Return all accounts, sorted by name."""
    rows = connection.execute(text("SELECT name, role, expires_at, finess FROM hub.account ORDER BY name"))
    return [Account(row.name, AccountRole(row.role), row.expires_at, row.finess) for row in rows]


def _as_actor(name: str, role: str, expires_at: datetime, finess: str | None, now: datetime) -> RequestActor:
    return RequestActor(name, AccountRole(role), finess, expired=now >= expires_at)
