"""Alembic's entry: runs the revisions on the connection that `database.migrate` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="imaging_hub_revision")
with context.begin_transaction():
    context.run_migrations()
