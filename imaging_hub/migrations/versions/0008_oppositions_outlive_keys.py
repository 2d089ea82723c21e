"""Who opposed without ever having been here is known again under new keys; links of people who oppose are in no use."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE identifying.opposing ("
        " ins text, birth_date date, sex text, hospital text, patient_id text,"
        " UNIQUE NULLS NOT DISTINCT (ins, birth_date, sex, hospital, patient_id),"
        " CHECK (num_nonnulls(ins, birth_date, sex) = 3 AND num_nonnulls(hospital, patient_id) = 0"
        "  OR num_nonnulls(ins, birth_date, sex) = 0 AND num_nonnulls(hospital, patient_id) = 2))"
    )
    op.execute("GRANT SELECT, INSERT ON identifying.opposing TO imaging_hub_gateway")
    op.execute("CREATE VIEW hub.link_in_use AS SELECT * FROM hub.link WHERE sid NOT IN (SELECT sid FROM hub.opposed)")
    op.execute("GRANT SELECT ON hub.link_in_use TO imaging_hub_worker, imaging_hub_web")


def downgrade() -> None:
    op.execute("DROP VIEW hub.link_in_use")
    op.execute("DROP TABLE identifying.opposing")
