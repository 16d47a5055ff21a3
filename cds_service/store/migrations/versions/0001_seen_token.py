"""Tokens seen before.

Stores made before there were migrations have this table already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Add the table unless it is there."""
    op.create_table(
        "seen_token",
        sa.Column("client", sa.String(64), primary_key=True, comment="SHA-256 of the client's id"),
        sa.Column("token", sa.String(64), primary_key=True, comment="SHA-256 of the jti"),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_seen_token_expires_at", "seen_token", ["expires_at"], if_not_exists=True)
