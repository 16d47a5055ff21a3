"""The schema of the store, brought up to date by Alembic's migrations.

Migrations only add: during a rolling update, and after a roll-back, an earlier version of the
service works on the newer schema. So there are no steps down.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest migration in `migrations/versions` (a test holds that)."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6C6D7269  # "lmri": one replica at a time brings the schema up to date


def revision_of(connection: sa.Connection) -> str | None:
    """Return the newest migration that a store has seen; None if none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def bring_up_to_date(connection: sa.Connection) -> None:
    """Run, in the transaction of this connection, the migrations that the store lacks.

    A store of a later version of the service is left as it is.
    """
    if revision_of(connection) == HEAD:
        return
    if connection.dialect.name == "postgresql":
        # A time-out is for calls; a migration may take as long as it takes.
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _migrate(connection)


def config_for(connection: sa.Connection) -> "Config":
    """Return Alembic's configuration; there is no alembic.ini."""
    from alembic.config import Config  # noqa: PLC0415 - takes 0.4 s, and is seldom needed

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = config_for(connection)
    script = ScriptDirectory.from_config(config)
    known = {each.revision for each in script.walk_revisions()}
    current = revision_of(connection)
    if current is None or current in known:
        command.upgrade(config, "head")
