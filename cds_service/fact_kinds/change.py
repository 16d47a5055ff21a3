"""What changed since the earlier lumbar MRI (F72): decision table §7.3.

Only what is dated strictly after the exam counts; the same day, or a date that is not known,
leaves the question open. What softens an alarm may be weak (§0, asymmetry).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from cds_service.fact_kinds.evidence import (
    observation_evidence,
    on_day,
    order_evidence,
    treatment_evidence,
    value_words,
)
from cds_service.fact_kinds.prior_imaging import IMAGING_TYPES, exam_evidence, prior_of
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.treatments import ProcedureDone, affirmed
from cds_service.fhir_dates import DateInterval, after
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.imaging_history.exams import PriorExam
from cds_service.records import Verification
from cds_service.text.earlier import dates_in, says_earlier_not_usable, says_follow_up_recommended
from cds_service.text.places import read_clauses_of
from cds_service.text.reading import (
    ChangeState,
    TextState,
    candidate_statement,
    change_anywhere,
    change_words,
)

_DONE = frozenset({TextState.CURRENT, TextState.HISTORY})
_MONTH_STOP = re.compile(
    r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.(?= ?\d)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SincePrior(FactKind):
    """One of the named facts is true on evidence that is newer than the earlier MRI.

    With `says_no`: false if those that are true are all older, unknown if the date of one is
    not known or is that of the exam. Otherwise a fact that is older says nothing.
    """

    facts: tuple[str, ...]
    says_no: bool = False

    @property
    def depends_on(self) -> frozenset[str]:
        """The named facts."""
        return frozenset(self.facts)

    def read(self, context: ReadingContext) -> Finding:
        """Compare the date of each piece of evidence with that of the exam."""
        prior = prior_of(context.history)
        if prior is None:
            return Finding(value=None)
        said = [f for fact in self.facts if (f := context.findings[fact]).is_true]
        newer = any_of(
            true(evidence, strength=Strength.POSSIBLE, when=evidence.when)
            for finding in said
            for evidence in finding.evidence
            if after(evidence.when, prior.when)
        )
        if newer.is_true or not self.says_no:
            return newer
        is_older = all(self._is_older(finding, prior.when) for finding in said)
        return false(exam_evidence(prior, context.exam_name)) if is_older else Finding(value=None)

    def _is_older(self, finding: Finding, exam: DateInterval) -> bool:
        """Whether all evidence of a fact is certainly older than the exam."""
        return bool(finding.evidence) and all(
            evidence.when is not None and after(exam, evidence.when)
            for evidence in finding.evidence
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureSincePrior(FactKind):
    """A lumbar operation or injection was done after the earlier MRI (item c).

    By a procedure on record, or by words of the order that name one with a date.
    """

    value_sets: tuple[str, ...]
    word_sets: tuple[str, ...] = ()
    """Sets that the words of the order may name beside a date."""
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Ask every procedure that was done, then the words of the order."""
        prior = prior_of(context.history)
        if prior is None:
            return Finding(value=None)
        on_record = [
            true(
                treatment_evidence(procedure, procedure.performed, "done"),
                strength=Strength.POSSIBLE,
                when=procedure.performed,
            )
            for procedure, _ in ProcedureDone(value_sets=self.value_sets).matches(context)
            if after(procedure.performed, prior.when)
        ]
        return any_of((*on_record, *self._stated(context, prior.when)))

    def _stated(self, context: ReadingContext, exam: DateInterval) -> Iterator[Finding]:
        """Yield operations that the order dates after the exam; what is planned is none."""
        for text in context.order.words:
            for read in read_clauses_of(_MONTH_STOP.sub(r"\1", text)):
                clause = read.clause.raw
                names_one = any(
                    (said := context.terminology.in_words(clause, set_id)) is not None
                    and said.state in _DONE
                    for set_id in self.word_sets
                )
                dates = dates_in(clause, context.today) if names_one else ()
                newer = [when for when in dates if after(when, exam)]
                if newer and candidate_statement(clause) is None:
                    evidence = order_evidence(context.order, clause, context.today)
                    yield true(evidence, strength=Strength.POSSIBLE, when=newer[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConditionSincePrior(FactKind):
    """A condition of the sets began after the earlier MRI, and none is on record before (item d).

    The reason of the order counts as news of today.
    """

    value_sets: tuple[str, ...]
    fact: str
    """The fact that the condition is present now."""
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES | {"Condition"}

    @property
    def depends_on(self) -> frozenset[str]:
        """The fact of its presence."""
        return frozenset({self.fact})

    def read(self, context: ReadingContext) -> Finding:
        """Look for it before the exam first."""
        prior = prior_of(context.history)
        present = context.findings[self.fact]
        if prior is None or not present.is_true:
            return Finding(value=None)
        for condition in context.chart.conditions:
            if condition.verification is Verification.REFUTED:
                continue
            is_one = affirmed(context.terminology, condition, self.value_sets) is not None
            if is_one and after(condition.began, prior.when) is not True:
                return Finding(value=None)
        newer = [e for e in present.evidence if after(e.when, prior.when)]
        return true(*newer, strength=Strength.POSSIBLE) if newer else Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWords(FactKind):
    """Words of the order say that symptoms are worse, or that they are stable (item f).

    Worse wins within the order. Stable may also stand beside a symptom of the sets in an
    observation that is newer than the earlier MRI.
    """

    symptom_sets: tuple[str, ...]
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES | {"Observation"}

    def read(self, context: ReadingContext) -> Finding:
        """Read the order first, then the record."""
        if prior_of(context.history) is None:
            return Finding(value=None)
        for wanted, statement_in in (
            (ChangeState.WORSE, change_words),
            (ChangeState.WORSE, change_anywhere),
            (ChangeState.STABLE, change_words),
        ):
            for text in context.order.words:
                change = statement_in(text)
                if change.state is wanted:
                    said = order_evidence(context.order, change.clause or text, context.today)
                    if wanted is ChangeState.WORSE:
                        return true(said, strength=Strength.POSSIBLE, when=on_day(context.today))
                    return false(said, strength=Strength.POSSIBLE)
        return any_of(false(e, strength=Strength.POSSIBLE) for e in self._stable(context))

    def _stable(self, context: ReadingContext) -> Iterator[Evidence]:
        prior = prior_of(context.history)
        if prior is None:
            return
        for observation in context.observations_of(*self.symptom_sets):
            if not after(observation.effective, prior.when):
                continue
            words = f"{observation.concept.label} {value_words(observation)}"
            about_back = any(
                context.terminology.in_words(words, set_id) is not None
                for set_id in self.symptom_sets
            )
            if about_back and change_words(words).state is ChangeState.STABLE:
                yield observation_evidence(observation)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorNotEnough(FactKind):
    """The earlier exam is of no use, or its report asks for another (items h, i).

    By the report, or by the words of the order: only those tell that it cannot be had.
    """

    follow_up: bool = False
    """Ask for the recommendation of the report instead of the quality of the exam."""
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Ask the earlier exam, then the words of the order."""
        prior = prior_of(context.history)
        if prior is None:
            return Finding(value=None)
        return any_of((self._reported(prior, context), self._stated(context)))

    def _stated(self, context: ReadingContext) -> Finding:
        read = says_follow_up_recommended if self.follow_up else says_earlier_not_usable
        return any_of(
            true(
                order_evidence(context.order, said, context.today),
                strength=Strength.POSSIBLE,
                when=on_day(context.today),
            )
            for text in context.order.words
            if (said := read(text))
        )

    def _reported(self, prior: PriorExam, context: ReadingContext) -> Finding:
        if not (prior.follow_up_recommended if self.follow_up else prior.is_limited):
            return Finding(value=None)
        said = "further imaging recommended" if self.follow_up else "limited or not diagnostic"
        text = f"{context.exam_name} {prior.when.text}: {said}"
        evidence = Evidence(text=text, when=prior.when, resources=prior.sources)
        return true(evidence, strength=Strength.POSSIBLE, when=prior.when)
