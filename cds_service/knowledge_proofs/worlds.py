"""A symbolic situation: every fact, attribute and option as variables of the solver."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import z3

from cds_service.knowledge_proofs.space import CONTRAST_OF, Space
from cds_service.knowledge_proofs.states import State
from cds_service.review_notes import CaseValue
from cds_service.rule_tests import FactState

Term: TypeAlias = z3.BoolRef
Attributes: TypeAlias = Mapping[str, Mapping[str, Term]]
"""Attribute → value → whether it has that value."""

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)  # noqa: FBT003


def both(terms: Iterable[Term]) -> Term:
    """All of the terms hold; none at all holds too."""
    return z3.And(*terms)


def either(terms: Iterable[Term]) -> Term:
    """One of the terms holds."""
    return z3.Or(*terms)


@dataclass(frozen=True, slots=True)
class FactTerm:
    """One fact: five states in three variables."""

    is_true: Term
    is_false: Term
    is_strong: Term
    """True or false, on strong evidence."""

    @classmethod
    def named(cls, name: str) -> "FactTerm":
        """Return a fact that may have any state."""
        return cls(*(z3.Bool(f"{name}:{part}") for part in ("true", "false", "strong")))

    @classmethod
    def fixed(cls, value: CaseValue) -> "FactTerm":
        """Return a fact with one state."""
        return cls(
            TRUE if value in {CaseValue.TRUE, CaseValue.POSSIBLE} else FALSE,
            TRUE if value in {CaseValue.FALSE, CaseValue.POSSIBLE_FALSE} else FALSE,
            TRUE if value in {CaseValue.TRUE, CaseValue.FALSE} else FALSE,
        )

    @property
    def is_one_state(self) -> Term:
        """Not true and false at once; strong only where it is one of them."""
        is_known = either((self.is_true, self.is_false))
        return both(
            (z3.Not(both((self.is_true, self.is_false))), z3.Implies(self.is_strong, is_known))
        )

    @property
    def is_unknown(self) -> Term:
        """Neither true nor false."""
        return z3.Not(either((self.is_true, self.is_false)))

    @property
    def firm(self) -> "FactTerm":
        """Return the fact with what is only possible taken as unknown."""
        return FactTerm(
            both((self.is_true, self.is_strong)),
            both((self.is_false, self.is_strong)),
            self.is_strong,
        )

    def is_in(self, state: FactState) -> Term:
        """As `situations.is_in`."""
        match state:
            case FactState.TRUE:
                return self.is_true
            case FactState.STRONG:
                return both((self.is_true, self.is_strong))
            case FactState.FALSE:
                return self.is_false
            case FactState.STRONG_FALSE:
                return both((self.is_false, self.is_strong))
            case FactState.UNKNOWN:
                return self.is_unknown
            case FactState.NOT_TRUE:
                return z3.Not(self.is_true)
            case FactState.NOT_STRONG:
                return z3.Not(both((self.is_true, self.is_strong)))

    def is_equal_to(self, other: "FactTerm") -> Term:
        """Both are in the same state."""
        return both(
            (
                self.is_true == other.is_true,
                self.is_false == other.is_false,
                self.is_strong == other.is_strong,
            )
        )

    def value_in(self, model: z3.ModelRef) -> CaseValue:
        """Read the state off a model."""
        true, false, strong = (
            z3.is_true(model.eval(part, model_completion=True))
            for part in (self.is_true, self.is_false, self.is_strong)
        )
        if true:
            return CaseValue.TRUE if strong else CaseValue.POSSIBLE
        if false:
            return CaseValue.FALSE if strong else CaseValue.POSSIBLE_FALSE
        return CaseValue.UNKNOWN


@dataclass(frozen=True)
class World:
    """One symbolic situation: stands for every combination that its constraints allow."""

    space: Space
    facts: Mapping[str, FactTerm]
    attributes: Attributes
    options: Attributes
    is_unread: Term

    @classmethod
    def free(cls, space: Space, name: str = "") -> "World":
        """Return a situation of which nothing is settled yet."""
        return cls(
            space=space,
            facts={fact: FactTerm.named(f"{name}{fact}") for fact in space.facts},
            attributes=_choices(space.attributes, name),
            options=_choices(space.options, f"{name}option."),
            is_unread=z3.Bool(f"{name}unread"),
        )

    @cached_property
    def constraints(self) -> tuple[Term, ...]:
        """One state for each fact, one value for each attribute, and what facts imply."""
        return (
            *(fact.is_one_state for fact in self.facts.values()),
            *(
                z3.PbEq([(term, 1) for term in values.values()], 1)
                for values in (*self.attributes.values(), *self.options.values())
            ),
            *(
                z3.Implies(
                    self.attributes["protocol"][protocol], self.attributes["contrast"][value]
                )
                for protocol, value in CONTRAST_OF.items()
            ),
            *self.implications,
        )

    @property
    def implications(self) -> tuple[Term, ...]:
        """What facts imply: the value, at least as strongly."""
        terms = []
        for implied in self.space.implications:
            fact, other = self.facts[implied.fact], self.facts[implied.other]
            has_value = other.is_true if implied.value else other.is_false
            terms.append(z3.Implies(fact.is_true, has_value))
            terms.append(z3.Implies(both((fact.is_true, fact.is_strong)), other.is_strong))
        return tuple(terms)

    def state_in(self, model: z3.ModelRef) -> State:
        """Read one combination off a model."""
        values = {fact: term.value_in(model) for fact, term in self.facts.items()}
        return State(
            facts={f: value for f, value in values.items() if value is not CaseValue.UNKNOWN},
            order={name: _chosen(terms, model) for name, terms in self.attributes.items()},
            options={name: _chosen(terms, model) for name, terms in self.options.items()},
            is_unread=z3.is_true(model.eval(self.is_unread, model_completion=True)),
        )


def _choices(named: Mapping[str, Sequence[str]], prefix: str) -> Attributes:
    return {
        name: {value: z3.Bool(f"{prefix}{name}={value}") for value in values}
        for name, values in named.items()
    }


def _chosen(terms: Mapping[str, Term], model: z3.ModelRef) -> str:
    return next(
        value for value, t in terms.items() if z3.is_true(model.eval(t, model_completion=True))
    )


UNKNOWN = FactTerm.fixed(CaseValue.UNKNOWN)
"""A fact that the space does not have."""
