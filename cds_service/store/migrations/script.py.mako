"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Say what changes and why an earlier version of the service can live with it."""
    ${upgrades if upgrades else "raise NotImplementedError"}
