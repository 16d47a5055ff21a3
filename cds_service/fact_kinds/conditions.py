"""Facts read from the problem list and diagnoses (Condition), decision table §2.2 and §4."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import ClassVar

from cds_service.fact_kinds.evidence import (
    condition_evidence,
    observation_evidence,
    refuted_evidence,
)
from cds_service.fact_kinds.reading import FactKind, MatchedBy, ReadingContext, Window
from cds_service.fhir_dates import DateInterval, within_days
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.records import (
    Concept,
    Condition,
    Currency,
    Observation,
    Reading,
    Verification,
)
from cds_service.terminology import Said, Terminology
from cds_service.text.reading import TextState

_CODE_WITH_SEVENTH = 7


class ConditionStatus(StrEnum):
    """Which conditions count."""

    CURRENT = "current"
    PAST = "past"
    ANY = "any"
    NOT_RESOLVED = "not-resolved"
    """Current, inactive or in remission, but not said to be resolved."""


class Undated(StrEnum):
    """What a condition without any usable date means for a window."""

    SKIP = "skip"
    POSSIBLE = "possible"
    COUNTS = "counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionOnRecord(FactKind):
    """A condition of the value sets is on record, with the status and in the window asked for.

    Strong only if coded, confirmed (or not said otherwise), surely current, and inside the
    window by its onset; by a recorded date alone it is possible (§2.2, emergencies).
    """

    value_sets: tuple[str, ...]
    except_sets: tuple[str, ...] = ()
    status: ConditionStatus = ConditionStatus.CURRENT
    within: int | None = None
    """Days before today."""
    within_months: int | None = None
    """Calendar months before today, where the window is given in months."""
    recorded_counts: bool = False
    """A recorded date in the window is as good as an onset there."""
    undated: Undated = Undated.SKIP
    only_codes: tuple[str, ...] = ()
    """Keep only members that start with one of these (dots ignored)."""
    except_codes: tuple[str, ...] = ()
    possible_codes: tuple[str, ...] = ()
    """Members that are possible evidence only ("weak")."""
    by: MatchedBy = MatchedBy.ANY
    unless_false: str = ""
    """Say nothing while this fact is false."""
    history_counts: bool = False
    """Words such as "h/o", "s/p" count (sets of past things)."""
    only_possible: bool = False
    """Whatever matches is possible at most."""
    never_false: bool = False
    """A refutation says nothing about this fact (one refuted cancer is no clean history)."""
    refuted_within: int | None = None
    """Refutation counts as "no" only this many days back; None is always."""
    clearing_exam_sets: tuple[str, ...] = ()
    """Sets of examinations: a normal one soon after an unconfirmed entry clears it."""
    cleared_within: int = 7
    """Days after the entry in which the normal examination counts."""
    seventh: tuple[str, ...] = ()
    """ICD-10-CM seventh characters that are required."""
    seventh_not: tuple[str, ...] = ()
    """Seventh characters that never count (S: sequela)."""
    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition"})

    @property
    def depends_on(self) -> frozenset[str]:
        """The fact that silences this reading, if there is one."""
        return frozenset({self.unless_false}) - {""}

    def read(self, context: ReadingContext) -> Finding:
        """Judge every condition, let refutations cancel older unconfirmed ones, combine."""
        if self.unless_false and context.findings[self.unless_false].is_false:
            return Finding(value=None)
        matches = [
            (condition, said)
            for condition in context.conditions_of(*self.value_sets)
            if (said := self._said(condition, context.terminology)) is not None
        ]
        refuted = [
            condition
            for condition, said in matches
            if condition.verification is Verification.REFUTED and said.state is not _NEGATED
        ]
        return any_of(self._judge(condition, said, refuted, context) for condition, said in matches)

    def _said(self, condition: Condition, terminology: Terminology) -> Said | None:
        for set_id in self.except_sets:
            if _says_now(terminology, condition, set_id):
                return None
        said = _best(
            terminology.in_record(condition.concept, condition.notes, set_id)
            for set_id in self.value_sets
        )
        if said is None or not self._is_member(condition.concept, said):
            return None
        if said.state is TextState.HISTORY and not (
            self.history_counts or self.status is ConditionStatus.PAST
        ):
            return None
        return said

    def _is_member(self, concept: Concept, said: Said) -> bool:
        if said.by == "text":
            return self.by is not MatchedBy.CODE and not (self.only_codes or self.seventh)
        if self.by is MatchedBy.TEXT:
            return False
        return is_code_kept(
            concept,
            only=self.only_codes,
            but_not=self.except_codes,
            seventh=self.seventh,
            seventh_not=self.seventh_not,
        )

    def _judge(
        self, condition: Condition, said: Said, refuted: list[Condition], context: ReadingContext
    ) -> Finding:
        if condition.verification is Verification.REFUTED or said.state is _NEGATED:
            return self._refutation(condition, said, context)
        if condition.verification is Verification.UNCONFIRMED:
            if is_cancelled(condition, refuted):
                return Finding(value=None)
            exam = self._clearing_exam(condition, context)
            if exam is not None:
                return false(observation_evidence(exam))
        strength = self._status_strength(condition, said)
        if strength is None:
            return Finding(value=None)
        strength = self._window_strength(condition, strength, context)
        if strength is None:
            return Finding(value=None)
        if (
            self.only_possible
            or said.strength is Strength.POSSIBLE
            or condition.verification is Verification.UNCONFIRMED
            or (self.possible_codes and has_code(condition.concept, self.possible_codes))
        ):
            strength = Strength.POSSIBLE
        return true(condition_evidence(condition), strength=strength, when=condition.began)

    def _refutation(self, condition: Condition, said: Said, context: ReadingContext) -> Finding:
        when = condition.recorded or condition.onset
        if self.never_false or (
            self.refuted_within is not None
            and within_days(when, context.today, self.refuted_within) is not True
        ):
            return Finding(value=None)
        return false(refuted_evidence(condition), strength=said.strength)

    def _clearing_exam(self, condition: Condition, context: ReadingContext) -> Observation | None:
        """Find a normal examination on the day of the entry or in the days after it."""
        began = condition.began
        if began is None:
            return None
        for observation in context.observations_of(*self.clearing_exam_sets):
            when = observation.effective
            if (
                observation.reading is Reading.NORMAL
                and when is not None
                and when.earliest is not None
                and timedelta() <= when.earliest - began.latest
                and when.latest - began.latest <= timedelta(days=self.cleared_within)
                and any(
                    context.terminology.in_record(observation.concept, observation.notes, s)
                    for s in self.clearing_exam_sets
                )
            ):
                return observation
        return None

    def _status_strength(self, condition: Condition, said: Said) -> Strength | None:
        """Return how well the status fits, or None if it does not."""
        is_past = condition.currency is Currency.PAST or said.state is TextState.HISTORY
        match self.status:
            case ConditionStatus.ANY:
                return Strength.STRONG
            case ConditionStatus.PAST:
                return Strength.STRONG if is_past else None
            case ConditionStatus.NOT_RESOLVED:
                if condition.clinical_status == "resolved" or condition.abated is not None:
                    return None
                return Strength.STRONG if is_past else condition.currency_strength
            case ConditionStatus.CURRENT:
                if is_past:
                    return None
                if condition.currency is Currency.CONTRADICTORY:
                    return Strength.POSSIBLE
                return condition.currency_strength

    def _window_strength(
        self, condition: Condition, strength: Strength, context: ReadingContext
    ) -> Strength | None:
        """With onset and recorded date, onset decides; a recorded date alone is possible."""
        if self.within is None and self.within_months is None:
            return strength
        window = Window(days=self.within, months=self.within_months)
        if condition.began is None:
            match self.undated:
                case Undated.SKIP:
                    return None
                case Undated.POSSIBLE:
                    return Strength.POSSIBLE
                case Undated.COUNTS:
                    return strength
        inside = window.holds(condition.began, context.today)
        if inside is False:
            return None
        if inside is None:
            return Strength.POSSIBLE if self.undated is not Undated.SKIP else None
        is_firm = condition.onset is not None or self.recorded_counts
        return strength if is_firm else Strength.POSSIBLE


_NEGATED = TextState.NEGATED


def has_code(concept: Concept, prefixes: tuple[str, ...]) -> bool:
    """Does any coding start with one of the prefixes, dots and case ignored?"""
    if not concept.codings:
        return False
    plain = _plain(prefixes)
    return any(c.code.replace(".", "").upper().startswith(plain) for c in concept.codings)


@cache
def _plain(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Codes of a knowledge folder, as they are compared; nothing of a patient is kept."""
    return tuple(prefix.replace(".", "").upper() for prefix in prefixes)


