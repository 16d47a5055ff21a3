"""From what the solver found to a case for `cases/*.yaml`: replayed, made small, written out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import TypeAlias, TypeVar

from cds_service.errors import CdsError
from cds_service.knowledge import Case, Expectation, Knowledge, Rating
from cds_service.knowledge_proofs.space import CONTRAST_OF, Space
from cds_service.knowledge_proofs.states import (
    UPWARDS,
    WEAK_VALUES,
    Answer,
    State,
)
from cds_service.knowledge_review.cases import USUAL_ORDER, JudgedCase, judge
from cds_service.review_notes import CaseValue
from cds_service.verdict import Verdict

Found = TypeVar("Found")
Step: TypeAlias = Callable[[Found], Found]
"""One thing less said."""

_TODAY = date(2026, 3, 16)
"""Cases name facts, not dates: any day would do."""
_UNREAD_TYPE = "Observation"
_FIRM = {CaseValue.POSSIBLE: CaseValue.TRUE, CaseValue.POSSIBLE_FALSE: CaseValue.FALSE}
_EXPECTS_NOTHING = Expectation(rule="", rating=Rating.NOT_COVERED, indicator=None)


class EncodingMismatch(CdsError):
    """Solver and service disagree about one situation: the proofs themselves are wrong."""

    code = "proofs-are-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One situation before and after a red flag becomes known to be true."""

    flag: str
    before: State
    after: State
    rising: frozenset[str]
    """Facts that look at the flag: they may move up with it."""
    free: frozenset[str]
    """Those of them that may also move down: what explains an injury away."""

    @property
    def is_consistent(self) -> bool:
        """Whether only the flag changed, and what looks at it moved up at most."""
        names = {*self.before.facts, *self.after.facts} - self.free - {self.flag}
        return (
            self.before.value_of(self.flag) is CaseValue.UNKNOWN
            and self.after.value_of(self.flag) in {CaseValue.TRUE, CaseValue.POSSIBLE}
            and replace(self.before, facts={}) == replace(self.after, facts={})
            and all(self._moved_up(name) for name in names)
        )

    def _moved_up(self, fact: str) -> bool:
        before, after = self.before.value_of(fact), self.after.value_of(fact)
        if fact not in self.rising:
            return before is after
        return UPWARDS.index(after) >= UPWARDS.index(before)


def smallest_state(
    state: State, space: Space, knowledge: Knowledge, is_broken: Callable[[State], bool]
) -> State:
    """Return a state that still shows what was found, with as little said as possible."""

    def is_kept(candidate: State) -> bool:
        return candidate.is_possible_in(space) and is_broken(candidate)

    if not is_kept(state):
        raise EncodingMismatch(f"the solver found {state}, but the service answers as it should")
    return _smallest(state, lambda kept: _simpler_states(kept, knowledge), is_kept)


def smallest_pair(
    pair: Pair, space: Space, knowledge: Knowledge, is_broken: Callable[[Pair], bool]
) -> Pair:
    """Return a pair that still breaks the property, with as little said as possible."""

    def is_kept(candidate: Pair) -> bool:
        return (
            candidate.is_consistent
            and candidate.before.is_possible_in(space)
            and candidate.after.is_possible_in(space)
            and is_broken(candidate)
        )

    if not is_kept(pair):
        raise EncodingMismatch(f"the solver found {pair}, but the service answers as it should")
    return _smallest(pair, lambda kept: _simpler_pairs(kept, knowledge), is_kept)


def _smallest(
    found: Found,
    simpler: Callable[[Found], Iterator[Step[Found]]],
    is_kept: Callable[[Found], bool],
) -> Found:
    """Take every step that keeps what was found, again and again until none does."""
    while True:
        before = found
        for step in simpler(before):
            candidate = step(found)
            if candidate != found and is_kept(candidate):
                found = candidate
        if found == before:
            return found


def _simpler_states(state: State, knowledge: Knowledge) -> Iterator[Step[State]]:
    yield from _plainer(knowledge)
    for fact in state.facts:
        yield partial(_said, fact=fact, value=CaseValue.UNKNOWN)
    for fact, value in state.facts.items():
        if value in WEAK_VALUES:
            yield partial(_firmer, fact=fact)


def _plainer(knowledge: Knowledge) -> Iterator[Step[State]]:
    """Yield steps to a usual order, options as shipped, and everything read."""
    yield lambda state: replace(state, is_unread=False)
    for key, option in knowledge.options.items():
        yield partial(_with_option, key=key, value=option.value)
    for name in ("protocol", "priority", "contrast_only_code", "contrast"):
        yield partial(_with_usual, name=name)


def _with_option(state: State, *, key: str, value: str) -> State:
    return replace(state, options={**state.options, key: value})


def _with_usual(state: State, *, name: str) -> State:
    order = {**state.order, name: USUAL_ORDER[name]}
    order["contrast"] = CONTRAST_OF.get(order["protocol"], order["contrast"])
    return replace(state, order=order)


def _said(state: State, *, fact: str, value: CaseValue) -> State:
    return state.with_fact(fact, value)


