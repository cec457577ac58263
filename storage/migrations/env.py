"""What alembic runs: the migrations, inside the transaction `storage.schema` has begun."""

from __future__ import annotations

from alembic import context

from storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
