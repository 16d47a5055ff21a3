"""What every part of a card's detail is told by: phrases, evidence in words, the leading row."""

from collections.abc import Mapping
from dataclasses import dataclass

from cds_service.card_text import clean, markdown
from cds_service.cards.order_writing import name_of
from cds_service.decision import Decision
from cds_service.fhir_dates import Precision
from cds_service.findings import Evidence, Finding, Strength
from cds_service.knowledge import FactDefinition, Knowledge, Rating, Rule

_TEXT_LIMIT = 200
_SAID_TODAY = "order"
"""Element of evidence that the order itself gives: it needs no date."""


@dataclass(frozen=True, slots=True)
class CardPage:
    """One decision, about to be told."""

    knowledge: Knowledge
    decision: Decision

    @property
    def repeat_rule(self) -> Rule | None:
        """The repeat row, where its message comes first."""
        return self.decision.repeat_rule if self.decision.verdict.repeat_leads else None

    @property
    def is_urgent(self) -> bool:
        """Rows that raise the priority: nothing in them may reassure or slow down (§0.3)."""
        return any(rule.kind == "A6" for rule in self.decision.rule.suggestions)

    @property
    def is_weighed(self) -> bool:
        """Whether what is absent, uncertain or not found matters to the answer."""
        return not self.is_urgent and self.decision.rating is not Rating.NOT_COVERED

    def phrase(self, key: str) -> str:
        """Return a fixed phrase."""
        return self.knowledge.wording.phrases[key]

    def heading(self, key: str, text: str) -> str:
        """Return a paragraph that starts with its bold heading; nothing without a text."""
        return f"**{self.phrase(key)}:** {text}" if text else ""

    def order(self) -> str:
        """Say which draft this is about."""
        return f"{self.phrase('order')}: {markdown(name_of(self.decision.order))}"

    @property
    def own_facts(self) -> tuple[str, ...]:
        """Facts whose evidence is the reason of the card: the leading row's first."""
        repeat = self.decision.repeat_rule
        mine = repeat.supporting_facts if repeat is not None else ()
        base = self.decision.rule.supporting_facts
        led = (*mine, *base) if self.repeat_rule is not None else (*base, *mine)
        return tuple(dict.fromkeys(led))

    def is_denied_flag(self, fact: FactDefinition) -> bool:
        """Whether the record denies a red flag."""
        return fact.is_red_flag and self.decision.picture.findings[fact.id].is_false

    def evidence(self, evidence: Evidence, finding: Finding) -> str:
        """Return a piece of evidence with where it stands and its date, in Markdown."""
        uncertain = finding.strength is Strength.POSSIBLE and not self.is_urgent
        notes = (
            self._origin(evidence),
            _dated(evidence, self.knowledge.wording.phrases),
            self.phrase("possible") if uncertain else "",
        )
        told = ", ".join(filter(None, notes))
        text = markdown(clean(evidence.text, _TEXT_LIMIT))
        return f"{text} ({told})" if told else text

    def _origin(self, evidence: Evidence) -> str:
        """Name the kinds of resource that say it; the draft itself is "this order"."""
        own = self.decision.order.ref
        kinds = (
            self.phrase("this_order") if ref == own else ref.partition("/")[0]
            for ref in evidence.resources
        )
        return " + ".join(dict.fromkeys(kinds))


def _dated(evidence: Evidence, phrases: Mapping[str, str]) -> str:
    """Return the date with what it is the date of: `recorded 2026-03-06`."""
    when = evidence.when
    if when is None or when.element == _SAID_TODAY:
        return ""
    if when.text in evidence.text and when.precision is not Precision.UNKNOWN:
        return ""
    if when.precision is Precision.UNKNOWN:
        return phrases["no_date"]
    named = phrases.get(f"element.{when.element}", "")
    # "recorded by 2026-03-06" would be a bound on a bound: the day it was recorded is known.
    day = (
        when.latest.isoformat() if named and when.precision is Precision.UPPER_BOUND else when.text
    )
    return f"{named} {day}".strip()
