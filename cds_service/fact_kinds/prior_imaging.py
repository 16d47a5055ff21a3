"""Earlier lumbar MRI: whether there is one, how long ago, and what is ordered already.

Source: decision table §7.1 and §7.2 (F70, F73). A prior that is only possible, or whose date
straddles the edge of a window, never makes a fact strong.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir_dates import DateInterval, Precision, add_months, on_or_after
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.imaging_history.exams import ImagingHistory, PriorExam
from cds_service.orders import ImagingProtocol

IMAGING_TYPES = frozenset({"ImagingStudy", "DiagnosticReport", "Procedure", "ServiceRequest"})
"""Sources of an imaging history; "none on record" is never said while one is unreadable."""


def prior_of(history: ImagingHistory) -> PriorExam | None:
    """Return the exam that a repeat is compared with: the newest strong one, else the newest.

    An exam that is only possible (an order said to be completed) may be newer; what happened
    since the certain one then counts as change, which is the side that asks less.
    """
    strong = (exam for exam in history.exams if exam.strength is Strength.STRONG)
    return next(strong, history.prior)


def exam_evidence(exam: PriorExam, exam_name: str) -> Evidence:
    """Return for example `Lumbar MRI 2025-11-10`."""
    text = f"{exam_name} {exam.when.text}"
    return Evidence(text=text, when=exam.when, resources=exam.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExamOnRecord(FactKind):
    """An earlier lumbar MRI is on record (F70); silence is never "no"."""

    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Return the exam that a repeat is compared with."""
        prior = prior_of(context.history)
        if prior is None:
            return Finding(value=None)
        return true(
            exam_evidence(prior, context.exam_name), strength=prior.strength, when=prior.when
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExamWithin(FactKind):
    """A lumbar MRI was done within so many days, or calendar months, before today.

    Months: later than today less the months, clamped to the month's end, so an exam of
    2025-03-16 is not within 12 months on 2026-03-16; with `inclusive` that day counts. Days:
    at most so many. True if any exam lies inside with all of its possible days, false if all
    lie outside, unknown if a date straddles the edge.
    """

    days: int | None = None
    months: int | None = None
    inclusive: bool = False
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Ask every exam; the strongest that lies inside speaks."""
        exams = context.history.exams
        answers = [self._holds(exam.when, context.today) for exam in exams]
        inside = any_of(
            true(exam_evidence(exam, context.exam_name), strength=exam.strength, when=exam.when)
            for exam, is_inside in zip(exams, answers, strict=True)
            if is_inside
        )
        if inside.is_true or not exams or None in answers:
            return inside
        return false(exam_evidence(exams[0], context.exam_name))

    def _holds(self, when: DateInterval, today: date) -> bool | None:
        if self.days is not None:
            return on_or_after(when, today - timedelta(days=self.days))
        first = add_months(today, -(self.months or 0))
        return on_or_after(when, first if self.inclusive else first + timedelta(days=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExamWithoutContrast(FactKind):
    """The earlier exam was done without contrast (F72, item i, where contrast now matters)."""

    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Return true only where the record says so."""
        prior = prior_of(context.history)
        if prior is None or prior.contrast is not ImagingProtocol.WITHOUT:
            return Finding(value=None)
        return true(
            exam_evidence(prior, context.exam_name), strength=prior.strength, when=prior.when
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInFlight(FactKind):
    """A lumbar MRI is ordered, booked or registered, and not done (F73).

    Stale ones do not count; one without a date is possible. The drafts of this hook, and what
    they replace or carry out, are not among them.
    """

    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Combine all that are open."""
        return any_of(
            true(
                self._evidence(exam, context),
                strength=exam.strength,
                when=exam.written or exam.when,
            )
            for exam in context.history.in_flight
            if exam.is_current is not False
        )

    def _evidence(self, exam: PriorExam, context: ReadingContext) -> Evidence:
        """Return for example `Lumbar MRI ordered 2026-03-01, planned for 2026-03-20, not done`."""
        when = exam.written or exam.when
        dated = "" if when.precision is Precision.UNKNOWN else f" {when.text}"
        planned = f", planned for {exam.planned.text}" if exam.planned else ""
        said = "ordered" if exam.written else "registered or booked"
        text = f"{context.exam_name} {said}{dated}{planned}, not done"
        return Evidence(text=text, when=when, resources=exam.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInBasket(FactKind):
    """A draft of the same basket that is more urgent, or earlier, orders the same region."""

    def read(self, context: ReadingContext) -> Finding:
        """Compare with the drafts that would be kept; a text-only order is weaker evidence."""
        is_weak = context.order.strength is Strength.POSSIBLE
        return any_of(
            true(
                Evidence(
                    text=f"Another {context.exam_in_sentence} stands in the same basket",
                    when=DateInterval(context.today, context.today, Precision.DAY, "order"),
                    resources=(draft.ref,),
                ),
                strength=Strength.POSSIBLE if is_weak else draft.strength,
                when=DateInterval(context.today, context.today, Precision.DAY, "order"),
            )
            for draft in context.preferred_drafts
        )
