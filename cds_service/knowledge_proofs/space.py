"""The space of situations that the tables of a knowledge folder can tell apart.

Every fact that some rule, brake, indicator, variant or suggestion asks about, in five states;
the attributes of the order; the options of the site; and whether a source could not be read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from cds_service.knowledge import Knowledge, Rule
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES
from cds_service.orders import ContrastOrdered, ImagingProtocol
from cds_service.rule_tests import Test, facts_in

STATES_OF_A_FACT = 5
"""Unknown, true and false, the latter two on strong or on possible evidence."""

CONTRAST_OF: Mapping[str, str] = {
    ImagingProtocol.WITHOUT: ContrastOrdered.NO,
    ImagingProtocol.WITH: ContrastOrdered.YES,
    ImagingProtocol.WITHOUT_AND_WITH: ContrastOrdered.YES,
}
"""Protocols that settle whether contrast is ordered (`orders.DraftOrder.contrast`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Implication:
    """Whenever `fact` is true, `other` has `value`, at least as strongly."""

    fact: str
    other: str
    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What can differ between two situations, as far as the tables are concerned."""

    facts: tuple[str, ...]
    """In the order of the folder."""
    attributes: Mapping[str, tuple[str, ...]]
    options: Mapping[str, tuple[str, ...]]
    implications: tuple[Implication, ...]

    @classmethod
    def of(cls, *folders: Knowledge) -> "Space":
        """Return the space of one folder, or the common space of several."""
        wanted = {fact for folder in folders for fact in _asked(folder)}
        implied = dict.fromkeys(i for folder in folders for i in _implications(folder))
        while more := {i.other for i in implied if i.fact in wanted} - wanted:
            wanted |= more
        options: dict[str, tuple[str, ...]] = {}
        for folder in folders:
            for key, option in folder.options.items():
                options[key] = tuple(dict.fromkeys((*options.get(key, ()), *option.choices)))
        ordered = dict.fromkeys(fact.id for folder in folders for fact in folder.facts)
        return cls(
            facts=tuple(fact for fact in ordered if fact in wanted),
            attributes=ORDER_ATTRIBUTES,
            options=options,
            implications=tuple(i for i in implied if {i.fact, i.other} <= wanted),
        )

    @property
    def combinations(self) -> int:
        """How many situations there are, contradictory ones included."""
        protocols = sum(
            1 if protocol in CONTRAST_OF else len(self.attributes["contrast"])
            for protocol in self.attributes["protocol"]
        )
        others = [
            len(values)
            for name, values in self.attributes.items()
            if name not in {"protocol", "contrast"}
        ]
        choices = [len(values) for values in self.options.values()]
        return int(STATES_OF_A_FACT ** len(self.facts)) * 2 * protocols * prod((*others, *choices))

    @property
    def in_words(self) -> str:
        """Say the size: `5^70 × 864 ≈ 10^52 combinations`."""
        total = self.combinations
        rest = total // STATES_OF_A_FACT ** len(self.facts)
        power = len(str(total)) - 1
        return f"{STATES_OF_A_FACT}^{len(self.facts)} × {rest} ≈ 10^{power} combinations"


def dependants(knowledge: Knowledge, fact_id: str) -> frozenset[str]:
    """Return the facts whose readings look at this one, directly or through others."""
    found = {fact_id}
    for fact in knowledge.facts:  # a fact looks only at facts above it
        if not found.isdisjoint(fact.depends_on):
            found.add(fact.id)
    return frozenset(found - {fact_id})


def red_flags(knowledge: Knowledge) -> tuple[str, ...]:
    """Return the ids of the facts that are red flags."""
    return tuple(fact.id for fact in knowledge.facts if fact.is_red_flag)


def tests_of(rule: Rule) -> Iterator[Test]:
    """Yield every test that a rule makes."""
    yield rule.when
    yield from (v.when for v in rule.variants)
    yield from (i.when for i in rule.indicators)
    yield from (s.when for s in rule.suggestions)
    if rule.leads is not None:
        yield rule.leads


def _asked(knowledge: Knowledge) -> Collection[str]:
    tests: Iterable[Test] = (
        *(test for rule in knowledge.rules for test in tests_of(rule)),
        *(brake.when for brake in knowledge.brakes),
    )
    return {fact for test in tests for fact in facts_in(test)} | set(red_flags(knowledge))


def _implications(knowledge: Knowledge) -> Iterator[Implication]:
    for fact in knowledge.facts:
        for other, value in fact.implies.items():
            yield Implication(fact=fact.id, other=other, value=value)
