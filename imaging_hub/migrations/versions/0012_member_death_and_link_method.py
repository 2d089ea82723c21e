"""What the manifest of a release can say of a subject besides: how it is linked, and when it died."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # NULL in cohorts that were frozen before: their manifests leave it empty.
    op.execute(
        "ALTER TABLE hub.cohort_member ADD COLUMN death_offset_days int, ADD COLUMN link_method text,"
        " ADD COLUMN link_score double precision"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE hub.cohort_member DROP COLUMN death_offset_days, DROP COLUMN link_method, DROP COLUMN link_score"
    )
