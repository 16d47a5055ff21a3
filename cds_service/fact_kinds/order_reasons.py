"""Facts read from the order itself: its reasons, coded or in the clinician's words.

The order reason always counts as current evidence dated today (decision table §4).
"""

from dataclasses import dataclass
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code, is_code_kept
from cds_service.fact_kinds.evidence import (
    condition_evidence,
    on_day,
    order_evidence,
    words_of,
)
from cds_service.fact_kinds.reading import FactKind, MatchedBy, ReadingContext
from cds_service.fhir_dates import DateInterval, within_days
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.orders import Reason
from cds_service.records import Concept, Condition, Currency, Verification
from cds_service.terminology import Said, Terminology
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState, severe_score


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReason(FactKind):
    """The order gives a reason in the value sets: coded is strong, in words is possible.

    "Rule out X" counts as true (suspicion); "no X" counts as false.
    """

    value_sets: tuple[str, ...]
    except_sets: tuple[str, ...] = ()
    only_codes: tuple[str, ...] = ()
    except_codes: tuple[str, ...] = ()
    history_counts: bool = False
    possible_codes: tuple[str, ...] = ()
    """Members that are possible evidence only."""
    by: MatchedBy = MatchedBy.ANY
    seventh: tuple[str, ...] = ()
    seventh_not: tuple[str, ...] = ()
    only_history: bool = False
    """Only words of history count ("h/o breast cancer"), never codes."""
    words_are_strong: bool = False
    """What the clinician says today of the patient is the best evidence that there can be."""

    def read(self, context: ReadingContext) -> Finding:
        """Look at the coded reasons, then at every text of the order."""
        return any_of((self._coded(context), *self._worded(context)))

    def _coded(self, context: ReadingContext) -> Finding:
        if self.only_history or self.by is MatchedBy.TEXT:
            return Finding(value=None)
        for reason in context.order.reasons:
            condition = reason.condition
            if condition is not None and condition.verification is Verification.REFUTED:
                continue
            if self._is_member(reason.concept):
                strength = _reason_strength(reason)
                return true(
                    order_evidence(context.order, words_of(reason.concept), context.today)
                    if condition is None
                    else condition_evidence(condition),
                    strength=Strength.POSSIBLE
                    if has_code(reason.concept, self.possible_codes)
                    else strength,
                    when=on_day(context.today),
                )
        return Finding(value=None)

    def _is_member(self, concept: Concept) -> bool:
        if concept.sets.isdisjoint(self.value_sets) or not concept.sets.isdisjoint(
            self.except_sets
        ):
            return False
        return is_code_kept(
            concept,
            only=self.only_codes,
            but_not=self.except_codes,
            seventh=self.seventh,
            seventh_not=self.seventh_not,
        )

    def _worded(self, context: ReadingContext) -> list[Finding]:
        if self.only_codes or self.seventh or self.by is MatchedBy.CODE:
            return []
        findings = []
        for text in context.order.words:
            if any(_affirmed(context.terminology, text, set_id) for set_id in self.except_sets):
                continue
            for set_id in self.value_sets:
                said = context.terminology.in_words(text, set_id)
                if said is not None:
                    findings.append(self._from_words(said, context))
        return findings

    def _from_words(self, said: Said, context: ReadingContext) -> Finding:
        evidence = order_evidence(context.order, said.words, context.today)
        counts = (
            said.state is TextState.HISTORY
            if self.only_history
            else said.state in AFFIRMED_STATES
            or (self.history_counts and said.state is TextState.HISTORY)
        )
        if counts:
            is_firm = self.words_are_strong and said.state is TextState.CURRENT
            strength = Strength.STRONG if is_firm else Strength.POSSIBLE
            return true(evidence, strength=strength, when=on_day(context.today))
        if said.state is TextState.NEGATED:
            return false(evidence, strength=Strength.POSSIBLE)
        return Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication(FactKind):
    """The order or the record gives a reason that is about the low back (F10).

    True: an order reason in `index_sets` or `specific_sets`; or a current condition in the
    index sets with activity in the window; or any current one when the order has no reason.
    False: every coded reason is about something else. Unrecognised words count as no reason.
    """

    index_sets: tuple[str, ...]
    specific_sets: tuple[str, ...]
    other_sets: tuple[str, ...]
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition"})
    """Condition, beside the order."""

    def read(self, context: ReadingContext) -> Finding:
        """Try the order, then the record, then ask whether the order is about something else."""
        by_order = OrderReason(value_sets=(*self.index_sets, *self.specific_sets)).read(context)
        if by_order.is_true:
            return by_order
        current = [
            (condition, said)
            for condition in context.chart.conditions
            if (said := self._current(condition, context.terminology)) is not None
        ]
        for only_recent in (True, False):
            if not only_recent and _has_recognised_reason(context):
                break
            for condition, said in current:
                if not only_recent or _is_active(condition, context, self.within):
                    return true(
                        condition_evidence(condition),
                        strength=_record_strength(condition, said),
                        when=condition.began,
                    )
        if _is_about_something_else(context):
            words = ", ".join(words_of(r.concept) for r in context.order.reasons)
            return false(order_evidence(context.order, words, context.today))
        return Finding(value=None)

    def _current(self, condition: Condition, terminology: Terminology) -> Said | None:
        if condition.verification is Verification.REFUTED or condition.currency is Currency.PAST:
            return None
        for set_id in self.index_sets:
            said = terminology.in_record(condition.concept, condition.notes, set_id)
            if said is not None and said.state in AFFIRMED_STATES:
                return said
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherIndication(FactKind):
    """Every reason of the order is an indication outside these criteria (F10x)."""

    other_sets: tuple[str, ...]
    our_sets: tuple[str, ...]
    """Sets of index problems, red flags and surgery: words that name one are not "other"."""

    def read(self, context: ReadingContext) -> Finding:
        """True if at least one reason is another indication and none is ours; else false."""
        others = OrderReason(value_sets=self.other_sets).read(context)
        if not others.is_true or self._names_ours(context):
            return Finding(value=False, strength=Strength.STRONG)
        unlike = [
            reason
            for reason in context.order.reasons
            if reason.concept.is_recognised and reason.concept.sets.isdisjoint(self.other_sets)
        ]
        return Finding(value=False, strength=Strength.STRONG) if unlike else others

    def _names_ours(self, context: ReadingContext) -> bool:
        coded = any(
            not reason.concept.sets.isdisjoint(self.our_sets) for reason in context.order.reasons
        )
        return coded or any(
            _affirmed(context.terminology, text, set_id)
            for text in context.order.words
            for set_id in self.our_sets
        )