def is_code_kept(
    concept: Concept,
    *,
    only: tuple[str, ...],
    but_not: tuple[str, ...],
    seventh: tuple[str, ...],
    seventh_not: tuple[str, ...],
) -> bool:
    """Do the codes pass what a fact asks of a member: its start and its seventh character?

    An empty tuple asks nothing.
    """
    if only and not has_code(concept, only):
        return False
    if but_not and has_code(concept, but_not):
        return False
    ends = seventh_characters(concept)
    if seventh and ends.isdisjoint(seventh):
        return False
    return not (seventh_not and ends and ends <= set(seventh_not))


def seventh_characters(concept: Concept) -> frozenset[str]:
    """Return the seventh characters of the ICD-10-CM codes of a concept."""
    plain = (c.code.replace(".", "").upper() for c in concept.codings)
    return frozenset(
        code[-1]
        for code in plain
        if len(code) == _CODE_WITH_SEVENTH and code[0].isalpha() and code[-1].isalpha()
    )


def _says_now(terminology: Terminology, condition: Condition, set_id: str) -> bool:
    said = terminology.in_record(condition.concept, condition.notes, set_id)
    return said is not None and said.state is not _NEGATED


def _best(said: Iterable[Said | None]) -> Said | None:
    """A code beats text; anything affirmed beats a negation."""
    found = [s for s in said if s is not None and s.state is not TextState.NONE]
    order = [TextState.CURRENT, TextState.SUSPECTED, TextState.HISTORY, TextState.NEGATED]
    return min(found, key=lambda s: (s.by != "code", order.index(s.state)), default=None)


def is_cancelled(condition: Condition, refuted: list[Condition]) -> bool:
    """Was it refuted at the same time or later?"""
    began = condition.began
    for other in refuted:
        when: DateInterval | None = other.recorded or other.onset
        if when is None or began is None or when.latest >= began.latest:
            return True
    return False
