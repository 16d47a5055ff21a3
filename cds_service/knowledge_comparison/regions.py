"""Where in the fact space two folders answer differently, found with a solver.

Needs `z3-solver`, a development dependency: import this module only where it is installed.
Each region is shown by one situation, replayed by the code that judges patients.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from cds_service.knowledge import Indicator, Knowledge
from cds_service.knowledge_proofs.counterexamples import (
    EncodingMismatch,
    as_yaml,
    case_of,
    smallest_state,
)
from cds_service.knowledge_proofs.encoding import LEVELS, Encoded
from cds_service.knowledge_proofs.space import Space
from cds_service.knowledge_proofs.states import Answer, State
from cds_service.knowledge_proofs.worlds import FALSE, Term, World, both, either

_NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """All situations in which one answer takes the place of another, and one of them."""

    what: str
    """`base row`, `rating` …"""
    within: str
    """The rule that decides on both sides, where it is the same; else empty."""
    old: str
    new: str
    case: str
    """In YAML, expecting what the new folder answers; the old one if only it has the facts."""

    @property
    def in_words(self) -> str:
        """Say it in one line."""
        place = f" of {self.within}" if self.within else ""
        return f"{self.what}{place} is {self.new}, was {self.old}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aspect:
    """Something that both folders answer: to the solver, and to the service."""

    what: str
    terms: Callable[[Encoded], Mapping[str, Term]]
    """Exactly one of them holds."""
    value: Callable[[Answer], str]


def _with_none(terms: Mapping[str, Term]) -> Mapping[str, Term]:
    return {**terms, _NONE: z3.Not(either(terms.values()))}


def _repeat(answer: Answer) -> str:
    return answer.verdict.repeat_rule.id if answer.verdict.repeat_rule else _NONE


def _contrast(answer: Answer) -> str:
    return answer.verdict.protocol_rule.id if answer.verdict.protocol_rule else _NONE


def _exactly(levels: Mapping[Indicator, Term]) -> Mapping[str, Term]:
    """Turn "this indicator or a higher one" into "this one"."""
    terms: dict[str, Term] = {}
    for level, higher in zip(LEVELS, (*LEVELS[1:], None), strict=True):
        is_higher = levels[higher] if higher else FALSE
        terms[level] = both((levels[level], z3.Not(is_higher)))
    return _with_none(terms)


def _yes_no(what: str, term: Callable[[Encoded], Term], is_so: Callable[[Answer], bool]) -> _Aspect:
    return _Aspect(
        what=what,
        terms=lambda e: {"yes": term(e), "no": z3.Not(term(e))},
        value=lambda a: "yes" if is_so(a) else "no",
    )


_ROWS = (
    _Aspect(what="base row", terms=lambda e: e.base, value=lambda a: a.verdict.rule.id),
    _Aspect(what="repeat row", terms=lambda e: _with_none(e.repeat), value=_repeat),
    _Aspect(what="contrast row", terms=lambda e: _with_none(e.contrast), value=_contrast),
)
_WITHIN = (
    _Aspect(
        what="rating",
        terms=lambda e: {str(rating): term for rating, term in e.rating.items()},
        value=lambda a: str(a.verdict.rating),
    ),
    _Aspect(
        what="variant",
        terms=lambda e: _with_none(e.variants),
        value=lambda a: str(a.verdict.variant or _NONE),
    ),
    _Aspect(
        what="indicator",
        terms=lambda e: _exactly(e.indicator),
        value=lambda a: str(a.verdict.indicator or _NONE),
    ),
    _yes_no("warning against the order", lambda e: e.alarm, lambda a: bool(a.alarming)),
    _yes_no("provisional", lambda e: e.is_provisional, lambda a: a.verdict.is_provisional),
    _yes_no("repeat message leads", lambda e: e.repeat_leads, lambda a: a.verdict.repeat_leads),
)


def region_differences(old: Knowledge, new: Knowledge) -> tuple[Region, ...]:
    """Return every reachable change of a row, and every other change within the same rows."""
    return tuple(_Comparison(old, new).regions())


class _Comparison:
    """Both folders over one world, and the solver."""

    def __init__(self, old: Knowledge, new: Knowledge) -> None:
        self.folders = (old, new)
        self.space = _common(old, new)
        self.world = World.free(self.space)
        self.old, self.new = Encoded(old, self.world), Encoded(new, self.world)
        self.solver = z3.Solver()
        self.solver.add(*self.world.constraints)

    def regions(self) -> Iterator[Region]:
        for aspect in _ROWS:
            yield from self._changes(aspect)
        same = [self._is_same(aspect) for aspect in _ROWS]
        for aspect in _WITHIN:
            yield from self._changes(aspect, same=same)
        for aspect in self._offers():
            yield from self._changes(aspect, same=same)
        for aspect in self._safety():
            yield from self._changes(aspect)

    def _is_same(self, aspect: _Aspect) -> Term:
        before, after = aspect.terms(self.old), aspect.terms(self.new)
        return either(both((before[name], after[name])) for name in before if name in after)

    def _changes(self, aspect: _Aspect, same: Sequence[Term] = ()) -> Iterator[Region]:
        """Yield one region for each pair of values, until no other pair is left.

        With `same` rows on both sides, one for each deciding row as well.
        """
        before, after = aspect.terms(self.old), aspect.terms(self.new)
        self.solver.push()
        self.solver.add(z3.Not(self._is_same(aspect)), *same)
        while (state := self._situation()) is not None:
            answers = self._answers(state)
            values = tuple(map(aspect.value, answers))
            rows = tuple(map(_deciding, answers)) if same else ()
            found = [before[values[0]], after[values[1]]]
            if rows:
                found.append(self._row_term(rows[0]))
            self.solver.add(z3.Not(both(found)))
            yield self._region(aspect, state, values, rows)
        self.solver.pop()

    def _situation(self) -> State | None:
        answer = self.solver.check()
        if answer == z3.unknown:
            raise EncodingMismatch(f"the solver gave up: {self.solver.reason_unknown()}")
        return self.world.state_in(self.solver.model()) if answer == z3.sat else None

    def _answers(self, state: State) -> tuple[Answer, Answer]:
        old, new = (Answer.of(folder, state) for folder in self.folders)
        return old, new

    def _row_term(self, row: str) -> Term:
        """The repeat row if one holds, else the base row: what decides on both sides."""
        if row in self.old.repeat:
            return self.old.repeat[row]
        return both((self.old.base[row], z3.Not(either(self.old.repeat.values()))))

    def _region(
        self, aspect: _Aspect, state: State, values: tuple[str, ...], rows: tuple[str, ...]
    ) -> Region:
        def is_kept(candidate: State) -> bool:
            answers = self._answers(candidate)
            return values == tuple(map(aspect.value, answers)) and (
                not rows or (rows == tuple(map(_deciding, answers)) and _have_same_rows(answers))
            )

        old, new = self.folders
        smallest = smallest_state(state, self.space, new, is_kept)
        has_all = set(smallest.facts) <= {fact.id for fact in new.facts}
        name = "-".join((aspect.what, *dict.fromkeys(rows), *values)).lower().replace(" ", "-")
        within = rows[0] if rows else ""
        says = f"{aspect.what}{f' of {within}' if within else ''}: {values[0]} → {values[1]}"
        judged = case_of(
            new if has_all else old, self.space, smallest, name=f"changed-{name}", says=says
        )
        return Region(
            what=aspect.what, within=within, old=values[0], new=values[1], case=as_yaml(judged)
        )

    def _offers(self) -> Iterator[_Aspect]:
        yield from map(_offer, {**self.old.offers, **self.new.offers})

    def _safety(self) -> Iterator[_Aspect]:
        yield from map(_safety_row, {**self.old.safety, **self.new.safety})
        yield from map(_safety_offer, {**self.old.safety_offers, **self.new.safety_offers})
        yield _Aspect(
            what="indicator of the safety card",
            terms=lambda e: _exactly(e.safety_indicator),
            value=lambda a: str(a.verdict.safety_indicator or _NONE),
        )


def _offer(name: str) -> _Aspect:
    return _yes_no(f"offer {name}", lambda e: e.offers.get(name, FALSE), lambda a: name in a.offers)


def _safety_offer(name: str) -> _Aspect:
    return _yes_no(
        f"offer {name} of the safety card",
        lambda e: e.safety_offers.get(name, FALSE),
        lambda a: name in a.safety_offers,
    )


def _safety_row(rule: str) -> _Aspect:
    return _yes_no(
        f"safety row {rule}",
        lambda e: e.safety.get(rule, FALSE),
        lambda a: any(each.id == rule for each in a.verdict.safety_rules),
    )


def _deciding(answer: Answer) -> str:
    """Return the rule whose answer stands: the repeat row if one holds, else the base row."""
    repeat = _repeat(answer)
    return answer.verdict.rule.id if repeat == _NONE else repeat


def _have_same_rows(answers: tuple[Answer, Answer]) -> bool:
    old, new = answers
    return all(aspect.value(old) == aspect.value(new) for aspect in _ROWS)


def _common(old: Knowledge, new: Knowledge) -> Space:
    """Return the space of both.

    A fact implies another there only if no folder that has both says otherwise; an option has
    the choices that both have.
    """
    space, separate = Space.of(old, new), (Space.of(old), Space.of(new))
    return replace(
        space,
        implications=tuple(
            implied
            for implied in space.implications
            if all(
                implied in each.implications or not {implied.fact, implied.other} <= set(each.facts)
                for each in separate
            )
        ),
        options={
            key: tuple(
                choice
                for choice in choices
                if all(choice in each.options.get(key, choices) for each in separate)
            )
            or choices
            for key, choices in space.options.items()
        },
    )
