"""The safety card: implants, gadolinium, and what the scanner staff should know.

One card for all rows that hold, with the highest indicator and the summary of the first row
that has it. Rows without an indicator add a line to whichever card is shown.
Source: decision table §8.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from cds_service.card_text import clean, markdown
from cds_service.cards.detail import references_of
from cds_service.cards.order_writing import stands_beside_others
from cds_service.cards.page import CardPage
from cds_service.cards.parts import CardParts
from cds_service.cards.suggestions import safety_suggestions_for
from cds_service.cards.values import card_values, fill
from cds_service.client_profiles import CardForm
from cds_service.decision import Decision
from cds_service.knowledge import SUMMARY_LIMIT, Indicator, Knowledge, Rule
from cds_service.situations import holds
from cds_service.verdict import indicator_of

_EVIDENCE_LIMIT = 3
_TEXT_LIMIT = 120
_FOUND_IN_SUMMARY = 48
_FOUND_BESIDE_OTHERS = 28


def safety_card(
    knowledge: Knowledge,
    decision: Decision,
    *,
    hook_instance: str,
    other_drafts: Collection[Mapping[str, object]],
    offered_already: Collection[str],
    form: CardForm,
) -> CardParts | None:
    """Return the safety card, or None if no row asks for one.

    `offered_already`: labels of suggestions that the appropriateness card offers.
    """
    indicator = decision.verdict.safety_indicator
    if indicator is None:
        return None
    lead = next(
        rule
        for rule in decision.safety_rules
        if indicator_of(rule, decision.situation) is indicator
    )
    suggestions = safety_suggestions_for(
        knowledge,
        decision,
        hook_instance=hook_instance,
        other_drafts=other_drafts,
        offered_already=offered_already,
        form=form,
    )
    rules = (lead, *(rule for rule in decision.safety_rules if rule is not lead))
    paragraphs = (
        CardPage(knowledge, decision).order() if stands_beside_others(other_drafts) else "",
        *(text for rule in rules for text in _paragraphs(knowledge, decision, rule)),
        references_of(knowledge, rules),
    )
    return CardParts(
        topic=lead,
        summary=_summary(knowledge, decision, rules),
        detail="\n\n".join(filter(None, paragraphs)),
        indicator=indicator,
        suggestions=tuple(suggestions),
    )


def safety_lines(knowledge: Knowledge, decision: Decision) -> list[str]:
    """Return what the safety rows say, for the appropriateness card where no safety card is."""
    if decision.verdict.safety_indicator is not None:
        return []
    return [
        text for rule in decision.safety_rules for text in _paragraphs(knowledge, decision, rule)
    ]


def _summary(knowledge: Knowledge, decision: Decision, rules: Sequence[Rule]) -> str:
    """Return the summary of the leading rule, and name the other warnings if that fits.

    What is found may be cut shorter for them: the detail has it in full.
    """
    lead = rules[0]
    others = _labels(knowledge, decision, rules)
    template = knowledge.wording.phrases["safety_also"]
    for also in (others, others[:1]):
        for room in (_FOUND_IN_SUMMARY, _FOUND_BESIDE_OTHERS):
            tail = template.replace("{also}", ", ".join(also)) if also else ""
            whole = f"{_lead_summary(knowledge, decision, lead, room)}{tail}"
            if len(whole) <= SUMMARY_LIMIT:
                return clean(whole, SUMMARY_LIMIT)
    return clean(_lead_summary(knowledge, decision, lead, _FOUND_IN_SUMMARY), SUMMARY_LIMIT)


def _lead_summary(knowledge: Knowledge, decision: Decision, rule: Rule, room: int) -> str:
    found = next(_found(decision, rule), knowledge.wording.phrases["nothing_named"])
    values = card_values(knowledge, decision, rule)
    template = knowledge.wording.cards[rule.card].summary
    return fill(template, {**values, "found": clean(found, room)})


def _labels(knowledge: Knowledge, decision: Decision, rules: Sequence[Rule]) -> tuple[str, ...]:
    """Return the labels of the other rows that warn, without that of the leading one."""
    cards = knowledge.wording.cards
    warning = {Indicator.WARNING, Indicator.CRITICAL}
    said = (
        cards[rule.card].label
        for rule in rules[1:]
        if indicator_of(rule, decision.situation) in warning
    )
    return tuple(dict.fromkeys(label for label in said if label))


def _paragraphs(knowledge: Knowledge, decision: Decision, rule: Rule) -> Iterator[str]:
    """Yield the verdict of a row, its lines, then its question."""
    card = knowledge.wording.cards[rule.card]
    found = [
        markdown(clean(text, _TEXT_LIMIT))
        for text in list(_found(decision, rule))[:_EVIDENCE_LIMIT]
    ]
    values = {
        **card_values(knowledge, decision, rule),
        "found": "; ".join(found) or knowledge.wording.phrases["nothing_named"],
    }
    yield fill(card.verdict, values)
    yield from (
        fill(line.text, values) for line in card.lines if holds(line.when, decision.situation)
    )
    if card.asks:
        yield CardPage(knowledge, decision).heading("question", fill(card.asks, values))


def _found(decision: Decision, rule: Rule) -> Iterator[str]:
    """Yield what is on record, with its date, once each."""
    findings = (decision.picture.findings[fact] for fact in rule.supporting_facts)
    said = (e.text for finding in findings if finding.is_true for e in finding.evidence)
    yield from dict.fromkeys(said)