def _firmer(state: State, *, fact: str) -> State:
    value = state.value_of(fact)
    return state.with_fact(fact, _FIRM.get(value, value))


def _simpler_pairs(pair: Pair, knowledge: Knowledge) -> Iterator[Step[Pair]]:
    """Nothing said of a fact; nothing moved; said only afterwards; said on strong evidence."""
    yield from (partial(_in_both, step=step) for step in _plainer(knowledge))
    facts = [fact for fact in {**pair.before.facts, **pair.after.facts} if fact != pair.flag]
    for fact in facts:
        silent = partial(_said, fact=fact, value=CaseValue.UNKNOWN)
        yield partial(_in_both, step=silent)
        yield partial(_unmoved, fact=fact)
        yield partial(_in_before, step=silent)
    for fact in (*facts, pair.flag):
        yield partial(_in_both, step=partial(_firmer, fact=fact))


def _in_both(pair: Pair, *, step: Step[State]) -> Pair:
    return replace(pair, before=step(pair.before), after=step(pair.after))


def _in_before(pair: Pair, *, step: Step[State]) -> Pair:
    return replace(pair, before=step(pair.before))


def _unmoved(pair: Pair, *, fact: str) -> Pair:
    return replace(pair, after=pair.after.with_fact(fact, pair.before.value_of(fact)))


def case_of(
    knowledge: Knowledge, space: Space, state: State, *, name: str, says: str
) -> JudgedCase:
    """Return the state as a case that says enough to be judged alike.

    Raises EncodingMismatch where the whole decision differs from that of the tables alone.
    """
    case = Case(
        id=name,
        says=says,
        today=_TODAY,
        order={
            key: value
            for key, value in state.order.items()
            if value != USUAL_ORDER[key] and (key != "contrast" or _is_open(state))
        },
        facts=dict(state.facts),
        options={
            key: value
            for key, value in state.options.items()
            if key in knowledge.options and value != knowledge.options[key].value
        },
        unreadable=(_UNREAD_TYPE,) if state.is_unread else (),
        expect=_EXPECTS_NOTHING,
    )
    known = {fact.id for fact in knowledge.facts}
    case = replace(case, facts={fact: v for fact, v in case.facts.items() if fact in known})
    found = judge(case, knowledge).decision.picture.findings
    silent = {
        fact: CaseValue.UNKNOWN
        for fact in space.facts
        if fact in found and fact not in case.facts and found[fact].value is not None
    }
    judged = judge(replace(case, facts={**case.facts, **silent}), knowledge)
    _check_replay(judged, Answer.of(knowledge, state))
    return judged


def _is_open(state: State) -> bool:
    """Whether the protocol leaves open if contrast is ordered."""
    return state.order["protocol"] not in CONTRAST_OF


def _check_replay(judged: JudgedCase, answer: Answer) -> None:
    whole, tables = judged.decision.verdict, answer.verdict
    for name in ("rule", "repeat_rule", "protocol_rule", "safety_rules", "rating", "indicator"):
        if getattr(whole, name) != getattr(tables, name):
            raise EncodingMismatch(
                f"case {judged.case.id}: {name} is {getattr(whole, name)} for the case and "
                f"{getattr(tables, name)} for its facts"
            )


def as_yaml(judged: JudgedCase) -> str:
    """Write a case for `cases/*.yaml`, expecting what the tables answer now."""
    case = judged.case
    members = {
        "says": json.dumps(case.says, ensure_ascii=False),
        "today": case.today.isoformat(),
        "order": _flow(case.order) if case.order else "",
        "facts": _flow(case.facts) if case.facts else "",
        "options": _flow(case.options) if case.options else "",
        "unreadable": _flow_list(case.unreadable) if case.unreadable else "",
        "expect": _flow(_answered(judged.decision.verdict)),
    }
    lines = (f"    {key}: {text}" for key, text in members.items() if text)
    return "\n".join((f"  - case: {case.id}", *lines))


def _answered(verdict: Verdict) -> Mapping[str, object]:
    """Return what is answered, in the words of `expect`; what is not said is left out."""
    said = {
        "rule": verdict.rule.id,
        "rating": verdict.rating.value,
        "indicator": verdict.indicator.value if verdict.indicator else "none",
        "variant": str(verdict.variant or ""),
        "provisional": "true" if verdict.is_provisional else "",
        "repeat_rule": verdict.repeat_rule.id if verdict.repeat_rule else "",
        "protocol_rule": verdict.protocol_rule.id if verdict.protocol_rule else "",
        "safety_rules": [rule.id for rule in verdict.safety_rules],
        "safety_indicator": verdict.safety_indicator.value if verdict.safety_indicator else "",
        "brakes": [brake.id for brake in verdict.brakes],
    }
    return {key: value for key, value in said.items() if value}


def _flow(members: Mapping[str, object]) -> str:
    pairs = (
        f"{key}: {_flow_list(value) if isinstance(value, list) else value}"
        for key, value in members.items()
    )
    return f"{{{', '.join(pairs)}}}"


def _flow_list(items: Iterable[object]) -> str:
    return f"[{', '.join(map(str, items))}]"
