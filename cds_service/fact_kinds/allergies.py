"""Facts about earlier reactions to contrast media (decision table F83, row SF4).

Source: value set gbca-allergy, usage note: a code that does not say which agent is no allergy
to gadolinium, and one to an iodinated agent says nothing about it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import condition_evidence, order_evidence, words_of
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir_dates import after
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.records import Allergy, Concept, Condition, Currency, Verification
from cds_service.text.places import TextState, read_clauses_of

_AFFIRMED = frozenset({TextState.CURRENT, TextState.SUSPECTED, TextState.HISTORY})
_LIST = re.compile(r"\s{0,3}(?:allerg\w{1,4}|adverse reactions?)\s{0,2}[:=-]", re.IGNORECASE)
_TOLERATED = "tolerat"
_AND = re.compile(r"\s(?:and|&|\+|plus|or)\s|[/,;]", re.IGNORECASE)


class ContrastQuestion(StrEnum):
    """What is asked of a reaction."""

    NAMED = "named"
    """Gadolinium, or an agent of it, is named."""
    SEVERE = "severe"
    """It is named, and the reaction was severe."""
    UNNAMED = "unnamed"
    """Only "contrast" is named."""


@dataclass(frozen=True, slots=True)
class _Named:
    """What an entry says of contrast media."""

    question: ContrastQuestion
    """NAMED or UNNAMED."""
    strength: Strength
    is_denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastReaction(FactKind):
    """A reaction to a gadolinium agent, a severe one, or one to a contrast medium not named.

    AllergyIntolerance first; a diagnosis or words of the order count if they speak of an
    allergy or a reaction ("MRI with gadolinium" is none). A refuted entry says no.
    """

    value_set: str
    question: ContrastQuestion
    named_codes: tuple[str, ...]
    """Members that name gadolinium; the others of the set do not say which agent."""
    unnamed_words: tuple[str, ...]
    """Words for a contrast medium of any kind, lower case."""
    other_agents: tuple[str, ...]
    """Words of other agents, lower case: such a reaction says nothing here."""
    reaction_words: tuple[str, ...]
    """Words that make a text one about a reaction, lower case."""
    severe_codes: tuple[str, ...]
    severe_words: tuple[str, ...]
    """Codes and words, lower case, of a manifestation that is severe by itself."""
    resource_types: ClassVar[frozenset[str]] = frozenset({"AllergyIntolerance", "Condition"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge allergies, diagnoses and the words of the order."""
        allergies = [(a, n) for a in context.chart.allergies if (n := self._allergy(a, context))]
        refuted = [a for a, _ in allergies if a.verification is Verification.REFUTED]
        return any_of(
            (
                *(self._judge(a, n, refuted) for a, n in allergies),
                *(self._condition(c, context) for c in context.chart.conditions),
                *self._order(context),
            )
        )

    def _allergy(self, allergy: Allergy, context: ReadingContext) -> _Named | None:
        concepts = (allergy.concept, *allergy.substances)
        if any(has_code(c, self.named_codes) and self.value_set in c.sets for c in concepts):
            return _Named(ContrastQuestion.NAMED, Strength.STRONG)
        words = [word for concept in concepts for word in concept.words]
        return self._named(concepts, words, context)

    def _named(
        self, concepts: Iterable[Concept], words: Iterable[str], context: ReadingContext
    ) -> _Named | None:
        """Read the agent from words even beside a code, because the code does not name it."""
        said = [n for text in words for n in self._in_words(text, context)]
        if not said and any(self.value_set in concept.sets for concept in concepts):
            texts = " ".join(text for concept in concepts for text in concept.words).lower()
            if not any(word in texts for word in self.other_agents):
                return _Named(ContrastQuestion.UNNAMED, Strength.STRONG)
        if not said:
            return None
        # An agent that is named says more than "contrast"; an affirmation more than a denial.
        found = min(said, key=lambda n: (n.is_denied, n.question is ContrastQuestion.UNNAMED))
        if found.question is ContrastQuestion.UNNAMED:
            texts = " ".join(words).lower()
            if any(word in texts for word in self.other_agents):
                return None
            if any(self.value_set in c.sets for c in concepts) and not found.is_denied:
                return _Named(ContrastQuestion.UNNAMED, Strength.STRONG)
        return found

    def _in_words(self, text: str, context: ReadingContext) -> Iterator[_Named]:
        """Yield what each part of a text names: "iodinated and gadolinium contrast" has two."""
        said = context.terminology.in_words(text, self.value_set)
        parts = [text] if said is not None else _AND.split(text)
        for part in parts:
            said = context.terminology.in_words(part, self.value_set)
            if said is not None and _TOLERATED not in said.words.lower():
                denied = said.state is TextState.NEGATED
                yield _Named(ContrastQuestion.NAMED, Strength.POSSIBLE, denied)
        state = _state_of(text, self.unnamed_words)
        if state is not None:
            denied = state is TextState.NEGATED
            yield _Named(ContrastQuestion.UNNAMED, Strength.POSSIBLE, denied)

    def _judge(self, allergy: Allergy, named: _Named, refuted: list[Allergy]) -> Finding:
        evidence = _allergy_evidence(allergy)
        if not self._is_asked(named):
            return Finding(value=None)
        if allergy.verification is Verification.REFUTED or named.is_denied:
            return false(evidence, strength=named.strength)
        is_doubtful = allergy.verification is Verification.UNCONFIRMED
        if is_doubtful and any(after(allergy.recorded, r.recorded) is not True for r in refuted):
            return Finding(value=None)
        if self.question is ContrastQuestion.SEVERE and not self._is_severe(allergy):
            return Finding(value=None)
        strength = Strength.POSSIBLE if is_doubtful else named.strength
        return true(evidence, strength=strength, when=allergy.recorded)

    def _is_asked(self, named: _Named) -> bool:
        return (named.question is ContrastQuestion.UNNAMED) is (
            self.question is ContrastQuestion.UNNAMED
        )

    def _is_severe(self, allergy: Allergy) -> bool:
        if allergy.criticality == "high" or "severe" in allergy.severities:
            return True
        if any(has_code(m, self.severe_codes) for m in allergy.manifestations):
            return True
        words = (w for c in (allergy.concept, *allergy.manifestations) for w in c.words)
        return self._says_severe((*words, *allergy.notes))

    def _says_severe(self, texts: Iterable[str]) -> bool:
        return any(_state_of(text, self.severe_words) in _AFFIRMED for text in texts)

    def _condition(self, condition: Condition, context: ReadingContext) -> Finding:
        if condition.currency is Currency.PAST:
            return Finding(value=None)
        concept = condition.concept
        is_member = self.value_set in concept.sets
        if concept.is_recognised and not is_member:
            return Finding(value=None)
        texts = (*concept.words, *condition.notes)
        if not is_member and not self._is_about_reaction(" ".join(texts)):
            return Finding(value=None)
        named = self._named((concept,), texts, context)
        if named is None or not self._is_asked(named):
            return Finding(value=None)
        if condition.verification is Verification.REFUTED or named.is_denied:
            return false(condition_evidence(condition), strength=named.strength)
        if self.question is ContrastQuestion.SEVERE and not self._says_severe(texts):
            return Finding(value=None)
        is_firm = condition.verification is Verification.CONFIRMED
        strength = named.strength if is_firm else Strength.POSSIBLE
        return true(condition_evidence(condition), strength=strength, when=condition.began)

    def _order(self, context: ReadingContext) -> Iterator[Finding]:
        coded = (reason.concept for reason in context.order.reasons if reason.condition is None)
        for concept in coded:
            if self.value_set in concept.sets:
                named = self._named((concept,), concept.words, context)
                if named is not None and self.question is named.question and not named.is_denied:
                    evidence = order_evidence(context.order, words_of(concept), context.today)
                    yield true(evidence, strength=named.strength)
        for text in context.order.words:
            for read in read_clauses_of(text):
                whole = read.clause.raw
                # "Allergies: penicillin, gadolinium" is a list; "shellfish allergy, MRI with
                # contrast" is not about a reaction to contrast.
                parts = [whole] if _LIST.match(whole) else whole.split(",")
                yield from (self._clause(part.strip(), context) for part in parts)

    def _clause(self, clause: str, context: ReadingContext) -> Finding:
        if not self._is_about_reaction(clause):
            return Finding(value=None)
        named = self._named((), (clause,), context)
        if named is None or not self._is_asked(named):
            return Finding(value=None)
        evidence = order_evidence(context.order, clause, context.today)
        if named.is_denied:
            return false(evidence, strength=Strength.POSSIBLE)
        if self.question is ContrastQuestion.SEVERE and not self._says_severe((clause,)):
            return Finding(value=None)
        return true(evidence, strength=Strength.POSSIBLE)

    def _is_about_reaction(self, text: str) -> bool:
        words = "|".join(map(re.escape, (*self.reaction_words, *self.severe_words)))
        return re.search(rf"\b(?:{words})", text, re.IGNORECASE) is not None


