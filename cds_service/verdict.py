"""All tables applied to one situation: base row, repeat overlay, contrast, safety. Pure.

Knows neither charts nor cards, so that a machine can be asked about every situation there is
(`knowledge_proofs` says the same in the words of a solver).
Source: decision table §5–§8; the order of the tables is that of §10.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cds_service.findings import Finding, Strength
from cds_service.knowledge import Brake, Indicator, Knowledge, Rating, Rule
from cds_service.orders import ImagingProtocol
from cds_service.situations import Situation, holds, unmet


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One rule that was tried: whether it held, and what was not met if it did not."""

    rule: str
    held: bool
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the tables say of one situation."""

    rule: Rule
    variant: int | None
    rating: Rating
    """Of the ordered protocol, the repeat row included."""
    is_provisional: bool
    base_indicator: Indicator | None
    """Of base row and repeat row, brakes included."""
    indicator: Indicator | None
    """Of the card: the contrast row included. None shows no card."""
    repeat_rule: Rule | None
    repeat_leads: bool
    """The message of the repeat row takes the place of the base row's."""
    protocol_rule: Rule | None
    safety_rules: tuple[Rule, ...]
    safety_indicator: Indicator | None
    """Of the safety card; None shows no safety card."""
    brakes: tuple[Brake, ...]
    is_softened: bool
    """A brake or an unreadable source took the edge off a row against the order."""
    situation: Situation
    """With base row, variant and coverage: what wording and suggestions ask about."""
    trace: tuple[TraceStep, ...]
    """Of the appropriateness table, then of the repeat table."""


def judge(
    knowledge: Knowledge, protocol: ImagingProtocol, situation: Situation, *, is_unread: bool
) -> Verdict:
    """Apply every table; `is_unread` says that some source could not be read completely."""
    rule, base_trace = _first_match(knowledge.appropriateness.rules, situation)
    if rule is None:
        # The loader refuses a table whose last rule is not `otherwise`.
        raise AssertionError(knowledge.appropriateness.id)
    variant = next((v.variant for v in rule.variants if holds(v.when, situation)), None)
    beside = situation.beside(
        row=rule.row,
        variant=str(variant or ""),
        covered=str(rule.is_covered).lower(),
        unread=str(is_unread).lower(),
    )
    repeat, repeat_trace = _first_match(knowledge.repeat.rules, beside)
    protocol_rule = next((r for r in knowledge.protocol.rules if holds(r.when, beside)), None)
    safety = _safety(knowledge.safety.rules, beside)
    is_against = rule.is_against or (repeat is not None and repeat.is_against)
    brakes = tuple(b for b in knowledge.brakes if is_against and holds(b.when, beside))
    is_softened = is_against and (bool(brakes) or is_unread)
    base = _highest((indicator_of(rule, beside), indicator_of(repeat, beside)))
    base = Indicator.INFO if is_softened else base
    return Verdict(
        rule=rule,
        variant=variant,
        rating=_rating(rule, repeat, protocol),
        is_provisional=(
            rule.is_provisional
            or is_softened
            or _rests_on_possible(rule, situation)
            or (repeat is not None and repeat.is_provisional)
        ),
        base_indicator=base,
        indicator=_highest((base, indicator_of(protocol_rule, beside))),
        repeat_rule=repeat,
        repeat_leads=repeat is not None
        and repeat.leads is not None
        and holds(repeat.leads, beside),
        protocol_rule=protocol_rule,
        safety_rules=safety,
        safety_indicator=_highest(indicator_of(r, beside) for r in safety),
        brakes=brakes,
        is_softened=is_softened,
        situation=beside,
        trace=(*base_trace, *repeat_trace),
    )


def rating_of(rule: Rule, protocol: ImagingProtocol) -> Rating:
    """Rate the ordered protocol; one that does not say its contrast is rated as `without`."""
    return rule.ratings.get(protocol) or rule.ratings[ImagingProtocol.WITHOUT]


def indicator_of(rule: Rule | None, situation: Situation) -> Indicator | None:
    """Return the indicator that a rule gives here; None shows no card for it."""
    if rule is None:
        return None
    return next((i.indicator for i in rule.indicators if holds(i.when, situation)), None)


def _rating(rule: Rule, repeat: Rule | None, protocol: ImagingProtocol) -> Rating:
    rates = repeat if repeat is not None and repeat.ratings else rule
    return rating_of(rates, protocol)


def _first_match(
    rules: tuple[Rule, ...], situation: Situation
) -> tuple[Rule | None, tuple[TraceStep, ...]]:
    steps: list[TraceStep] = []
    for rule in rules:
        if holds(rule.when, situation):
            steps.append(TraceStep(rule.id, held=True))
            return rule, tuple(steps)
        steps.append(TraceStep(rule.id, held=False, unmet=unmet(rule.when, situation)))
    return None, tuple(steps)


def _safety(rules: tuple[Rule, ...], situation: Situation) -> tuple[Rule, ...]:
    """Return the first rule that holds of each row; what only adds a line always counts."""
    found: list[Rule] = []
    rows: set[str] = set()
    for rule in rules:
        if rule.row not in rows and holds(rule.when, situation):
            found.append(rule)
            if rule.is_reported:
                rows.add(rule.row)
    return tuple(found)


def _highest(indicators: Iterable[Indicator | None]) -> Indicator | None:
    order = [None, *Indicator]
    return max(indicators, key=order.index, default=None)


def _rests_on_possible(rule: Rule, situation: Situation) -> bool:
    """Whether the row would not hold without the `possible` facts among its reasons."""
    firm = {
        fact: Finding(value=None)
        if fact in rule.supporting_facts and finding.strength is Strength.POSSIBLE
        else finding
        for fact, finding in situation.findings.items()
    }
    return not holds(rule.when, replace(situation, findings=firm))
