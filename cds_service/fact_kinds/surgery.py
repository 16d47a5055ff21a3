"""Symptoms after lumbar surgery: new, worse, or stable (F51)."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

from cds_service.fact_kinds.evidence import (
    condition_evidence,
    observation_evidence,
    on_day,
    order_evidence,
    value_words,
)
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.treatments import ProcedureDone
from cds_service.fhir_dates import DateInterval, on_or_after, within_days
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.records import Condition, Currency, Verification
from cds_service.terminology import Said
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import ChangeState, change_words


@dataclass(frozen=True, slots=True, kw_only=True)
class SymptomsAfterSurgery(FactKind):
    """Back or leg symptoms that began or were recorded well after the last operation.

    True: onset or recorded date more than `settle_days` after it and at most `within` days
    old; one of `with_facts`; or words of change in the order. False: words of stability, of
    which the order's own win over everything else.
    """

    surgery_sets: tuple[str, ...]
    symptom_sets: tuple[str, ...]
    settle_days: int
    within: int
    stable_within: int
    with_facts: tuple[str, ...]
    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition", "Procedure", "Observation"})
    """Symptoms and operations."""

    @property
    def depends_on(self) -> frozenset[str]:
        """Emergency facts: they are new by definition."""
        return frozenset(self.with_facts)

    def read(self, context: ReadingContext) -> Finding:
        """Let the order speak first, then emergencies, then the record."""
        stated = self._stated(context)
        if stated.value is not None:
            return stated
        emergency = any_of(
            context.findings[fact] for fact in self.with_facts if context.findings[fact].is_true
        )
        if emergency.is_true:
            # What the dates say is kept as evidence: it may be newer than the emergency.
            return any_of((emergency, self._by_dates(context)))
        return any_of((self._by_dates(context), self._stable_on_record(context)))

    def _stated(self, context: ReadingContext) -> Finding:
        for wanted in (ChangeState.WORSE, ChangeState.STABLE):
            for text in context.order.words:
                change = change_words(text)
                if change.state is wanted:
                    evidence = order_evidence(context.order, change.clause or text, context.today)
                    if wanted is ChangeState.WORSE:
                        return true(
                            evidence, strength=Strength.POSSIBLE, when=on_day(context.today)
                        )
                    return false(evidence, strength=Strength.POSSIBLE)
        return Finding(value=None)

    def _by_dates(self, context: ReadingContext) -> Finding:
        operated = self._last_operation(context)
        if operated is None:
            return Finding(value=None)
        settled = operated.latest + timedelta(days=self.settle_days + 1)
        return any_of(
            self._after(condition, said, settled, context)
            for condition in context.chart.conditions
            if (said := self._symptom(condition, context)) is not None
        )

    def _after(
        self, condition: Condition, said: Said, settled: date, context: ReadingContext
    ) -> Finding:
        for when in (condition.onset, condition.recorded):
            if self._is_new(when, settled, context):
                firm = said.strength is Strength.STRONG and when is condition.onset
                return true(
                    condition_evidence(condition),
                    strength=Strength.STRONG if firm else Strength.POSSIBLE,
                    when=when,
                )
        return Finding(value=None)

    def _is_new(self, when: DateInterval | None, settled: date, context: ReadingContext) -> bool:
        return (
            on_or_after(when, settled) is True
            and within_days(when, context.today, self.within) is True
        )

    def _symptom(self, condition: Condition, context: ReadingContext) -> Said | None:
        if (
            condition.verification is Verification.REFUTED
            or condition.currency is not Currency.CURRENT
        ):
            return None
        for set_id in self.symptom_sets:
            said = context.terminology.in_record(condition.concept, condition.notes, set_id)
            if said is not None and said.state in AFFIRMED_STATES:
                return said
        return None

    def _last_operation(self, context: ReadingContext) -> DateInterval | None:
        done = ProcedureDone(value_sets=self.surgery_sets).matches(context)
        dates = [p.performed for p, _ in done if p.performed is not None]
        return max(dates, key=lambda when: when.latest, default=None)

    def _stable_on_record(self, context: ReadingContext) -> Finding:
        """Words of stability beside a back symptom in an examination of the last months."""
        for observation in context.chart.observations:
            if within_days(observation.effective, context.today, self.stable_within) is not True:
                continue
            words = f"{observation.concept.label} {value_words(observation)}"
            about_back = any(
                (said := context.terminology.in_words(words, set_id)) is not None
                and said.state in AFFIRMED_STATES
                for set_id in self.symptom_sets
            )
            if about_back and change_words(words).state is ChangeState.STABLE:
                return false(observation_evidence(observation), strength=Strength.POSSIBLE)
        return Finding(value=None)
