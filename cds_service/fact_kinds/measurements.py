"""Facts read from Observations: numbers against a limit, and findings said to be there or not."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import observation_evidence, value_words
from cds_service.fact_kinds.reading import FactKind, ReadingContext, Window
from cds_service.fhir import convert
from cds_service.fhir_dates import DateInterval, within_days
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.records import Observation, Reading
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState

_KNOWN_TEMPERATURE_UNITS = frozenset({"Cel", "[degF]", "K"})
_HOTTEST_CELSIUS = 50
_WITH_UNIT = re.compile(r"^\s{0,3}(\d{1,4}(?:\.\d{1,3})?)\s{0,2}([^\s\d]\S{0,20})\s{0,3}$")
_BARE = re.compile(r"^\d{1,4}(?:\.\d{1,3})?$")
_MARKER = re.compile(r"^(\S+) (>=|>) (\d+(?:\.\d+)?) (\S+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(FactKind):
    """A measured number reaches a limit within a window.

    True by `at_least` or `at_most`; false by `below`, `above` or `not_above`. The newest
    value decides, or any value where `any_value` is set (a fever once is a fever).
    """

    value_set: str
    unit: str
    within: int
    only_codes: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    above: float | None = None
    not_above: float | None = None
    false_within: int | None = None
    """Window of the "no", where it differs."""
    any_value: bool = False
    names: tuple[str, ...] = ()
    """Words of a name that says what is measured where no code does: possible evidence."""
    without_unit: bool = False
    """Read only numbers that come without a unit, where their size leaves no doubt of it.

    For brakes, never for facts: without a unit nothing is asserted (quirk 53).
    """
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Compare in `unit`; a number without a unit is not guessed at (quirk 53)."""
        values = _newest_first(
            (observation, number)
            for observation in self._asked(context)
            if self._is_of(observation)
            and (number := self._number(observation)) is not None
            and within_days(observation.effective, context.today, self._widest) is True
        )
        findings = [self._judge(observation, number, context) for observation, number in values]
        return any_of(findings) if self.any_value else next(iter(findings), Finding(value=None))

    def _asked(self, context: ReadingContext) -> Sequence[Observation]:
        """Names are looked for beside the value sets, so then every observation is asked."""
        if self.names:
            return context.chart.observations
        return context.observations_of(self.value_set)

    def _is_of(self, observation: Observation) -> bool:
        if self.value_set in observation.concept.sets:
            return not self.only_codes or has_code(observation.concept, self.only_codes)
        return not observation.concept.is_recognised and self._is_named(observation)

    def _is_named(self, observation: Observation) -> bool:
        letters = re.sub(r"[^a-z]+", " ", observation.concept.label.lower()).strip()
        return letters in self.names

    def _number(self, observation: Observation) -> float | None:
        if not self.without_unit:
            return _number_in(observation, self.unit)
        number = _bare_number(observation)
        if number is None or observation.value.unit in _KNOWN_TEMPERATURE_UNITS:
            return None
        if number > _HOTTEST_CELSIUS:
            return convert(number, "[degF]", self.unit)
        return number

    @property
    def _widest(self) -> int:
        return max(self.within, self.false_within or 0)

    def _judge(self, observation: Observation, number: float, context: ReadingContext) -> Finding:
        comparator = observation.value.comparator
        inside = within_days(observation.effective, context.today, self.within) is True
        evidence = observation_evidence(observation)
        reached = (
            self.at_least is not None and number >= self.at_least and "<" not in comparator
        ) or (self.at_most is not None and number <= self.at_most and ">" not in comparator)
        if reached and inside:
            is_sure = (
                self.value_set in observation.concept.sets and observation.value.number is not None
            )
            strength = Strength.STRONG if is_sure else Strength.POSSIBLE
            return true(evidence, strength=strength, when=observation.effective)
        missed = (
            (self.below is not None and number < self.below and ">" not in comparator)
            or (self.above is not None and number > self.above and "<" not in comparator)
            or (self.not_above is not None and number <= self.not_above and ">" not in comparator)
        )
        days = self.false_within or self.within
        is_coded = self.value_set in observation.concept.sets
        if missed and is_coded and within_days(observation.effective, context.today, days) is True:
            return false(evidence)
        return Finding(value=None)


