"""What one card is made of, before it is written in wire form."""

from dataclasses import dataclass

from cds_service.cards.order_writing import Wire
from cds_service.knowledge import Indicator, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class CardParts:
    """One card of one order."""

    topic: Rule
    """The rule that chose the summary."""
    summary: str
    detail: str
    indicator: Indicator
    suggestions: tuple[Wire, ...] = ()
    links: tuple[Wire, ...] = ()
