"""The tables in the words of a solver: what `verdict.judge` does, for all situations at once.

Each method mirrors one step of `verdict.py` or `situations.py`; a differential test and the
replay of every counterexample hold the two together. Everything is propositional.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import z3

from cds_service.knowledge import Indicator, Knowledge, Rating, Rule, SuggestionRule
from cds_service.knowledge_proofs.states import (
    SCORES,
    advises_against,
    asks,
    best_score,
    is_reported,
    names_of,
)
from cds_service.knowledge_proofs.worlds import (
    FALSE,
    TRUE,
    UNKNOWN,
    Attributes,
    FactTerm,
    Term,
    World,
    both,
    either,
)
from cds_service.orders import ImagingProtocol
from cds_service.rule_tests import All, Any, AttributeIs, FactIs, OptionIs, Test

LEVELS = tuple(Indicator)
SCORE_VALUES = tuple(sorted(set(SCORES.values()) - {0}))
"""Scores that a rating can fall below."""


@dataclass(frozen=True)
class _Tests:
    """What rules ask, of one world, with what is decided so far."""

    world: World
    decided: Attributes

    def holds(self, test: Test, facts: Mapping[str, FactTerm] | None = None) -> Term:
        """As `situations.holds`; a fact that the space does not have is unknown."""
        match test:
            case FactIs(fact=fact, state=state):
                found = (facts or self.world.facts).get(fact, UNKNOWN)
                return found.is_in(state)
            case AttributeIs(attribute=attribute, values=values):
                terms = {**self.world.attributes, **self.decided}.get(attribute, {})
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

    def first(self, rules: tuple[Rule, ...]) -> Mapping[str, Term]:
        """The first rule that holds decides."""
        found: dict[str, Term] = {}
        is_open = TRUE
        for rule in rules:
            here = self.holds(rule.when)
            found[rule.id] = both((is_open, here))
            is_open = both((is_open, z3.Not(here)))
        return found

    def reaches(
        self, rule: Rule, level: Indicator, facts: Mapping[str, FactTerm] | None = None
    ) -> Term:
        """The first indicator of a rule that holds is this one or a higher one."""
        reached = FALSE
        for each in reversed(rule.indicators):
            is_high = each.indicator is not None and LEVELS.index(each.indicator) >= LEVELS.index(
                level
            )
            reached = z3.If(self.holds(each.when, facts), TRUE if is_high else FALSE, reached)
        return reached


@dataclass(frozen=True)
class Encoded:
    """The tables of one folder, laid over one world."""

    knowledge: Knowledge
    world: World

    @cached_property
    def _plain(self) -> _Tests:
        return _Tests(self.world, {})

    def holds(self, test: Test) -> Term:
        """As `situations.holds`, before the base row is decided."""
        return self._plain.holds(test)

    @cached_property
    def base(self) -> Mapping[str, Term]:
        """Rule id → whether this base rule decides."""
        return self._plain.first(self.knowledge.appropriateness.rules)

    @cached_property
    def _beside(self) -> _Tests:
        """Return the tests with row, variant and coverage of the base row decided."""
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
        decided: Attributes = {
            "row": {row: either(terms) for row, terms in rows.items()},
            "variant": {variant: either(terms) for variant, terms in variants.items()},
            "covered": {"true": covered, "false": z3.Not(covered)},
            "unread": {"true": self.world.is_unread, "false": z3.Not(self.world.is_unread)},
        }
        return _Tests(self.world, decided)

    @property
    def rows(self) -> Mapping[str, Term]:
        """Base row → whether it decides."""
        return self._beside.decided["row"]

    @property
    def variants(self) -> Mapping[str, Term]:
        """ACR variant → whether the base row has it."""
        return self._beside.decided["variant"]

    @cached_property
    def repeat(self) -> Mapping[str, Term]:
        """Rule id → whether this rule of the repeat table holds."""
        return self._beside.first(self.knowledge.repeat.rules)

    @cached_property
    def contrast(self) -> Mapping[str, Term]:
        """Rule id → whether this rule of the protocol table holds."""
        return self._beside.first(self.knowledge.protocol.rules)

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
        warned = (both((term, self.warns(rule))) for rule, term in self._base_and_repeat)
        return both((z3.Not(self.is_softened), either(warned)))

    def warns(self, rule: Rule, facts: Mapping[str, FactTerm] | None = None) -> Term:
        """A rule advises against the order with a warning or more; as `states.warns`."""
        if not advises_against(rule):
            return FALSE
        return self._beside.reaches(rule, Indicator.WARNING, facts)

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
        )

    @cached_property
    def indicator(self) -> Mapping[Indicator, Term]:
        """Indicator → whether the card has it or a higher one."""
        base = self._base_and_repeat
        contrast = [(rule, self.contrast[rule.id]) for rule in self.knowledge.protocol.rules]
        levels: dict[Indicator, Term] = {}
        for level in LEVELS:
            plain = either(both((t, self._beside.reaches(rule, level))) for rule, t in base)
            kept = (
                either((self.is_softened, plain))
                if level is Indicator.INFO
                else both((plain, z3.Not(self.is_softened)))
            )
            beside = (both((t, self._beside.reaches(rule, level))) for rule, t in contrast)
            levels[level] = either((kept, *beside))
        return levels

    @cached_property
    def safety_indicator(self) -> Mapping[Indicator, Term]:
        """The same of the safety card."""
        rules = self.knowledge.safety.rules
        return {
            level: either(
                both((self.safety[rule.id], self._beside.reaches(rule, level))) for rule in rules
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
            rests.append(both((self.base[rule.id], z3.Not(self._plain.holds(rule.when, firm)))))
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
