"""Alembic's entry: run the migrations on the connection that the caller gives."""

from alembic import context

from cds_service.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # The caller's transaction holds the lock; all steps stand or fall with it.
    transaction_per_migration=False,
)
context.run_migrations()
