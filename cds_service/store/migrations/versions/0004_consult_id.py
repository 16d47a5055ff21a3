"""The handle of a consultation that was written into an order with its rating.

Adds a column that may be empty, so an earlier version of the service goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "decision",
        sa.Column("consult_id", sa.String(36), comment="in the rating written into the order"),
    )
