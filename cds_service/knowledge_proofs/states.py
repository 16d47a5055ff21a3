"""One situation of the space, put to the tables by the code that also judges patients.

The proofs are made with a solver; whatever it finds is tried again here, so that a
counterexample never rests on the encoding alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from cds_service.findings import Finding, Strength
from cds_service.knowledge import (
    NOT_REPORTED,
    RATED_PROTOCOLS,
    Indicator,
    Knowledge,
    Rating,
    Rule,
    SuggestionRule,
)
from cds_service.knowledge_proofs.space import CONTRAST_OF, Space
from cds_service.orders import ImagingProtocol
from cds_service.review_notes import CaseValue
from cds_service.situations import Situation, holds
from cds_service.verdict import Verdict, indicator_of, judge

SCORES: Mapping[Rating, int] = {
    Rating.USUALLY_APPROPRIATE: 2,
    Rating.MAY_BE_APPROPRIATE: 1,
    Rating.USUALLY_NOT_APPROPRIATE: 0,
    Rating.INSUFFICIENT_INFORMATION: 0,
}
"""Of proof 4. A rating that is not in it (not covered) compares with nothing."""

FINDINGS: Mapping[CaseValue, Finding] = {
    CaseValue.UNKNOWN: Finding(value=None),
    CaseValue.TRUE: Finding(value=True, strength=Strength.STRONG),
    CaseValue.POSSIBLE: Finding(value=True, strength=Strength.POSSIBLE),
    CaseValue.FALSE: Finding(value=False, strength=Strength.STRONG),
    CaseValue.POSSIBLE_FALSE: Finding(value=False, strength=Strength.POSSIBLE),
}
TRUE_VALUES = frozenset({CaseValue.TRUE, CaseValue.POSSIBLE})
WEAK_VALUES = frozenset({CaseValue.POSSIBLE, CaseValue.POSSIBLE_FALSE})
UPWARDS = (
    CaseValue.FALSE,
    CaseValue.POSSIBLE_FALSE,
    CaseValue.UNKNOWN,
    CaseValue.POSSIBLE,
    CaseValue.TRUE,
)
"""From the surest "no" to the surest "yes"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One combination of fact values, order, options and readability."""

    facts: Mapping[str, CaseValue]
    """Those that are not unknown."""
    order: Mapping[str, str]
    """Every attribute of the order."""
    options: Mapping[str, str]
    """Every option of the site."""
    is_unread: bool = False

    def value_of(self, fact: str) -> CaseValue:
        """Return the value of a fact."""
        return self.facts.get(fact, CaseValue.UNKNOWN)

    def with_fact(self, fact: str, value: CaseValue) -> "State":
        """Return the state with one fact changed."""
        others = {key: kept for key, kept in self.facts.items() if key != fact}
        known = {} if value is CaseValue.UNKNOWN else {fact: value}
        return replace(self, facts={**others, **known})

    def is_possible_in(self, space: Space) -> bool:
        """Whether nothing in it contradicts what facts imply, or the order itself."""
        settled = CONTRAST_OF.get(self.order["protocol"], self.order["contrast"])
        return settled == self.order["contrast"] and all(
            self._agrees(i.other, i.value, is_strong=self.value_of(i.fact) is CaseValue.TRUE)
            for i in space.implications
            if self.value_of(i.fact) in TRUE_VALUES
        )

    def _agrees(self, fact: str, value: bool, *, is_strong: bool) -> bool:  # noqa: FBT001
        found = FINDINGS[self.value_of(fact)]
        return found.value is value and (not is_strong or found.strength is Strength.STRONG)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the tables say of one state."""

    knowledge: Knowledge
    state: State
    verdict: Verdict

    @classmethod
    def of(cls, knowledge: Knowledge, state: State) -> "Answer":
        """Put the state to the tables, exactly as an order is."""
        findings = {fact.id: FINDINGS[state.value_of(fact.id)] for fact in knowledge.facts}
        options = {key: state.options.get(key, o.value) for key, o in knowledge.options.items()}
        verdict = judge(
            knowledge,
            ImagingProtocol(state.order["protocol"]),
            Situation(findings, state.order, options),
            is_unread=state.is_unread,
        )
        return cls(knowledge=knowledge, state=state, verdict=verdict)

    def is_true(self, *facts: str) -> bool:
        """Whether one of the facts is true, with any strength."""
        return any(self.verdict.situation.findings[fact].is_true for fact in facts)

    @property
    def rows(self) -> str:
        """Base rule, and the repeat rule laid over it: `R3+RI2`."""
        repeat = self.verdict.repeat_rule
        return f"{self.verdict.rule.id}+{repeat.id}" if repeat else self.verdict.rule.id

    @cached_property
    def alarming(self) -> tuple[Rule, ...]:
        """The rules that warn against the order here; none where the row is softened."""
        if self.verdict.is_softened:
            return ()
        return tuple(
            rule
            for rule in (self.verdict.rule, self.verdict.repeat_rule)
            if rule is not None and warns(rule, self.verdict.situation)
        )

    @property
    def has_firm_alarm(self) -> bool:
        """Whether a rule warns against the order on strong evidence alone.

        Every possible fact is taken as unknown; base row and variant stay. The base row counts,
        and every repeat row that holds here: one on strong evidence may stand behind another.
        """
        firm = {
            fact: FINDINGS[CaseValue.UNKNOWN] if finding.strength is Strength.POSSIBLE else finding
            for fact, finding in self.verdict.situation.findings.items()
        }
        situation = replace(self.verdict.situation, findings=firm)
        return any(
            holds(rule.when, self.verdict.situation)
            and holds(rule.when, situation)
            and warns(rule, situation)
            for rule in (self.verdict.rule, *self.knowledge.repeat.rules)
        )

    @cached_property
    def offers(self) -> frozenset[str]:
        """What the appropriateness card offers, as far as the tables decide it."""
        repeat, contrast = self.verdict.repeat_rule, self.verdict.protocol_rule
        repeat_asks = repeat is not None and self.verdict.repeat_leads and asks(repeat)
        offered = (
            *(o for o in self.verdict.rule.suggestions if not (repeat_asks and o.kind == "A4")),
            *(repeat.suggestions if repeat else ()),
            *(contrast.suggestions if contrast else ()),
        )
        return frozenset(self._named(offered))

    @cached_property
    def safety_offers(self) -> frozenset[str]:
        """What the safety card offers."""
        rules = self.verdict.safety_rules
        return frozenset(self._named(offer for rule in rules for offer in rule.suggestions))

    def offers_kind(self, kind: str) -> bool:
        """Whether one of the cards offers a suggestion of this kind (`A1`)."""
        return any(name.split()[0] == kind for name in self.offers | self.safety_offers)

    @property
    def best_score(self) -> int | None:
        """Score of the best-rated protocol; None where the row is not rated."""
        repeat = self.verdict.repeat_rule
        return best_score(repeat if repeat is not None and repeat.ratings else self.verdict.rule)

    def _named(self, offered: Iterable[SuggestionRule]) -> Iterator[str]:
        for offer in offered:
            is_lost = offer.kind == "A1" and self.verdict.is_softened
            if not is_lost and holds(offer.when, self.verdict.situation):
                yield from names_of(offer)


