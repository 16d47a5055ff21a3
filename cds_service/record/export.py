"""The record as text for a committee or a spreadsheet: CSV, or NDJSON (one JSON object a line)."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import IO, Any, TypeAlias

import sqlalchemy as sa

from cds_service.store.database import Database
from cds_service.store.tables import CARD, DECISION, FEEDBACK

_ROWS_AT_A_TIME = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would reckon what begins so."""

Line: TypeAlias = dict[str, object]
Query: TypeAlias = sa.Select[Any]


class ExportFormat(StrEnum):
    """How lines are written."""

    CSV = "csv"
    NDJSON = "ndjson"


class Exported(StrEnum):
    """What is exported."""

    FEEDBACK = "feedback"
    """One line for each report, with the decision whose card it is about."""
    DECISIONS = "decisions"
    """One line for each order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since` on and before `until`; aware times, None without a bound."""

    since: datetime | None = None
    until: datetime | None = None

    def bounds(self, at: sa.ColumnElement[datetime]) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on the column with the time."""
        since = [] if self.since is None else [at >= self.since]
        return since + ([] if self.until is None else [at < self.until])


def export(
    database: Database,
    what: Exported,
    form: ExportFormat,
    period: Period,
    *,
    to: IO[str],
    progress: Callable[[int], None],
) -> int:
    """Write all lines of a period, oldest first, and return how many. Raises StoreDown.

    `progress` is told now and then how many have been written. Reading takes no lock: calls go on.
    """
    is_feedback = what is Exported.FEEDBACK
    query = _feedback(period) if is_feedback else _decisions(period)
    columns = tuple(name for name in query.selected_columns.keys() if name != _HELPER)  # noqa: SIM118  # no mapping
    write = _csv_writer(to, columns) if form is ExportFormat.CSV else _ndjson_writer(to)

    def read(connection: sa.Connection) -> int:
        count = 0
        found = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query)
        for part in found.mappings().partitions():
            for row in part:
                write(_feedback_line(row) if is_feedback else dict(row))
            count += len(part)
            progress(count)
        return count

    return database.run(read, reads=True)


_HELPER = "suggestions"
"""Read to name what was accepted, and not written."""


def _feedback(period: Period) -> Query:
    """All reports; from `decided_at` on empty where the card is not in the record (any more)."""
    # A client that fires the same hook instance again is shown cards with the same ids.
    latest = (
        sa.select(CARD.c.card, DECISION.c.client, sa.func.max(DECISION.c.id).label("decision_id"))
        .join(DECISION)
        .group_by(CARD.c.card, DECISION.c.client)
        .subquery()
    )
    said, decided = FEEDBACK.c, DECISION.c
    return (
        sa.select(
            *(said.received_at, said.outcome_at, said.client, said.service, said.card),
            *(said.outcome, said.override_codes, said.accepted),
            *(decided.decided_at, decided.hook, CARD.c.topic, CARD.c.indicator),
            *(decided.base_row, decided.overlay, decided.rating),
            *(decided.knowledge_id, decided.knowledge_version, CARD.c.suggestions.label(_HELPER)),
        )
        .select_from(FEEDBACK)
        .outerjoin(latest, (latest.c.card == said.card) & (latest.c.client == said.client))
        .outerjoin(DECISION, decided.id == latest.c.decision_id)
        .outerjoin(CARD, (CARD.c.decision_id == decided.id) & (CARD.c.card == said.card))
        .where(*period.bounds(said.received_at))
        .order_by(said.id)
    )


def _feedback_line(row: sa.RowMapping) -> Line:
    """Name the action of each accepted suggestion where the record knows it, else its uuid."""
    offered: Mapping[str, str] = row[_HELPER] or {}
    accepted = [offered.get(uuid, uuid) for uuid in row["accepted"]]
    return {**row, "accepted": accepted}


def _decisions(period: Period) -> Query:
    shown = (
        sa.select(sa.func.count())
        .select_from(CARD)
        .where(CARD.c.decision_id == DECISION.c.id)
        .scalar_subquery()
        .label("cards")
    )
    told = [column for column in DECISION.c if column.name != "id"]
    return (
        sa.select(*told, shown).where(*period.bounds(DECISION.c.decided_at)).order_by(DECISION.c.id)
    )


def _ndjson_writer(to: IO[str]) -> Callable[[Line], None]:
    def write(line: Line) -> None:
        told = {n: _plain(v) for n, v in line.items() if n != _HELPER and v not in (None, [], {})}
        to.write(json.dumps(told, ensure_ascii=False) + "\n")

    return write


def _csv_writer(to: IO[str], columns: tuple[str, ...]) -> Callable[[Line], None]:
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(columns)

    def write(line: Line) -> None:
        writer.writerow([_cell(line[name]) for name in columns])

    return write


def _plain(value: object) -> object:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            text = ";".join(map(str, value))
        case dict():
            text = ";".join(f"{name}={status}" for name, status in value.items())
        case _:
            text = str(_plain(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
