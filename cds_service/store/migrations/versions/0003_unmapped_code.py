"""Codes of an EHR's order catalogue that no map of the site knows.

Adds a table only, so an earlier version of the service goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "unmapped_code",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("client", sa.String(512), nullable=False, comment="empty: nobody was asked"),
        sa.Column("system", sa.String(300), nullable=False),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("title", sa.String(100), nullable=False, comment="as the EHR displays it"),
        sa.Column("orders", sa.BigInteger, nullable=False, comment="how many; about"),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "fingerprint",
            sa.String(64),
            nullable=False,
            unique=True,
            comment="SHA-256 of client, system, code and title",
        ),
    )
    op.create_index("ix_unmapped_code_last_seen_at", "unmapped_code", ["last_seen_at"])