def advises_against(rule: Rule) -> bool:
    """Whether a rule speaks against the order: it says so, or rates it low, or cancels it unrated.

    Not `is_against` alone: whoever forgets that flag has written an alarm that nothing softens.
    """
    if rule.is_against or not rule.ratings:
        return rule.is_against or any(offer.kind == "A1" for offer in rule.suggestions)
    return rule.ratings[ImagingProtocol.WITHOUT] is Rating.USUALLY_NOT_APPROPRIATE


def warns(rule: Rule, situation: Situation) -> bool:
    """Whether a rule advises against the order with a warning or more."""
    indicator = indicator_of(rule, situation)
    return advises_against(rule) and indicator in {Indicator.WARNING, Indicator.CRITICAL}


def names_of(offer: SuggestionRule) -> tuple[str, ...]:
    """Name a suggestion by kind and target: `A2 lumbar-ct`, `A4 low-back-pain`, `A1`."""
    targets = offer.choices or (offer.to,)
    return tuple(f"{offer.kind} {target}".rstrip() for target in targets)


def asks(rule: Rule) -> bool:
    """Whether a rule offers answers to a question; where it leads, only it asks."""
    return any(offer.kind == "A4" for offer in rule.suggestions)


def best_score(rule: Rule) -> int | None:
    """Return the score of the best-rated protocol of a rule; None if it is not rated."""
    scores = [SCORES.get(rule.ratings[protocol]) for protocol in RATED_PROTOCOLS]
    rated = [score for score in scores if score is not None]
    return max(rated) if len(rated) == len(scores) else None


def is_reported(rule: Rule) -> bool:
    """Whether a safety rule stands for its row; the others only add a line."""
    return rule.row != NOT_REPORTED
