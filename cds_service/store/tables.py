"""The tables of the store, as the newest migration leaves them (a test compares the two).

No patient id, no name, no text of a chart, no token: nothing that a request says stands here but
random ids, codes of ours, and codes of an EHR's order catalogue that came for several patients.
Source: design, "What is kept".
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

METADATA = sa.MetaData()

UUID_LENGTH = 36
CLIENT_LENGTH = 512
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite counts only INTEGER up by itself
_JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")


class UtcTime(sa.TypeDecorator[datetime]):
    """An aware time, kept in UTC; SQLite has no zones, so there the zone is left out and known."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> datetime | None:  # noqa: ANN401 - SQLAlchemy's own signature
        """Return the time in UTC."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, _dialect: Any) -> datetime | None:  # noqa: ANN401 - as above
        """Return an aware time in UTC, however the session's zone is set."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


SEEN_TOKEN = sa.Table(
    "seen_token",
    METADATA,
    sa.Column("client", sa.String(64), primary_key=True, comment="SHA-256 of the client's id"),
    sa.Column("token", sa.String(64), primary_key=True, comment="SHA-256 of the jti"),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

DECISION = sa.Table(
    "decision",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("decided_at", UtcTime, nullable=False, index=True),
    sa.Column(
        "client", sa.String(CLIENT_LENGTH), nullable=False, comment="empty: nobody was asked"
    ),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("hook", sa.String(64), nullable=False),
    sa.Column("hook_instance", sa.String(UUID_LENGTH), comment="only if it is a UUID"),
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
    sa.Column("consult_id", sa.String(UUID_LENGTH), comment="in the rating written into the order"),
)

CARD = sa.Table(
    "card",
    METADATA,
    sa.Column(
        "decision_id", _ID, sa.ForeignKey("decision.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("card", sa.String(UUID_LENGTH), primary_key=True, index=True),
    sa.Column("topic", sa.String(64), nullable=False, comment="row that chose the summary"),
    sa.Column("indicator", sa.String(16), nullable=False),
    sa.Column("suggestions", _JSON, nullable=False, comment="uuid → type of its action"),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("received_at", UtcTime, nullable=False, index=True),
    sa.Column(
        "client", sa.String(CLIENT_LENGTH), nullable=False, comment="empty: nobody was asked"
    ),
    sa.Column("service", sa.String(64), nullable=False),
    sa.Column("card", sa.String(UUID_LENGTH), nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("outcome_at", UtcTime, nullable=False),
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

UNMAPPED_CODE = sa.Table(
    "unmapped_code",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column(
        "client", sa.String(CLIENT_LENGTH), nullable=False, comment="empty: nobody was asked"
    ),
    sa.Column("system", sa.String(300), nullable=False),
    sa.Column("code", sa.String(100), nullable=False),
    sa.Column("title", sa.String(100), nullable=False, comment="as the EHR displays it"),
    sa.Column("orders", sa.BigInteger, nullable=False, comment="how many; about"),
    sa.Column("last_seen_at", UtcTime, nullable=False, index=True),
    sa.Column(
        "fingerprint",
        sa.String(64),
        nullable=False,
        unique=True,
        comment="SHA-256 of client, system, code and title",
    ),
)
