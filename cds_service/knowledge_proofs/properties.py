"""The six properties, each said twice: to the solver, and to the code that judges patients.

Source: design, "Knowledge as data, with proofs"; decision table §0 (asymmetry, emergencies).
Proofs are about the tables: that `cards/suggestions.py` drops A2 in pregnancy whatever a table
says is a second line of defence, and no proof leans on it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import z3

from cds_service.knowledge import Knowledge, Rating, Rule
from cds_service.knowledge_proofs.claims import URGENCY, claims, emergencies, named_facts
from cds_service.knowledge_proofs.encoding import SCORE_VALUES, Encoded
from cds_service.knowledge_proofs.states import Answer, advises_against
from cds_service.knowledge_proofs.worlds import Term, both, either
from cds_service.names_in_folders import EMERGENCIES, PEDIATRIC, PREGNANT
from cds_service.orders import ImagingProtocol

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
    asked = claims(knowledge)
    if URGENCY in asked:
        yield from _emergency_breaches(emergencies(knowledge))
    yield from (each for fact, each in _BREACHES_BY_PATIENT if fact in named_facts(knowledge))
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


_BREACHES_BY_PATIENT = (
    (
        PREGNANT,
        Breach(
            number=6,
            key="radiation-in-pregnancy",
            says="another study is proposed in pregnancy",
            term=lambda e: both((e.world.facts[PREGNANT].is_true, e.offers_kind("A2"))),
            is_in=lambda a: a.is_true(PREGNANT) and a.offers_kind("A2"),
        ),
    ),
    (
        PEDIATRIC,
        Breach(
            number=6,
            key="child-rated",
            says="an order for a patient under 18 is rated",
            term=lambda e: both(
                (e.world.facts[PEDIATRIC].is_true, z3.Not(e.rating[Rating.NOT_COVERED]))
            ),
            is_in=lambda a: a.is_true(PEDIATRIC) and a.verdict.rating is not Rating.NOT_COVERED,
        ),
    ),
)


def _emergency_breaches(urgent: tuple[str, ...]) -> Iterator[Breach]:
    emergency = (
        "cauda equina or a motor deficit"
        if set(urgent) == set(EMERGENCIES)
        else " or ".join(urgent)
    )
    for kind, words in _KINDS.items():
        yield _in_emergency(
            urgent,
            f"{kind.lower()}-in-an-emergency",
            f"{words} ({kind}) although {emergency} is true",
            *_offering(kind),
        )
    yield _in_emergency(
        urgent,
        "repeat-message-in-an-emergency",
        f"a rule of the repeat table holds although {emergency} is true",
        lambda e: either(e.repeat.values()),
        lambda a: a.verdict.repeat_rule is not None,
    )
    yield _in_emergency(
        urgent,
        "not-appropriate-in-an-emergency",
        f"rated usually not appropriate although {emergency} is true",
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


def _offering(kind: str) -> tuple[Callable[[Encoded], Term], Callable[[Answer], bool]]:
    """Say to the solver, and to the code, that a kind of suggestion is offered."""
    return (lambda e: e.offers_kind(kind)), (lambda a: a.offers_kind(kind))


def _in_emergency(
    urgent: tuple[str, ...],
    key: str,
    says: str,
    term: Callable[[Encoded], Term],
    is_in: Callable[[Answer], bool],
) -> Breach:
    return Breach(
        number=2,
        key=key,
        says=says,
        term=lambda e: both((either(e.world.facts[fact].is_true for fact in urgent), term(e))),
        is_in=lambda a: a.is_true(*urgent) and is_in(a),
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
