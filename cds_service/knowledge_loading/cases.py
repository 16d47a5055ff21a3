"""Reads `cases/*.yaml`: situations in words and facts, with the answer that is wanted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from cds_service.knowledge import (
    Case,
    DecisionTable,
    Expectation,
    Indicator,
    Rating,
)
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES
from cds_service.knowledge_loading.facts import check_known
from cds_service.knowledge_loading.tables import TableKind
from cds_service.knowledge_loading.yaml import (
    Fields,
    Node,
    Problems,
    choice_of,
    integer_of,
    text_of,
)
from cds_service.review_notes import CaseValue


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNames:
    """What cases may refer to."""

    facts: Collection[str]
    options: Mapping[str, tuple[str, ...]]
    tables: Mapping[TableKind, DecisionTable]
    brakes: Collection[str]


def read_cases(root: Node, names: CaseNames, problems: Problems) -> tuple[Case, ...]:
    """Return the cases of one file."""
    top = Fields(root, problems)
    cases = tuple(_case(node, names, problems) for node in top.items("cases", required=True))
    top.finish()
    return cases


def _case(node: Node, names: CaseNames, problems: Problems) -> Case:
    members = Fields(node, problems)
    facts = members.mapping("facts")
    check_known(members.at("facts"), "fact", facts, names.facts, problems)
    options = _chosen(members.mapping("options"), names.options, "option", problems)
    expected = members.need("expect")
    today = members.need("today")
    case = Case(
        id=members.text("case"),
        says=members.text("says"),
        today=_day(today, problems) if today else date.min,
        order=_chosen(members.mapping("order"), ORDER_ATTRIBUTES, "attribute", problems),
        facts={
            fact: choice_of(value, CaseValue, problems) or CaseValue.TRUE
            for fact, value in facts.items()
        },
        options=options,
        unreadable=members.texts("unreadable"),
        expect=_expectation(expected or node, names, problems),
    )
    members.finish()
    return case


def _chosen(
    nodes: Mapping[str, Node], known: Mapping[str, tuple[str, ...]], what: str, problems: Problems
) -> dict[str, str]:
    chosen = {}
    for key, node in nodes.items():
        chosen[key] = text_of(node, problems)
        if key not in known:
            problems.report(node, f"unknown {what} {key!r}")
        elif chosen[key] not in known[key]:
            problems.report(node, f"{chosen[key]!r} is not one of: {', '.join(known[key])}")
    return chosen


def _expectation(node: Node, names: CaseNames, problems: Problems) -> Expectation:
    members = Fields(node, problems)
    rating, variant = members.need("rating"), members.take("variant")
    rule, repeat_rule = members.text("rule"), members.text("repeat_rule", "")
    protocol_rule, safety_rules = members.text("protocol_rule", ""), members.texts("safety_rules")
    for key, kind, named in (
        ("rule", TableKind.BASE, (rule,)),
        ("repeat_rule", TableKind.REPEAT, (repeat_rule,)),
        ("protocol_rule", TableKind.CONTRAST, (protocol_rule,)),
        ("safety_rules", TableKind.SAFETY, safety_rules),
    ):
        known = {rule.id for rule in names.tables[kind].rules}
        check_known(members.at(key), "rule", filter(None, named), known, problems)
    expectation = Expectation(
        rule=rule,
        rating=(choice_of(rating, Rating, problems) if rating else None) or Rating.NOT_COVERED,
        indicator=_indicator(members, "indicator", problems),
        variant=integer_of(variant, problems) if variant else None,
        is_provisional=members.flag("provisional"),
        repeat_rule=repeat_rule,
        protocol_rule=protocol_rule,
        safety_rules=safety_rules,
        safety_indicator=_indicator(members, "safety_indicator", problems),
        leading=members.text("leading", ""),
        brakes=members.texts("brakes"),
        missing_first=members.texts("missing_first"),
    )
    check_known(members.at("brakes"), "brake", expectation.brakes, names.brakes, problems)
    check_known(
        members.at("missing_first"), "fact", expectation.missing_first, names.facts, problems
    )
    members.finish()
    return expectation


def _indicator(members: Fields, key: str, problems: Problems) -> Indicator | None:
    """Return an indicator; only that of the appropriateness card must be given."""
    node = members.need(key) if key == "indicator" else members.take(key)
    if node is None or node.value == "none":
        return None
    return choice_of(node, Indicator, problems)


def _day(node: Node, problems: Problems) -> date:
    text = text_of(node, problems)
    try:
        return date.fromisoformat(text)
    except ValueError:
        problems.report(node, f"must be a day like 2026-03-16, not {text!r}")
        return date.min
