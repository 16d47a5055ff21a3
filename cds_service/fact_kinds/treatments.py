"""Facts read from procedures, orders and medications that are on record."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import ClassVar

from cds_service.fact_kinds.conditions import has_code
from cds_service.fact_kinds.evidence import on_day, order_evidence, treatment_evidence, words_of
from cds_service.fact_kinds.reading import FactKind, ReadingContext, Window
from cds_service.fhir_dates import DateInterval, within_days, within_months
from cds_service.findings import Evidence, Finding, Strength, any_of, false, true
from cds_service.records import (
    Concept,
    Medication,
    Procedure,
    ProcedureState,
    Record,
    ServiceRequest,
)
from cds_service.terminology import Said, Terminology
from cds_service.text.reading import TextState, candidate_statement, says_planned

_AFFIRMED = frozenset({TextState.CURRENT, TextState.SUSPECTED, TextState.HISTORY})
_OPEN_ORDER = frozenset({"active", "on-hold"})
_BOOKED = frozenset({"booked", "pending", "proposed", "arrived", "checked-in"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureDone(FactKind):
    """A procedure of the value sets was completed, ever or in a window.

    Codes in `no_level_codes` name no spinal level: possible, unless a body site or the words
    name it.
    """

    value_sets: tuple[str, ...]
    within: int | None = None
    within_months: int | None = None
    no_level_codes: tuple[str, ...] = ()
    site_set: str = ""
    other_level_words: tuple[str, ...] = ()
    """Words of another region, lower case: such a procedure is not ours."""
    except_sets: tuple[str, ...] = ()
    resource_types: ClassVar[frozenset[str]] = frozenset({"Procedure"})

    def read(self, context: ReadingContext) -> Finding:
        """Combine all completed procedures that match."""
        return any_of(
            true(
                treatment_evidence(procedure, procedure.performed, "done"),
                strength=strength,
                when=procedure.performed,
            )
            for procedure, strength in self.matches(context)
        )

    def matches(self, context: ReadingContext) -> list[tuple[Procedure, Strength]]:
        """Return the procedures that count, with how surely each does."""
        found = []
        for procedure in context.chart.procedures:
            if procedure.state is not ProcedureState.DONE:
                continue
            said = affirmed(context.terminology, procedure, self.value_sets)
            if said is None or affirmed(context.terminology, procedure, self.except_sets):
                continue
            label = procedure.concept.label.lower()
            if any(word in label for word in self.other_level_words):
                continue
            if not Window(days=self.within, months=self.within_months).holds(
                procedure.performed, context.today
            ):
                continue
            found.append((procedure, self._strength(procedure, said, context.terminology)))
        return found

    def _strength(self, procedure: Procedure, said: Said, terminology: Terminology) -> Strength:
        if has_code(procedure.concept, self.no_level_codes) and not self._names_level(
            procedure, terminology
        ):
            return Strength.POSSIBLE
        return said.strength

    def _names_level(self, procedure: Procedure, terminology: Terminology) -> bool:
        if any(
            (said := terminology.in_record(site, (), self.site_set)) is not None
            and said.state is TextState.CURRENT
            for site in procedure.body_sites
        ):
            return True
        said = terminology.in_words(procedure.concept.label, self.site_set)
        return said is not None and said.state is TextState.CURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedurePlanned(FactKind):
    """A procedure, or a referral for one, is open: ordered, in preparation or booked (F62).

    An order with a stated reason that is not in `for_sets` is for something else.
    """

    value_sets: tuple[str, ...]
    for_sets: tuple[str, ...]
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"ServiceRequest", "Procedure"})
    """Open orders and procedures; appointments where the client sends them."""

    def read(self, context: ReadingContext) -> Finding:
        """Look at open orders, procedures in preparation, booked appointments."""
        return any_of(
            (*self._orders(context), *self._procedures(context), *self._appointments(context))
        )

    def _orders(self, context: ReadingContext) -> Iterable[Finding]:
        for order in context.chart.service_requests:
            if order.status not in _OPEN_ORDER or order.do_not_perform:
                continue
            said = affirmed(context.terminology, order, self.value_sets)
            if (
                said is None
                or within_days(order.authored, context.today, self.within) is False
                or is_for_another_reason(order, self.for_sets, context)
            ):
                continue
            strength = said.strength if order.is_firm else Strength.POSSIBLE
            # What is newly planned is dated by its order, not by the day that it is planned for.
            when = order.authored or order.occurrence
            evidence = treatment_evidence(
                order, when, "ordered" if order.authored else "ordered for"
            )
            if order.authored is not None and order.occurrence is not None:
                planned = f"{evidence.text}, for {order.occurrence.text}"
                evidence = replace(evidence, text=planned)
            yield true(evidence, strength=strength, when=when)

    def _procedures(self, context: ReadingContext) -> Iterable[Finding]:
        for procedure in context.chart.procedures:
            if procedure.state is not ProcedureState.PLANNED:
                continue
            said = affirmed(context.terminology, procedure, self.value_sets)
            if said is not None:
                yield true(
                    treatment_evidence(procedure, procedure.performed, "planned"),
                    strength=said.strength,
                    when=procedure.performed,
                )

    def _appointments(self, context: ReadingContext) -> Iterable[Finding]:
        for booking in context.chart.appointments:
            said = affirmed(context.terminology, booking, self.value_sets)
            if said is None or booking.status not in _BOOKED or _is_over(booking.start, context):
                continue
            when = f" for {booking.start.text}" if booking.start else ""
            yield true(
                Evidence(
                    text=f"{words_of(booking.concept)}, booked{when}",
                    when=booking.start,
                    resources=(booking.ref,),
                ),
                strength=said.strength,
                when=booking.start,
            )


def _is_over(start: DateInterval | None, context: ReadingContext) -> bool:
    return start is not None and start.latest < context.today


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateStatement(FactKind):
    """The order says that the patient is, or is not, a candidate for a procedure (F62)."""

    requester_words: tuple[str, ...] = ()
    """Specialties whose order makes candidacy possible, lower case."""
    only_planned: bool = False
    """Only what is said to be planned: the clinician's word of today, so it is strong."""

    def read(self, context: ReadingContext) -> Finding:
        """Read the words first: they outweigh who writes them."""
        order = context.order
        stated = [
            (candidate, text)
            for text in order.words
            if (candidate := candidate_statement(text)) is not None
        ]
        for candidate, text in stated:
            evidence = order_evidence(order, text, context.today)
            if not candidate:
                return false(evidence, strength=Strength.POSSIBLE)
            if not self.only_planned:
                return true(evidence, strength=Strength.POSSIBLE)
            if says_planned(text):
                return true(evidence, strength=Strength.STRONG, when=on_day(context.today))
        for text in order.requester_texts:
            if any(word in text.lower() for word in self.requester_words):
                said = f"ordered by {text}"
                return true(order_evidence(order, said, context.today), strength=Strength.POSSIBLE)
        return Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicationOnRecord(FactKind):
    """A medication of the value sets was started in the window and is not known to have ended.

    `ever_in_window` counts ended courses too (chemotherapy in 12 months).
    """

    value_sets: tuple[str, ...]
    within_months: int
    ever_in_window: bool = False
    only_possible: bool = False
    except_routes: tuple[str, ...] = ()
    resource_types: ClassVar[frozenset[str]] = frozenset({"MedicationRequest"})

    def read(self, context: ReadingContext) -> Finding:
        """Combine all courses that match."""
        return any_of(
            true(
                treatment_evidence(course, course.start, "started"),
                strength=Strength.POSSIBLE if self.only_possible else strength,
                when=course.start,
            )
            for course, strength in self._matches(context)
        )

    def _matches(self, context: ReadingContext) -> Iterable[tuple[Medication, Strength]]:
        for course in context.chart.medications:
            said = affirmed(context.terminology, course, self.value_sets)
            if said is None or course.not_taken or has_route(course, self.except_routes):
                continue
            if within_months(course.start, context.today, self.within_months) is False:
                continue
            if not self.ever_in_window and has_ended(course, context.today):
                continue
            weaker = Strength.POSSIBLE in {said.strength, course.strength}
            yield course, Strength.POSSIBLE if weaker else Strength.STRONG


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicationDays(FactKind):
    """Courses of the value sets add up to at least `days` days in the window (F43).

    A course whose length is not stated and that began more than `days` days ago and is still
    active is possible evidence; single starter packs do not count.
    """

    value_sets: tuple[str, ...]
    days: int
    within: int
    except_routes: tuple[str, ...]
    except_words: tuple[str, ...]
    resource_types: ClassVar[frozenset[str]] = frozenset({"MedicationRequest"})

    def read(self, context: ReadingContext) -> Finding:
        """Add up the stated days, each day once, then look for long open courses."""
        courses = [c for c in context.chart.medications if self._counts(c, context)]
        covered: set[date] = set()
        evidence = []
        for course in courses:
            stretch = _stretch(course, context.today, self.within)
            if stretch:
                covered |= stretch
                evidence.append(treatment_evidence(course, course.start, "started"))
        if len(covered) >= self.days:
            return true(*evidence, strength=Strength.STRONG)
        return any_of(
            true(
                treatment_evidence(course, course.start, "started"),
                strength=Strength.POSSIBLE,
                when=course.start,
            )
            for course in courses
            if _is_long_and_open(course, context.today, self.days)
        )

    def _counts(self, course: Medication, context: ReadingContext) -> bool:
        words = f"{course.concept.label} {course.dosage_text}".lower()
        return (
            affirmed(context.terminology, course, self.value_sets) is not None
            and not course.not_taken
            and not has_route(course, self.except_routes)
            and not any(word in words for word in self.except_words)
        )


