"""The record: decisions, the cards that left with them, and feedback.

Adds tables only, so an earlier version of the service goes on beside it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the three tables."""
    op.create_table(
        "decision",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("decided_at", _TIME, nullable=False),
        sa.Column("client", sa.String(512), nullable=False, comment="empty: nobody was asked"),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("hook", sa.String(64), nullable=False),
        sa.Column("hook_instance", sa.String(36), comment="only if it is a UUID"),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("order_number", sa.Integer, nullable=False, comment="in this call, from 1"),
        sa.Column("knowledge_id", sa.String(64), nullable=False),
        sa.Column("knowledge_version", sa.String(64), nullable=False),
        sa.Column("knowledge_digest", sa.String(80), nullable=False),
        sa.Column("protocol", sa.String(32), nullable=False),
        sa.Column("base_row", sa.String(64), nullable=False),
        sa.Column("overlay", sa.String(64)),
        sa.Column("protocol_row", sa.String(64)),
        sa.Column("safety", _JSON, nullable=False, comment="list of rows"),
        sa.Column("variant", sa.Integer, comment="ACR variant"),
        sa.Column("rating", sa.String(32), nullable=False),
        sa.Column("provisional", sa.Boolean, nullable=False),
        sa.Column("indicator", sa.String(16), comment="of the appropriateness card"),
        sa.Column("missing", _JSON, nullable=False, comment="list of facts"),
        sa.Column("unreadable", _JSON, nullable=False, comment="list of `Type: reason`"),
        sa.Column("facts", _JSON, nullable=False, comment="fact → `true`, `true?`, `false`"),
        sa.Column("reading_ms", sa.Float, nullable=False, comment="asking the FHIR server"),
        sa.Column("total_ms", sa.Float, nullable=False, comment="until this row was written"),
    )
    op.create_index("ix_decision_decided_at", "decision", ["decided_at"])
    op.create_table(
        "card",
        sa.Column(
            "decision_id", _ID, sa.ForeignKey("decision.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("card", sa.String(36), primary_key=True),
        sa.Column("topic", sa.String(64), nullable=False, comment="row that chose the summary"),
        sa.Column("indicator", sa.String(16), nullable=False),
        sa.Column("suggestions", _JSON, nullable=False, comment="uuid → type of its action"),
    )
    op.create_index("ix_card_card", "card", ["card"])
    op.create_table(
        "feedback",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("client", sa.String(512), nullable=False, comment="empty: nobody was asked"),
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("card", sa.String(36), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("outcome_at", _TIME, nullable=False),
        sa.Column("accepted", _JSON, nullable=False, comment="list of suggestion uuids"),
        sa.Column("override_codes", _JSON, nullable=False, comment="list; `other` if not ours"),
        sa.Column(
            "fingerprint",
            sa.String(64),
            nullable=False,
            unique=True,
            comment="SHA-256 of all that was said: the same twice is one row",
        ),
    )
    op.create_index("ix_feedback_received_at", "feedback", ["received_at"])
    op.create_index("ix_feedback_card", "feedback", ["card"])
