"""From a decision to what a clinician reads, and to what a program reads.

The text alone is enough: several EHRs drop suggestions, links or the detail. The first line
of the detail is the verdict; chart text in it is escaped (`card_text`).
Source: decision table §0, §5, §6, §9; CDS Hooks 2.0 Card Attributes; contract.
"""

from collections.abc import Collection, Iterator, Mapping

from cds_service.card_text import clean
from cds_service.cards.detail import detail_of, questions_of
from cds_service.cards.leading import leading_rule
from cds_service.cards.order_writing import Wire, stands_beside_others
from cds_service.cards.parts import CardParts
from cds_service.cards.prior import prior_imaging, prior_links
from cds_service.cards.safety import safety_card, safety_lines
from cds_service.cards.suggestions import stable_uuid, suggestions_for
from cds_service.cards.values import fill, summary_values
from cds_service.client_profiles import STANDARD_FORM, CardForm
from cds_service.decision import Decision
from cds_service.findings import Evidence, Finding
from cds_service.knowledge import SUMMARY_LIMIT, CardText, Indicator, Knowledge
from cds_service.names_in_folders import CONFIRM_CARDS
from cds_service.situations import holds

ROW_SYSTEM = "https://lumbar-mri-cds.example/fhir/CodeSystem/decision-row"
OVERRIDE_SYSTEM = "https://lumbar-mri-cds.example/fhir/CodeSystem/override-reason"
_EVIDENCE_LIMIT = 5
"""Pieces of evidence reported for one fact: a long problem list repeats itself."""


def cards_for(
    knowledge: Knowledge,
    decision: Decision,
    *,
    hook_instance: str,
    other_drafts: Collection[Mapping[str, object]] = (),
    form: CardForm = STANDARD_FORM,
) -> list[Wire]:
    """Return the cards of one order in wire form: appropriateness, then safety; or none.

    `other_drafts` are the other resources of the basket; among orders a card names its own.
    """
    first = _appropriateness_card(knowledge, decision, hook_instance, other_drafts, form)
    second = safety_card(
        knowledge,
        decision,
        hook_instance=hook_instance,
        other_drafts=other_drafts,
        offered_already={str(s["label"]) for s in first.suggestions} if first else (),
        form=form,
    )
    return [
        _written(knowledge, decision, card, hook_instance, form)
        for card in (first, second)
        if card is not None
    ]


def _appropriateness_card(
    knowledge: Knowledge,
    decision: Decision,
    hook_instance: str,
    other_drafts: Collection[Mapping[str, object]],
    form: CardForm,
) -> CardParts | None:
    if decision.indicator is None:
        return None
    suggestions = suggestions_for(
        knowledge, decision, hook_instance=hook_instance, other_drafts=other_drafts, form=form
    )
    if not _is_wanted(knowledge, decision, has_suggestions=bool(suggestions)):
        return None
    return CardParts(
        topic=leading_rule(knowledge, decision),
        summary=_summary(knowledge, decision),
        detail=detail_of(
            knowledge,
            decision,
            names_order=stands_beside_others(other_drafts),
            safety_lines=safety_lines(knowledge, decision),
        ),
        indicator=decision.indicator,
        suggestions=tuple(suggestions),
        links=tuple(prior_links(knowledge, decision)),
    )


def _written(
    knowledge: Knowledge, decision: Decision, card: CardParts, hook_instance: str, form: CardForm
) -> Wire:
    """Write a card with what every card has: its source with the row, and override reasons."""
    wire: Wire = {
        "uuid": stable_uuid(hook_instance, decision.order, f"card.{card.topic.row}"),
        "summary": card.summary,
        "detail": card.detail,
        "indicator": card.indicator.value,
        "source": {
            "label": knowledge.wording.source_label,
            **_https("url", form.source_url or knowledge.wording.source_url),
            "topic": {"system": ROW_SYSTEM, "code": card.topic.row, "display": card.topic.says},
        },
    }
    if card.suggestions:
        wire |= {
            "suggestions": list(card.suggestions),
            "selectionBehavior": form.selection_behavior,
        }
    reasons = [
        {"code": code, "system": OVERRIDE_SYSTEM, "display": display}
        for ours, display in knowledge.wording.override_reasons
        if (code := form.override_code(ours)) is not None
    ]
    if reasons:
        wire["overrideReasons"] = reasons
    return wire | ({"links": list(card.links)} if card.links else {})


