"""Epochs of the third party's key that follow one another, and id_acc that a backup cannot map back."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # What the id_acc of a delivery under way stood for lay open: such a delivery is exported again.
    op.execute("UPDATE trust.id_acc SET sid = NULL, destroyed_at = now() WHERE sid IS NOT NULL")
    op.execute("ALTER TABLE trust.id_acc DROP COLUMN sid")  # its check and its index go with it
    op.execute("ALTER TABLE trust.id_acc ADD COLUMN sealed_sid bytea")
    op.execute("COMMENT ON COLUMN trust.id_acc.sealed_sid IS 'under the key of its delivery, NULL once destroyed'")
    op.execute("ALTER TABLE trust.id_acc ADD CHECK ((sealed_sid IS NULL) = (destroyed_at IS NOT NULL))")
    op.execute("CREATE INDEX id_acc_alive ON trust.id_acc (delivery) WHERE sealed_sid IS NOT NULL")
    op.execute(
        "ALTER TABLE trust.epoch ADD COLUMN state text NOT NULL DEFAULT 'IN_FORCE'"
        " CHECK (state IN ('FILLING', 'IN_FORCE', 'ENDED'))"  # FILLING: its tokens are being made from those before
    )
    op.execute("ALTER TABLE trust.epoch ALTER COLUMN state DROP DEFAULT")
    op.execute("GRANT DELETE ON trust.person TO imaging_hub_trust")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON trust.person FROM imaging_hub_trust")
    op.execute("ALTER TABLE trust.epoch DROP COLUMN state")
    op.execute("UPDATE trust.id_acc SET sealed_sid = NULL, destroyed_at = now() WHERE sealed_sid IS NOT NULL")
    op.execute("ALTER TABLE trust.id_acc DROP COLUMN sealed_sid")
    op.execute("ALTER TABLE trust.id_acc ADD COLUMN sid text")
    op.execute("ALTER TABLE trust.id_acc ADD CHECK ((sid IS NULL) = (destroyed_at IS NOT NULL))")
    op.execute("CREATE INDEX id_acc_alive ON trust.id_acc (delivery) WHERE sid IS NOT NULL")