@dataclass(frozen=True, slots=True)
class Marker:
    """One laboratory limit: `1988-5 >= 10 mg/L`."""

    code: str
    is_strict: bool
    limit: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Marker":
        """Read `code >= number unit`; raise ValueError with the expected form."""
        found = _MARKER.match(text)
        if found is None:
            message = f"{text!r} is not of the form `1988-5 >= 10 mg/L`"
            raise ValueError(message)
        code, sign, limit, unit = found.groups()
        return cls(code, sign == ">", float(limit), unit)

    def is_reached(self, number: float) -> bool:
        """Is the number over the limit?"""
        return number > self.limit if self.is_strict else number >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AbnormalMarkers(FactKind):
    """A laboratory marker is over its limit or above its own reference range (F39).

    False only if all of `normal_codes` have a normal value in the window.
    """

    value_set: str
    markers: tuple[Marker, ...]
    normal_codes: tuple[str, ...]
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge every marker in the window; one abnormal is enough."""
        normal: dict[str, Evidence] = {}
        abnormal = []
        for observation in context.chart.observations:
            marker = self._marker_of(observation)
            if (
                marker is None
                or within_days(observation.effective, context.today, self.within) is not True
            ):
                continue
            is_high = _is_high(observation, marker)
            if is_high:
                abnormal.append(
                    true(
                        observation_evidence(observation),
                        strength=Strength.STRONG,
                        when=observation.effective,
                    )
                )
            elif is_high is False:
                normal.setdefault(marker.code, observation_evidence(observation))
        if abnormal:
            return any_of(abnormal)
        if all(code in normal for code in self.normal_codes):
            return false(*normal.values())
        return Finding(value=None)

    def _marker_of(self, observation: Observation) -> Marker | None:
        if self.value_set not in observation.concept.sets:
            return None
        return next((m for m in self.markers if has_code(observation.concept, (m.code,))), None)


def _is_high(observation: Observation, marker: Marker) -> bool | None:
    number = observation.value.number
    if number is None:
        return {Reading.ABNORMAL: True, Reading.NORMAL: False}.get(observation.reading)
    if observation.reference_high is not None:
        high = number > observation.reference_high
        return high or _over(observation, marker) is True
    over = _over(observation, marker)
    if over is None and observation.reading is not Reading.UNCLEAR:
        return observation.reading is Reading.ABNORMAL
    return over


def _over(observation: Observation, marker: Marker) -> bool | None:
    number = _number_in(observation, marker.unit)
    if number is None:
        return None
    reached = marker.is_reached(number)
    comparator = observation.value.comparator
    if (reached and "<" in comparator) or (not reached and ">" in comparator):
        return None
    return reached


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFinding(FactKind):
    """An Observation whose code or value is in the sets says that something is there, or not.

    An observation without a value says nothing: absent is not normal (quirk 52). A coded
    value that is itself the finding ("injecting drug user") counts as said.
    """

    value_sets: tuple[str, ...]
    within: int | None = None
    within_months: int | None = None
    only_codes: tuple[str, ...] = ()
    normal_is_false: bool = True
    affirming_sets: tuple[str, ...] = ()
    """Sets in which words of the value are looked up, where the set only names examinations."""
    only_possible: bool = False
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge every observation in the window."""
        window = Window(days=self.within, months=self.within_months)
        return any_of(
            finding
            for observation in context.observations_of(*self.value_sets)
            if window.holds(observation.effective, context.today) is True
            for finding in (self._judge(observation, context),)
            if finding.value is not None
        )

    def _judge(self, observation: Observation, context: ReadingContext) -> Finding:
        terminology = context.terminology
        evidence = observation_evidence(observation)
        value = observation.value.concept
        for set_id in self.value_sets:
            if value is not None and set_id in value.sets and self._is_member(observation):
                return self._true(evidence, observation, Strength.STRONG)
            said = terminology.in_record(observation.concept, observation.notes, set_id)
            if said is None or said.state is TextState.HISTORY or not self._is_member(observation):
                continue
            if said.state is TextState.NEGATED:
                return false(evidence, strength=Strength.POSSIBLE)
            if observation.reading is Reading.ABNORMAL:
                return self._true(evidence, observation, said.strength)
            if observation.reading is Reading.NORMAL and self.normal_is_false:
                return false(evidence, strength=said.strength)
            if any(
                _value_affirms(observation, s, context) for s in self.affirming_sets or [set_id]
            ):
                return self._true(evidence, observation, Strength.POSSIBLE)
        return Finding(value=None)

    def _is_member(self, observation: Observation) -> bool:
        if not self.only_codes:
            return True
        value = observation.value.concept
        return has_code(observation.concept, self.only_codes) or (
            value is not None and has_code(value, self.only_codes)
        )

    def _true(self, evidence: Evidence, observation: Observation, strength: Strength) -> Finding:
        return true(
            evidence,
            strength=Strength.POSSIBLE if self.only_possible else strength,
            when=observation.effective,
        )


def _value_affirms(observation: Observation, set_id: str, context: ReadingContext) -> bool:
    said = context.terminology.in_words(value_words(observation), set_id)
    return said is not None and said.state in AFFIRMED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFall(FactKind):
    """Body weight fell by a share of it: worth a question, never true by itself (F32)."""

    value_set: str
    percent: int
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Return unknown, with evidence when the newest weight is well below an earlier one."""
        weights = _newest_first(
            (observation, number)
            for observation in context.observations_of(self.value_set)
            if self.value_set in observation.concept.sets
            and (number := _number_in(observation, "kg")) is not None
            and within_days(observation.effective, context.today, self.within) is True
        )
        if len(weights) < 2:  # noqa: PLR2004 - a fall needs two values
            return Finding(value=None)
        newest, now = weights[0]
        oldest, before = max(weights[1:], key=lambda pair: pair[1])
        if before <= 0 or (before - now) / before * 100 < self.percent:
            return Finding(value=None)
        text = (
            f"Body weight {before:g} kg ({_day(oldest.effective)}) → {now:g} kg "
            f"({_day(newest.effective)}): intended?"
        )
        return Finding(
            value=None,
            evidence=(
                Evidence(text=text, when=newest.effective, resources=(newest.ref, oldest.ref)),
            ),
        )


def _number_in(observation: Observation, unit: str) -> float | None:
    """Return the value in `unit`; scores have none and are taken as they are."""
    number = observation.value.number
    if number is None:
        written = _WITH_UNIT.match(observation.value.text)
        return convert(float(written[1]), written[2], unit) if written and unit else None
    return convert(number, observation.value.unit, unit) if unit else number


def _bare_number(observation: Observation) -> float | None:
    """Return a number, also one that was sent as text."""
    text = observation.value.text.strip()
    return float(text) if _BARE.match(text) else observation.value.number


def _newest_first(
    pairs: Iterable[tuple[Observation, float]],
) -> list[tuple[Observation, float]]:
    return sorted(
        pairs,
        key=lambda pair: (
            pair[0].effective.latest if pair[0].effective else date.min,
            pair[0].ref,
        ),
        reverse=True,
    )


def _day(when: DateInterval | None) -> str:
    return when.text if when else "no date"
