"""The vault, and the third party's own trail."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_TRAIL = """
    CREATE SCHEMA audit;
    CREATE TABLE audit.entry (  -- append-only, hash-chained, as the hub's: see `audit.trail`
      sequence      bigint PRIMARY KEY,
      at            timestamptz NOT NULL,
      actor         text NOT NULL,
      action        text NOT NULL,
      object        text NOT NULL,
      detail        jsonb NOT NULL,
      previous_hash text NOT NULL,
      hash          text NOT NULL UNIQUE
    );
    GRANT USAGE ON SCHEMA audit TO imaging_hub_trust;
    GRANT SELECT, INSERT ON audit.entry TO imaging_hub_trust;
"""


def upgrade() -> None:
    connection = op.get_bind().execution_options(no_parameters=True)
    connection.exec_driver_sql((Path(__file__).parents[1] / "vault.sql").read_text("utf-8"))
    connection.exec_driver_sql(_TRAIL)


def downgrade() -> None:
    op.execute("DROP SCHEMA audit, trust CASCADE")
