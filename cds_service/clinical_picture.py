"""Findings of every fact of a knowledge folder, for one patient and one order."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from cds_service.episodes import Episode
from cds_service.fact_kinds import ReadingContext
from cds_service.findings import UNKNOWN, Finding, Strength, any_of, false, true
from cds_service.knowledge import FactDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalPicture:
    """What is known of one patient today, as far as one order is concerned."""

    facts: tuple[FactDefinition, ...]
    findings: Mapping[str, Finding]
    context: ReadingContext
    today: date
    episode: Episode
    unreadable: Mapping[str, str]
    """Resource type → reason."""
    dependants: Mapping[str, tuple[FactDefinition, ...]] = field(init=False, repr=False)
    """Fact → the facts that look at it, directly or through others, in the order of the folder."""

    def __post_init__(self) -> None:
        """Find once what each question would make us read again."""
        object.__setattr__(self, "dependants", _dependants(self.facts))

    @classmethod
    def of(cls, facts: tuple[FactDefinition, ...], context: ReadingContext) -> "ClinicalPicture":
        """Read every fact in the order of the folder; each sees those before it."""
        findings: dict[str, Finding] = {}
        seen = replace(context, findings=findings)
        for fact in facts:
            findings[fact.id] = _finding(fact, seen)
        return cls(
            facts=facts,
            findings=findings,
            context=seen,
            today=context.today,
            episode=context.episode,
            unreadable=_unreadable(context),
        )

    @classmethod
    def supposing(
        cls,
        facts: tuple[FactDefinition, ...],
        given: Mapping[str, Finding],
        context: ReadingContext,
    ) -> "ClinicalPicture":
        """Take some findings as given and hold them; read the others in view of them (cases)."""
        held = tuple(
            replace(fact, readings=(), answers={}) if fact.id in given else fact for fact in facts
        )
        findings: dict[str, Finding] = {}
        seen = replace(context, findings=findings)
        for fact in held:
            findings[fact.id] = given[fact.id] if fact.id in given else _finding(fact, seen)
        return cls(
            facts=held,
            findings=findings,
            context=seen,
            today=context.today,
            episode=context.episode,
            unreadable=context.chart.unreadable,
        )

    def finding(self, fact_id: str) -> Finding:
        """Return the finding of a fact that a folder need not have; unknown where it has none."""
        return self.findings.get(fact_id, UNKNOWN)

    def assuming(
        self, fact_id: str, *, value: bool, among: Collection[str] | None = None
    ) -> Mapping[str, Finding]:
        """Return the findings as they would be if a fact were known, dependants read again.

        With `among`, only those dependants: what a question does not ask need not be right.
        """
        assumed: dict[str, Finding] = dict(self.findings)
        assumed[fact_id] = Finding(value=value, strength=Strength.STRONG)
        dependants = self.dependants.get(fact_id, ())
        if not dependants:
            return assumed
        changed = {fact_id}
        context = replace(self.context, findings=assumed)
        for fact in dependants:
            if changed.isdisjoint(fact.depends_on):
                continue
            if among is not None and fact.id not in among:
                continue
            again = _finding(fact, context)
            if again != self.findings[fact.id]:
                assumed[fact.id] = again
                changed.add(fact.id)
        return assumed


def _dependants(facts: Iterable[FactDefinition]) -> dict[str, tuple[FactDefinition, ...]]:
    looked_at: dict[str, frozenset[str]] = {}
    found: dict[str, tuple[FactDefinition, ...]] = {}
    for fact in facts:
        # Each fact sees only those before it, so what they look at is known.
        deep = fact.depends_on.union(*(looked_at.get(each, ()) for each in fact.depends_on))
        looked_at[fact.id] = deep
        for each in deep:
            found[each] = (*found.get(each, ()), fact)
    return found


def _unreadable(context: ReadingContext) -> Mapping[str, str]:
    """Sources that were not read; a reason that leads nowhere is one of them."""
    if not context.order.has_lost_reason:
        return context.chart.unreadable
    return {**context.chart.unreadable, "reasonReference": "not found"}


def _finding(fact: FactDefinition, context: ReadingContext) -> Finding:
    """Combine an answer given in the order with what every reading says.

    The newest word counts: an accepted suggestion is the clinician speaking today, heard
    against older entries. Where it denies what is strong and true, the fact becomes unknown:
    nothing is asserted, and no alarm can rest on it.
    """
    read = any_of(reading.read(context) for reading in fact.readings)
    answer = _answer(fact, context)
    if answer.value is None:
        return read
    if answer.value is read.value:
        return any_of((read, answer))
    return Finding(value=None, evidence=read.evidence) if read.is_strong else answer


def _answer(fact: FactDefinition, context: ReadingContext) -> Finding:
    """Read our own indication codes back from the order: possible, dated today (contract)."""
    given = [fact.answers[code] for code in fact.answers if code in context.order.indications]
    if not given:
        return Finding(value=None)
    said = true if any(given) else false
    return said(strength=Strength.POSSIBLE)
