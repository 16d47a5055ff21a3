"""Proves the six properties of a knowledge folder, or shows where they fail.

Needs `z3-solver`, a development dependency: import this module only where it is installed.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import z3

from cds_service.fact_kinds.combined import UnexplainedBy
from cds_service.knowledge import Knowledge
from cds_service.knowledge_proofs.claims import claims, left_out, named_facts
from cds_service.knowledge_proofs.counterexamples import (
    EncodingMismatch,
    Pair,
    as_yaml,
    case_of,
    smallest_pair,
    smallest_state,
)
from cds_service.knowledge_proofs.encoding import Encoded
from cds_service.knowledge_proofs.properties import (
    FLAG_BREACHES,
    Breach,
    FlagBreach,
    breaches,
)
from cds_service.knowledge_proofs.space import Space, dependants, red_flags
from cds_service.knowledge_proofs.states import Answer, State
from cds_service.knowledge_proofs.worlds import FactTerm, Term, World, both, either


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """Where a property fails, and what shows it."""

    number: int
    key: str
    says: str
    cases: tuple[str, ...]
    """Cases in YAML; two for property 4; none for a rule that nothing reaches."""
    same_as: str = ""
    """What others share that fail in the same way: several red flags may move the same rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One property: proved, or the counterexamples."""

    number: int
    says: str
    seconds: float
    counterexamples: tuple[Counterexample, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Whether nothing was found against it."""
        return not self.counterexamples


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """What was proved of a folder, over how many combinations, in what time."""

    space: Space
    proofs: tuple[Proof, ...]
    left_out: tuple[str, ...] = ()
    """Properties that cannot be asked of this folder, and why."""

    @property
    def seconds(self) -> float:
        """Return the time of all proofs."""
        return sum(proof.seconds for proof in self.proofs)

    @property
    def proved(self) -> tuple[str, ...]:
        """One sentence for each property that holds."""
        return tuple(
            f"{proof.says} (over all {self.space.in_words}; {proof.seconds:.1f} s)."
            for proof in self.proofs
            if proof.is_proved
        )

    @property
    def counterexamples(self) -> tuple[Counterexample, ...]:
        """Everything that was found, by property."""
        return tuple(each for proof in self.proofs for each in proof.counterexamples)

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for each counterexample."""
        return tuple(f"property {each.number}: {each.says}" for each in self.counterexamples)

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that show the failures, to be pasted into `cases/`; of a kind the first."""
        kinds: dict[str, Counterexample] = {}
        for each in self.counterexamples:
            kinds.setdefault(each.same_as or each.key, each)
        return tuple(case for each in kinds.values() for case in each.cases)

    def as_data(self) -> Mapping[str, object]:
        """Return the report for scripts."""
        return {
            "facts": len(self.space.facts),
            "combinations": str(self.space.combinations),
            "seconds": round(self.seconds, 2),
            "properties": [
                {
                    "property": proof.number,
                    "says": proof.says,
                    "proved": proof.is_proved,
                    "seconds": round(proof.seconds, 2),
                    "counterexamples": [
                        {"key": each.key, "says": each.says, "cases": each.cases}
                        for each in proof.counterexamples
                    ],
                }
                for proof in self.proofs
            ],
        }


def prove(knowledge: Knowledge) -> ProofReport:
    """Try to prove each property over all combinations of fact values.

    Raises EncodingMismatch if the service does not bear out what the solver found.
    """
    space = Space.of(knowledge)
    prover = _Prover(knowledge, space)
    single = tuple(breaches(knowledge))
    proofs = []
    for number, says in claims(knowledge).items():
        started = time.monotonic()
        found = tuple(prover.counterexamples(number, single))
        proofs.append(
            Proof(
                number=number,
                says=says,
                seconds=time.monotonic() - started,
                counterexamples=found,
            )
        )
    return ProofReport(space=space, proofs=tuple(proofs), left_out=left_out(knowledge))


