"""What a study's headers name its patient by, for instances that come late."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE identifying.study_key ADD COLUMN identifiers bytea")  # sealed under the study's key
    op.execute("GRANT INSERT, UPDATE ON identifying.study_key TO imaging_hub_worker")


def downgrade() -> None:
    op.execute("REVOKE INSERT, UPDATE ON identifying.study_key FROM imaging_hub_worker")
    op.execute("ALTER TABLE identifying.study_key DROP COLUMN identifiers")
