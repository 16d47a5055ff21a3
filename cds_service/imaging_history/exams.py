"""Prior lumbar MRI exams: studies, reports, procedures and orders joined, one cluster an exam.

The result is the same for every order of entries. Whether an exam makes the new order a repeat
is not decided here. Source: decision table §7.1; `ehr-integration.md` §2.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from cds_service.fhir_dates import DateInterval, Precision, add_months, unknown_date
from cds_service.findings import Strength
from cds_service.imaging_history.clusters import Cluster, clusters
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorExam:
    """One exam, from all the records that speak of it."""

    when: DateInterval
    """Best date: started, effective, performed, occurrence, else a bound. `element` names it."""
    contrast: ImagingProtocol
    strength: Strength
    """Strong: named by code or by radiology, done, of diagnostic quality."""
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
    """Ordered or registered, not done."""
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
    """Lumbar MRIs that are ordered or registered; the hook's drafts are not among them."""
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
) -> ImagingHistory:
    """Return the spine exams of the chart; future ones are left out (quirk 7).

    `site_codes` are the site's own exam codes and titles (site file `examCodes`).
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
    lumbar = exams[ExamKind.LUMBAR_MRI]
    return ImagingHistory(
        exams=tuple(e for e in lumbar if not e.in_flight),
        in_flight=tuple(e for e in lumbar if e.in_flight),
        other=tuple(e for e in exams[ExamKind.LUMBAR_CT] if not e.in_flight),
        uncertain=tuple(e for e in exams[ExamKind.UNCERTAIN] if not e.in_flight),
    )


def _exams(joined: Iterable[Cluster], today: date, home: str) -> tuple[PriorExam, ...]:
    found = (_exam(cluster, today, home) for cluster in joined)
    return tuple(sorted((e for e in found if e is not None), key=_newest_first))


def _newest_first(exam: PriorExam) -> tuple[bool, int, tuple[str, ...]]:
    is_undated = exam.when.precision is Precision.UNKNOWN and exam.when.earliest is None
    return is_undated, -exam.when.latest.toordinal(), exam.sources


def _exam(cluster: Cluster, today: date, home: str) -> PriorExam | None:
    """Return the exam of a cluster; None if nothing says that it took or will take place."""
    done = [m for m in cluster.members if m.state is MemberState.DONE]
    in_flight = any(m.state is MemberState.IN_FLIGHT for m in cluster.members)
    if not done and not in_flight:
        return None
    when = cluster.when(today)
    if done and when is None and cluster.is_future(today):
        return None
    is_limited = any(m.is_limited or m.state is MemberState.ATTEMPTED for m in cluster.members)
    speaking = done or [m for m in cluster.members if m.state is MemberState.IN_FLIGHT]
    is_strong = any(m.strength is Strength.STRONG for m in speaking)
    is_weak = is_limited or cluster.is_doubtful
    reports = [m for m in done if m.kind is SourceKind.REPORT]
    outside = {ref for m in cluster.members for ref in m.facility_refs}
    return PriorExam(
        when=when or unknown_date(today),
        contrast=cluster.contrast,
        strength=Strength.STRONG if is_strong and not is_weak else Strength.POSSIBLE,
        sources=tuple(m.ref for m in cluster.members),
        is_outside=any(m.is_outside for m in cluster.members)
        or bool(home and outside and home not in outside),
        facility=next((m.facility for m in cluster.members if m.facility), ""),
        conclusion=next((m.conclusion for m in _latest(reports) if m.conclusion), ""),
        url=next((m.url for m in _latest(reports) if m.url), ""),
        in_flight=not done,
        is_limited=is_limited,
        is_order_only=bool(done) and all(m.kind is SourceKind.ORDER for m in done),
        members=tuple(cluster.members),
    )


def _latest(reports: list[Member]) -> list[Member]:
    """Reports, the last word first: addenda and final reports follow preliminary ones."""

    def last_word(member: Member) -> date:
        known = [d for d in (member.issued, *member.dates, member.updated) if d is not None]
        return known[0].latest if known else date.min

    return sorted(reports, key=last_word, reverse=True)
