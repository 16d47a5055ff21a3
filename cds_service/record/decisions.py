"""Decisions and the cards that left with them: in the database before the answer is sent.

Of a patient nothing is kept: facts by name and value, rows, random ids, times. Source: design,
"What is kept"; deployment needs §5, Audit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cds_service.decision import Decision
from cds_service.evaluate import JudgedOrder
from cds_service.findings import Finding, Strength
from cds_service.knowledge import Knowledge
from cds_service.store.database import AlreadyThere, Database
from cds_service.store.rest import StoreDown
from cds_service.store.tables import CARD, CLIENT_LENGTH, DECISION


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCall:
    """What all orders of one hook call have in common."""

    decided_at: datetime
    """Aware."""
    client: str
    """Id of the registered client; empty when nobody was asked."""
    knowledge: Knowledge
    """With what it was decided."""
    service: str
    hook: str
    hook_instance: str | None
    """None where the client sent something that is no UUID: it may be a name."""
    mode: str
    reading_ms: float
    total_ms: float


class DecisionRecord:
    """Writes decisions."""

    def __init__(self, database: Database) -> None:
        """Write into `database`."""
        self._database = database
        self._has_failed = False

    @property
    def has_failed(self) -> bool:
        """The last call of this process whose decisions were to be kept was not kept."""
        return self._has_failed

    def keep(
        self,
        call: JudgedCall,
        orders: Sequence[JudgedOrder],
        *,
        is_shown: bool,
        consult_ids: Sequence[str | None],
        seconds: float,
    ) -> None:
        """Write all orders of one call, with their cards if these are shown, or none.

        `consult_ids` are the handles that stand in the orders that were rated; None for others.
        Returns when they are committed. Raises StoreDown when the database fails, or has not
        answered after `seconds`; then they may be committed nevertheless.
        """
        rows = [
            (
                self._decision_row(call, order.decision, number) | {"consult_id": consult_id},
                [_card_row(card) for card in order.cards if is_shown],
            )
            for number, (order, consult_id) in enumerate(zip(orders, consult_ids, strict=True), 1)
        ]

        def write(connection: sa.Connection) -> None:
            for decision, cards in rows:
                (decision_id,) = connection.execute(
                    sa.insert(DECISION).values(decision).returning(DECISION.c.id)
                ).one()
                if cards:
                    connection.execute(
                        sa.insert(CARD), [card | {"decision_id": decision_id} for card in cards]
                    )

        try:
            self._database.run(write, seconds=seconds)
        except (StoreDown, AlreadyThere) as fault:
            # A constraint of a later version of the tables must not cost the clinician the card.
            self._has_failed = True
            raise fault if isinstance(fault, StoreDown) else StoreDown("constraint") from None
        self._has_failed = False

    def _decision_row(self, call: JudgedCall, decision: Decision, number: int) -> dict[str, object]:
        return {
            "knowledge_id": call.knowledge.id,
            "knowledge_version": call.knowledge.version,
            "knowledge_digest": call.knowledge.digest,
            "decided_at": call.decided_at,
            "client": fitting_client(call.client),
            "service": call.service,
            "hook": call.hook,
            "hook_instance": call.hook_instance,
            "mode": call.mode,
            "order_number": number,
            "protocol": decision.order.protocol.value,
            "base_row": decision.row,
            "overlay": decision.overlay,
            "protocol_row": decision.protocol_row,
            "safety": list(decision.safety_rows),
            "variant": decision.variant,
            "rating": decision.rating.value,
            "provisional": decision.is_provisional,
            "indicator": decision.indicator.value if decision.indicator else None,
            "missing": list(decision.missing),
            "unreadable": list(decision.unreadable),
            "facts": {
                name: _status(finding)
                for name, finding in decision.picture.findings.items()
                if finding.value is not None
            },
            "reading_ms": round(call.reading_ms, 1),
            "total_ms": round(call.total_ms, 1),
        }


def fitting_client(client_id: str) -> str:
    """Return the id of a client as its columns hold it."""
    return client_id[:CLIENT_LENGTH]


def _status(finding: Finding) -> str:
    mark = "?" if finding.strength is Strength.POSSIBLE else ""
    return f"{str(finding.value).lower()}{mark}"


def _card_row(card: Mapping[str, Any]) -> dict[str, object]:
    return {
        "card": card["uuid"],
        "topic": card["source"]["topic"]["code"],
        "indicator": card["indicator"],
        "suggestions": {
            suggestion["uuid"]: ",".join(action["type"] for action in suggestion["actions"])
            for suggestion in card.get("suggestions", ())
        },
    }
