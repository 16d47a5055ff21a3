"""Conservative care in the current episode: given, prescribed or referred (F60).

One pass over procedures, medications and referrals answers three questions: six weeks of
care, care under way, care for at least a week.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from cds_service.fact_kinds.evidence import order_evidence, treatment_evidence
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.treatments import (
    affirmed,
    has_route,
    is_for_another_reason,
    is_for_reason,
)
from cds_service.fhir_dates import DateInterval, days_since, on_or_after, within_months
from cds_service.findings import Evidence, Finding, Strength, false, true
from cds_service.records import ProcedureState
from cds_service.text.reading import CareState, TextState, care_statement

_GIVEN = frozenset({ProcedureState.DONE, ProcedureState.ONGOING})
_ORDERED = frozenset({"active", "on-hold", "completed"})


class CareQuestion(StrEnum):
    """What is asked of the care on record."""

    LONG_ENOUGH = "long-enough"
    """At least `days` of care (F60): can be true, false or unknown."""
    UNDER_WAY = "under-way"
    """Care began in this episode, less than `days` ago."""
    AT_LEAST = "at-least"
    """Care began at least `days` ago."""


class _Form(StrEnum):
    GIVEN = "given"
    PRESCRIBED = "prescribed"
    REFERRED = "referred"


@dataclass(frozen=True, slots=True)
class _Item:
    """One piece of care, with its date and whether its low-back reason is stated."""

    form: _Form
    when: DateInterval
    is_for_back: bool
    strength: Strength
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ConservativeCare(FactKind):
    """Care in the episode and in the last `lookback_months`, without another stated reason."""

    question: CareQuestion
    days: int
    procedure_sets: tuple[str, ...]
    medication_sets: tuple[str, ...]
    referral_sets: tuple[str, ...]
    back_sets: tuple[str, ...]
    lookback_months: int
    known_onset_days: int
    """Below this duration, care that began lately is known to be too short (F60 false)."""
    except_routes: tuple[str, ...] = ()
    shorter_fact: str = ""
    """Fact "the episode is shorter than `days`": then care cannot have lasted that long."""
    resource_types: ClassVar[frozenset[str]] = frozenset(
        {"Procedure", "MedicationRequest", "ServiceRequest"}
    )
    """Procedures, prescriptions and referrals."""

    @property
    def depends_on(self) -> frozenset[str]:
        """The duration of the episode."""
        return frozenset({self.shorter_fact}) - {""}

    def read(self, context: ReadingContext) -> Finding:
        """Collect the care of this episode and answer the question."""
        items = sorted(self._items(context), key=lambda item: item.when.latest)
        match self.question:
            case CareQuestion.LONG_ENOUGH:
                return self._long_enough(items, context)
            case CareQuestion.UNDER_WAY:
                return self._under_way(items, context)
            case CareQuestion.AT_LEAST:
                return self._at_least(items, context)

    def _long_enough(self, items: list[_Item], context: ReadingContext) -> Finding:
        on_record = self._long_enough_on_record(items, context)
        if on_record.is_true:
            return on_record
        stated = _stated(context)
        if stated.is_true:
            return stated
        shorter = context.findings[self.shorter_fact] if self.shorter_fact else None
        if shorter is not None and shorter.is_true:
            return Finding(value=False, strength=shorter.strength, evidence=shorter.evidence)
        if self._began_too_lately(items, context):
            return false(*(item.evidence for item in items[:1]), *context.episode.evidence)
        return stated if stated.is_false else on_record

    def _long_enough_on_record(self, items: list[_Item], context: ReadingContext) -> Finding:
        """True from `days` days on; a referral alone, or care without a reason, is possible."""
        evidence = tuple(item.evidence for item in items)
        if not items or days_since(items[0].when, context.today)[0] < self.days:
            return Finding(value=None, evidence=evidence)
        given = [item for item in items if item.form is not _Form.REFERRED]
        firm = [i for i in given if i.is_for_back and i.strength is Strength.STRONG]
        return true(
            *evidence,
            strength=Strength.STRONG if firm else Strength.POSSIBLE,
            when=items[0].when,
        )

    def _began_too_lately(self, items: list[_Item], context: ReadingContext) -> bool:
        """Onset known and recent, care began lately, and the order names no earlier care."""
        most = context.episode.most
        if not items or most is None or most >= self.known_onset_days:
            return False
        longest = days_since(items[0].when, context.today)[1]
        return longest is not None and longest < self.days and not self._order_names_care(context)

    def _under_way(self, items: list[_Item], context: ReadingContext) -> Finding:
        if not items:
            return Finding(value=None)
        longest = days_since(items[0].when, context.today)[1]
        if longest is None or longest >= self.days:
            return Finding(value=None)
        return true(
            *(item.evidence for item in items),
            strength=Strength.STRONG
            if any(item.strength is Strength.STRONG for item in items)
            else Strength.POSSIBLE,
            when=items[0].when,
        )

    def _at_least(self, items: list[_Item], context: ReadingContext) -> Finding:
        if not items or days_since(items[0].when, context.today)[0] < self.days:
            return Finding(value=None)
        return true(items[0].evidence, strength=items[0].strength, when=items[0].when)

    def _items(self, context: ReadingContext) -> Iterable[_Item]:
        for item in (
            *self._procedures(context),
            *self._medications(context),
            *self._referrals(context),
        ):
            if self._is_in_episode(item.when, context):
                yield item

    def _is_in_episode(self, when: DateInterval, context: ReadingContext) -> bool:
        """Inside the look-back, not in the future, and not before a known onset."""
        if when.latest > context.today + timedelta(days=1):
            return False
        if within_months(when, context.today, self.lookback_months) is False:
            return False
        start = context.episode.start
        if start is None or start.earliest is None:
            return True
        return on_or_after(when, start.earliest) is not False

    def _procedures(self, context: ReadingContext) -> Iterable[_Item]:
        for procedure in context.chart.procedures:
            said = affirmed(context.terminology, procedure, self.procedure_sets)
            if (
                said is None
                or procedure.state not in _GIVEN
                or procedure.performed is None
                or is_for_another_reason(procedure, self.back_sets, context)
            ):
                continue
            yield _Item(
                _Form.GIVEN,
                procedure.performed,
                is_for_reason(procedure, self.back_sets, context),
                said.strength,
                treatment_evidence(procedure, procedure.performed, "given"),
            )

    def _medications(self, context: ReadingContext) -> Iterable[_Item]:
        for course in context.chart.medications:
            said = affirmed(context.terminology, course, self.medication_sets)
            if (
                said is None
                or said.state is not TextState.CURRENT
                or course.start is None
                or course.not_taken
                or has_route(course, self.except_routes)
                or is_for_another_reason(course, self.back_sets, context)
            ):
                continue
            weaker = Strength.POSSIBLE in {said.strength, course.strength}
            yield _Item(
                _Form.PRESCRIBED,
                course.start,
                is_for_reason(course, self.back_sets, context),
                Strength.POSSIBLE if weaker else Strength.STRONG,
                treatment_evidence(course, course.start, "prescribed"),
            )

    def _referrals(self, context: ReadingContext) -> Iterable[_Item]:
        sets = (*self.referral_sets, *self.procedure_sets)
        for order in context.chart.service_requests:
            said = affirmed(context.terminology, order, sets)
            when = order.authored or order.occurrence
            if (
                said is None
                or when is None
                or order.status not in _ORDERED
                or order.do_not_perform
                or is_for_another_reason(order, self.back_sets, context)
            ):
                continue
            yield _Item(
                _Form.REFERRED,
                when,
                is_for_reason(order, self.back_sets, context),
                said.strength if order.is_firm else Strength.POSSIBLE,
                treatment_evidence(order, when, "ordered"),
            )

    def _order_names_care(self, context: ReadingContext) -> bool:
        return any(
            (said := context.terminology.in_words(text, set_id)) is not None
            and said.state in {TextState.CURRENT, TextState.HISTORY}
            for text in context.order.words
            for set_id in (*self.procedure_sets, *self.medication_sets)
        )


def _stated(context: ReadingContext) -> Finding:
    """Return what the clinician's words say of care: six weeks or more, or less."""
    for text in context.order.words:
        statement = care_statement(text)
        if statement.state is CareState.NONE:
            continue
        evidence = order_evidence(context.order, statement.clause or text, context.today)
        if statement.state is CareState.SIX_WEEKS_OR_MORE:
            return true(evidence, strength=Strength.POSSIBLE)
        return false(evidence, strength=Strength.POSSIBLE)
    return Finding(value=None)
