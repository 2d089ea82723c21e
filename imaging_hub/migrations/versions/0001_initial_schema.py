"""Both zones, the third party, the trail and the queue."""

from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None

_SQL = Path(__file__).parent.parent / "sql"
_AREAS = ("roles", "intake", "trust", "archive", "research", "audit")


def _run(statements: str) -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def upgrade() -> None:
    for area in _AREAS:
        _run((_SQL / f"{area}.sql").read_text("utf-8"))
    _run("CREATE SCHEMA work; SET LOCAL search_path TO work;")
    _run(SchemaManager.get_schema())
    _run("SET LOCAL search_path TO DEFAULT;")
    _run((_SQL / "work.sql").read_text("utf-8"))


def downgrade() -> None:
    _run("DROP SCHEMA work, audit, hub, trust, identifying CASCADE")
