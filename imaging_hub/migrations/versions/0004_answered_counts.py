"""What each account was told of counts, so that no difference of two tells of few people."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE hub.told ("  # of each account that counts: who asked how often, and whom its counts held
        " account text PRIMARY KEY,"
        " day date NOT NULL,"
        " asked int NOT NULL,"  # flowcharts on that day
        " cells bytea NOT NULL)"  # Parquet of sid and cell
    )
    op.execute(
        "CREATE TABLE hub.answer ("
        " account text NOT NULL,"
        " question text NOT NULL,"  # digest of what it means
        " people bigint NOT NULL,"
        " series bigint,"
        " data_version text NOT NULL,"
        " told_at timestamptz NOT NULL DEFAULT now(),"
        " PRIMARY KEY (account, question))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON hub.told, hub.answer TO imaging_hub_web, imaging_hub_worker")


def downgrade() -> None:
    op.execute("DROP TABLE hub.told, hub.answer")
