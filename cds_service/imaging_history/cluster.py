"""One exam: the records that speak of it, best source first, and what they say together.

Source: decision table §7.1, "De-duplication".
"""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import chain

from cds_service.fhir_dates import DateInterval, Precision
from cds_service.imaging_history.members import Member, MemberState, SourceKind
from cds_service.imaging_history.names import ExamKind
from cds_service.orders import ImagingProtocol

SAME_EXAM = timedelta(days=1)
SAME_EXAM_ISSUED = timedelta(days=3)
"""Reports are often issued a day or two after the exam."""
PARTIAL = frozenset({Precision.MONTH, Precision.YEAR})
_PLANS = frozenset({SourceKind.ORDER, SourceKind.APPOINTMENT})
_UNNAMED_OR_UNCERTAIN = frozenset({ExamKind.UNNAMED, ExamKind.UNCERTAIN})
_BY_PREFERENCE = (
    ExamKind.LUMBAR_MRI,
    ExamKind.LUMBAR_CT,
    ExamKind.UNCERTAIN,
    ExamKind.OTHER,
    ExamKind.UNNAMED,
)
_EXAM_RECORDS = frozenset({SourceKind.STUDY, SourceKind.REPORT, SourceKind.PROCEDURE})


def moved(day: date, by: timedelta) -> date:
    """Return the day moved, or the first or last day that the calendar has."""
    try:
        return day + by
    except OverflowError:
        return date.max if by > timedelta() else date.min


class Cluster:
    """The records of one exam, best source first."""

    def __init__(self, member: Member) -> None:
        """Begin with one record."""
        self._members = [member]
        self._is_sorted = True
        self.accessions = set(member.accessions)
        self.study_uids = set(member.study_uids)
        self.has_images = member.has_images

    def join(self, other: "Cluster") -> None:
        """Take over the records of another cluster."""
        self._members.extend(other.members)
        self._is_sorted = False
        self.accessions |= other.accessions
        self.study_uids |= other.study_uids
        self.has_images = self.has_images or other.has_images

    @property
    def members(self) -> list[Member]:
        """The records, best source first."""
        if not self._is_sorted:
            self._members.sort(key=lambda m: m.sort_key)
            self._is_sorted = True
        return self._members

    @property
    def sort_key(self) -> tuple[int, str]:
        """That of its best source."""
        return self.members[0].sort_key

    @property
    def is_order_only(self) -> bool:
        """No record of the exam itself: orders and bookings."""
        return all(m.kind in _PLANS for m in self.members)

    @property
    def is_booking_only(self) -> bool:
        """Appointments, without the order that they are for."""
        return all(m.kind is SourceKind.APPOINTMENT for m in self.members)

    @property
    def planned(self) -> date:
        """Day of its first booking; the last day there is if none is booked."""
        return min((m.planned.latest for m in self.members if m.planned), default=date.max)

    @property
    def is_done(self) -> bool:
        """Some record says that it took place."""
        return any(m.state is MemberState.DONE for m in self.members)

    @property
    def is_in_flight(self) -> bool:
        """Some record says that it will take place, and none that it did."""
        return not self.is_done and any(m.state is MemberState.IN_FLIGHT for m in self.members)

    @property
    def kind(self) -> ExamKind:
        """What it is an exam of; what was done outranks what was ordered (quirk 15)."""
        kinds = {m.name.kind for m in self.members if m.kind in _EXAM_RECORDS}
        if kinds <= _UNNAMED_OR_UNCERTAIN:
            kinds = {m.name.kind for m in self.members}
        return next(kind for kind in _BY_PREFERENCE if kind in kinds)

    @property
    def is_doubtful(self) -> bool:
        """A better source names another exam than the one that makes it a lumbar MRI."""
        named = [m for m in self.members if m.name.kind not in _UNNAMED_OR_UNCERTAIN]
        best = {m.name.kind for m in named if m.kind is named[0].kind}
        return bool(best) and self.kind not in best

    @property
    def contrast(self) -> ImagingProtocol:
        """Contrast as the best source that states it says; one lumbar region beats several."""
        protocols = [m.name.protocol for m in self.members if m.name.kind is ExamKind.LUMBAR_MRI]
        several = ImagingProtocol.MULTIREGION
        stated = (p for p in protocols if p not in {ImagingProtocol.UNSPECIFIED, several})
        unstated = several if several in protocols else ImagingProtocol.UNSPECIFIED
        return next(stated, unstated)

    def when(self, today: date) -> DateInterval | None:
        """Return the best date: of a day, else partial, else a bound. Future ones are not read.

        Within each: study, report, procedure, order; a stopped attempt last.
        """
        members = sorted(self.members, key=lambda m: m.state is MemberState.ATTEMPTED)
        dates = [d for m in members for d in m.dates if not d.is_future(today)]
        days = (d for d in dates if d.precision is Precision.DAY)
        partial = (d for d in dates if d.precision in PARTIAL)
        issued = (m.issued for m in members if m.issued and m.issued.latest <= today + SAME_EXAM)
        ordered = (d for d in dates if d.precision is Precision.UNKNOWN)
        updated = (m.updated for m in members if m.updated)
        return next(chain(days, partial, issued, ordered, updated), None)

    def is_future(self, today: date) -> bool:
        """All dates of the exam lie in the future."""
        dates = [d for m in self.members for d in m.dates]
        return bool(dates) and all(d.is_future(today) for d in dates)

    def bound(self, today: date) -> date | None:
        """Return the last day on which an exam without a date of its own may have been done."""
        when = self.when(today)
        return None if when is None or when.precision is Precision.UNKNOWN else when.latest

    def is_separate_from(self, other: "Cluster") -> bool:
        """Two exams of one day: other accession number, both with images of other studies."""
        return (
            self.has_images
            and other.has_images
            and _are_other_numbers(self.accessions, other.accessions)
            and _differ(self.study_uids, other.study_uids)
        )


def _are_other_numbers(some: set[str], others: set[str]) -> bool:
    """Accession numbers differ; one without its system is the same in every system."""
    if not _differ(some, others):
        return False
    return all(
        bare_numbers(these).isdisjoint(number.partition("|")[2] for number in those)
        for these, those in ((some, others), (others, some))
    )


def bare_numbers(accessions: Iterable[str]) -> set[str]:
    """Return those among `system|value` that have no system, as values."""
    return {number[1:] for number in accessions if number.startswith("|")}


def _differ(some: set[str], others: set[str]) -> bool:
    return bool(some) and bool(others) and some.isdisjoint(others)
