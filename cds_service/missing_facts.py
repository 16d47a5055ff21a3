"""The facts to ask for: those that are unknown and would change the row (design)."""

from collections.abc import Mapping
from dataclasses import dataclass

from cds_service.clinical_picture import ClinicalPicture
from cds_service.knowledge import Knowledge, Rating, Rule
from cds_service.orders import ImagingProtocol
from cds_service.rule_tests import facts_in
from cds_service.situations import Situation, holds
from cds_service.verdict import Verdict, rating_of

_SCORE = {
    Rating.USUALLY_APPROPRIATE: 2,
    Rating.MAY_BE_APPROPRIATE: 1,
    Rating.USUALLY_NOT_APPROPRIATE: 0,
    Rating.INSUFFICIENT_INFORMATION: 0,
}


def missing_facts(
    knowledge: Knowledge, protocol: ImagingProtocol, picture: ClinicalPicture, verdict: Verdict
) -> tuple[str, ...]:
    """Ask the base table again for each unknown fact, set to true and to false.

    Sorted by: what a repeat row that leads asks for, facts that the base row asks for first,
    then how far the rating moves, then the place of the new row in the table.
    """
    rule = verdict.rule
    table = _Retrial.of(knowledge, verdict)
    old = _SCORE.get(rating_of(rule, protocol), 0)
    moves: list[tuple[tuple[int, int, int], str]] = []
    for fact in knowledge.facts:
        if (
            fact.is_internal
            or fact.id not in knowledge.facts_of_base
            or picture.findings[fact.id].value is not None
        ):
            continue
        reached = [
            place
            for value in (True, False)
            if (place := table.place_reached(picture, fact.id, value=value)) != table.chosen
        ]
        if reached:
            far = max(
                abs(_SCORE.get(rating_of(table.rules[place], protocol), 0) - old)
                for place in reached
            )
            first = (
                rule.asks_first.index(fact.id)
                if fact.id in rule.asks_first
                else len(rule.asks_first)
            )
            moves.append(((first, -far, min(reached)), fact.id))
    wanted = (fact for _, fact in sorted(moves))
    return tuple(dict.fromkeys((*_asked_by_repeat(picture, verdict), *wanted)))


def _asked_by_repeat(picture: ClinicalPicture, verdict: Verdict) -> tuple[str, ...]:
    if verdict.repeat_rule is None or not verdict.repeat_leads:
        return ()
    asked = verdict.repeat_rule.asks_first
    return tuple(fact for fact in asked if picture.findings[fact].value is None)


@dataclass(frozen=True, slots=True)
class _Retrial:
    """The appropriateness table, tried again with one fact assumed.

    A rule before the chosen one still fails, and the chosen one still holds, unless a fact
    that it asks about has changed: so only those are asked again.
    """

    rules: tuple[Rule, ...]
    asked_by: Mapping[str, tuple[int, ...]]
    """Fact → places of the rules that ask about it."""
    chosen: int
    attributes: Mapping[str, str]
    options: Mapping[str, str]
    among: frozenset[str]
    """Facts that matter to the table."""

    @classmethod
    def of(cls, knowledge: Knowledge, verdict: Verdict) -> "_Retrial":
        rules = knowledge.appropriateness.rules
        asked_by: dict[str, tuple[int, ...]] = {}
        for place, rule in enumerate(rules):
            for fact in frozenset(facts_in(rule.when)):
                asked_by[fact] = (*asked_by.get(fact, ()), place)
        return cls(
            rules,
            asked_by,
            rules.index(verdict.rule),
            verdict.situation.attributes,
            verdict.situation.options,
            knowledge.facts_of_base,
        )

    def place_reached(self, picture: ClinicalPicture, fact_id: str, *, value: bool) -> int:
        """Return the place in the table of the rule that would decide."""
        findings = picture.assuming(fact_id, value=value, among=self.among)
        # Only what depends on the fact was read again, so nothing else can have changed.
        again = (fact.id for fact in picture.dependants.get(fact_id, ()))
        changed = {f for f in (fact_id, *again) if findings[f] is not picture.findings[f]}
        situation = Situation(findings, self.attributes, self.options)
        asking = {place for fact in changed for place in self.asked_by.get(fact, ())}
        for place in sorted(place for place in asking if place < self.chosen):
            if holds(self.rules[place].when, situation):
                return place
        if self.chosen not in asking:
            return self.chosen
        for place in range(self.chosen, len(self.rules)):
            if holds(self.rules[place].when, situation):
                return place
        # The loader refuses a table whose last rule is not `otherwise`.
        raise AssertionError(fact_id)
