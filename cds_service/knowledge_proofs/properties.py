"""The six properties, each said twice: to the solver, and to the code that judges patients.

Source: design, "Knowledge as data, with proofs"; decision table §0 (asymmetry, emergencies).
Proofs are about the tables: that `cards/suggestions.py` drops A2 in pregnancy whatever a table
says is a second line of defence, and no proof leans on it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import z3

from cds_service.knowledge import Knowledge, Rating, Rule
from cds_service.knowledge_proofs.encoding import SCORE_VALUES, Encoded
from cds_service.knowledge_proofs.states import Answer, advises_against
from cds_service.knowledge_proofs.worlds import Term, both, either
from cds_service.orders import ImagingProtocol

EMERGENCIES = ("cauda_equina", "motor_deficit")
"""Facts that nothing may delay (decision table §0, principle 3)."""
PREGNANT = "pregnant"
PEDIATRIC = "pediatric"
NAMED_FACTS = (*EMERGENCIES, PREGNANT, PEDIATRIC)
"""Facts that the properties themselves name: a folder must have them."""

CLAIMS: Mapping[int, str] = {
    1: "Every combination reaches exactly one base row; every row, repeat, contrast and safety "
    "rule and every brake is reached by some combination",
    2: "With cauda equina or a severe motor deficit, on any evidence, nothing offers to cancel, "
    "defer, replace by another study or start care instead; no repeat message applies; and only "
    "a contrast-only order is rated usually not appropriate",
    3: "No warning against the order rests on evidence that is only possible",
    4: "A red flag that becomes known to be true never creates a warning against the order, never "
    "adds an offer to cancel it, and never lowers the rating of the best-rated protocol",
    5: "A source that could not be read never creates a warning against the order: with one, "
    "there is none",
    6: "In pregnancy no study with ionising radiation is proposed; under 18 nothing is rated",
}

_KINDS = {
    "A1": "an offer to cancel",
    "A7": "an offer to defer",
    "A5": "an offer of conservative care",
    "A2": "an offer of another study",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One way in which one situation could break a property."""

    number: int
    key: str
    """Names the case that shows it."""
    says: str
    term: Callable[[Encoded], Term]
    is_in: Callable[[Answer], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagBreach:
    """One way in which a red flag that becomes true could make the answer worse."""

    key: str
    says: str
    term: Callable[[Encoded, Encoded], Term]
    is_in: Callable[[Answer, Answer], bool]


def breaches(knowledge: Knowledge) -> Iterator[Breach]:
    """Yield every way in which one situation could break properties 2, 3, 5 and 6."""
    yield from _emergency_breaches()
    for rule in knowledge.appropriateness.rules:
        if advises_against(rule):
            yield _weak_alarm(rule, is_repeat=False)
    for rule in knowledge.repeat.rules:
        if advises_against(rule):
            yield _weak_alarm(rule, is_repeat=True)
    yield Breach(
        number=5,
        key="alarm-although-unread",
        says="a warning against the order although a source could not be read",
        term=lambda e: both((e.world.is_unread, e.alarm)),
        is_in=lambda a: a.state.is_unread and bool(a.alarming),
    )
    yield Breach(
        number=6,
        key="radiation-in-pregnancy",
        says="another study is proposed in pregnancy",
        term=lambda e: both((e.world.facts[PREGNANT].is_true, e.offers_kind("A2"))),
        is_in=lambda a: a.is_true(PREGNANT) and a.offers_kind("A2"),
    )
    yield Breach(
        number=6,
        key="child-rated",
        says="an order for a patient under 18 is rated",
        term=lambda e: both(
            (e.world.facts[PEDIATRIC].is_true, z3.Not(e.rating[Rating.NOT_COVERED]))
        ),
        is_in=lambda a: a.is_true(PEDIATRIC) and a.verdict.rating is not Rating.NOT_COVERED,
    )


def _emergency_breaches() -> Iterator[Breach]:
    for kind, words in _KINDS.items():
        yield _offer_in_emergency(kind, words)
    yield _in_emergency(
        "repeat-message-in-an-emergency",
        "a rule of the repeat table holds although cauda equina or a motor deficit is true",
        lambda e: either(e.repeat.values()),
        lambda a: a.verdict.repeat_rule is not None,
    )
    yield _in_emergency(
        "not-appropriate-in-an-emergency",
        "rated usually not appropriate although cauda equina or a motor deficit is true",
        lambda e: both(
            (
                e.rating[Rating.USUALLY_NOT_APPROPRIATE],
                z3.Not(e.world.attributes["protocol"][ImagingProtocol.WITH]),
            )
        ),
        lambda a: (
            a.verdict.rating is Rating.USUALLY_NOT_APPROPRIATE
            and a.state.order["protocol"] != ImagingProtocol.WITH
        ),
    )


def _offer_in_emergency(kind: str, words: str) -> Breach:
    return _in_emergency(
        f"{kind.lower()}-in-an-emergency",
        f"{words} ({kind}) although cauda equina or a motor deficit is true",
        lambda e: e.offers_kind(kind),
        lambda a: a.offers_kind(kind),
    )


def _in_emergency(
    key: str, says: str, term: Callable[[Encoded], Term], is_in: Callable[[Answer], bool]
) -> Breach:
    return Breach(
        number=2,
        key=key,
        says=says,
        term=lambda e: both((either(e.world.facts[fact].is_true for fact in EMERGENCIES), term(e))),
        is_in=lambda a: a.is_true(*EMERGENCIES) and is_in(a),
    )


def _weak_alarm(rule: Rule, *, is_repeat: bool) -> Breach:
    def term(encoded: Encoded) -> Term:
        decides = (encoded.repeat if is_repeat else encoded.base)[rule.id]
        is_alarm = (decides, z3.Not(encoded.is_softened), encoded.warns(rule))
        return both((*is_alarm, z3.Not(encoded.firm_alarm)))

    return Breach(
        number=3,
        key=f"weak-alarm-{rule.id.lower()}",
        says=f"the warning of {rule.id} rests on evidence that is only possible",
        term=term,
        is_in=lambda a: any(r.id == rule.id for r in a.alarming) and not a.has_firm_alarm,
    )


FLAG_BREACHES = (
    FlagBreach(
        key="alarm",
        says="creates a warning against the order",
        term=lambda before, after: both((z3.Not(before.alarm), after.alarm)),
        is_in=lambda before, after: not before.alarming and bool(after.alarming),
    ),
    FlagBreach(
        key="cancel",
        says="adds an offer to cancel",
        term=lambda before, after: both(
            (z3.Not(before.offers_kind("A1")), after.offers_kind("A1"))
        ),
        is_in=lambda before, after: not before.offers_kind("A1") and after.offers_kind("A1"),
    ),
    FlagBreach(
        key="rating",
        says="lowers the rating of the best-rated protocol",
        term=lambda before, after: both(
            (
                before.is_rated,
                after.is_rated,
                either(
                    both((before.best_at_least(score), z3.Not(after.best_at_least(score))))
                    for score in SCORE_VALUES
                ),
            )
        ),
        is_in=lambda before, after: (
            before.best_score is not None
            and after.best_score is not None
            and after.best_score < before.best_score
        ),
    ),
)
