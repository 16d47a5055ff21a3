"""What the software looks up in a folder by name: it must be there where something asks for it.

Without these checks a folder of a new topic would load, and its first card would fail.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cds_service.knowledge import FactDefinition, Procedure, Rule, Wording
from cds_service.names_in_folders import (
    BUNDLED_TOPIC,
    CARE_DAYS,
    DUPLICATE,
    NO_RADIATION,
    PHRASES,
    PREGNANT,
    PRIOR,
    REFERRAL_CODES,
    WORDS_OF_SUGGESTIONS,
)
from cds_service.orders import LUMBAR_EXAM, OrderDefinition

_PLACEHOLDERS: Mapping[str, str] = {
    "{prior}": PRIOR,
    "{prior_days}": PRIOR,
    "{prior_ago}": PRIOR,
    "{ordered}": DUPLICATE,
}
_OF_CARE = ("{due}", "{weeks}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFolder:
    """The parts that ask for one another."""

    topic: str
    facts: tuple[FactDefinition, ...]
    fetched: frozenset[str]
    """FHIR resource types that the prefetch asks for."""
    thresholds: frozenset[str]
    order: OrderDefinition
    rules: tuple[Rule, ...]
    procedures: tuple[Procedure, ...]
    wording: Wording

    @property
    def fact_ids(self) -> frozenset[str]:
        """Ids of the facts."""
        return frozenset(fact.id for fact in self.facts)


def missing_names(folder: WholeFolder) -> Iterator[tuple[str, str]]:
    """Yield for each thing that is missing the section of `cards.yaml` or file, and what to do."""
    yield from _of_wording(folder)
    yield from _of_suggestions(folder)
    yield from _of_studies(folder)
    yield from _of_sources(folder)
    if folder.topic != BUNDLED_TOPIC and folder.order.exam_name == LUMBAR_EXAM:
        yield "facts.yaml", "order.exam_name is missing: what cards call an exam of this topic"


def _of_wording(folder: WholeFolder) -> Iterator[tuple[str, str]]:
    wording = folder.wording
    for phrase in sorted(PHRASES - set(wording.phrases)):
        yield "cards.yaml", f"phrases: {phrase} is missing"
    texts = [text for card in wording.cards.values() for text in card.texts]
    texts += wording.suggestion_labels.values()
    for placeholder, fact in _PLACEHOLDERS.items():
        if fact not in folder.fact_ids and any(placeholder in text for text in texts):
            yield "facts.yaml", f"a text of cards.yaml has {placeholder}: it needs the fact {fact}"
    asks = any(word in text for word in _OF_CARE for text in texts)
    if CARE_DAYS not in folder.thresholds and asks:
        yield "facts.yaml", f"a text of cards.yaml has {{due}} or {{weeks}}: it needs {CARE_DAYS}"


def _of_suggestions(folder: WholeFolder) -> Iterator[tuple[str, str]]:
    labels, codes = folder.wording.suggestion_labels, folder.wording.suggested_codes
    offers = {(offer.kind, offer.to) for rule in folder.rules for offer in rule.suggestions}
    needed = {
        pattern.replace("{key}", f"{kind}.{to}" if to else kind)
        for kind, to in offers
        for pattern in WORDS_OF_SUGGESTIONS.get(kind, ())
    }
    for label in sorted(needed - set(labels)):
        yield "cards.yaml", f"suggestion_labels: {label} is missing"
    if any(kind == "A5" for kind, _ in offers):
        for target in REFERRAL_CODES:
            if target not in codes:
                yield "cards.yaml", f"suggested_codes: {target} is missing; A5 writes it"
    if any(kind == "A7" for kind, _ in offers) and CARE_DAYS not in folder.thresholds:
        yield "facts.yaml", f"A7 is offered: it needs the threshold {CARE_DAYS}"


def _of_studies(folder: WholeFolder) -> Iterator[tuple[str, str]]:
    """Whoever may be pregnant must not be offered radiation, so the folder must be able to ask."""
    radiating = {p.id for p in folder.procedures if p.radiation != NO_RADIATION}
    proposes = any(
        offer.kind == "A2" for rule in folder.rules for offer in rule.suggestions
    ) or not radiating.isdisjoint(a for rule in folder.rules for a in rule.alternatives)
    if proposes and PREGNANT not in folder.fact_ids:
        yield "facts.yaml", f"other studies are proposed: they need the fact {PREGNANT}"
    rated = {procedure.value_set for procedure in folder.procedures}
    if any(rule.variants for rule in folder.rules):
        for set_id, protocol in folder.order.contrast_sets:
            if set_id not in rated:
                yield (
                    "decision_tables/ratings.yaml",
                    f"no procedure has the value set {set_id} ({protocol}), which rules rate",
                )


def _of_sources(folder: WholeFolder) -> Iterator[tuple[str, str]]:
    """A card says "no record found of X" only of what was looked for."""
    for fact in folder.facts:
        read = frozenset[str]().union(*(reading.resource_types for reading in fact.readings))
        for kind in sorted(read - folder.fetched):
            yield "service.yaml", f"prefetch: fact {fact.id} reads {kind}, and nothing asks for it"
