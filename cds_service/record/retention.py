"""Forgetting: what is older than the site wants to keep is deleted, a little at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cds_service.store.database import Database
from cds_service.store.tables import DECISION, FEEDBACK, UNMAPPED_CODE

_ROWS_AT_A_TIME = 1000
"""So that calls need not wait for a lock: SQLite has one for the whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How many rows are gone so far."""

    decisions: int = 0
    feedback: int = 0


def count_older(database: Database, before: datetime) -> Forgotten:
    """Return how many rows `forget` would delete. Raises StoreDown."""

    def count(connection: sa.Connection, table: sa.Table, at: str) -> int:
        older = sa.select(sa.func.count()).select_from(table).where(table.c[at] < before)
        return connection.execute(older).scalar_one()

    return database.run(
        lambda connection: Forgotten(
            decisions=count(connection, DECISION, "decided_at"),
            feedback=count(connection, FEEDBACK, "received_at"),
        ),
        reads=True,
    )


def forget(database: Database, before: datetime) -> Iterator[Forgotten]:
    """Delete decisions with their cards, and feedback, from before an aware time.

    Yields the count after each step; what has been yielded is gone. Raises StoreDown.
    """
    decisions = feedback = 0
    while gone := _delete_some(database, DECISION, "decided_at", before):
        decisions += gone
        yield Forgotten(decisions=decisions)
    while gone := _delete_some(database, FEEDBACK, "received_at", before):
        feedback += gone
        yield Forgotten(decisions=decisions, feedback=feedback)
    # Codes that no longer come; the list would show them for ever.
    while _delete_some(database, UNMAPPED_CODE, "last_seen_at", before):
        pass


def _delete_some(database: Database, table: sa.Table, at: str, before: datetime) -> int:
    some = sa.select(table.c.id).where(table.c[at] < before).limit(_ROWS_AT_A_TIME)
    return database.run(
        lambda connection: connection.execute(sa.delete(table).where(table.c.id.in_(some))).rowcount
    )
