"""Three-valued first match: findings and an order in, the row that decides out, with a trace.

Only a state that a rule names matches it, so an unknown fact never stops a later rule
(decision table §5, notes). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cds_service.clinical_picture import ClinicalPicture
from cds_service.findings import Finding, Strength
from cds_service.imaging_history.exams import NO_HISTORY, ImagingHistory
from cds_service.knowledge import (
    Brake,
    Indicator,
    Knowledge,
    Rating,
    Rule,
)
from cds_service.orders import DraftOrder, ImagingProtocol
from cds_service.rule_tests import (
    All,
    Any,
    AttributeIs,
    FactIs,
    FactState,
    OptionIs,
    Test,
    facts_in,
)

_SCORE = {
    Rating.USUALLY_APPROPRIATE: 2,
    Rating.MAY_BE_APPROPRIATE: 1,
    Rating.USUALLY_NOT_APPROPRIATE: 0,
    Rating.INSUFFICIENT_INFORMATION: 0,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a test is asked about: findings, attributes of the order, options of the site."""

    findings: Mapping[str, Finding]
    attributes: Mapping[str, str]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One rule that was tried: whether it held, and what was not met if it did not."""

    rule: str
    held: bool
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one order."""

    order: DraftOrder
    picture: ClinicalPicture
    rule: Rule
    rating: Rating
    is_provisional: bool
    variant: int | None
    indicator: Indicator | None
    """Of the card, protocol row and brakes included; None shows no card."""
    base_indicator: Indicator | None
    protocol_rule: Rule | None
    brakes: tuple[Brake, ...]
    is_softened: bool
    """A brake or an unreadable source took the edge off a row against the order."""
    missing: tuple[str, ...]
    """Unknown facts whose value would change the row, most decisive first."""
    unreadable: tuple[str, ...]
    """`Type: reason` of each source that could not be read completely."""
    situation: Situation
    trace: tuple[TraceStep, ...]
    history: ImagingHistory
    """Prior exams: for information in this version."""

    @property
    def row(self) -> str:
        """Base row of the contract."""
        return self.rule.row

    @property
    def protocol_row(self) -> str | None:
        """Protocol row of the contract, if one holds."""
        return self.protocol_rule.row if self.protocol_rule else None


def decide(
    knowledge: Knowledge,
    order: DraftOrder,
    picture: ClinicalPicture,
    history: ImagingHistory = NO_HISTORY,
) -> Decision:
    """Apply the appropriateness table, its brakes, then the protocol table to one order."""
    situation = Situation(picture.findings, _order_attributes(order), _options(knowledge))
    rule, trace = _first_match(knowledge, situation)
    variant = _variant(rule, situation)
    brakes = tuple(b for b in knowledge.brakes if rule.is_against and holds(b.when, situation))
    unreadable = tuple(f"{kind}: {why}" for kind, why in picture.unreadable.items())
    is_softened = rule.is_against and bool(brakes or unreadable)
    beside = replace(
        situation,
        attributes={
            **situation.attributes,
            "row": rule.row,
            "variant": str(variant or ""),
            "covered": str(rule.is_covered).lower(),
        },
    )
    protocol_rule = next((r for r in knowledge.protocol.rules if holds(r.when, beside)), None)
    base = Indicator.INFO if is_softened else _indicator(rule, situation)
    return Decision(
        order=order,
        picture=picture,
        rule=rule,
        rating=rating_of(rule, order.protocol),
        is_provisional=rule.is_provisional or is_softened or _rests_on_possible(rule, situation),
        variant=variant,
        indicator=_higher(base, _indicator(protocol_rule, beside) if protocol_rule else None),
        base_indicator=base,
        protocol_rule=protocol_rule,
        brakes=brakes,
        is_softened=is_softened,
        missing=_missing(knowledge, order, picture, rule),
        unreadable=unreadable,
        situation=beside,
        trace=trace,
        history=history,
    )


def holds(test: Test, situation: Situation) -> bool:
    """Does the test hold in this situation?"""
    match test:
        case FactIs(fact=fact, state=state):
            return _is_in(situation.findings[fact], state)
        case AttributeIs(attribute=attribute, values=values):
            return situation.attributes.get(attribute, "") in values
        case OptionIs(option=option, values=values):
            return situation.options[option] in values
        case All(members=members):
            return all(holds(member, situation) for member in members)
        case Any(members=members):
            return any(holds(member, situation) for member in members)


def unmet(test: Test, situation: Situation) -> tuple[str, ...]:
    """Say in words which parts of a test do not hold; nothing if it holds."""
    if holds(test, situation):
        return ()
    match test:
        case FactIs(fact=fact, state=state):
            return (f"{fact} is {_state_of(situation.findings[fact])}, needs {state.value}",)
        case AttributeIs(attribute=name, values=values):
            found = situation.attributes.get(name, "") or "none"
            return (f"{name} is {found}, needs {' or '.join(sorted(values))}",)
        case OptionIs(option=option, values=values):
            found = situation.options[option]
            return (f"option {option} is {found}, needs {' or '.join(sorted(values))}",)
        case All(members=members):
            return tuple(text for member in members for text in unmet(member, situation))
        case Any(members=members):
            each = ("; ".join(unmet(member, situation)) for member in members)
            return (f"none of ({' | '.join(each)})",)


