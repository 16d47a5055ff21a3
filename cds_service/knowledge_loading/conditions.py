"""Reads the `when` of rules, brakes, card lines and suggestions into `Test`s.

The vocabulary is small and closed: a fact in a state, an attribute of the order or of the
decision so far, an option of the site, `any` and `all` (house style §2.1).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from cds_service.knowledge_loading.yaml import Fields, Node, Problems, choice_of, items_of, text_of
from cds_service.orders import ContrastOrdered, ImagingProtocol, Priority
from cds_service.rule_tests import (
    ALWAYS,
    All,
    Any,
    AttributeIs,
    FactIs,
    FactState,
    OptionIs,
    Test,
)

_TRUTH = ("true", "false")
_OPTION = "option."
ORDER_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "protocol": tuple(ImagingProtocol),
    "priority": tuple(Priority),
    "contrast_only_code": _TRUTH,
    "contrast": tuple(ContrastOrdered),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a `when` may name here."""

    facts: Collection[str]
    options: Mapping[str, tuple[str, ...]]
    """Option → its choices."""
    attributes: Mapping[str, tuple[str, ...]]
    """Attribute → its values."""

    def with_decision(self, rows: Collection[str], variants: Collection[int]) -> "Vocabulary":
        """Add what is known once the base row is decided: its row, variant and coverage."""
        decided = {
            "unread": _TRUTH,
            "row": tuple(rows),
            "variant": tuple(str(variant) for variant in variants),
            "covered": _TRUTH,
        }
        return replace(self, attributes={**self.attributes, **decided})


def read_when(members: Fields, vocabulary: Vocabulary) -> Test:
    """Return the test under the optional key `when`; without one it always holds."""
    node = members.take("when")
    return read_test(node, vocabulary, members.problems) if node else ALWAYS


def read_test(node: Node, vocabulary: Vocabulary, problems: Problems) -> Test:
    """Return the test that a `when` mapping states; all its members must hold."""
    if not isinstance(node.value, dict):
        problems.report(node, f"must be a mapping of facts to states, not {node.kind}")
        return ALWAYS
    if not node.value:
        problems.report(node, "says nothing; name a fact, or leave `when` out")
    members = tuple(
        _member(key, member, vocabulary, problems) for key, member in node.value.items()
    )
    return members[0] if len(members) == 1 else All(members)


def _member(key: str, node: Node, vocabulary: Vocabulary, problems: Problems) -> Test:
    if key in ("any", "all"):
        nodes = items_of(node, problems)
        if not nodes:
            problems.report(node, f"{key} needs at least one member")
        members = tuple(read_test(member, vocabulary, problems) for member in nodes)
        return Any(members) if key == "any" else All(members)
    if key.startswith(_OPTION):
        option = key.removeprefix(_OPTION)
        choices = vocabulary.options.get(option)
        if choices is None:
            problems.report(node, f"unknown option {option!r}")
            return ALWAYS
        return OptionIs(option, _values(node, choices, problems))
    if key in vocabulary.attributes:
        return AttributeIs(key, _values(node, vocabulary.attributes[key], problems))
    if key not in vocabulary.facts:
        problems.report(node, f"unknown fact {key!r}, or one that is defined only later")
    state = choice_of(node, FactState, problems)
    return FactIs(key, state or FactState.TRUE)


def _values(node: Node, known: Collection[str], problems: Problems) -> frozenset[str]:
    """Return the values that a list names, or all but those that `{not: [...]}` names."""
    if isinstance(node.value, dict):
        members = Fields(node, problems)
        left_out = members.need("not")
        members.finish()
        return frozenset(known) - (_values(left_out, known, problems) if left_out else set())
    values: set[str] = set()
    for item in items_of(node, problems):
        value = text_of(item, problems)
        values.add(value)
        if value not in known:
            problems.report(item, f"{value!r} is not one of: {', '.join(known)}")
    return frozenset(values)
