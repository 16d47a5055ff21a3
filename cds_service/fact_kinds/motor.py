"""Severe or progressive weakness of the leg (F21), and the straight leg raise (F13).

Source: decision table §4 and the component brake of §5.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from cds_service.fact_kinds.evidence import (
    observation_evidence,
    on_day,
    order_evidence,
    value_words,
)
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.signs import SignQuestion
from cds_service.fhir_dates import within_days
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.records import (
    Observation,
    Reading,
)
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState

_FULL_STRENGTH = 5
_STRENGTH_EXAM = re.compile(
    r"\b(?:strength|power|MRC|motor|dorsiflex\w{0,5}|plantar ?flex\w{0,5}|EHL|quadriceps"
    r"|hip flex\w{0,5}|knee ext\w{0,6})\b",
    re.IGNORECASE,
)
_UPPER_LIMB = re.compile(
    r"\b(?:arms?|hands?|grip|shoulder|elbow|wrist|deltoid|biceps|triceps|finger|upper)\b",
    re.IGNORECASE,
)
_LEG = re.compile(
    r"\b(?:legs?|lower (?:limbs?|extremit\w{1,3})|[LRB]?LEs?|foot|feet|ankles?|toes?"
    r"|hips?|knees?|thighs?|calf|calves|quad\w{0,8}|hamstrings?|tibialis|TA|E[HD]L|FHL|gastroc\w{0,9}"
    r"|iliopsoas|psoas|glut\w{1,6}|abductors?|adductors?|dorsi-?flex\w{0,5}|plantar ?-?flex\w{0,5}"
    r"|peroneal\w{0,2}|evertors?|L[2-5]|S1)\b",
    re.IGNORECASE,
)
_OTHER_SCALE = re.compile(
    r"\b(?:pain|o?edema|swelling|reflex\w{0,2}|pulses?|score|scale|VAS|NRS|sensation|sensory)\b",
    re.IGNORECASE,
)
_GRADE = re.compile(r"(?<![\d/.])([0-5])(?:[+-]|\.\d)? ?(?:/|(?:out )?of) ?5\b", re.IGNORECASE)
_DEFICIT = re.compile(
    r"\b(?:weak\w{0,4}|paresis|drop|\w{0,6}plegi)"
    r"|\bdrag\w{0,5}\b|\b(?:heel|toe)[- ]walk"
    r"|\b(?:lift|raise|move|dorsiflex) (?:the |her |his )?(?:left |right |both )?"
    r"(?:foot|feet|toes?|legs?)\b",
    re.IGNORECASE,
)
_PROGRESS = re.compile(
    r"\b(?:progress\w{0,4}|worsen\w{0,3}|worse|new|newly|increas\w{0,3}|rapid\w{0,2}"
    r"|foot[- ]?drop|drop(?:ped)? foot|bilateral\w{0,2}|both legs|para(?:paresis|plegi\w{1,2}))\b",
    re.IGNORECASE,
)
_LEG_RAISE = re.compile(r"straight[- ]leg[- ]rais|\bSLR\b|Las[eè]gue", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MotorExam(FactKind):
    """Strength of the legs by examination (F21): grade, foot drop, both sides, decline.

    FACT is true for a grade of at most `grade_at_most`, a foot drop, a bilateral or progressive
    deficit, or a decline of a grade between two examinations `within` days apart; false when
    the latest examination shows full strength on both sides. COMPONENT is true for a single
    abnormal value that is none of these.
    """

    question: SignQuestion
    exam_sets: tuple[str, ...]
    deficit_set: str
    within: int
    grade_at_most: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge the strength examinations of the window, newest last."""
        exams = sorted(
            (o for o in context.chart.observations if self._is_leg_exam(o, context)),
            key=lambda o: o.effective.latest if o.effective else context.today,
        )
        recent = [o for o in exams if within_days(o.effective, context.today, self.within) is True]
        severe = [self._severe(o) for o in recent]
        found = any_of([*severe, *self._declines(exams, recent)])
        if self.question is SignQuestion.COMPONENT:
            return self._component(exams, found)
        if found.is_true or not recent:
            return found
        last = [o for o in recent if o.effective == recent[-1].effective]
        if all(_is_full(o) for o in last) and _covers_both_sides(last):
            return false(*(observation_evidence(o) for o in last))
        return Finding(value=None)

    def _component(self, exams: list[Observation], found: Finding) -> Finding:
        if found.is_true:
            return Finding(value=None)
        weak = [o for o in exams if _is_abnormal(o)]
        return any_of(
            true(observation_evidence(o), strength=Strength.POSSIBLE, when=o.effective)
            for o in weak
        )

    def _is_leg_exam(self, observation: Observation, context: ReadingContext) -> bool:
        if not observation.has_value or _UPPER_LIMB.search(observation.exam_label):
            return False
        if self.deficit_set in observation.concept.sets or _grades_a_leg(observation):
            return True
        if not _STRENGTH_EXAM.search(observation.exam_label):
            return False
        return any(
            (said := context.terminology.in_record(observation.concept, observation.notes, s))
            is not None
            and said.state is not TextState.NEGATED
            for s in (*self.exam_sets, self.deficit_set)
        )

    def _severe(self, observation: Observation) -> Finding:
        grades = grades_of(observation)
        words = f"{observation.exam_label} {value_words(observation)}"
        said = self.deficit_set in observation.concept.sets and _is_abnormal(observation)
        is_severe = any(grade <= self.grade_at_most for grade in grades)
        gets_worse = _is_abnormal(observation) and _PROGRESS.search(words) is not None
        if not (is_severe or gets_worse or (said and not grades)):
            return Finding(value=None)
        return true(
            observation_evidence(observation),
            strength=self._strength(observation),
            when=observation.effective,
        )

    def _strength(self, observation: Observation) -> Strength:
        """An examination known by its name only is possible evidence (§2.1)."""
        known = {*self.exam_sets, self.deficit_set}
        return Strength.POSSIBLE if observation.concept.sets.isdisjoint(known) else Strength.STRONG

    def _declines(self, exams: list[Observation], recent: list[Observation]) -> list[Finding]:
        """Two values of the same examination, a grade or more lower, `within` days apart."""
        return [
            true(
                observation_evidence(earlier),
                observation_evidence(later),
                strength=self._strength(later),
                when=later.effective,
            )
            for later in recent
            for earlier in exams
            if _declined(earlier, later, self.within)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MotorWords(FactKind):
    """The order's own words name a severe or progressive leg weakness (F21).

    A grade of 4 or 5 without a word of progress is a component only.
    """

    question: SignQuestion
    deficit_set: str
    grade_at_most: int

    def read(self, context: ReadingContext) -> Finding:
        """Read every text of the order."""
        return any_of(self._judge(text, context) for text in context.order.words)

    def _judge(self, text: str, context: ReadingContext) -> Finding:
        said = context.terminology.in_words(text, self.deficit_set)
        if said is None:
            return Finding(value=None)
        evidence = order_evidence(context.order, said.words, context.today)
        if said.state is TextState.NEGATED and self.question is SignQuestion.FACT:
            return false(evidence, strength=Strength.POSSIBLE)
        if said.state not in AFFIRMED_STATES:
            return Finding(value=None)
        is_severe = is_severe_weakness(said.words, self.grade_at_most) is True
        if is_severe is not (self.question is SignQuestion.FACT):
            return Finding(value=None)
        return true(evidence, strength=Strength.POSSIBLE, when=on_day(context.today))


def is_severe_weakness(words: str, grade_at_most: int) -> bool | None:
    """Tell whether words of weakness say that it is severe or progressive.

    False for a milder grade; None for the bare name of an examination.
    """
    if _PROGRESS.search(words):
        return True
    grades = [int(grade) for grade in _GRADE.findall(words)]
    if grades:
        return min(grades) <= grade_at_most
    return True if _DEFICIT.search(words) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StraightLegRaise(FactKind):
    """A straight leg raise is positive (F13); a negative one says nothing."""

    exam_set: str
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Look for positive examinations in the window."""
        return any_of(
            true(observation_evidence(o), strength=Strength.POSSIBLE, when=o.effective)
            for o in context.chart.observations
            if o.reading is Reading.ABNORMAL
            and _LEG_RAISE.search(o.concept.label)
            and within_days(o.effective, context.today, self.within) is True
        )


def _grades_a_leg(observation: Observation) -> bool:
    """Tell that a leg, or a muscle or movement of it, is graded in words ("2/5")."""
    label = observation.exam_label
    if not _LEG.search(label) or _OTHER_SCALE.search(label):
        return False
    value = observation.value
    texts = (value.text, value.concept.label if value.concept else "")
    return value.unit == "/5" or any(_GRADE.search(text) for text in texts)


def grades_of(observation: Observation) -> tuple[float, ...]:
    """Return the strength grades (0–5) of an examination, components included."""
    values = [observation.value, *(part.value for part in observation.parts)]
    grades: list[float] = []
    for value in values:
        if (
            value.number is not None
            and 0 <= value.number <= _FULL_STRENGTH
            and (value.unit in {"", "1", "{score}", "/5", "{MRC}"})
        ):
            grades.append(value.number)
        texts = (value.text, value.concept.label if value.concept else "")
        grades.extend(float(g) for text in texts for g in _GRADE.findall(text))
    return tuple(grades)


def _declined(earlier: Observation, later: Observation, within: int) -> bool:
    before, after = grades_of(earlier), grades_of(later)
    if (
        not before
        or not after
        or earlier.exam_label.lower() != later.exam_label.lower()
        or earlier.effective is None
        or later.effective is None
    ):
        return False
    gap = later.effective.latest - earlier.effective.latest
    return timedelta() < gap <= timedelta(days=within) and min(before) - min(after) >= 1


def _is_full(observation: Observation) -> bool:
    grades = grades_of(observation)
    if grades:
        return min(grades) >= _FULL_STRENGTH
    return observation.reading is Reading.NORMAL


def _is_abnormal(observation: Observation) -> bool:
    grades = grades_of(observation)
    if grades:
        return min(grades) < _FULL_STRENGTH
    return observation.reading is Reading.ABNORMAL


def _covers_both_sides(exams: list[Observation]) -> bool:
    """Bilateral, or left and right both named, by the words of the examination."""
    words = " ".join(f"{o.exam_label} {value_words(o)}" for o in exams).lower()
    if re.search(r"\b(?:bilateral\w{0,2}|both|lower extremities|legs)\b", words):
        return True
    return bool(re.search(r"\b(?:left|l)\b", words) and re.search(r"\b(?:right|r)\b", words))