def _affirmed(terminology: Terminology, text: str, set_id: str) -> bool:
    said = terminology.in_words(text, set_id)
    return said is not None and said.state in AFFIRMED_STATES


def _reason_strength(reason: Reason) -> Strength:
    """A referenced diagnosis that is unconfirmed is no firmer for being referenced."""
    condition = reason.condition
    if condition is not None and condition.verification is Verification.UNCONFIRMED:
        return Strength.POSSIBLE
    return Strength.STRONG


def _record_strength(condition: Condition, said: Said) -> Strength:
    firm = (
        said.strength is Strength.STRONG
        and condition.verification is Verification.CONFIRMED
        and condition.currency is Currency.CURRENT
        and condition.currency_strength is Strength.STRONG
    )
    return Strength.STRONG if firm else Strength.POSSIBLE


def _is_active(condition: Condition, context: ReadingContext, days: int) -> bool:
    """Activity is onset or recorded date, whichever is in the window (F10)."""
    dates: tuple[DateInterval | None, ...] = (condition.onset, condition.recorded)
    return any(within_days(when, context.today, days) is True for when in dates)


def _has_recognised_reason(context: ReadingContext) -> bool:
    """A reason counts as given when any coding or text of it is in any value set (F10)."""
    if any(reason.concept.is_recognised for reason in context.order.reasons):
        return True
    return any(context.terminology.is_known(text) for text in context.order.words)


def _is_about_something_else(context: ReadingContext) -> bool:
    """All reasons are coded and none of them is the low back's."""
    reasons = context.order.reasons
    return bool(reasons) and all(
        any(coding.system and coding.code for coding in reason.concept.codings)
        and not context.order.indications
        for reason in reasons
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeNamed(FactKind):
    """A code that starts with one of `codes` is a reason of the order, or began lately.

    For brakes: the codes are in no value set, so that words beside them are still read.
    """

    codes: tuple[str, ...]
    within: int

    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition"})
    """Condition, beside the order."""

    def read(self, context: ReadingContext) -> Finding:
        """Look at the order's reasons, then at current conditions of the window."""
        for reason in context.order.reasons:
            if has_code(reason.concept, self.codes):
                said = words_of(reason.concept)
                return true(
                    order_evidence(context.order, said, context.today), strength=Strength.POSSIBLE
                )
        return any_of(
            true(condition_evidence(c), strength=Strength.POSSIBLE, when=c.began)
            for c in context.chart.conditions
            if c.verification is not Verification.REFUTED
            and c.currency is not Currency.PAST
            and has_code(c.concept, self.codes)
            and within_days(c.began, context.today, self.within) is True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonElsewhere(FactKind):
    """Every reason of the order is coded, and none of them is recognised as ours."""

    def read(self, context: ReadingContext) -> Finding:
        """Return true, for the words of the order; a recognised reason says nothing here."""
        if not _is_about_something_else(context) or _has_recognised_reason(context):
            return Finding(value=None)
        words = ", ".join(words_of(r.concept) for r in context.order.reasons)
        return true(order_evidence(context.order, words, context.today), strength=Strength.POSSIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedPainScore(FactKind):
    """The order's words give a pain score of at least `at_least` of 10 (F63)."""

    at_least: float

    def read(self, context: ReadingContext) -> Finding:
        """Read every text of the order; words are possible evidence."""
        for text in context.order.words:
            score = severe_score(text)
            if score is not None and score >= self.at_least:
                evidence = order_evidence(context.order, text, context.today)
                return true(evidence, strength=Strength.POSSIBLE, when=on_day(context.today))
        return Finding(value=None)
