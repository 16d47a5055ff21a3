"""The detail of an appropriateness card: GitHub Markdown, verdict first.

Order: verdict and rating, questions, reasons with date and source, advice, earlier imaging,
contrast, safety lines, what was looked for and not found, what could not be read, other
studies, sources. A repeat row that leads speaks first; one that changes the rating speaks
instead of the base row.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cds_service.card_text import clean, markdown
from cds_service.cards.leading import leads_with_protocol
from cds_service.cards.order_writing import name_of, planned_for
from cds_service.cards.prior import prior_line
from cds_service.cards.suggestions import PREGNANT, care_due
from cds_service.cards.values import card_values, fill
from cds_service.decision import Decision
from cds_service.fhir_dates import Precision
from cds_service.findings import Evidence, Finding, Strength
from cds_service.knowledge import (
    CardText,
    FactDefinition,
    Knowledge,
    Procedure,
    Rating,
    Rule,
)
from cds_service.rule_tests import facts_in
from cds_service.situations import holds

_EVIDENCE_OF_A_FACT = 2
_EVIDENCE_OF_A_CARD = 6
_ALSO_LIMIT = 5
_REASON_LIMIT = 80
_TEXT_LIMIT = 200
_NO_RADIATION = "O"
_SAID_TODAY = "order"
"""Element of evidence that the order itself gives: it needs no date."""


def detail_of(
    knowledge: Knowledge,
    decision: Decision,
    *,
    names_order: bool,
    safety_lines: Iterable[str] = (),
) -> str:
    """Return the detail; `names_order` says which of several drafts it is about.

    `safety_lines` are Markdown: what has no card of its own to stand in.
    """
    page = _Page(knowledge, decision)
    paragraphs = (
        page.order() if names_order else "",
        *page.verdict(),
        page.questions(),
        page.reasons(),
        *page.lines(),
        *page.repeat(),
        "" if leads_with_protocol(knowledge, decision) else page.contrast(),
        *safety_lines,
        page.record(),
        prior_line(knowledge, decision) if page.names_prior else "",
        page.alternatives(),
        page.references(),
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def questions_of(knowledge: Knowledge, decision: Decision) -> tuple[str, ...]:
    """Return everything that the card asks, in Markdown."""
    page = _Page(knowledge, decision)
    lines = (*page.lines(), *page.repeat(), page.contrast())
    return (*page.asked(), *(line for line in lines if line.endswith("?")))


@dataclass(frozen=True, slots=True)
class _Page:
    knowledge: Knowledge
    decision: Decision

    @property
    def card(self) -> CardText:
        return self.knowledge.wording.cards[self.decision.rule.card]

    @property
    def repeat_rule(self) -> Rule | None:
        """The repeat row, where its message comes first."""
        return self.decision.repeat_rule if self.decision.verdict.repeat_leads else None

    @property
    def is_replaced(self) -> bool:
        """Whether the repeat row speaks instead of the base row: it changed the rating."""
        return self.repeat_rule is not None and bool(self.repeat_rule.ratings)

    @property
    def names_prior(self) -> bool:
        """Whether the earlier exams, or that none was found, belong in the card."""
        return self.is_weighed or self.decision.repeat_rule is not None

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

    def filled(self, text: str, rule: Rule | None = None) -> str:
        """Return wording with its placeholders filled; labels and dates are ours."""
        values = card_values(self.knowledge, self.decision, rule or self.decision.rule)
        return fill(text, values)

    def order(self) -> str:
        """Say which draft this is about."""
        return f"{self.phrase('order')}: {markdown(name_of(self.decision.order))}"

    def verdict(self) -> Iterator[str]:
        """Rating in words, what the guideline says, and why it is only provisional.

        In an emergency the message comes before the rating: a rating of the wrong contrast
        must not be the first thing read.
        """
        if leads_with_protocol(self.knowledge, self.decision):
            yield self.contrast()
        if self.repeat_rule is not None:
            card = self.knowledge.wording.cards[self.repeat_rule.card]
            yield self.filled(card.verdict, self.repeat_rule)
        said = (self._rating(), "" if self.is_replaced else self.filled(self.card.verdict))
        yield from reversed(said) if self.is_urgent else said
        yield self._dated_already()
        if self.decision.is_softened:
            yield self.phrase("softened_unread" if self.decision.unreadable else "softened")
        elif self._is_provisional:
            yield self.phrase(self._why_provisional)

    @property
    def _is_provisional(self) -> bool:
        """Whether there is a rating, and it has to be called provisional."""
        is_rated = self.decision.rating is not Rating.INSUFFICIENT_INFORMATION
        return self.decision.is_provisional and self.is_weighed and is_rated

    @property
    def _why_provisional(self) -> str:
        if self.is_replaced:
            return "provisional_repeat"
        return "provisional" if self.decision.rule.is_provisional else "rests_on_weak"

    def _rating(self) -> str:
        decision = self.decision
        variant = None if self.is_replaced else decision.variant
        rated = self.phrase(f"protocol.{decision.order.protocol}")
        scope = (
            f" ({self.phrase('variant')} {variant}: {self.knowledge.variants[variant]})"
            if variant is not None
            else ""
        )
        return f"**{self.phrase(decision.rating)}:** {rated}{scope}."

    def _dated_already(self) -> str:
        """Say that an order which should wait is dated late enough (A7 was taken)."""
        waits = any(rule.kind == "A7" for rule in self.decision.rule.suggestions)
        due = care_due(self.knowledge, self.decision) if waits else None
        planned = planned_for(self.decision.order.resource)
        if due is None or planned is None or planned < due:
            return ""
        return f"{self.phrase('dated_already')} {planned.isoformat()}."

    def asked(self) -> tuple[str, ...]:
        """Questions of the brakes, of the row, and of contradictory codes."""
        conflict = self.phrase("contrast_conflict") if self.decision.order.contrast_conflict else ""
        brakes = (brake.question for brake in self.decision.brakes)
        rule = self.repeat_rule
        asks = self.knowledge.wording.cards[rule.card].asks if rule is not None else ""
        return tuple(filter(None, (*brakes, self.filled(asks or self.card.asks, rule), conflict)))

    def questions(self) -> str:
        """Put the questions."""
        return self.heading("question", " ".join(self.asked()))

    def lines(self) -> tuple[str, ...]:
        """Advice and caveats that apply here."""
        return () if self.is_replaced else self._shown(self.card, self.decision.rule)

    def repeat(self) -> tuple[str, ...]:
        """What the repeat row says beside the base row's message, or adds to its own."""
        rule = self.decision.repeat_rule
        if rule is None:
            return ()
        card = self.knowledge.wording.cards[rule.card]
        said = () if self.repeat_rule is not None else (self.filled(card.verdict, rule),)
        return (*said, *self._shown(card, rule))

    def contrast(self) -> str:
        """Say what the protocol row says; D3 only offers, so it says nothing."""
        rule = self.decision.protocol_rule
        if rule is None:
            return ""
        cases = (i for i in rule.indicators if holds(i.when, self.decision.situation))
        case = next(cases, None)
        if case is None or case.indicator is None:
            return ""
        card = self.knowledge.wording.cards[rule.card]
        return " ".join((self.filled(card.verdict), *self._shown(card, rule)))

    def _shown(self, card: CardText, rule: Rule) -> tuple[str, ...]:
        situation = self.decision.situation
        return tuple(
            self.filled(line.text, rule) for line in card.lines if holds(line.when, situation)
        )

    def reasons(self) -> str:
        """List the evidence of the row, each with date and kind of resource."""
        bullets = list(
            dict.fromkeys(
                bullet
                for fact_id in self._own_facts
                for bullet in self._bullets(self.knowledge.fact(fact_id))
            )
        )
        if not bullets:
            return ""
        more = [f"- {self.phrase('more')}"] if len(bullets) > _EVIDENCE_OF_A_CARD else []
        return "\n".join((f"**{self.phrase('why')}**", *bullets[:_EVIDENCE_OF_A_CARD], *more))

    @property
    def _own_facts(self) -> tuple[str, ...]:
        """Facts whose evidence is the reason of the card: the leading row's first."""
        repeat = self.decision.repeat_rule
        mine = repeat.supporting_facts if repeat is not None else ()
        base = self.decision.rule.supporting_facts
        led = (*mine, *base) if self.repeat_rule is not None else (*base, *mine)
        return tuple(dict.fromkeys(led))

    def _bullets(self, fact: FactDefinition) -> Iterator[str]:
        finding = self.decision.picture.findings[fact.id]
        # A red flag that is denied is no reason; it stands under "documented absent".
        if finding.value is None or not fact.has_card_line or self._is_denied_flag(fact):
            return
        if finding.is_true and not finding.evidence:
            yield f"- {self._answered(fact)} ({self.phrase('stated')})"
        for evidence in finding.evidence[:_EVIDENCE_OF_A_FACT]:
            yield f"- {self._evidence(evidence, finding)}"

    def _answered(self, fact: FactDefinition) -> str:
        """Return the answer as it was given: "suspected or known", where the fact says "active"."""
        given = (code for code in fact.answers if code in self.decision.order.indications)
        choices = self.knowledge.wording.choices
        label = next((choices[code].display for code in given), fact.label)
        return label[:1].upper() + label[1:]

    def _evidence(self, evidence: Evidence, finding: Finding) -> str:
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

    def record(self) -> str:
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
        own = self._own_facts
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
                told.extend([self._evidence(first, finding)] if first else [])
        return "; ".join(list(dict.fromkeys(told))[:_ALSO_LIMIT])

    def _partial(self) -> str:
        """Tell what is on record, though too little: of the brakes, then of decisive facts."""
        findings = self.decision.picture.findings
        braking = (fact for brake in self.decision.brakes for fact in facts_in(brake.when))
        told = [
            self._evidence(evidence, findings[fact_id])
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
            if self._is_denied_flag(fact)
            and fact.has_card_line
            and self.is_weighed
            and _is_stated(self.decision.picture.findings[fact.id])
        )

    def _is_denied_flag(self, fact: FactDefinition) -> bool:
        return fact.is_red_flag and self.decision.picture.findings[fact.id].is_false

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

    def alternatives(self) -> str:
        """List other studies with rating and radiation; none with radiation in pregnancy."""
        pregnant = self.decision.picture.findings[PREGNANT].is_true
        wanted = () if self.is_replaced else self.decision.rule.alternatives
        listed = [p for p in self.knowledge.procedures if p.id in wanted]
        listed.sort(key=lambda p: wanted.index(p.id))
        named = [
            self._alternative(p) for p in listed if not pregnant or p.radiation == _NO_RADIATION
        ]
        variant = self.decision.variant
        special = f"alternatives.{variant or 'none'}"
        key = special if special in self.knowledge.wording.phrases else "alternatives"
        return self.heading(key, "; ".join(named))

    def _alternative(self, procedure: Procedure) -> str:
        rating = procedure.ratings.get(self.decision.variant or 0)
        words = self.phrase(rating).lower() if rating else ""
        radiation = f"{self.phrase('radiation')} {procedure.radiation}"
        return f"{procedure.label} ({', '.join(filter(None, (words, radiation)))})"

    def references(self) -> str:
        """List the sources of the row and of what the card says about contrast."""
        rules = (
            self.repeat_rule,
            self.decision.rule,
            self.decision.repeat_rule,
            self.decision.protocol_rule if self.contrast() else None,
        )
        return references_of(self.knowledge, (rule for rule in rules if rule is not None))


def references_of(knowledge: Knowledge, rules: Iterable[Rule]) -> str:
    """Return the sources of the rules, each once, as a paragraph."""
    ids = dict.fromkeys(source for rule in rules for source in rule.sources)
    found = (knowledge.references[source] for source in ids)
    texts = (
        f"[{markdown(r.text)}]({r.url})" if r.url.startswith("https://") else markdown(r.text)
        for r in found
    )
    return f"**{knowledge.wording.phrases['references']}:** {'; '.join(texts)}"


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
