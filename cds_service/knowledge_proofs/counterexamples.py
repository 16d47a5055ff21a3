"""From what the solver found to a case for `cases/*.yaml`: replayed, made small, written out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

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
    """Return a state that still breaks the property, with as little said as possible."""

    def is_kept(candidate: State) -> bool:
        return candidate.is_possible_in(space) and is_broken(candidate)

    if not is_kept(state):
        raise EncodingMismatch(f"the solver found {state}, but the service answers as it should")
    while (simpler := next(filter(is_kept, _simpler_states(state, knowledge)), None)) is not None:
        state = simpler
    return state


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
    while (simpler := next(filter(is_kept, _simpler_pairs(pair, knowledge)), None)) is not None:
        pair = simpler
    return pair


def _plainer(state: State, knowledge: Knowledge) -> Iterator[State]:
    """Yield the state with a usual order, options as shipped, and everything read."""
    if state.is_unread:
        yield replace(state, is_unread=False)
    for key, option in knowledge.options.items():
        if state.options.get(key) != option.value:
            yield replace(state, options={**state.options, key: option.value})
    for protocol in (USUAL_ORDER["protocol"], state.order["protocol"]):
        usual = {**USUAL_ORDER, "protocol": protocol}
        for name in ("priority", "contrast_only_code", "contrast"):
            order = {**state.order, "protocol": protocol, name: usual[name]}
            order["contrast"] = CONTRAST_OF.get(protocol, order["contrast"])
            if order != state.order:
                yield replace(state, order=order)


def _simpler_states(state: State, knowledge: Knowledge) -> Iterator[State]:
    yield from _plainer(state, knowledge)
    for fact in state.facts:
        yield state.with_fact(fact, CaseValue.UNKNOWN)
    for fact, value in state.facts.items():
        if value in WEAK_VALUES:
            yield state.with_fact(fact, _FIRM[value])


def _simpler_pairs(pair: Pair, knowledge: Knowledge) -> Iterator[Pair]:
    for plainer in _plainer(pair.before, knowledge):
        after = replace(plainer, facts=pair.after.facts)
        yield replace(pair, before=plainer, after=after)
    for fact in {**pair.before.facts, **pair.after.facts}:
        said = (pair.before.value_of(fact), pair.after.value_of(fact))
        for first, second in _simpler_values(*said) if fact != pair.flag else ():
            yield replace(
                pair,
                before=pair.before.with_fact(fact, first),
                after=pair.after.with_fact(fact, second),
            )
    if pair.after.value_of(pair.flag) is CaseValue.POSSIBLE:
        yield replace(pair, after=pair.after.with_fact(pair.flag, CaseValue.TRUE))


def _simpler_values(before: CaseValue, after: CaseValue) -> Iterator[tuple[CaseValue, CaseValue]]:
    """Nothing said; nothing moved; said only afterwards; said on strong evidence."""
    if (before, after) != (CaseValue.UNKNOWN, CaseValue.UNKNOWN):
        yield CaseValue.UNKNOWN, CaseValue.UNKNOWN
    if before is not after:
        yield before, before
        if before is not CaseValue.UNKNOWN:
            yield CaseValue.UNKNOWN, after
    if {before, after} & WEAK_VALUES:
        yield _FIRM.get(before, before), _FIRM.get(after, after)


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
