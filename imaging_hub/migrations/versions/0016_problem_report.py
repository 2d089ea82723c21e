"""The problems that a worker found have that name in the database too."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("ALTER TABLE identifying.diagnosis RENAME COLUMN ailments TO problems")
    op.execute("DELETE FROM identifying.diagnosis")  # a worker writes it anew within seconds, with the new keys


def downgrade() -> None:
    op.execute("DELETE FROM identifying.diagnosis")
    op.execute("ALTER TABLE identifying.diagnosis RENAME COLUMN problems TO ailments")
