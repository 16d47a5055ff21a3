"""Reads `facts.yaml`: thresholds, options, the order, the episode, and how each fact is read."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from cds_service.episodes import EpisodeDefinition
from cds_service.fact_kinds import FACT_KINDS, FactKind
from cds_service.knowledge import FactDefinition, Option, Threshold
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES, Vocabulary
from cds_service.knowledge_loading.parameters import ParameterReader
from cds_service.knowledge_loading.yaml import (
    Fields,
    Node,
    Problems,
    flag_of,
    integer_of,
)
from cds_service.names_in_folders import EMERGENCIES
from cds_service.orders import OrderDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsFile:
    """Everything in `facts.yaml`."""

    thresholds: Mapping[str, Threshold]
    options: Mapping[str, Option]
    order: OrderDefinition | None
    """None only beside a reported problem; so is `episode`."""
    episode: EpisodeDefinition | None
    facts: tuple[FactDefinition, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What facts may refer to outside their file."""

    value_sets: frozenset[str]
    choices: frozenset[str]
    """Indication codes of `cards.yaml`."""


def read_facts(root: Node, surroundings: Surroundings, problems: Problems) -> FactsFile:
    """Read the file; every problem is reported, and what cannot be read is left out."""
    top = Fields(root, problems)
    thresholds = {
        threshold.key: threshold
        for node in top.items("thresholds", required=True)
        if (threshold := _threshold(node, problems)).key
    }
    report_repeated(top.items("thresholds"), "threshold", problems)
    options = {
        option.key: option
        for node in top.items("options", required=True)
        if (option := _option(node, problems)).key
    }
    report_repeated(top.items("options"), "option", problems)
    defined: set[str] = set()
    vocabulary = Vocabulary(
        facts=defined,
        options={key: option.choices for key, option in options.items()},
        attributes=ORDER_ATTRIBUTES,
    )
    parameters = ParameterReader(
        {key: threshold.value for key, threshold in thresholds.items()}, vocabulary, problems
    )
    order = _order(top.need("order"), parameters, surroundings)
    episode = _episode(top.need("episode"), parameters, surroundings)
    facts = []
    for node in top.items("facts", required=True):
        facts.append(_fact(node, defined, parameters, surroundings))
        defined.add(facts[-1].id)
    report_repeated(top.items("facts"), "fact", problems)
    for node, fact in zip(top.items("facts"), facts, strict=True):
        check_known(node, "fact", fact.implies, defined, problems)
    top.finish()
    return FactsFile(
        thresholds={
            key: replace(threshold, is_read=key in parameters.used_thresholds)
            for key, threshold in thresholds.items()
        },
        options=options,
        order=order,
        episode=episode,
        facts=tuple(facts),
    )


def order_sets(order: OrderDefinition) -> tuple[str, ...]:
    """Return every value set by which an order of this topic is recognised."""
    return (
        *(set_id for set_id, _ in order.contrast_sets),
        order.unspecified_set,
        order.multiregion_set,
        order.body_site_set,
        order.modality_set,
    )


def _threshold(node: Node, problems: Problems) -> Threshold:
    members = Fields(node, problems)
    value = members.need("value")
    threshold = Threshold(
        key=members.text("threshold"),
        value=integer_of(value, problems) if value else 0,
        unit=members.text("unit"),
        says=members.text("says"),
        source=members.text("source"),
        line=node.line,
    )
    members.finish()
    return threshold


def _option(node: Node, problems: Problems) -> Option:
    members = Fields(node, problems)
    option = Option(
        key=members.text("option"),
        value=members.text("value"),
        choices=members.texts("choices", required=True),
        says=members.text("says"),
    )
    if option.choices and option.value not in option.choices:
        problems.report(
            members.at("value"), f"{option.value!r} is not one of: {', '.join(option.choices)}"
        )
    members.finish()
    return option


def _order(
    node: Node | None, parameters: ParameterReader, surroundings: Surroundings
) -> OrderDefinition | None:
    if node is None:
        return None
    order = parameters.build(OrderDefinition, Fields(node, parameters.problems))
    if order is not None:
        check_known(
            node, "value set", order_sets(order), surroundings.value_sets, parameters.problems
        )
    return order


def _episode(
    node: Node | None, parameters: ParameterReader, surroundings: Surroundings
) -> EpisodeDefinition | None:
    if node is None:
        return None
    episode = parameters.build(EpisodeDefinition, Fields(node, parameters.problems))
    if episode is not None:
        check_known(
            node, "value set", episode.value_sets, surroundings.value_sets, parameters.problems
        )
    return episode


def _fact(
    node: Node, defined: set[str], parameters: ParameterReader, surroundings: Surroundings
) -> FactDefinition:
    problems = parameters.problems
    members = Fields(node, problems)
    fact_id = members.text("fact")
    answers = {
        code: flag_of(answer, problems) for code, answer in members.mapping("answers").items()
    }
    check_known(members.at("answers"), "choice", tuple(answers), surroundings.choices, problems)
    readings = (
        _reading(item, defined, parameters, surroundings)
        for item in members.items("readings", required=True)
    )
    fact = FactDefinition(
        id=fact_id,
        number=members.text("number"),
        says=members.text("says"),
        label=members.text("label"),
        readings=tuple(reading for reading in readings if reading is not None),
        answers=answers,
        implies={
            other: flag_of(value, problems) for other, value in members.mapping("implies").items()
        },
        is_red_flag=members.flag("red_flag"),
        is_emergency=members.flag("emergency", default=fact_id in EMERGENCIES),
        is_internal=members.flag("internal"),
        has_card_line=members.flag("card_line", default=True),
    )
    members.finish()
    return fact


def _reading(
    node: Node, defined: set[str], parameters: ParameterReader, surroundings: Surroundings
) -> FactKind | None:
    problems = parameters.problems
    members = Fields(node, problems)
    name = members.text("kind")
    if name not in FACT_KINDS:
        if name:
            problems.report(node, f"unknown kind {name!r}; known: {', '.join(sorted(FACT_KINDS))}")
        return None
    reading = parameters.build(FACT_KINDS[name], members)
    if reading is not None:
        sets = reading.value_set_ids
        check_known(node, "value set", sets, surroundings.value_sets, problems)
        for fact in sorted(reading.depends_on - defined):
            problems.report(node, f"fact {fact!r} is unknown or defined only later")
    return reading


def report_repeated(nodes: Iterable[Node], key: str, problems: Problems) -> None:
    """Report every list member whose id an earlier one already has."""
    seen: set[str] = set()
    for node in nodes:
        name = node.text_at(key)
        if name in seen:
            problems.report(node, f"{key} {name!r} stands twice; ids are permanent and unique")
        seen.add(name)


def check_known(
    node: Node,
    what: str,
    names: Iterable[str],
    known: Collection[str],
    problems: Problems,
) -> None:
    """Report every name that is not known."""
    for name in sorted(names):
        if name not in known:
            problems.report(node, f"unknown {what} {name!r}")
