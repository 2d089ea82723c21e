"""Subjects who oppose: nothing of theirs is taken in, linked, counted, frozen or released."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE hub.opposition ("
        " sid text NOT NULL,"  # of the third party; there need be no subject of that sid in the archive
        " since timestamptz NOT NULL DEFAULT now(),"
        " lifted_at timestamptz)"
    )
    op.execute("CREATE UNIQUE INDEX opposition_stands ON hub.opposition (sid) WHERE lifted_at IS NULL")
    op.execute("CREATE VIEW hub.opposed AS SELECT sid FROM hub.opposition WHERE lifted_at IS NULL")
    op.execute("GRANT SELECT, INSERT, UPDATE ON hub.opposition TO imaging_hub_worker")
    op.execute("GRANT SELECT ON hub.opposed TO imaging_hub_worker, imaging_hub_web")


def downgrade() -> None:
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM hub.opposition WHERE lifted_at IS NULL) THEN"
        " RAISE EXCEPTION 'people have opposed; the schema before would forget it'; END IF; END $$"
    )
    op.execute("DROP VIEW hub.opposed")
    op.execute("DROP TABLE hub.opposition")
