"""What each database role can reach: asked of PostgreSQL itself, for every table there is."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.errors import InsufficientPrivilege

import imaging_hub
from imaging_hub.database import Database, DatabaseRole, migrate

CLOSED = {
    DatabaseRole.WEB: ["identifying", "work"],
    DatabaseRole.GATEWAY: ["hub", "work"],
    DatabaseRole.CONSOLE: ["hub", "work"],
    DatabaseRole.TRUST: ["identifying", "hub", "work", "audit"],  # a guest of former revisions, and nobody any more
    DatabaseRole.WORKER: [],
}
"""Schemas of which a role may not touch a single table."""

_REACHABLE = """
    SELECT c.oid::regclass::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND (has_table_privilege(%(role)s, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
           OR has_any_column_privilege(%(role)s, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
"""

ROLES = [role for role in DatabaseRole if role is not DatabaseRole.OWNER]
SCHEMAS = {"identifying", "hub", "audit", "work"}

INJECTED = [
    "SELECT patient_id FROM identifying.identity",
    "SET ROLE imaging_hub_gateway; SELECT patient_id FROM identifying.identity",
    "SET ROLE imaging_hub_console; SELECT patient_id FROM identifying.identity",
    "RESET ROLE; SELECT patient_id FROM identifying.identity",
    "RESET SESSION AUTHORIZATION; SELECT patient_id FROM identifying.identity",
    "SET SESSION AUTHORIZATION imaging_hub_worker; SELECT patient_id FROM identifying.identity",
    "GRANT imaging_hub_worker TO imaging_hub_web",
    "GRANT SELECT ON identifying.identity TO imaging_hub_web",
    "ALTER ROLE imaging_hub_web SUPERUSER",
    "CREATE VIEW pg_temp.leak AS SELECT * FROM identifying.identity; SELECT * FROM pg_temp.leak",
    "INSERT INTO identifying.operator VALUES ('x', 'hospital', 'x', now())",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY hub.subject FROM '/etc/passwd'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT lo_import('/etc/passwd')",
    "DELETE FROM audit.entry",
    "UPDATE hub.permit SET valid_until = '2999-12-31'",
]
"""What one would try through a statement that takes text it should not."""


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_no_table_of_a_zone_that_is_not_its_own(database: Database, role: DatabaseRole) -> None:
    reachable = _column(database, _REACHABLE, schemas=CLOSED[role], role=role.value)
    assert reachable == []


def test_every_role_is_named_above() -> None:
    assert set(CLOSED) == set(ROLES)


def test_the_question_finds_a_table_that_is_open(database: Database) -> None:
    """The test of the test: one column granted to the web is seen."""
    with psycopg.connect(database.conninfo(DatabaseRole.OWNER)) as owner:
        owner.execute("GRANT SELECT (hospital) ON identifying.sender TO imaging_hub_web")
    assert _column(database, _REACHABLE, schemas=["identifying"], role=DatabaseRole.WEB.value) == ["identifying.sender"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_become_no_other(database: Database, role: DatabaseRole) -> None:
    memberships = _column(
        database,
        "SELECT rolname FROM pg_roles WHERE rolname <> %(role)s AND pg_has_role(%(role)s, oid, 'MEMBER')",
        role=role.value,
    )
    rights = _column(
        database,
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname = %(role)s",
        role=role.value,
    )
    assert memberships == []
    assert rights == [False]


@pytest.mark.parametrize("statement", INJECTED)
def test_injected_sql_gets_the_web_nowhere(database: Database, statement: str) -> None:
    with psycopg.connect(database.conninfo(DatabaseRole.WEB)) as web, pytest.raises(InsufficientPrivilege):
        web.execute(statement)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_change_the_trail(database: Database, role: DatabaseRole) -> None:
    changes = "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER"
    assert _column(
        database,
        "SELECT has_table_privilege(%(role)s, 'audit.entry', %(changes)s)"
        " OR has_any_column_privilege(%(role)s, 'audit.entry', 'UPDATE')",
        role=role.value,
        changes=changes,
    ) == [False]


def test_the_one_view_across_the_zones_shows_reasons_and_counts_only(database: Database) -> None:
    """A view runs with its owner's rights, so its columns are all that leaves the zone."""
    across = _column(
        database,
        "SELECT DISTINCT view_schema || '.' || view_name FROM information_schema.view_column_usage"
        " WHERE table_schema = 'identifying' AND view_schema <> 'identifying'",
    )
    columns = _column(
        database,
        "SELECT column_name::text FROM information_schema.columns"
        " WHERE table_schema = 'hub' AND table_name = 'reception' ORDER BY ordinal_position",
    )
    assert across == ["hub.reception"]
    assert columns == ["finess", "state", "reason", "modality", "day", "instances"]


def test_the_schema_goes_down_and_up_again(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(imaging_hub.__file__).parent / "migrations"))
    with database.engine(DatabaseRole.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.downgrade(config, "base")
    assert not SCHEMAS & set(_schemas(database))
    migrate(database)
    assert set(_schemas(database)) >= SCHEMAS


def test_migrating_twice_changes_nothing(database: Database) -> None:
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' ORDER BY oid"
    before = _column(database, tables)
    migrate(database)
    assert _column(database, tables) == before


def _schemas(database: Database) -> list[object]:
    return _column(database, "SELECT nspname FROM pg_namespace")


def _column(database: Database, query: str, **values: object) -> list[object]:
    """First column of what the owner is answered."""
    with psycopg.connect(database.conninfo(DatabaseRole.OWNER)) as owner:
        return [row[0] for row in owner.execute(query, values).fetchall()]