class _Prover:
    """One folder and one solver that holds what is true of every situation."""

    def __init__(self, knowledge: Knowledge, space: Space) -> None:
        missing = [fact for fact in named_facts(knowledge) if fact not in space.facts]
        if missing:
            raise EncodingMismatch(f"no rule asks about: {', '.join(missing)}")
        self.knowledge = knowledge
        self.space = space
        self.encoded = Encoded(knowledge, World.free(space))
        self.solver = z3.Solver()
        self.solver.add(*self.encoded.world.constraints)

    def counterexamples(self, number: int, single: tuple[Breach, ...]) -> Iterator[Counterexample]:
        """Yield what speaks against one property."""
        match number:
            case 1:
                yield from self.unreached()
            case 4:
                yield from self.flag_breaches()
            case _:
                yield from self.single_breaches(tuple(b for b in single if b.number == number))

    def find(self, term: Term) -> State | None:
        """Return a situation in which the term holds; None proves that there is none."""
        model = _model(self.solver, term)
        return None if model is None else self.encoded.world.state_in(model)

    def unreached(self) -> Iterator[Counterexample]:
        """Yield what no situation reaches; the folder has no case for it, so no case is shown."""
        tables = self.encoded
        if self.find(z3.Not(either(tables.base.values()))) is not None:
            raise EncodingMismatch("a combination reaches no base row, although one is otherwise")
        for what, terms in (
            ("base row", tables.base),
            ("repeat row", tables.repeat),
            ("contrast row", tables.contrast),
            ("safety row", tables.safety),
            ("brake", tables.brakes),
        ):
            for name, term in terms.items():
                if self.find(term) is None:
                    yield Counterexample(
                        number=1,
                        key=f"unreached-{name.lower()}",
                        says=f"no combination reaches {what} {name}{self._instead(name)}",
                        cases=(),
                    )

    def _instead(self, name: str) -> str:
        """Say which earlier base rules take what a rule asks for."""
        rules = self.knowledge.appropriateness.rules
        place = next((place for place, rule in enumerate(rules) if rule.id == name), None)
        if place is None:
            return ""
        here = self.encoded.holds(rules[place].when)
        if self.find(here) is None:
            return ": its conditions contradict one another"
        solver = z3.Solver()
        solver.add(*self.encoded.world.constraints, here)
        for rule in rules[:place]:
            solver.assert_and_track(z3.Not(self.encoded.holds(rule.when)), rule.id)
        solver.check()
        earlier = {str(each) for each in solver.unsat_core()}
        taken = (rule.id for rule in rules[:place] if rule.id in earlier)
        return f": whatever it asks for is decided before by {', '.join(taken)}"

    def single_breaches(self, wanted: tuple[Breach, ...]) -> Iterator[Counterexample]:
        """Yield the smallest situation for each breach that there is."""
        for breach in wanted:
            state = self.find(breach.term(self.encoded))
            if state is not None:
                yield self._shown(breach, state)

    def _shown(self, breach: Breach, found: State) -> Counterexample:
        def is_broken(state: State) -> bool:
            return breach.is_in(Answer.of(self.knowledge, state))

        smallest = smallest_state(found, self.space, self.knowledge, is_broken)
        return Counterexample(
            number=breach.number,
            key=breach.key,
            says=breach.says,
            cases=(self._case(smallest, f"proof-{breach.number}-{breach.key}", breach.says),),
        )

    def flag_breaches(self) -> Iterator[Counterexample]:
        """Yield the smallest pair of situations for each red flag and breach."""
        for flag in red_flags(self.knowledge):
            after, relation, free = self._risen(flag)
            solver = z3.Solver()
            solver.add(*self.encoded.world.constraints, *after.world.constraints, *relation)
            for breach in FLAG_BREACHES:
                model = _model(solver, breach.term(self.encoded, after))
                if model is not None:
                    pair = Pair(
                        flag=flag,
                        before=self.encoded.world.state_in(model),
                        after=after.world.state_in(model),
                        rising=dependants(self.knowledge, flag),
                        free=free,
                    )
                    yield self._shown_pair(pair, breach)

    def _risen(self, flag: str) -> tuple[Encoded, tuple[Term, ...], frozenset[str]]:
        """Return the tables after a flag became true, and how that world follows from ours.

        The flag was unknown and is true. What looks at it may move up, towards "true"; only
        what reads `unexplained_by` may move freely (a fall explains an injury). All else stays.
        A test holds every story against this.
        """
        world = self.encoded.world
        rising = dependants(self.knowledge, flag)
        free = frozenset(
            fact.id
            for fact in self.knowledge.facts
            if fact.id in rising and any(isinstance(r, UnexplainedBy) for r in fact.readings)
        )
        moved = {
            fact: FactTerm.named(f"after:{fact}") if fact in rising or fact == flag else term
            for fact, term in world.facts.items()
        }
        relation = [world.facts[flag].is_unknown, moved[flag].is_true]
        asked = [fact for fact in world.facts if fact in rising - free]
        relation += [_moved_up(world.facts[fact], moved[fact]) for fact in asked]
        after = World(
            space=self.space,
            facts=moved,
            attributes=world.attributes,
            options=world.options,
            is_unread=world.is_unread,
        )
        return Encoded(self.knowledge, after), tuple(relation), free

    def _shown_pair(self, pair: Pair, breach: FlagBreach) -> Counterexample:
        def is_broken(candidate: Pair) -> bool:
            before = Answer.of(self.knowledge, candidate.before)
            return breach.is_in(before, Answer.of(self.knowledge, candidate.after))

        smallest = smallest_pair(pair, self.space, self.knowledge, is_broken)
        states = (smallest.before, smallest.after)
        rows = " → ".join(Answer.of(self.knowledge, state).rows for state in states)
        key = f"{pair.flag.replace('_', '-')}-{breach.key}"
        says = f"{pair.flag} becoming true {breach.says} ({rows})"
        return Counterexample(
            number=4,
            key=key,
            says=says,
            same_as=f"{breach.key} {rows}",
            cases=(
                self._case(smallest.before, f"proof-4-{key}-before", f"{says}: before"),
                self._case(smallest.after, f"proof-4-{key}-after", f"{says}: after"),
            ),
        )

    def _case(self, state: State, name: str, says: str) -> str:
        return as_yaml(case_of(self.knowledge, self.space, state, name=name, says=says))


def _moved_up(before: FactTerm, after: FactTerm) -> Term:
    """As `Pair._moved_up`: never back from true, never from open or weak to a surer "no"."""
    is_weak_no = both((before.is_false, z3.Not(before.is_strong)))
    return both(
        (
            z3.Implies(before.is_true, after.is_true),
            z3.Implies(both((before.is_true, before.is_strong)), after.is_strong),
            z3.Implies(before.is_unknown, z3.Not(after.is_false)),
            z3.Implies(is_weak_no, z3.Not(both((after.is_false, after.is_strong)))),
        )
    )


def _model(solver: z3.Solver, term: Term) -> z3.ModelRef | None:
    """Return a model of the term; None proves that there is none."""
    solver.push()
    solver.add(term)
    answer = solver.check()
    model = solver.model() if answer == z3.sat else None
    solver.pop()
    if answer == z3.unknown:
        raise EncodingMismatch(f"the solver gave up: {solver.reason_unknown()}")
    return model
