"""Under whose key lies what could be assigned to no study: without this, the key could be shredded too early."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE identifying.instance ADD COLUMN named_study_instance_uid text")
    op.execute(
        "COMMENT ON COLUMN identifying.instance.named_study_instance_uid IS"
        " 'of an instance in no study: the study it names, under whose key it is sealed'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE identifying.instance DROP COLUMN named_study_instance_uid")
