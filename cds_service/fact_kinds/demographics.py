"""Facts about age and pregnancy."""

import re
from dataclasses import dataclass
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import observation_evidence
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir_dates import completed_years, within_days
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.records import Observation, Reading

_PREGNANT = "77386006"
_NOT_PREGNANT = "60001007"
_IU_PER_LITRE = {
    **dict.fromkeys(("", "miu/ml", "iu/l", "mu/ml", "u/l"), 1.0),
    "iu/ml": 1000.0,
    "miu/l": 0.001,
}
"""Factor to IU/L (the same as mIU/mL) by unit, lower case, without brackets and blanks."""
_AMOUNT = re.compile(r"^\s{0,2}([<>]?=?)\s{0,2}(\d{1,7}(?:,\d{3}){0,2}(?:\.\d{1,3})?)(?![\d,])")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeAtLeast(FactKind):
    """The patient has completed at least `years` years; partial birth dates are intervals."""

    years: int
    below: bool = False
    """Ask the opposite: younger than `years`."""

    resource_types: ClassVar[frozenset[str]] = frozenset({"Patient"})

    def read(self, context: ReadingContext) -> Finding:
        """Compare completed years; unknown where the birth date leaves both open."""
        ages = _ages(context)
        if ages is None:
            return Finding(value=None)
        if ages[0] >= self.years:
            value = not self.below
        elif ages[1] < self.years:
            value = self.below
        else:
            return Finding(value=None, evidence=(_age_evidence(context, ages),))
        return Finding(
            value=value, strength=Strength.STRONG, evidence=(_age_evidence(context, ages),)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeKnown(FactKind):
    """The age is known well enough to tell a child from an adult (F05)."""

    years: int
    """Age from which the criteria apply."""

    resource_types: ClassVar[frozenset[str]] = frozenset({"Patient"})

    def read(self, context: ReadingContext) -> Finding:
        """True if every possible age is on one side of the limit; never false."""
        ages = _ages(context)
        if ages is None or ages[0] < self.years <= ages[1]:
            return Finding(value=None)
        return Finding(
            value=True, strength=Strength.STRONG, evidence=(_age_evidence(context, ages),)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyObserved(FactKind):
    """A pregnancy status or test says pregnant, or says not (F80).

    A measured amount of hCG is judged by its number, not by the flag of the laboratory: between
    the two limits it says nothing, and a great one is possible evidence (tumours make it too).
    """

    value_set: str
    status_within: int
    positive_within: int
    negative_within: int
    amount_codes: tuple[str, ...]
    """Tests of the set that measure an amount."""
    amount_positive: int
    """IU/L from which on an amount says pregnant."""
    amount_negative: int
    """IU/L below which an amount says not pregnant."""
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge each observation by its own window."""
        return any_of(
            self._judge(observation, context)
            for observation in context.observations_of(self.value_set)
            if self.value_set in observation.concept.sets
            and (observation.has_value or observation.reading is not Reading.UNCLEAR)
        )

    def _judge(self, observation: Observation, context: ReadingContext) -> Finding:
        def is_within(days: int) -> bool:
            return within_days(observation.effective, context.today, days) is True

        concept = observation.value.concept
        codes = {c.code for c in concept.codings} if concept else set()
        evidence = observation_evidence(observation)
        if _PREGNANT in codes and is_within(self.status_within):
            return true(evidence, strength=Strength.STRONG, when=observation.effective)
        if _NOT_PREGNANT in codes and is_within(self.status_within):
            return false(evidence)
        if has_code(observation.concept, self.amount_codes) and _has_digits(observation):
            return self._judge_amount(observation, context)
        if observation.reading is Reading.ABNORMAL and is_within(self.positive_within):
            return true(evidence, strength=Strength.STRONG, when=observation.effective)
        if observation.reading is Reading.NORMAL and is_within(self.negative_within):
            return false(evidence)
        return Finding(value=None)

    def _judge_amount(self, observation: Observation, context: ReadingContext) -> Finding:
        amount = _amount(observation)
        if amount is None:
            return Finding(value=None)
        least, most = amount
        when = observation.effective
        evidence = observation_evidence(observation)
        if least >= self.amount_positive and (
            within_days(when, context.today, self.positive_within) is True
        ):
            return true(evidence, strength=Strength.POSSIBLE, when=when)
        if most < self.amount_negative and (
            within_days(when, context.today, self.negative_within) is True
        ):
            return false(evidence)
        return Finding(value=None)


def _has_digits(observation: Observation) -> bool:
    value = observation.value
    return value.number is not None or any(character.isdecimal() for character in value.text)


def _amount(observation: Observation) -> tuple[float, float] | None:
    """Return the bounds of an amount of hCG in IU/L; None without a number that can be read."""
    value = observation.value
    unit = re.sub(r"[\[\]\s]", "", value.unit).lower()
    factor = _IU_PER_LITRE.get(unit)
    if factor is None:
        return None
    sign, number = value.comparator, value.number
    if number is None:
        found = _AMOUNT.match(value.text)
        if found is None:
            return None
        sign, number = found[1], float(found[2].replace(",", ""))
    number *= factor
    if sign.startswith("<"):
        return 0, number - 1e-9 if sign == "<" else number
    return number, float("inf") if sign.startswith(">") else number


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotBePregnant(FactKind):
    """Male, or older than `older_than` years: stated as "no", never as "yes"."""

    older_than: int

    resource_types: ClassVar[frozenset[str]] = frozenset({"Patient"})

    def read(self, context: ReadingContext) -> Finding:
        """Return false where pregnancy is impossible."""
        patient = context.chart.patient
        ages = _ages(context)
        if (patient is not None and patient.sex == "male") or (
            ages is not None and ages[0] > self.older_than
        ):
            return Finding(value=False, strength=Strength.STRONG)
        return Finding(value=None)


def _ages(context: ReadingContext) -> tuple[int, int] | None:
    patient = context.chart.patient
    if patient is None or patient.birth is None:
        return None
    return completed_years(patient.birth, context.today)


def _age_evidence(context: ReadingContext, ages: tuple[int, int]) -> Evidence:
    least, most = ages
    words = f"Age {least}" if least == most else f"Age {least} or {most}"
    patient = context.chart.patient
    refs = (patient.ref,) if patient is not None else ()
    return Evidence(text=f"{words} (from the birth date)", resources=refs)
