"""What was done to instances, each list once: nearly all instances of a series share one."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE hub.change_list ("
        " digest text PRIMARY KEY,"  # SHA-256 of the list as it was written
        " changes jsonb NOT NULL)"  # [[attribute path, action, rule], …] without any value
    )
    op.execute("ALTER TABLE hub.instance ADD COLUMN change_list text REFERENCES hub.change_list")
    digest = "encode(sha256(convert_to(CAST(changes AS text), 'UTF8')), 'hex')"
    op.execute(f"INSERT INTO hub.change_list SELECT DISTINCT ON (1) {digest}, changes FROM hub.instance")  # noqa: S608
    op.execute(f"UPDATE hub.instance SET change_list = {digest}")  # noqa: S608
    op.execute("ALTER TABLE hub.instance ALTER COLUMN change_list SET NOT NULL, DROP COLUMN changes")
    op.execute("GRANT SELECT, INSERT ON hub.change_list TO imaging_hub_worker")
    op.execute("GRANT SELECT ON hub.change_list TO imaging_hub_web")


def downgrade() -> None:
    op.execute("ALTER TABLE hub.instance ADD COLUMN changes jsonb")
    op.execute("UPDATE hub.instance SET changes = l.changes FROM hub.change_list l WHERE l.digest = change_list")
    op.execute("ALTER TABLE hub.instance ALTER COLUMN changes SET NOT NULL, DROP COLUMN change_list")
    op.execute("DROP TABLE hub.change_list")
