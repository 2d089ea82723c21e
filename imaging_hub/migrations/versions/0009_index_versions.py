"""Which parts of the index of series changed: what cohorts read of it is kept in files, and only those parts anew."""

from itertools import product

from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = ("study", "series", "link", "opposition")
_EVENTS = (("insert", "new"), ("update", "old"), ("update", "new"), ("delete", "old"))


def upgrade() -> None:
    # A subject is whole in one of 256 buckets.
    op.execute(
        "CREATE FUNCTION hub.bucket(sid text) RETURNS int IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql"
        " RETURN CAST(hashtextextended(sid, 0) & 255 AS int)"
    )
    op.execute("CREATE INDEX link_by_bucket ON hub.link (hub.bucket(sid))")
    # Rows are only added, so that no writer waits for another: a counter would be locked until its transaction ends.
    op.execute(
        "CREATE TABLE hub.index_change ("
        " bucket int NOT NULL,"
        " transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),"
        " at timestamptz NOT NULL DEFAULT now(),"  # a restored database gives out transactions' numbers again
        " mark bigint NOT NULL DEFAULT hashtextextended(CAST(gen_random_uuid() AS text), 0),"
        " PRIMARY KEY (bucket, transaction, at))"
    )
    op.execute("CREATE TABLE hub.index_changed_before (bucket int PRIMARY KEY, mark bigint NOT NULL)")
    op.execute(
        "CREATE VIEW hub.index_version AS SELECT bucket, bit_xor(mark) AS version FROM"
        " (SELECT bucket, mark FROM hub.index_change UNION ALL SELECT bucket, mark FROM hub.index_changed_before) AS m"
        " GROUP BY bucket"
    )
    op.execute(
        "CREATE FUNCTION hub.note_index_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_TABLE_NAME = 'series' THEN"
        "  INSERT INTO hub.index_change (bucket) SELECT DISTINCT hub.bucket(sid) FROM changed"
        "   JOIN hub.study USING (study_instance_uid) ON CONFLICT DO NOTHING;"
        " ELSE"
        "  INSERT INTO hub.index_change (bucket) SELECT DISTINCT hub.bucket(sid) FROM changed ON CONFLICT DO NOTHING;"
        " END IF;"
        " RETURN NULL; END $$"
    )
    for table, (event, rows) in product(_TABLES, _EVENTS):
        op.execute(
            f"CREATE TRIGGER note_{event}_{rows} AFTER {event} ON hub.{table}"
            f" REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION hub.note_index_change()"
        )
    op.execute("INSERT INTO hub.index_change (bucket) SELECT DISTINCT hub.bucket(sid) FROM hub.link")
    op.execute("GRANT SELECT ON hub.index_version TO imaging_hub_worker, imaging_hub_web")
    op.execute("GRANT INSERT (bucket) ON hub.index_change TO imaging_hub_worker, imaging_hub_web")
    op.execute("GRANT SELECT, DELETE ON hub.index_change TO imaging_hub_worker")
    op.execute("GRANT SELECT, INSERT, UPDATE ON hub.index_changed_before TO imaging_hub_worker")


def downgrade() -> None:
    for table, (event, rows) in product(_TABLES, _EVENTS):
        op.execute(f"DROP TRIGGER note_{event}_{rows} ON hub.{table}")
    op.execute("DROP FUNCTION hub.note_index_change")
    op.execute("DROP VIEW hub.index_version")
    op.execute("DROP TABLE hub.index_changed_before")
    op.execute("DROP TABLE hub.index_change")
    op.execute("DROP INDEX hub.link_by_bucket")
    op.execute("DROP FUNCTION hub.bucket")
