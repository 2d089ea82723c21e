"""Databases of which each is new: empty, or copied from a template that is migrated once on each server."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import errors, sql

from imaging_hub.database import HUB_SCHEMA, Database, DatabaseRole, DatabaseSchema, migrate

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 << 30


def folder_in_memory() -> Path | None:
    """Where files never reach a disk, if there is room for a run's databases; None elsewhere."""
    with suppress(OSError):
        if shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES:
            return _MEMORY
    return None


def without_durability(server: Database) -> None:
    """Let this server forget everything when the machine stops: only for what nobody needs afterwards."""
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
        connection.execute("SELECT pg_reload_conf()")


def empty(server: Database) -> Database:
    """A new database without anything in it on the server of this one."""
    return _created(server, f"empty_{uuid4().hex}", sql.SQL(""))


def migrated(server: Database, schema: DatabaseSchema = HUB_SCHEMA) -> Database:
    """A new database of the newest revision; the first on a server migrates the template, the others copy it."""
    kind = "hub" if schema is HUB_SCHEMA else "vault"
    template = f"{kind}_template"
    copied = sql.SQL("TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
    name = f"{kind}_{uuid4().hex}"
    try:
        copy = _created(server, name, copied)
    except errors.InvalidCatalogName:
        first = _created(server, template, sql.SQL(""))
        migrate(first, schema)
        first.dispose()
        copy = _created(server, name, copied)
    _let_in(server, name, schema)
    return copy


def copied(original: Database, schema: DatabaseSchema = HUB_SCHEMA, into: Database | None = None) -> Database:
    """A new database that holds what another does, to which nobody is connected; `into` is given up for it."""
    server = Database(original.owner_url.set(database="postgres"), None)
    original.dispose()
    if into is not None:
        dropped(into, server)
    name = into.owner_url.database if into else f"copy_{uuid4().hex}"
    template = sql.SQL("TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(original.owner_url.database or ""))
    copy = _created(server, str(name), template)
    _let_in(server, str(name), schema)
    return copy


def _let_in(server: Database, name: str, schema: DatabaseSchema) -> None:
    """A copy does not take along who may connect."""
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        here, roles = sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, schema.roles))
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(here))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(here, roles))


def _created(server: Database, name: str, copied: sql.Composable) -> Database:
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), copied))
    return Database(server.owner_url.set(database=name), None)


def dropped(database: Database, server: Database) -> None:
    """End it, whoever is connected."""
    database.dispose()
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        name = sql.Identifier(str(database.owner_url.database))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
