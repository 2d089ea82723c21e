"""The third party's vault has a database of its own."""

from pathlib import Path

from alembic import op

import imaging_hub
from imaging_hub.errors import KeyringError

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM trust.person)").scalar_one():
        hint = "run `imaging-hub serve` once without trust_url: it takes the vault along"
        raise KeyringError("the third party's vault is still in the hub's database", code="vault-here", hint=hint)
    op.execute("DROP SCHEMA trust CASCADE")
    op.execute("REVOKE ALL ON audit.entry FROM imaging_hub_trust")
    op.execute("REVOKE ALL ON SCHEMA audit FROM imaging_hub_trust")


def downgrade() -> None:
    connection = op.get_bind().execution_options(no_parameters=True)
    connection.exec_driver_sql((Path(imaging_hub.__file__).parent / "trust" / "vault.sql").read_text("utf-8"))
    op.execute("GRANT USAGE ON SCHEMA audit TO imaging_hub_trust")
    op.execute("GRANT SELECT, INSERT ON audit.entry TO imaging_hub_trust")
