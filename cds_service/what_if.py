"""What-if: facts and an order that somebody chooses, put to the tables of the running knowledge.

No patient is involved. The same code answers as for a call: `decide`, then `cards_for`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from cds_service.cards.card import cards_for
from cds_service.cards.leading import leading_rule
from cds_service.decision import Decision
from cds_service.errors import MalformedRequest
from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES
from cds_service.knowledge_review.cases import HOOK_INSTANCE, USUAL_ORDER, Given, decide_on
from cds_service.review_notes import CaseValue

ORDER = "order."
"""Begins the parameters that are attributes of the order."""
UNREAD = "unread"
"""Parameter: a source that could not be read."""
MOST_LETTERS = 8_000
"""Of a query: every fact of a folder, named once, is less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What was chosen, and what the tables answer."""

    given: Given
    decision: Decision
    leading: str
    """Row that chose the summary."""
    cards: tuple[Mapping[str, object], ...]


def situation_of(
    parameters: Iterable[tuple[str, str]], knowledge: Knowledge, *, today: date
) -> Given:
    """Return the situation that the parameters name; an empty value chooses nothing.

    Raises MalformedRequest with the place of a parameter that this knowledge does not know.
    """
    facts: dict[str, CaseValue] = {}
    order: dict[str, str] = {}
    unread: tuple[str, ...] = ()
    known = {fact.id for fact in knowledge.facts}
    seen: set[str] = set()
    for place, (name, value) in enumerate(parameters, 1):
        if name in seen:
            raise MalformedRequest(f"Parameter {place} stands twice.")
        seen.add(name)
        attribute = name.removeprefix(ORDER)
        if not value and (name in known or name == UNREAD or attribute in ORDER_ATTRIBUTES):
            continue
        if name in known and value in tuple(CaseValue):
            facts[name] = CaseValue(value)
        elif name.startswith(ORDER) and value in ORDER_ATTRIBUTES.get(attribute, ()):
            order[attribute] = value
        elif name == UNREAD and value in set(knowledge.prefetch_types.values()):
            unread = (value,)
        else:
            raise MalformedRequest(
                f"Parameter {place} is no fact of {knowledge.id} with one of the values "
                f"{', '.join(CaseValue)}, and no attribute of an order; use the form without it."
            )
    chosen = {key: value for key, value in order.items() if value != USUAL_ORDER[key]}
    return Given(today=today, facts=facts, order=chosen, unreadable=unread)


def answer(given: Given, knowledge: Knowledge) -> WhatIf:
    """Return what the tables say of a situation, and the cards that a clinician would see."""
    decision = decide_on(given, knowledge)
    return WhatIf(
        given=given,
        decision=decision,
        leading=leading_rule(knowledge, decision).row,
        cards=tuple(cards_for(knowledge, decision, hook_instance=HOOK_INSTANCE)),
    )
