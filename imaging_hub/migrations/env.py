"""Alembic's entry: runs the revisions on the connection that `database.migrate` hands over."""

from alembic import context

from imaging_hub.database import REVISION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=REVISION_TABLE)
with context.begin_transaction():
    context.run_migrations()
