"""A situation, and whether a test holds in it. Three-valued: only a state that is named matches.

So an unknown fact never stops a later rule (decision table §5, notes). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cds_service.findings import Finding, Strength
from cds_service.rule_tests import All, Any, AttributeIs, FactIs, FactState, OptionIs, Test


@dataclass(frozen=True, slots=True)
class Situation:
    """What a test is asked about: findings, attributes of the order, options of the site."""

    findings: Mapping[str, Finding]
    attributes: Mapping[str, str]
    options: Mapping[str, str]

    def beside(self, **attributes: str) -> "Situation":
        """Return the situation with attributes of the decision so far."""
        return replace(self, attributes={**self.attributes, **attributes})


def holds(test: Test, situation: Situation) -> bool:
    """Does the test hold in this situation?"""
    match test:
        case FactIs(fact=fact, state=state):
            return is_in(situation.findings[fact], state)
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


def is_in(finding: Finding, state: FactState) -> bool:
    """Is the fact in this state?"""
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