def decision_object(knowledge: Knowledge, decision: Decision) -> Wire:
    """Return the machine-readable decision of the contract; what has no value is left out."""
    members: Wire = {
        "order": decision.order.ref,
        "protocol": decision.order.protocol.value,
        "row": decision.row,
        "overlay": decision.overlay,
        "protocolRow": decision.protocol_row,
        "safety": list(decision.safety_rows),
        "variant": decision.variant,
        "rating": decision.rating.value,
        "provisional": decision.is_provisional,
        "indicator": decision.indicator.value if decision.indicator else None,
        "missing": list(decision.missing),
        "unreadable": list(decision.unreadable),
        "evidence": list(_evidence(knowledge, decision)),
        "priorImaging": prior_imaging(decision),
        "knowledge": {
            "id": knowledge.id,
            "version": knowledge.version,
            "digest": knowledge.digest,
        },
    }
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}


def _is_wanted(knowledge: Knowledge, decision: Decision, *, has_suggestions: bool) -> bool:
    """Apply the site's `confirm_cards` to info cards; warnings are always shown.

    `when_helpful` drops a card with neither suggestion nor question, `never` keeps only those
    that ask: a confirmation that merely offers something is a confirmation still.
    """
    if decision.indicator is not Indicator.INFO:
        return True
    asks = bool(questions_of(knowledge, decision))
    wanted = knowledge.options.get(CONFIRM_CARDS)
    match wanted.value if wanted is not None else "":
        case "never":
            return asks
        case "when_helpful":
            return asks or has_suggestions
        case _:
            return True


def _summary(knowledge: Knowledge, decision: Decision) -> str:
    """Fill the summary, with fewer reasons where all of them would be too long."""
    template = _summary_template(knowledge, decision)
    text = ""
    for values in summary_values(knowledge, decision, leading_rule(knowledge, decision)):
        text = fill(template, values)
        if len(text) <= SUMMARY_LIMIT:
            return text
    return clean(text, SUMMARY_LIMIT)


def _summary_template(knowledge: Knowledge, decision: Decision) -> str:
    lead = leading_rule(knowledge, decision)
    card: CardText = knowledge.wording.cards[lead.card]
    special = (line.text for line in card.summary_when if holds(line.when, decision.situation))
    if lead is decision.protocol_rule:
        return next(special, card.summary)
    if lead is decision.rule and decision.protocol_row == "D1" and card.summary_contrast_only:
        return card.summary_contrast_only
    if decision.is_softened and card.summary_softened:
        return card.summary_softened
    return next(special, card.summary)


def _evidence(knowledge: Knowledge, decision: Decision) -> Iterator[Wire]:
    for fact in knowledge.facts:
        finding = decision.picture.findings[fact.id]
        if fact.is_internal or finding.value is None:
            continue
        for evidence in finding.evidence[:_EVIDENCE_LIMIT] or (None,):
            yield _evidence_object(fact.id, finding, evidence)


def _evidence_object(fact_id: str, finding: Finding, evidence: Evidence | None) -> Wire:
    members: Wire = {
        "fact": fact_id,
        "value": str(finding.value).lower(),
        "strength": finding.strength.value if finding.strength else None,
    }
    if evidence is not None:
        members |= {
            "date": evidence.when.fhir if evidence.when else "",
            "resources": list(evidence.resources),
            "text": evidence.text,
        }
    return {name: value for name, value in members.items() if value}


def _https(name: str, url: str) -> dict[str, str]:
    """Return the member, or none: a card carries no address that is not https (R-LINK-06)."""
    return {name: url} if url.startswith("https://") else {}
