"""STOW-RS beside the DICOM port, retrieval from a PACS, an Orthanc as source."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (_SQL / "stow_and_retrieval.sql").read_text("utf-8")
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def downgrade() -> None:
    if op.get_bind().exec_driver_sql("SELECT 1 FROM identifying.study_key LIMIT 1").first():
        msg = "originals are sealed under keys that an older version cannot hold: none could be opened any more"
        raise RuntimeError(msg)
    op.execute("DROP INDEX identifying.instance_quarantined")
    op.execute(
        "DROP TABLE identifying.retrieval, identifying.orthanc_source, identifying.diagnosis, identifying.study_key"
    )
    op.execute(
        "ALTER TABLE identifying.sender DROP COLUMN certificate, DROP COLUMN token_hash, DROP COLUMN token_expires_at,"
        " DROP COLUMN retrieves, DROP COLUMN keep_originals, DROP COLUMN quiet_seconds, DROP COLUMN query_host,"
        " DROP COLUMN query_port"
    )
    op.execute(
        "REVOKE INSERT, UPDATE ON identifying.sender, identifying.instance, identifying.study FROM imaging_hub_console"
    )
