"""What a rule may ask: the closed vocabulary of tests on facts, attributes and options.

Small on purpose: if a rule wants a new operator, add a fact kind in Python instead (house
style §2.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class FactState(StrEnum):
    """What a table may ask of a fact."""

    TRUE = "true"
    STRONG = "strong"
    """True on strong evidence."""
    FALSE = "false"
    STRONG_FALSE = "strong_false"
    """Stated absent on strong evidence; an alarm may rest on it."""
    UNKNOWN = "unknown"
    NOT_TRUE = "not_true"
    NOT_STRONG = "not_strong"
    """False, unknown, or true on possible evidence only."""


@dataclass(frozen=True, slots=True)
class FactIs:
    """A fact is in the given state."""

    fact: str
    state: FactState


@dataclass(frozen=True, slots=True)
class AttributeIs:
    """An attribute of the order or of the decision so far has one of the values.

    Order: `protocol`, `priority`, `contrast_only_code` (`true`/`false`). Decision so far
    (protocol table only): `row`, `variant`, `covered` (`true`/`false`).
    """

    attribute: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class OptionIs:
    """A site option has one of the values (`weak_cancer_flags: acr`)."""

    option: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class All:
    """Every member holds; with no member it always holds."""

    members: "tuple[Test, ...]"


@dataclass(frozen=True, slots=True)
class Any:
    """At least one member holds."""

    members: "tuple[Test, ...]"


Test: TypeAlias = FactIs | AttributeIs | OptionIs | All | Any
ALWAYS = All(())


def facts_in(test: Test) -> Iterator[str]:
    """Yield the facts that a test asks about, in its order."""
    match test:
        case FactIs(fact=fact):
            yield fact
        case All(members=members) | Any(members=members):
            for member in members:
                yield from facts_in(member)
