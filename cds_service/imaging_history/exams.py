"""Prior lumbar MRI exams: studies, reports, procedures and orders joined, one cluster an exam.

The result is the same for every order of entries. Whether an exam makes the new order a repeat
is not decided here. Source: decision table §7.1; `ehr-integration.md` §2.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from cds_service.fhir_dates import (
    DateInterval,
    Precision,
    add_months,
    on_or_after,
    unknown_date,
    within_days,
)
from cds_service.findings import Strength, Truth
from cds_service.imaging_history.cluster import Cluster
from cds_service.imaging_history.clusters import clusters
from cds_service.imaging_history.follow_up import recommends_follow_up
from cds_service.imaging_history.members import (
    SPINE_EXAMS,
    Member,
    MemberState,
    SourceKind,
    members,
)
from cds_service.imaging_history.names import ExamKind, ExamNames
from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol, OrderDefinition
from cds_service.records import Chart
from cds_service.terminology import Terminology

LUMBAR_CT_SETS = frozenset({"lumbar-ct", "lumbar-ct-myelogram"})
LOOK_BACK_MONTHS = 24
INFLIGHT_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExam:
    """One exam, from all the records that speak of it."""

    when: DateInterval
    """Best date: started, effective, performed, occurrence, else a bound. `element` names it."""
    contrast: ImagingProtocol
    strength: Strength
    """Strong: named by code or by radiology, and done with diagnostic quality or, in flight,
    current and not possibly done since."""
    sources: tuple[str, ...]
    """`Type/id`, best source first."""
    is_outside: bool = False
    """Done elsewhere, as far as the record tells."""
    facility: str = ""
    conclusion: str = ""
    """Raw text of the newest report; escape and cut it before it is shown."""
    url: str = ""
    """https address of the report, where the record holds one."""
    in_flight: bool = False
    """Ordered, booked or registered, not done."""
    in_flight_as: SourceKind | None = None
    """Best record that says so: STUDY and REPORT are registered, ORDER, APPOINTMENT (F73)."""
    written: DateInterval | None = None
    """In flight: when the newest of its orders was authored."""
    planned: DateInterval | None = None
    """In flight: the first day, today or later, for which it is ordered, booked or registered."""
    is_current: Truth = None
    """In flight: written or registered of late, or planned for today or later; None if undated."""
    follow_up_recommended: bool = False
    """The radiologist recommended a repeat, a further MRI or contrast (F72h)."""
    is_limited: bool = False
    """Non-diagnostic, incomplete or stopped: never strong."""
    is_order_only: bool = False
    """Only an order says so: "ordered", not "done" (quirk 28)."""
    members: tuple[Member, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingHistory:
    """What is on record, newest first; an exam of unknown date stands last."""

    exams: tuple[PriorExam, ...] = ()
    """Lumbar MRI exams that were done."""
    in_flight: tuple[PriorExam, ...] = ()
    """Lumbar MRIs that are ordered, booked or registered, stale ones too; neither the hook's
    drafts nor what they replace or carry out."""
    other: tuple[PriorExam, ...] = ()
    """Lumbar CT, for information only."""
    uncertain: tuple[PriorExam, ...] = ()
    """MRI of the spine without a region: for information, never an alarm."""

    @property
    def prior(self) -> PriorExam | None:
        """The most recent lumbar MRI."""
        return next(iter(self.exams), None)


NO_HISTORY = ImagingHistory()


def imaging_history(
    chart: Chart,
    *,
    definition: OrderDefinition,
    terminology: Terminology,
    today: date,
    site_codes: SiteCodes = NO_SITE_CODES,
    ct_sets: frozenset[str] = LUMBAR_CT_SETS,
    inflight_days: int = INFLIGHT_DAYS,
) -> ImagingHistory:
    """Return the spine exams of the chart; future ones are left out (quirk 7).

    `site_codes` are the site's own exam codes and titles (site file `examCodes`). An order in
    flight is current for `inflight_days` calendar days from the day it was written (§1).
    """
    names = ExamNames(
        definition=definition, terminology=terminology, ct_sets=ct_sets, site=site_codes
    )
    found = members(chart, names, today)
    if not found:
        return NO_HISTORY
    joined = clusters(found, today=today, since=add_months(today, -LOOK_BACK_MONTHS))
    home = "" if chart.patient is None else chart.patient.organization
    exams = {kind: _exams(joined.get(kind, ()), today, home) for kind in SPINE_EXAMS}
    done = exams[ExamKind.LUMBAR_MRI]
    uncertain = exams[ExamKind.UNCERTAIN]
    planned = (c for c in joined.get(ExamKind.LUMBAR_MRI, ()) if c.is_in_flight)
    in_flight = (_exam_in_flight(cluster, today, inflight_days) for cluster in planned)
    return ImagingHistory(
        exams=done,
        in_flight=tuple(
            sorted((_unless_done(exam, done + uncertain) for exam in in_flight), key=_newest_order)
        ),
        other=exams[ExamKind.LUMBAR_CT],
        uncertain=uncertain,
    )


def _exams(joined: Iterable[Cluster], today: date, home: str) -> tuple[PriorExam, ...]:
    found = (_exam(cluster, today, home) for cluster in joined if cluster.is_done)
    return tuple(sorted((e for e in found if e is not None), key=_newest_first))


def _newest_first(exam: PriorExam) -> tuple[bool, int, tuple[str, ...]]:
    is_undated = exam.when.precision is Precision.UNKNOWN and exam.when.earliest is None
    return is_undated, -exam.when.latest.toordinal(), exam.sources


def _newest_order(exam: PriorExam) -> tuple[int, tuple[str, ...]]:
    when = exam.written or exam.planned or exam.when
    return -when.latest.toordinal(), exam.sources


def _exam(cluster: Cluster, today: date, home: str) -> PriorExam | None:
    """Return the exam of a cluster that was done; None if that is said of a day to come."""
    done = [m for m in cluster.members if m.state is MemberState.DONE]
    when = cluster.when(today)
    if when is None and cluster.is_future(today):
        return None
    is_limited = any(m.is_limited or m.state is MemberState.ATTEMPTED for m in cluster.members)
    is_strong = any(m.strength is Strength.STRONG for m in done)
    # A day to come may be today's in another zone, so the exam counts, but never surely (§2.3).
    is_ahead = when is not None and when.earliest is not None and when.earliest > today
    is_weak = is_limited or cluster.is_doubtful or is_ahead
    reports = _latest([m for m in done if m.kind is SourceKind.REPORT])
    outside = {ref for m in cluster.members for ref in m.facility_refs}
    return PriorExam(
        when=when or unknown_date(today),
        contrast=cluster.contrast,
        strength=Strength.STRONG if is_strong and not is_weak else Strength.POSSIBLE,
        sources=tuple(m.ref for m in cluster.members),
        is_outside=any(m.is_outside for m in cluster.members)
        or bool(home and outside and home not in outside),
        facility=next((m.facility for m in cluster.members if m.facility), ""),
        conclusion=next((m.conclusion for m in reports if m.conclusion), ""),
        url=next((m.url for m in reports if m.url), ""),
        follow_up_recommended=recommends_follow_up(m.conclusion for m in reports),
        is_limited=is_limited,
        is_order_only=all(m.kind is SourceKind.ORDER for m in done),
        members=tuple(cluster.members),
    )


def _exam_in_flight(cluster: Cluster, today: date, inflight_days: int) -> PriorExam:
    """Return what is ordered, booked or registered; strong only while it is current (F73)."""
    waiting = [m for m in cluster.members if m.state is MemberState.IN_FLIGHT]
    is_strong = any(m.strength is Strength.STRONG for m in waiting) and not cluster.is_doubtful
    is_current = _any_current(waiting, today, inflight_days)
    written = [m.authored for m in waiting if m.authored is not None]
    ahead = [d for m in waiting for d in _days_planned(m) if on_or_after(d, today) is not False]
    return PriorExam(
        when=cluster.when(today) or unknown_date(today),
        contrast=cluster.contrast,
        strength=Strength.STRONG if is_strong and is_current else Strength.POSSIBLE,
        sources=tuple(m.ref for m in cluster.members),
        in_flight=True,
        in_flight_as=waiting[0].kind,
        written=max(written, key=_by_day, default=None),
        planned=min(ahead, key=_by_day, default=None),
        is_current=is_current,
        members=tuple(cluster.members),
    )


def _by_day(when: DateInterval) -> tuple[date, str, str]:
    return when.latest, when.precision, when.element


def _days_planned(member: Member) -> Iterable[DateInterval]:
    return member.dates if member.planned is None else (member.planned,)


def _any_current(waiting: Iterable[Member], today: date, inflight_days: int) -> Truth:
    """True if any record is; False only if every one of them has a date, and an old one."""
    answers = [answer for m in waiting for answer in _current(m, today, inflight_days)]
    if True in answers:
        return True
    return None if None in answers else False


def _current(member: Member, today: date, inflight_days: int) -> Iterable[Truth]:
    """Was it written or registered of late, or is it planned for today or later?"""
    yield from (on_or_after(when, today) for when in _days_planned(member))
    if member.kind is SourceKind.ORDER:
        yield within_days(member.authored, today, inflight_days)
    elif member.kind is not SourceKind.APPOINTMENT:
        # When a report is registered, `issued` is the day of that, not a bound of the exam's.
        issued = member.issued and replace(member.issued, earliest=member.issued.latest)
        dates = (*member.dates, *((issued,) if issued else ()))
        yield from (within_days(when, today, inflight_days) for when in dates)
        if not dates:
            # An exam that is registered has not begun, so it has no date yet: only a record
            # that nobody has touched for long is stale.
            touched = member.updated
            yield touched is None or touched.latest >= today - timedelta(days=inflight_days)


def _unless_done(exam: PriorExam, done: Iterable[PriorExam]) -> PriorExam:
    """Weaken an order that an exam of uncertain date or region may have fulfilled since."""
    if exam.written is None:
        return exam
    since = exam.written.earliest or exam.written.latest
    # What only a completed order says was done belongs to that order.
    records = (other.when for other in done if not other.is_order_only)
    if all(on_or_after(when, since) is False for when in records):
        return exam
    return replace(exam, strength=Strength.POSSIBLE)


def _latest(reports: list[Member]) -> list[Member]:
    """Reports, the last word first: addenda and final reports follow preliminary ones."""

    def last_word(member: Member) -> date:
        known = [d for d in (member.issued, *member.dates, member.updated) if d is not None]
        return known[0].latest if known else date.min

    return sorted(reports, key=last_word, reverse=True)
