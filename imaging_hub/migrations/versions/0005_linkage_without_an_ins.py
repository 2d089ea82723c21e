"""What linkage without an INS needs of images, what it decides on, and what it leaves to people."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE hub.study ADD COLUMN procedures text[] NOT NULL DEFAULT '{}'")
    op.execute("COMMENT ON COLUMN hub.study.procedures IS 'code|scheme of Procedure Code Sequence'")
    op.execute(
        "CREATE TABLE hub.trait ("  # as headers say; more than one row: the hospital contradicts itself
        " sid text NOT NULL REFERENCES hub.subject,"
        " birth_month date NOT NULL CHECK (extract(day FROM birth_month) = 1),"
        " sex smallint NOT NULL CHECK (sex IN (1, 2)),"  # as the SNDS codes it
        " PRIMARY KEY (sid, birth_month, sex))"
    )
    op.execute("GRANT SELECT, INSERT ON hub.trait TO imaging_hub_worker")
    op.execute("ALTER TABLE hub.link DROP CONSTRAINT link_method_check")
    op.execute("ALTER TABLE hub.link RENAME COLUMN delivery TO source")  # a delivery, or the rules of a cascade
    op.execute("ALTER TABLE hub.link ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}'")
    op.execute("GRANT DELETE ON hub.link TO imaging_hub_worker")
    op.execute(
        "CREATE TABLE hub.link_proposal ("  # found, and not certain enough: for two people to decide on
        " sid text PRIMARY KEY REFERENCES hub.subject,"
        " snds_person text NOT NULL,"
        " method text NOT NULL,"
        " score double precision NOT NULL,"
        " reason text NOT NULL CHECK (reason IN ('method-unproven', 'person-linked')),"
        " source text NOT NULL,"
        " evidence jsonb NOT NULL,"
        " proposed_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON hub.link_proposal TO imaging_hub_worker")


def downgrade() -> None:
    op.execute("DELETE FROM hub.link WHERE method <> 'ins'")  # the revision before knows no other
    op.execute("DROP TABLE hub.link_proposal, hub.trait")
    op.execute("REVOKE DELETE ON hub.link FROM imaging_hub_worker")
    op.execute("ALTER TABLE hub.link DROP COLUMN evidence")
    op.execute("ALTER TABLE hub.link RENAME COLUMN source TO delivery")
    op.execute("ALTER TABLE hub.link ADD CONSTRAINT link_method_check CHECK (method IN ('ins'))")
    op.execute("ALTER TABLE hub.study DROP COLUMN procedures")