def _state_of(text: str, words: tuple[str, ...]) -> TextState | None:
    """Return what a text says of any of these words; what is affirmed somewhere counts."""
    states = []
    for read in read_clauses_of(text):
        lowered = read.clause.text.lower()
        for word in words:
            start = lowered.find(word)
            if start >= 0:
                states.append(read.state_at(start, start + len(word)))
    return min(states, key=lambda state: state is TextState.NEGATED, default=None)


def _allergy_evidence(allergy: Allergy) -> Evidence:
    """Return for example `Gadobutrol: anaphylaxis, criticality high, recorded 2024-05-01`."""
    parts = [words_of(manifestation) for manifestation in allergy.manifestations[:2]]
    if allergy.severities:
        parts.append("/".join(sorted(allergy.severities)))
    if allergy.criticality in {"high", "low"}:
        parts.append(f"criticality {allergy.criticality}")
    if allergy.verification is not Verification.CONFIRMED:
        parts.append(allergy.verification.value)
    if allergy.recorded is not None:
        parts.append(f"recorded {allergy.recorded.text}")
    said = f": {', '.join(parts)}" if parts else ""
    return Evidence(
        text=f"Reaction to {words_of(allergy.concept)}{said}",
        when=allergy.recorded,
        resources=(allergy.ref,),
    )
