"""What two people think of a proposed link."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE hub.link_opinion ("  # stays when the proposal is gone: what was set aside is not proposed again
        " sid text NOT NULL REFERENCES hub.subject,"
        " snds_person text NOT NULL,"
        " account text NOT NULL REFERENCES hub.account,"
        " opinion text NOT NULL CHECK (opinion IN ('same', 'different', 'unsure')),"
        " given_at timestamptz NOT NULL DEFAULT now(),"
        " PRIMARY KEY (sid, snds_person, account))"
    )
    op.execute("GRANT SELECT, INSERT ON hub.link_opinion TO imaging_hub_web")
    op.execute("GRANT SELECT, DELETE ON hub.link_opinion TO imaging_hub_worker")
    op.execute("GRANT SELECT, DELETE ON hub.link_proposal TO imaging_hub_web")
    op.execute("GRANT SELECT ON hub.trait TO imaging_hub_web")
    op.execute("GRANT INSERT ON hub.link TO imaging_hub_web")


def downgrade() -> None:
    op.execute("DELETE FROM hub.link WHERE method = 'reviewed'")  # the revision before knows no such method
    op.execute("REVOKE INSERT ON hub.link FROM imaging_hub_web")
    op.execute("REVOKE SELECT ON hub.trait FROM imaging_hub_web")
    op.execute("REVOKE SELECT, DELETE ON hub.link_proposal FROM imaging_hub_web")
    op.execute("DROP TABLE hub.link_opinion")
