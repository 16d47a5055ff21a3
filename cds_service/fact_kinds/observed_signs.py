"""Emergencies that stand in an Observation only: foot drop, cauda equina, fever (F20, F21, F36).

Source: decision table §4, §7.3 a and b, §12.4. An Observation counts by the windows of a
Condition; what is older or unclear is a component, which only brakes an alarm.
"""

from dataclasses import dataclass
from typing import ClassVar

from cds_service.fact_kinds.answers import Answer, Shown, shown_by
from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import observation_evidence
from cds_service.fact_kinds.motor import is_severe_weakness
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.signs import SignQuestion
from cds_service.fhir_dates import within_days
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.records import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedSign(FactKind):
    """Name, value or note of an Observation says that a sign of the sets is there.

    FACT is true for one that is stated in the window (a code is strong, words are possible) and
    false for one that is denied there. COMPONENT is true for what is stated in its window, or
    of an unknown date. With `grade_at_most`, words count as FACT only if they name a
    severe or progressive weakness.
    """

    question: SignQuestion
    value_sets: tuple[str, ...]
    within: int
    except_codes: tuple[str, ...] = ()
    """Members that are too unspecific for FACT."""
    grade_at_most: int | None = None
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge every observation that is not surely outside the window."""
        is_component = self.question is SignQuestion.COMPONENT
        return any_of(
            self._judge(observation, shown)
            for observation in context.observations_of(*self.value_sets)
            if (inside := within_days(observation.effective, context.today, self.within)) is True
            or (is_component and inside is None)
            for set_id in self.value_sets
            for shown in shown_by(observation, set_id, context.terminology)
        )

    def _judge(self, observation: Observation, shown: Shown) -> Finding:
        evidence = observation_evidence(observation)
        if self.question is SignQuestion.COMPONENT:
            if shown.answer is not Answer.YES or self._names_only_exam(shown):
                return Finding(value=None)
            return true(evidence, strength=Strength.POSSIBLE, when=observation.effective)
        if shown.answer is Answer.NO:
            # Full strength of one leg denies nothing; `motor_exam` asks for both sides.
            denies = self.grade_at_most is None or is_severe_weakness(shown.words, -1) is True
            return false(evidence, strength=Strength.POSSIBLE) if denies else Finding(value=None)
        if shown.answer is Answer.UNCLEAR or not self._is_enough(observation, shown):
            return Finding(value=None)
        return true(evidence, strength=shown.strength, when=observation.effective)

    def _names_only_exam(self, shown: Shown) -> bool:
        """Tell that words such as "ankle strength" are the name of an examination."""
        return (
            self.grade_at_most is not None
            and shown.strength is Strength.POSSIBLE
            and is_severe_weakness(shown.words, self.grade_at_most) is None
        )

    def _is_enough(self, observation: Observation, shown: Shown) -> bool:
        concepts = (observation.concept, observation.value.concept)
        if self.except_codes and any(c and has_code(c, self.except_codes) for c in concepts):
            return False
        if self.grade_at_most is None or shown.strength is Strength.STRONG:
            return True
        return is_severe_weakness(shown.words, self.grade_at_most) is True
