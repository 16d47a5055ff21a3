"""New sphincter or saddle symptoms (F20 c), and those that fall short of it.

Source: decision table §4 and the component brake of §5.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import (
    condition_evidence,
    observation_evidence,
    on_day,
    order_evidence,
    treatment_evidence,
    value_words,
    words_of,
)
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.signs import SignQuestion
from cds_service.fhir_dates import DateInterval, within_days
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.orders import Reason
from cds_service.records import (
    Condition,
    Currency,
    Observation,
    ProcedureState,
    Reading,
    Verification,
)
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState

_SADDLE_WORDS = re.compile(
    r"\b(?:saddle|perine\w{1,3}|peri-?anal|genital\w{0,2}|between (?:the |her |his )?legs"
    r"|(?:rectal|anal|sphincter) tone)\b",
    re.IGNORECASE,
)
_OPERATION = re.compile(
    r"(?:ectomy|plasty|otomy|arthrodesis|replacement|hernia repair|surgery|operation|c[ae]*sarean)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SphincterSigns(FactKind):
    """A new sphincter or saddle symptom with back or leg pain, and no other cause (F20 c).

    FACT needs the symptom within `within` days, one of `with_facts`, and no competing cause;
    saddle numbness needs no second item. COMPONENT is true for an active symptom that falls
    short of that.
    """

    question: SignQuestion
    value_set: str
    within: int
    with_facts: tuple[str, ...]
    self_sufficient_codes: tuple[str, ...]
    competing_codes: tuple[str, ...]
    competing_words: tuple[str, ...]
    spine_sets: tuple[str, ...]
    """Operations in these sets are spine surgery, so not a competing cause."""
    after_operation_days: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition", "Observation"})
    """Symptoms and their competing causes."""

    @property
    def depends_on(self) -> frozenset[str]:
        """The facts that say there is back or leg pain."""
        return frozenset(self.with_facts)

    def read(self, context: ReadingContext) -> Finding:
        """Judge every symptom by itself."""
        has_pain = any(context.findings[fact].is_true for fact in self.with_facts)
        return any_of(
            (
                *(self._condition(c, context, has_pain=has_pain) for c in self._active(context)),
                *(
                    self._observation(o, context, has_pain=has_pain)
                    for o in self._observations(context)
                ),
                *(self._reason(r, context, has_pain=has_pain) for r in context.order.reasons),
                *(self._words(text, context, has_pain=has_pain) for text in context.order.words),
            )
        )

    def _active(self, context: ReadingContext) -> list[Condition]:
        return [
            c
            for c in context.conditions_of(self.value_set)
            if c.verification is not Verification.REFUTED
            and c.currency is not Currency.PAST
            and (said := context.terminology.in_record(c.concept, c.notes, self.value_set))
            is not None
            and said.state in AFFIRMED_STATES
        ]

    def _observations(self, context: ReadingContext) -> list[Observation]:
        """Leave out those in which `_observed` would find nothing: in large charts, nearly all."""
        named = {id(o) for o in context.observations_of(self.value_set)}
        return [
            o
            for o in context.chart.observations
            if id(o) in named or (o.reading is Reading.ABNORMAL and _is_saddle(o.exam_label))
        ]

    def _condition(
        self, condition: Condition, context: ReadingContext, *, has_pain: bool
    ) -> Finding:
        is_new = within_days(condition.began, context.today, self.within) is True
        alone = _is_saddle(condition.concept.label) or has_code(
            condition.concept, self.self_sufficient_codes
        )
        firm = (
            condition.onset is not None
            and condition.verification is Verification.CONFIRMED
            and condition.currency is Currency.CURRENT
            and condition.currency_strength is Strength.STRONG
            and self.value_set in condition.concept.sets
        )
        cause = None if alone else self._other_cause(condition.began, context)
        return self._answer(
            counts=is_new and (alone or (has_pain and cause is None)),
            evidence=(condition_evidence(condition), cause),
            strength=Strength.STRONG if firm else Strength.POSSIBLE,
            when=condition.began,
        )

    def _observation(
        self, observation: Observation, context: ReadingContext, *, has_pain: bool
    ) -> Finding:
        words = f"{observation.exam_label} {value_words(observation)}"
        strength = self._observed(observation, words, context)
        if strength is None:
            return Finding(value=None)
        is_new = within_days(observation.effective, context.today, self.within) is True
        alone = _is_saddle(words) or has_code(observation.concept, self.self_sufficient_codes)
        cause = None if alone else self._other_cause(observation.effective, context)
        return self._answer(
            counts=is_new and (alone or (has_pain and cause is None)),
            evidence=(observation_evidence(observation), cause),
            strength=strength,
            when=observation.effective,
        )

    def _observed(
        self, observation: Observation, words: str, context: ReadingContext
    ) -> Strength | None:
        """Tell how surely an examination shows a sign; None if it does not.

        By code of question or answer; by an abnormal answer to a question about saddle
        sensation or sphincter tone; by what name and value say together ("Post-void
        residual 450 mL").
        """
        value = observation.value.concept
        if value is not None and self.value_set in value.sets:
            return Strength.STRONG
        if observation.reading is Reading.ABNORMAL:
            said = context.terminology.in_record(
                observation.concept, observation.notes, self.value_set
            )
            if said is not None and said.state in AFFIRMED_STATES:
                return said.strength
            if _is_saddle(observation.exam_label):
                return Strength.POSSIBLE
        if observation.reading is Reading.NORMAL or not observation.has_value:
            return None
        said = context.terminology.in_words(words, self.value_set)
        is_named = said is not None and said.state in AFFIRMED_STATES
        name_alone = context.terminology.in_words(observation.exam_label, self.value_set)
        # A name that is a symptom ("Urinary retention") says nothing without its answer.
        return Strength.POSSIBLE if is_named and name_alone is None else None

    def _reason(self, reason: Reason, context: ReadingContext, *, has_pain: bool) -> Finding:
        """A coded reason of the order is current today (§4); a referenced one is on record."""
        if reason.condition is not None or self.value_set not in reason.concept.sets:
            return Finding(value=None)
        today = on_day(context.today)
        evidence = order_evidence(context.order, words_of(reason.concept), context.today)
        alone = has_code(reason.concept, self.self_sufficient_codes)
        cause = None if alone else self._other_cause(today, context)
        return self._answer(
            counts=alone or (has_pain and cause is None),
            evidence=(evidence, cause),
            strength=Strength.STRONG,
            when=today,
        )

    def _words(self, text: str, context: ReadingContext, *, has_pain: bool) -> Finding:
        said = context.terminology.in_words(text, self.value_set)
        if said is None:
            return Finding(value=None)
        evidence = order_evidence(context.order, said.words, context.today)
        if said.state is TextState.NEGATED and self.question is SignQuestion.FACT:
            return false(evidence, strength=Strength.POSSIBLE)
        if said.state not in AFFIRMED_STATES:
            return Finding(value=None)
        today = on_day(context.today)
        alone = _is_saddle(said.words)
        cause = None if alone else self._other_cause(today, context)
        return self._answer(
            counts=alone or (has_pain and cause is None),
            evidence=(evidence, cause),
            strength=Strength.POSSIBLE,
            when=today,
        )

    def _answer(
        self,
        *,
        counts: bool,
        evidence: tuple[Evidence, Evidence | None],
        strength: Strength,
        when: DateInterval | None,
    ) -> Finding:
        if counts is not (self.question is SignQuestion.FACT):
            return Finding(value=None)
        told = (item for item in evidence if item is not None)
        return true(*told, strength=strength, when=when)

    def _other_cause(self, when: DateInterval | None, context: ReadingContext) -> Evidence | None:
        """Prostate disease, a drug, a catheter, stress incontinence, a recent operation."""
        for condition in context.chart.conditions:
            if condition.verification is Verification.REFUTED or (
                condition.currency is Currency.PAST
            ):
                continue
            label = condition.concept.label.lower()
            if has_code(condition.concept, self.competing_codes) or any(
                word in label for word in self.competing_words
            ):
                return condition_evidence(condition)
        for procedure in context.chart.procedures:
            if (
                procedure.state is ProcedureState.DONE
                and procedure.concept.sets.isdisjoint(self.spine_sets)
                and _OPERATION.search(procedure.concept.label)
                and self._is_recent_operation(procedure.performed, when)
            ):
                return treatment_evidence(procedure, procedure.performed, "done")
        return None

    def _is_recent_operation(
        self, performed: DateInterval | None, when: DateInterval | None
    ) -> bool:
        if when is None or performed is None or performed.earliest is None:
            return False
        gap = when.latest - performed.latest
        return timedelta() <= gap <= timedelta(days=self.after_operation_days)


def _is_saddle(words: str) -> bool:
    return _SADDLE_WORDS.search(words) is not None
