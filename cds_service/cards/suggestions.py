"""The suggestions of both cards in wire form: which rows offer them, in which order, once each.

Source: decision table §9; CDS Hooks 2.0 Suggestion.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping

from cds_service.cards.fitting import fitting
from cds_service.cards.order_writing import Wire
from cds_service.cards.proposals import Author, Proposal, care_due
from cds_service.client_profiles import STANDARD_FORM, CardForm
from cds_service.decision import Decision
from cds_service.knowledge import Knowledge, SuggestionRule
from cds_service.orders import DraftOrder
from cds_service.verdict import indicator_of

_NAMESPACE = uuid.UUID("6f1c5b4e-6c55-5d0c-9a39-0d4f6d1b7a52")


def suggestions_for(
    knowledge: Knowledge,
    decision: Decision,
    *,
    hook_instance: str,
    other_drafts: Collection[Mapping[str, object]] = (),
    form: CardForm = STANDARD_FORM,
) -> list[Wire]:
    """Return the suggestions of the appropriateness card, in wire form.

    Those of a repeat row that leads come first and ask instead of the base row; those of the
    contrast row come last. `other_drafts` are the other resources in the same basket: a
    referral that stands there already is not offered again. At most one suggestion is
    recommended (R-SUG-03).
    """
    author = Author(knowledge, decision, tuple(other_drafts), care_due(knowledge, decision))
    proposals = fitting(author.proposals(_offered(decision)), form)
    return _wire(proposals, decision, hook_instance)


def safety_suggestions_for(
    knowledge: Knowledge,
    decision: Decision,
    *,
    hook_instance: str,
    other_drafts: Collection[Mapping[str, object]] = (),
    offered_already: Collection[str] = (),
    form: CardForm = STANDARD_FORM,
) -> list[Wire]:
    """Return the suggestions of the safety card, but for labels that the other card offers."""
    author = Author(knowledge, decision, tuple(other_drafts), care_due(knowledge, decision))
    rules = [offer for row in decision.safety_rules for offer in row.suggestions]
    proposals = author.proposals(rules)
    fresh = (proposal for proposal in proposals if proposal.label not in offered_already)
    return _wire(fitting(fresh, form), decision, f"{hook_instance}|safety")


def _offered(decision: Decision) -> list[SuggestionRule]:
    """Return what the rows offer, in order; of two rows that ask, the one that leads asks."""
    base, repeat = decision.rule.suggestions, decision.repeat_rule
    contrast = decision.protocol_rule.suggestions if decision.protocol_rule else ()
    if repeat is None:
        return [*base, *contrast]
    if decision.verdict.repeat_leads and repeat.is_against:
        return [*repeat.suggestions, *_beside_an_alarm(decision)]
    if decision.verdict.repeat_leads:
        asks = any(offer.kind == "A4" for offer in repeat.suggestions)
        kept = (o for o in base if not (asks and o.kind == "A4"))
        return [*repeat.suggestions, *kept, *contrast]
    return [*base, *repeat.suggestions, *contrast]


def _beside_an_alarm(decision: Decision) -> Iterator[SuggestionRule]:
    """Yield what still stands beside "a repeat rarely helps": no other study, no added contrast.

    The priority of the order, and the contrast that a row with a message of its own corrects.
    """
    yield from (offer for offer in decision.rule.suggestions if offer.kind == "A6")
    contrast = decision.protocol_rule
    if contrast is not None and indicator_of(contrast, decision.situation) is not None:
        yield from (offer for offer in contrast.suggestions if offer.kind == "A3")


def _wire(proposals: Iterable[Proposal], decision: Decision, hook_instance: str) -> list[Wire]:
    """Return each proposal once, the recommended one first."""
    once: dict[str, Proposal] = {}
    for proposal in proposals:
        once.setdefault(proposal.once, proposal)
    kept = sorted(once.values(), key=lambda proposal: not proposal.is_recommended)
    return [
        {
            "label": proposal.label,
            "uuid": stable_uuid(hook_instance, decision.order, proposal.key),
            **({"isRecommended": True} if proposal.is_recommended and place == 0 else {}),
            "actions": [proposal.action],
        }
        for place, proposal in enumerate(kept)
    ]


def stable_uuid(hook_instance: str, order: DraftOrder, key: str) -> str:
    """Return the uuid of a card or suggestion: the same for the same call, order and key."""
    return str(
        uuid.uuid5(_NAMESPACE, "|".join((hook_instance, order.ref, str(order.position), key)))
    )
