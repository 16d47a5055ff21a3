"""The detail of an appropriateness card: GitHub Markdown, verdict first.

Order: verdict and rating, questions, reasons with date and source, advice, earlier imaging,
contrast, safety lines, what was looked for and not found, what could not be read, other
studies, sources. A repeat row that leads speaks first; one that changes the rating speaks
instead of the base row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cds_service.card_text import markdown
from cds_service.cards.leading import leads_with_protocol
from cds_service.cards.page import CardPage
from cds_service.cards.prior import prior_line
from cds_service.cards.proposals import care_due
from cds_service.cards.record import RecordLines
from cds_service.cards.values import card_values, fill
from cds_service.decision import Decision
from cds_service.knowledge import (
    CardText,
    FactDefinition,
    Knowledge,
    Procedure,
    Rating,
    Rule,
)
from cds_service.names_in_folders import NO_RADIATION, PREGNANT
from cds_service.situations import holds

_EVIDENCE_OF_A_FACT = 2
_EVIDENCE_OF_A_CARD = 6
_ALSO_LIMIT = 5
_REASON_LIMIT = 80
_TEXT_LIMIT = 200
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
        RecordLines(knowledge, decision).told(),
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
class _Page(CardPage):
    """The parts of one detail."""

    @property
    def card(self) -> CardText:
        return self.knowledge.wording.cards[self.decision.rule.card]

    @property
    def is_replaced(self) -> bool:
        """Whether the repeat row speaks instead of the base row: it changed the rating."""
        return self.repeat_rule is not None and bool(self.repeat_rule.ratings)

    @property
    def names_prior(self) -> bool:
        """Whether the earlier exams, or that none was found, belong in the card."""
        return self.is_weighed or bool(self.decision.repeat_rule or self.decision.history.exams)

    def filled(self, text: str, rule: Rule | None = None) -> str:
        """Return wording with its placeholders filled; labels and dates are ours."""
        values = card_values(self.knowledge, self.decision, rule or self.decision.rule)
        return fill(text, values)

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
        repeat = self.decision.repeat_rule
        if self.decision.rule.is_provisional and not self.is_replaced:
            return "provisional"
        return "provisional_repeat" if repeat and repeat.is_provisional else "rests_on_weak"

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
        planned = self.decision.order.planned
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
                for fact_id in self.own_facts
                for bullet in self._bullets(self.knowledge.fact(fact_id))
            )
        )
        if not bullets:
            return ""
        more = [f"- {self.phrase('more')}"] if len(bullets) > _EVIDENCE_OF_A_CARD else []
        return "\n".join((f"**{self.phrase('why')}**", *bullets[:_EVIDENCE_OF_A_CARD], *more))

    def _bullets(self, fact: FactDefinition) -> Iterator[str]:
        finding = self.decision.picture.findings[fact.id]
        # A red flag that is denied is no reason; it stands under "documented absent".
        if finding.value is None or not fact.has_card_line or self.is_denied_flag(fact):
            return
        if finding.is_true and not finding.evidence:
            yield f"- {self._answered(fact)} ({self.phrase('stated')})"
        for evidence in finding.evidence[:_EVIDENCE_OF_A_FACT]:
            yield f"- {self.evidence(evidence, finding)}"

    def _answered(self, fact: FactDefinition) -> str:
        """Return the answer as it was given: "suspected or known", where the fact says "active"."""
        given = (code for code in fact.answers if code in self.decision.order.indications)
        choices = self.knowledge.wording.choices
        label = next((choices[code].display for code in given), fact.label)
        return label[:1].upper() + label[1:]

    def alternatives(self) -> str:
        """List other studies with rating and radiation; none with radiation in pregnancy."""
        pregnant = self.decision.picture.finding(PREGNANT).is_true
        wanted = () if self.is_replaced else self.decision.rule.alternatives
        listed = [p for p in self.knowledge.procedures if p.id in wanted]
        listed.sort(key=lambda p: wanted.index(p.id))
        named = [
            self._alternative(p) for p in listed if not pregnant or p.radiation == NO_RADIATION
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
