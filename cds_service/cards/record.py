"""The part of a detail on the record: what else it holds, what it lacks, what was not read.

Source: decision table §0.6 and §5, notes.
"""

from dataclasses import dataclass

from cds_service.card_text import clean, markdown
from cds_service.cards.page import CardPage
from cds_service.fhir_dates import Precision
from cds_service.findings import Finding
from cds_service.knowledge import FactDefinition, Knowledge
from cds_service.rule_tests import facts_in

_EVIDENCE_OF_A_FACT = 2
_ALSO_LIMIT = 5
_REASON_LIMIT = 80


@dataclass(frozen=True, slots=True)
class RecordLines(CardPage):
    """The lines on the record of one detail."""

    def told(self) -> str:
        """Say what else the record holds, what it does not, and what could not be read."""
        rows = (
            self.heading("also", self._also()),
            self.heading("partial", self._partial()),
            self.heading("absent", self._absent()),
            self.heading("not_found", self._not_found()),
            self.heading("unreadable", self._unreadable()),
        )
        return "\n".join(f"- {row}" for row in rows if row)

    def _also(self) -> str:
        """Facts that other rows rest on (§5, notes): red flags by name, others as recorded."""
        own = self.own_facts
        rules = self.knowledge.appropriateness.rules
        elsewhere = {fact for rule in rules for fact in rule.supporting_facts}.difference(own)
        findings = self.decision.picture.findings
        shown = {evidence for fact in own for evidence in findings[fact].evidence}
        told: list[str] = []
        for fact in self.knowledge.facts:
            finding = findings[fact.id]
            if not finding.is_true or fact.id not in elsewhere or not fact.has_card_line:
                continue
            if fact.is_red_flag:
                told.append(self._named(fact))
            else:
                first = next((e for e in finding.evidence if e not in shown), None)
                told.extend([self.evidence(first, finding)] if first else [])
        return "; ".join(list(dict.fromkeys(told))[:_ALSO_LIMIT])

    def _partial(self) -> str:
        """Tell what is on record, though too little: of the brakes, then of decisive facts."""
        findings = self.decision.picture.findings
        braking = (fact for brake in self.decision.brakes for fact in facts_in(brake.when))
        told = [
            self.evidence(evidence, findings[fact_id])
            for fact_id in (*braking, *(fact.id for fact in self._sought()))
            if not findings[fact_id].is_false
            for evidence in findings[fact_id].evidence
        ]
        return "; ".join(list(dict.fromkeys(told))[:_EVIDENCE_OF_A_FACT])

    def _absent(self) -> str:
        """Red flags that the record denies: a statement, so it may be told (§5, notes)."""
        return ", ".join(
            self._named(fact)
            for fact in self.knowledge.facts
            if self.is_denied_flag(fact)
            and fact.has_card_line
            and self.is_weighed
            and _is_stated(self.decision.picture.findings[fact.id])
        )

    def _named(self, fact: FactDefinition) -> str:
        finding = self.decision.picture.findings[fact.id]
        when = finding.when or next((e.when for e in finding.evidence if e.when), None)
        known = when is not None and when.precision is not Precision.UNKNOWN
        return f"{fact.label} ({when.text})" if when is not None and known else fact.label

    def _sought(self) -> tuple[FactDefinition, ...]:
        """Red flags and decisive facts that are unknown, the most urgent rows' first."""
        if not self.is_weighed:
            return ()
        rules = self.knowledge.appropriateness.rules
        order = [fact for rule in rules for fact in rule.supporting_facts]
        sought = (
            fact
            for fact in self.knowledge.facts
            if self.decision.picture.findings[fact.id].value is None
            and not fact.is_internal
            and (fact.is_red_flag or fact.id in self.decision.missing)
        )
        return tuple(
            sorted(sought, key=lambda f: order.index(f.id) if f.id in order else len(order))
        )

    def _is_checked(self, fact: FactDefinition) -> bool:
        """Whether all that could tell of a fact was read: else "not found" would be untrue."""
        unread = self.decision.picture.unreadable
        return not unread or resource_types_of(self.knowledge, fact).isdisjoint(unread)

    def _not_found(self) -> str:
        names = [
            fact.label
            for fact in self._sought()
            if self._is_checked(fact) and not self.decision.picture.findings[fact.id].evidence
        ]
        return f"{', '.join(names)} ({self.phrase('not_found_limits')})" if names else ""

    def _unreadable(self) -> str:
        told = ", ".join(
            f"{markdown(kind)} ({markdown(clean(why, _REASON_LIMIT))})"
            for kind, why in self.decision.picture.unreadable.items()
        )
        names = [fact.label for fact in self._sought() if not self._is_checked(fact)]
        if not told or not names:
            return told
        return f"{told}; {self.phrase('unchecked')} {', '.join(names)}"


def resource_types_of(knowledge: Knowledge, fact: FactDefinition) -> frozenset[str]:
    """Return the resource types that feed a fact, those of the facts it looks at included."""
    kinds: frozenset[str] = frozenset()
    for reading in fact.readings:
        kinds |= reading.resource_types
        for other in reading.depends_on:
            kinds |= resource_types_of(knowledge, knowledge.fact(other))
    return kinds


def _is_stated(finding: Finding) -> bool:
    """Whether the chart says so, other than by the age of the patient."""
    resources = [ref for evidence in finding.evidence for ref in evidence.resources]
    return any(not ref.startswith("Patient/") for ref in resources)
