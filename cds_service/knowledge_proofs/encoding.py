"""The tables in the words of a solver: what `verdict.judge` does, for all situations at once.

Each method mirrors one step of `verdict.py` or `situations.py`; a differential test and the
replay of every counterexample hold the two together. Everything is propositional.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import z3

from cds_service.knowledge import (
    RATED_PROTOCOLS,
    Indicator,
    Knowledge,
    Rating,
    Rule,
    SuggestionRule,
)
from cds_service.knowledge_proofs.space import CONTRAST_OF, Space
from cds_service.knowledge_proofs.states import SCORES, State, asks, best_score, is_reported, names_of
from cds_service.orders import ImagingProtocol
from cds_service.review_notes import CaseValue
from cds_service.rule_tests import All, Any, AttributeIs, FactIs, FactState, OptionIs, Test

Term: TypeAlias = z3.BoolRef
Attributes: TypeAlias = Mapping[str, Mapping[str, Term]]
"""Attribute → value → whether it has that value."""

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)  # noqa: FBT003
LEVELS = tuple(Indicator)


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
        return both((z3.Not(both((self.is_true, self.is_false))), z3.Implies(self.is_strong, is_known)))

    @property
    def is_unknown(self) -> Term:
        """Neither true nor false."""
        return z3.Not(either((self.is_true, self.is_false)))

    @property
    def firm(self) -> "FactTerm":
        """Return the fact with what is only possible taken as unknown."""
        return FactTerm(
            both((self.is_true, self.is_strong)), both((self.is_false, self.is_strong)), self.is_strong
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
                z3.Implies(self.attributes["protocol"][protocol], self.attributes["contrast"][value])
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


@dataclass(frozen=True)
class Encoded:
    """The tables of one folder, laid over one world."""

    knowledge: Knowledge
    world: World
    _decided: dict[str, Mapping[str, Term]] = field(default_factory=dict)

    def holds(self, test: Test, facts: Mapping[str, FactTerm] | None = None) -> Term:
        """As `situations.holds`; a fact that the space does not have is unknown."""
        match test:
            case FactIs(fact=fact, state=state):
                found = (facts or self.world.facts).get(fact, _UNKNOWN)
                return found.is_in(state)
            case AttributeIs(attribute=attribute, values=values):
                terms = {**self.world.attributes, **self._decided}.get(attribute, {})
                return either(terms[value] for value in sorted(values) if value in terms)
            case OptionIs(option=option, values=values):
                return self._option_is(option, values)
            case All(members=members):
                return both(self.holds(member, facts) for member in members)
            case Any(members=members):
                return either(self.holds(member, facts) for member in members)

    def _option_is(self, option: str, values: frozenset[str]) -> Term:
        terms = self.world.options[option]
        return either(terms[value] for value in sorted(values) if value in terms)

    @cached_property
    def base(self) -> Mapping[str, Term]:
        """Rule id → whether this base rule decides."""
        return self._first(self.knowledge.appropriateness.rules)

    @cached_property
    def _beside(self) -> "Encoded":
        """Return the tables with row, variant and coverage of the base row decided."""
        rules = self.knowledge.appropriateness.rules
        rows: dict[str, list[Term]] = {}
        variants: dict[str, list[Term]] = {}
        for rule in rules:
            rows.setdefault(rule.row, []).append(self.base[rule.id])
            passed: list[Term] = []
            for each in rule.variants:
                here = self.holds(each.when)
                decides = both((self.base[rule.id], here, *map(z3.Not, passed)))
                variants.setdefault(str(each.variant), []).append(decides)
                passed.append(here)
        covered = either(self.base[rule.id] for rule in rules if rule.is_covered)
        decided = {
            "row": {row: either(terms) for row, terms in rows.items()},
            "variant": {variant: either(terms) for variant, terms in variants.items()},
            "covered": {"true": covered, "false": z3.Not(covered)},
        }
        return Encoded(self.knowledge, self.world, decided)

    @property
    def rows(self) -> Mapping[str, Term]:
        """Base row → whether it decides."""
        return self._beside._decided["row"]

    @property
    def variants(self) -> Mapping[str, Term]:
        """ACR variant → whether the base row has it."""
        return self._beside._decided["variant"]

    @cached_property
    def repeat(self) -> Mapping[str, Term]:
        """Rule id → whether this rule of the repeat table holds."""
        return self._beside._first(self.knowledge.repeat.rules)

    @cached_property
    def contrast(self) -> Mapping[str, Term]:
        """Rule id → whether this rule of the protocol table holds."""
        return self._beside._first(self.knowledge.protocol.rules)

    @cached_property
    def safety(self) -> Mapping[str, Term]:
        """Rule id → whether this safety rule holds, first of its row."""
        found: dict[str, Term] = {}
        earlier: dict[str, list[Term]] = {}
        for rule in self.knowledge.safety.rules:
            here = self._beside.holds(rule.when)
            passed = earlier.setdefault(rule.row, [])
            found[rule.id] = both((here, *map(z3.Not, passed)))
            if is_reported(rule):
                passed.append(here)
        return found

    @cached_property
    def is_against(self) -> Term:
        """Base or repeat row advise against the order."""
        return either(term for rule, term in self._base_and_repeat if rule.is_against)

    @cached_property
    def brakes(self) -> Mapping[str, Term]:
        """Brake id → whether it softens here."""
        return {
            brake.id: both((self.is_against, self._beside.holds(brake.when)))
            for brake in self.knowledge.brakes
        }

    @cached_property
    def is_softened(self) -> Term:
        """A brake or an unreadable source takes the edge off."""
        return both((self.is_against, either((self.world.is_unread, *self.brakes.values()))))

    @cached_property
    def alarm(self) -> Term:
        """A rule warns against the order, and nothing softens it."""
        warned = (both((term, self.warns(r))) for r, term in self._base_and_repeat if r.is_against)
        return both((z3.Not(self.is_softened), either(warned)))

    def warns(self, rule: Rule, facts: Mapping[str, FactTerm] | None = None) -> Term:
        """The indicator of a rule is a warning or more."""
        return self._beside._reaches(rule, Indicator.WARNING, facts)

    @cached_property
    def firm_alarm(self) -> Term:
        """As `Answer.has_firm_alarm`."""
        firm = {name: fact.firm for name, fact in self.world.facts.items()}
        rules = (
            *((rule, self.base[rule.id]) for rule in self.knowledge.appropriateness.rules),
            *((rule, self._beside.holds(rule.when)) for rule in self.knowledge.repeat.rules),
        )
        return either(
            both((here, self._beside.holds(rule.when, firm), self.warns(rule, firm)))
            for rule, here in rules
            if rule.is_against
        )

    @cached_property
    def indicator(self) -> Mapping[Indicator, Term]:
        """Indicator → whether the card has it or a higher one."""
        base = self._base_and_repeat
        contrast = [(rule, self.contrast[rule.id]) for rule in self.knowledge.protocol.rules]
        levels: dict[Indicator, Term] = {}
        for level in LEVELS:
            plain = either(both((t, self._beside._reaches(rule, level))) for rule, t in base)
            kept = either((self.is_softened, plain)) if level is Indicator.INFO else both(
                (plain, z3.Not(self.is_softened))
            )
            beside = (both((t, self._beside._reaches(rule, level))) for rule, t in contrast)
            levels[level] = either((kept, *beside))
        return levels

    @cached_property
    def safety_indicator(self) -> Mapping[Indicator, Term]:
        """The same of the safety card."""
        rules = self.knowledge.safety.rules
        return {
            level: either(
                both((self.safety[rule.id], self._beside._reaches(rule, level))) for rule in rules
            )
            for level in LEVELS
        }

    @cached_property
    def rating(self) -> Mapping[Rating, Term]:
        """Rating → whether the ordered protocol has it."""
        protocols = self.world.attributes["protocol"]
        found: dict[Rating, list[Term]] = {rating: [] for rating in Rating}
        for rule, rates in self._rating_rules:
            for name, is_ordered in protocols.items():
                rating = rule.ratings.get(ImagingProtocol(name))
                found[rating or rule.ratings[ImagingProtocol.WITHOUT]].append(
                    both((rates, is_ordered))
                )
        return {rating: either(terms) for rating, terms in found.items()}

    @cached_property
    def is_rated(self) -> Term:
        """Every protocol has a rating that compares."""
        return either(rates for rule, rates in self._rating_rules if best_score(rule) is not None)

    def best_at_least(self, score: int) -> Term:
        """The best-rated protocol has this score or a higher one."""
        return either(
            rates
            for rule, rates in self._rating_rules
            if (best := best_score(rule)) is not None and best >= score
        )

    @cached_property
    def is_provisional(self) -> Term:
        """As in `verdict.judge`."""
        rests = []
        for rule in self.knowledge.appropriateness.rules:
            firm = {
                name: fact.firm if name in rule.supporting_facts else fact
                for name, fact in self.world.facts.items()
            }
            # With its `possible` true reasons unknown; a possible "no" goes the same way.
            rests.append(both((self.base[rule.id], z3.Not(self.holds(rule.when, firm)))))
        marked = (term for rule, term in self._base_and_repeat if rule.is_provisional)
        return either((self.is_softened, *rests, *marked))

    @cached_property
    def repeat_leads(self) -> Term:
        """The message of the repeat row takes the place of the base row's."""
        return either(
            both((self.repeat[rule.id], self._beside.holds(rule.leads)))
            for rule in self.knowledge.repeat.rules
            if rule.leads is not None
        )

    @cached_property
    def offers(self) -> Mapping[str, Term]:
        """Suggestion → whether the appropriateness card offers it; as `Answer.offers`."""
        repeat_asks = either(
            both((self.repeat[rule.id], self._beside.holds(rule.leads)))
            for rule in self.knowledge.repeat.rules
            if rule.leads is not None and asks(rule)
        )
        found: dict[str, list[Term]] = {}
        for rule, term in (
            *self._base_and_repeat,
            *((rule, self.contrast[rule.id]) for rule in self.knowledge.protocol.rules),
        ):
            for offer in rule.suggestions:
                is_base_question = offer.kind == "A4" and rule.id in self.base
                kept = z3.Not(repeat_asks) if is_base_question else TRUE
                self._add_offer(found, offer, both((term, kept)))
        return {name: either(terms) for name, terms in found.items()}

    @cached_property
    def safety_offers(self) -> Mapping[str, Term]:
        """The same of the safety card."""
        found: dict[str, list[Term]] = {}
        for rule in self.knowledge.safety.rules:
            for offer in rule.suggestions:
                self._add_offer(found, offer, self.safety[rule.id])
        return {name: either(terms) for name, terms in found.items()}

    def offers_kind(self, kind: str) -> Term:
        """One of the cards offers a suggestion of this kind."""
        named = (*self.offers.items(), *self.safety_offers.items())
        return either(term for name, term in named if name.split()[0] == kind)

    def _add_offer(
        self, found: dict[str, list[Term]], offer: SuggestionRule, rule_holds: Term
    ) -> None:
        kept = z3.Not(self.is_softened) if offer.kind == "A1" else TRUE
        term = both((rule_holds, self._beside.holds(offer.when), kept))
        for name in names_of(offer):
            found.setdefault(name, []).append(term)

    @cached_property
    def _base_and_repeat(self) -> tuple[tuple[Rule, Term], ...]:
        return (
            *((rule, self.base[rule.id]) for rule in self.knowledge.appropriateness.rules),
            *((rule, self.repeat[rule.id]) for rule in self.knowledge.repeat.rules),
        )

    @cached_property
    def _rating_rules(self) -> tuple[tuple[Rule, Term], ...]:
        """Each rule that rates, and whether it is the one that does: repeat before base."""
        repeats = [(r, self.repeat[r.id]) for r in self.knowledge.repeat.rules if r.ratings]
        is_rerated = either(term for _, term in repeats)
        base = (
            (rule, both((self.base[rule.id], z3.Not(is_rerated))))
            for rule in self.knowledge.appropriateness.rules
        )
        return (*repeats, *base)

    def _first(self, rules: tuple[Rule, ...]) -> Mapping[str, Term]:
        """The first rule that holds decides."""
        found: dict[str, Term] = {}
        is_open = TRUE
        for rule in rules:
            here = self.holds(rule.when)
            found[rule.id] = both((is_open, here))
            is_open = both((is_open, z3.Not(here)))
        return found

    def _reaches(
        self, rule: Rule, level: Indicator, facts: Mapping[str, FactTerm] | None = None
    ) -> Term:
        """The first indicator of a rule that holds is this one or a higher one."""
        reached = FALSE
        for each in reversed(rule.indicators):
            is_high = each.indicator is not None and LEVELS.index(each.indicator) >= LEVELS.index(level)
            reached = z3.If(self.holds(each.when, facts), TRUE if is_high else FALSE, reached)
        return reached


_UNKNOWN = FactTerm.fixed(CaseValue.UNKNOWN)
SCORE_VALUES = tuple(sorted(set(SCORES.values()) - {0}))