def _stretch(course: Medication, today: date, within: int) -> set[date]:
    """Return the days of a course that lie in the window; none if its length is not known."""
    start = course.start
    if start is None or start.earliest is None:
        return set()
    if course.supply_days is not None:
        last = start.latest + timedelta(days=course.supply_days - 1)
    elif course.end is not None:
        last = course.end.latest
    else:
        return set()
    first = max(start.latest, today - timedelta(days=within))
    length = (min(last, today) - first).days + 1
    return {first + timedelta(days=n) for n in range(max(length, 0))}


def _is_long_and_open(course: Medication, today: date, days: int) -> bool:
    return (
        course.status == "active"
        and course.end is None
        and course.supply_days is None
        and course.start is not None
        and within_days(course.start, today, days) is False
    )


def affirmed(terminology: Terminology, record: Record, value_sets: Iterable[str]) -> Said | None:
    """Return what a record says of the first set it affirms; None if it affirms none."""
    for set_id in value_sets:
        said = terminology.in_record(record.concept, record.notes, set_id)
        if said is not None and said.state in _AFFIRMED:
            return said
    return None


def has_route(course: Medication, routes: tuple[str, ...]) -> bool:
    """Is the route, the product or the dosage one of these (inhaled, topical …)?"""
    words = f"{course.route} {course.concept.label} {course.dosage_text}".lower()
    return any(route in words for route in routes)


def has_ended(course: Medication, today: date) -> bool:
    """Is the course known to be over?"""
    if course.status in {"completed", "stopped"}:
        return True
    return course.end is not None and course.end.latest < today


def reasons_of(
    record: ServiceRequest | Procedure | Medication, context: ReadingContext
) -> tuple[Concept, ...]:
    """Return the stated reasons of a record, references resolved in the chart."""
    referenced = (context.chart.condition(ref) for ref in record.reason_refs)
    return (*record.reasons, *(c.concept for c in referenced if c is not None))


def is_for_reason(
    record: ServiceRequest | Procedure | Medication, sets: tuple[str, ...], context: ReadingContext
) -> bool:
    """Is one of the stated reasons in the sets?"""
    return any(
        (said := context.terminology.in_record(reason, (), set_id)) is not None
        and said.state in _AFFIRMED
        for reason in reasons_of(record, context)
        for set_id in sets
    )


def is_for_another_reason(
    record: ServiceRequest | Procedure | Medication, sets: tuple[str, ...], context: ReadingContext
) -> bool:
    """Is a reason stated, and none of those stated in the sets?"""
    return bool(reasons_of(record, context)) and not is_for_reason(record, sets, context)