def rating_of(rule: Rule, protocol: ImagingProtocol) -> Rating:
    """Rate the ordered protocol; one that does not say its contrast is rated as `without`."""
    return rule.ratings.get(protocol) or rule.ratings[ImagingProtocol.WITHOUT]


def _first_match(knowledge: Knowledge, situation: Situation) -> tuple[Rule, tuple[TraceStep, ...]]:
    steps: list[TraceStep] = []
    for rule in knowledge.appropriateness.rules:
        if holds(rule.when, situation):
            steps.append(TraceStep(rule.id, held=True))
            return rule, tuple(steps)
        steps.append(TraceStep(rule.id, held=False, unmet=unmet(rule.when, situation)))
    # The loader refuses a table whose last rule is not `otherwise`.
    raise AssertionError(knowledge.appropriateness.id)


def _is_in(finding: Finding, state: FactState) -> bool:
    match state:
        case FactState.TRUE:
            return finding.is_true
        case FactState.STRONG:
            return finding.is_strong
        case FactState.FALSE:
            return finding.is_false
        case FactState.STRONG_FALSE:
            return finding.is_false and finding.strength is Strength.STRONG
        case FactState.UNKNOWN:
            return finding.value is None
        case FactState.NOT_TRUE:
            return not finding.is_true
        case FactState.NOT_STRONG:
            return not finding.is_strong


def _state_of(finding: Finding) -> str:
    if finding.value is None:
        return "unknown"
    return f"{str(finding.value).lower()} ({finding.strength})"


def _order_attributes(order: DraftOrder) -> dict[str, str]:
    return {
        "protocol": order.protocol.value,
        "priority": order.priority.value,
        "contrast_only_code": str(order.contrast_only_by_code).lower(),
    }


def _options(knowledge: Knowledge) -> dict[str, str]:
    return {key: option.value for key, option in knowledge.options.items()}


def _variant(rule: Rule, situation: Situation) -> int | None:
    return next((v.variant for v in rule.variants if holds(v.when, situation)), None)


def _indicator(rule: Rule, situation: Situation) -> Indicator | None:
    return next((i.indicator for i in rule.indicators if holds(i.when, situation)), None)


def _higher(one: Indicator | None, other: Indicator | None) -> Indicator | None:
    order = [None, *Indicator]
    return max(one, other, key=order.index)


def _rests_on_possible(rule: Rule, situation: Situation) -> bool:
    """Whether the row would not hold without the `possible` facts among its reasons."""
    firm = {
        fact: Finding(value=None)
        if fact in rule.supporting_facts and finding.strength is Strength.POSSIBLE
        else finding
        for fact, finding in situation.findings.items()
    }
    return not holds(rule.when, replace(situation, findings=firm))


def _missing(
    knowledge: Knowledge, order: DraftOrder, picture: ClinicalPicture, rule: Rule
) -> tuple[str, ...]:
    """Ask the table again for each unknown fact, set to true and to false (design).

    Sorted by: facts that the row asks for first, then how far the rating moves, then the
    place of the new row in the table.
    """
    table = _Retrial.of(knowledge, order, rule)
    old = _SCORE.get(rating_of(rule, order.protocol), 0)
    moves: list[tuple[tuple[int, int, int], str]] = []
    for fact in knowledge.facts:
        if fact.is_internal or picture.findings[fact.id].value is not None:
            continue
        reached = [
            place
            for value in (True, False)
            if (place := table.place_reached(picture, fact.id, value=value)) != table.chosen
        ]
        if reached:
            far = max(
                abs(_SCORE.get(rating_of(table.rules[place], order.protocol), 0) - old)
                for place in reached
            )
            first = (
                rule.asks_first.index(fact.id)
                if fact.id in rule.asks_first
                else len(rule.asks_first)
            )
            moves.append(((first, -far, min(reached)), fact.id))
    return tuple(fact for _, fact in sorted(moves))


@dataclass(frozen=True, slots=True)
class _Retrial:
    """The appropriateness table, tried again with one fact assumed.

    A rule before the chosen one still fails, and the chosen one still holds, unless a fact
    that it asks about has changed: so only those are asked again.
    """

    rules: tuple[Rule, ...]
    asks: tuple[frozenset[str], ...]
    """Facts that each rule asks about."""
    chosen: int
    attributes: Mapping[str, str]
    options: Mapping[str, str]

    @classmethod
    def of(cls, knowledge: Knowledge, order: DraftOrder, rule: Rule) -> "_Retrial":
        rules = knowledge.appropriateness.rules
        return cls(
            rules,
            tuple(frozenset(facts_in(r.when)) for r in rules),
            rules.index(rule),
            _order_attributes(order),
            _options(knowledge),
        )

    def place_reached(self, picture: ClinicalPicture, fact_id: str, *, value: bool) -> int:
        """Return the place in the table of the rule that would decide."""
        findings = picture.assuming(fact_id, value=value)
        changed = {f for f, finding in findings.items() if finding is not picture.findings[f]}
        situation = Situation(findings, self.attributes, self.options)
        for place, rule in enumerate(self.rules):
            if place <= self.chosen and changed.isdisjoint(self.asks[place]):
                if place == self.chosen:
                    return place
                continue
            if holds(rule.when, situation):
                return place
        # The loader refuses a table whose last rule is not `otherwise`.
        raise AssertionError(fact_id)
