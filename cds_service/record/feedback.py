"""Feedback about cards: kept before it is acknowledged, the same twice as one row.

Source: CDS Hooks 2.0, Feedback (R-FB-01 to R-FB-09). Kept are ids that are UUIDs and codes of
ours; a `userComment` never comes this far.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cds_service.feedback import Feedback
from cds_service.protocol import uuid_in
from cds_service.record.decisions import fitting_client
from cds_service.store.database import Database, insert_into
from cds_service.store.tables import CARD, DECISION, FEEDBACK

OTHER_CODE = "other"
"""Stands for every override code that is not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one delivery."""

    new: tuple[Feedback, ...]
    """Reports that were not there before."""
    unknown_cards: int
    """Reports about cards that this client was never shown, as far as the record goes."""


class FeedbackRecord:
    """Writes feedback."""

    def __init__(
        self,
        database: Database,
        override_codes: Collection[str],
        mapped_codes: Mapping[str, str],
    ) -> None:
        """Write into `database`.

        `override_codes` are those of our own code system; `mapped_codes` what a site has an EHR
        send instead, by our code.
        """
        self._database = database
        self._ours = {mapped: ours for ours, mapped in mapped_codes.items()}
        self._ours |= {code: code for code in override_codes}

    def keep(
        self, delivery: Sequence[Feedback], *, client: str, service: str, received_at: datetime
    ) -> Receipt:
        """Write what is new of a delivery, all of it or nothing.

        Returns when it is committed. Raises StoreDown when the database fails: then the client is
        to send it again, and what may have been committed nevertheless will not count twice.
        A report whose card id is no UUID cannot be about a card of ours, and is left out.
        """
        reports: dict[str, Feedback] = {}
        rows: list[dict[str, object]] = []
        for report in delivery:
            card = uuid_in(report.card)
            if card is None:
                continue
            row = self._row(report, card, client)
            fingerprint = _fingerprint(row)
            if fingerprint not in reports:
                reports[fingerprint] = report
                rows.append(
                    row
                    | {"fingerprint": fingerprint, "service": service, "received_at": received_at}
                )

        def write(connection: sa.Connection) -> tuple[set[str], set[str]]:
            return _insert(connection, rows), _known_cards(connection, rows, client)

        new, known = self._database.run(write) if rows else (set(), set())
        return Receipt(
            new=tuple(report for mark, report in reports.items() if mark in new),
            unknown_cards=sum(uuid_in(report.card) not in known for report in delivery),
        )

    def _row(self, report: Feedback, card: str, client: str) -> dict[str, object]:
        accepted = (uuid_in(sent) for sent in report.accepted_suggestions)
        return {
            "client": fitting_client(client),
            "card": card,
            "outcome": report.outcome.value,
            "outcome_at": report.at,
            "accepted": sorted({uuid for uuid in accepted if uuid is not None}),
            "override_codes": sorted({self._code(sent) for sent in report.override_codes}),
        }

    def _code(self, sent: str) -> str:
        return self._ours.get(sent, OTHER_CODE)


def _fingerprint(row: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(row, default=str, sort_keys=True).encode()).hexdigest()


def _insert(connection: sa.Connection, rows: Iterable[dict[str, object]]) -> set[str]:
    """Insert what is not there; return the fingerprints of what is there now and was not."""
    statement = insert_into(connection, FEEDBACK).on_conflict_do_nothing(
        index_elements=["fingerprint"]
    )
    found = connection.execute(statement.returning(FEEDBACK.c.fingerprint), list(rows))
    return set(found.scalars())


def _known_cards(
    connection: sa.Connection, rows: Iterable[dict[str, object]], client: str
) -> set[str]:
    """Return those of the cards that were shown to this client; another's are not told apart."""
    asked = {str(row["card"]) for row in rows}
    shown = sa.select(CARD.c.card).join(DECISION).where(DECISION.c.client == fitting_client(client))
    return set(connection.scalars(shown.where(CARD.c.card.in_(asked)).distinct()))
