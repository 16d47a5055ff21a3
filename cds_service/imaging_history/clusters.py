"""Joining the records of one exam: by what only one exam has, by its order, then by date.

Source: decision table §7.1, "De-duplication". Everything is sorted by best source and reference
first, so that the order in which records were sent cannot matter.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import chain
from typing import TypeAlias

from cds_service.fhir_dates import DateInterval, Precision
from cds_service.imaging_history.members import Member, MemberState, SourceKind
from cds_service.imaging_history.names import ExamKind
from cds_service.orders import ImagingProtocol

SAME_EXAM = timedelta(days=1)
SAME_EXAM_ISSUED = timedelta(days=3)
"""Reports are often issued a day or two after the exam."""
_MOST_COMPARED = 20
"""Separate exams of one day that a further record of that day is compared with."""

_PARTIAL = frozenset({Precision.MONTH, Precision.YEAR})
_VAGUE = frozenset({ExamKind.UNNAMED, ExamKind.UNCERTAIN})
_BY_PREFERENCE = (
    ExamKind.LUMBAR_MRI,
    ExamKind.LUMBAR_CT,
    ExamKind.UNCERTAIN,
    ExamKind.OTHER,
    ExamKind.UNNAMED,
)


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
        """No record of the exam itself."""
        return self.members[0].kind is SourceKind.ORDER

    @property
    def is_done(self) -> bool:
        """Some record says that it took place."""
        return any(m.state is MemberState.DONE for m in self.members)

    @property
    def kind(self) -> ExamKind:
        """What it is an exam of; what was done outranks what was ordered (quirk 15)."""
        kinds = {m.name.kind for m in self.members if m.kind is not SourceKind.ORDER}
        if kinds <= _VAGUE:
            kinds = {m.name.kind for m in self.members}
        return next(kind for kind in _BY_PREFERENCE if kind in kinds)

    @property
    def is_doubtful(self) -> bool:
        """A better source names another exam than the one that makes it a lumbar MRI."""
        named = [m for m in self.members if m.name.kind not in _VAGUE]
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
        partial = (d for d in dates if d.precision in _PARTIAL)
        issued = (m.issued for m in members if m.issued and m.issued.latest <= today + SAME_EXAM)
        ordered = (d for d in dates if d.precision is Precision.UNKNOWN)
        updated = (m.updated for m in members if m.updated)
        return next(chain(days, partial, issued, ordered, updated), None)

    def is_future(self, today: date) -> bool:
        """All dates of the exam lie in the future."""
        dates = [d for m in self.members for d in m.dates]
        return bool(dates) and all(d.is_future(today) for d in dates)

    def is_separate_from(self, other: "Cluster") -> bool:
        """Two exams of one day: other accession number, both with images of other studies."""
        return (
            self.has_images
            and other.has_images
            and _differ(self.accessions, other.accessions)
            and _differ(self.study_uids, other.study_uids)
        )


def _differ(some: set[str], others: set[str]) -> bool:
    return bool(some) and bool(others) and some.isdisjoint(others)


def clusters(
    members: Iterable[Member], *, today: date, since: date
) -> dict[ExamKind, list[Cluster]]:
    """Return one cluster an exam, by what it is an exam of.

    An undated record joins the newest dated exam since `since`: with such an exam on record it
    can add nothing. Otherwise it stands alone, as it may be newer than any that is dated.
    """
    found = _by_order(_by_exam(sorted(members, key=lambda m: m.sort_key)), today)
    by_kind: dict[ExamKind, list[Cluster]] = {}
    for cluster in found:
        by_kind.setdefault(cluster.kind, []).append(cluster)
    lumbar = _by_date(by_kind.get(ExamKind.LUMBAR_MRI, []), today, since)
    uncertain = _not_lumbar(by_kind.get(ExamKind.UNCERTAIN, []), lumbar, today)
    return {
        ExamKind.LUMBAR_MRI: lumbar,
        ExamKind.LUMBAR_CT: _by_date(by_kind.get(ExamKind.LUMBAR_CT, []), today, since),
        ExamKind.UNCERTAIN: _by_date(uncertain, today, since),
    }


def _not_lumbar(found: list[Cluster], lumbar: list[Cluster], today: date) -> list[Cluster]:
    """Join "MRI of spine" with the lumbar MRI of that day: one exam, named twice."""
    dated = _sorted((_day(c, today), c) for c in lumbar if c.is_done)
    days = [day for day, _ in dated]
    left: list[Cluster] = []
    for cluster in found:
        day = _day(cluster, today)
        if day == date.max:
            left.append(cluster)
            continue
        low, high = bisect_left(days, day - SAME_EXAM), bisect_right(days, day + SAME_EXAM)
        if not _joined((c for _, c in dated[low:high]), cluster):
            left.append(cluster)
    return left


class _Groups:
    """Clusters that can be joined while they are looked up by key."""

    def __init__(self, found: Iterable[Cluster]) -> None:
        self.clusters = list(found)
        self.parents = list(range(len(self.clusters)))

    def root(self, index: int) -> int:
        while self.parents[index] != index:
            self.parents[index] = self.parents[self.parents[index]]
            index = self.parents[index]
        return index

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.root(first), self.root(second)))
        if low != high:
            self.clusters[low].join(self.clusters[high])
            self.parents[high] = low

    def remaining(self) -> list[Cluster]:
        return [c for i, c in enumerate(self.clusters) if self.parents[i] == i]


def _by_exam(members: list[Member]) -> list[Cluster]:
    """Join records that share an accession number, a study UID, an identifier, a reference."""
    groups = _Groups(Cluster(member) for member in members)
    first: dict[str, int] = {}
    for index, member in enumerate(members):
        for key in sorted(member.exam_keys):
            groups.join(first.setdefault(key, index), index)
    return groups.remaining()


def _by_order(found: list[Cluster], today: date) -> list[Cluster]:
    """Join records of one order; exams of one order on different days stay apart."""
    groups = _Groups(found)
    holders: dict[str, list[int]] = {}
    ordering = {key for c in found for m in c.members for key in m.order_keys}
    for index, cluster in enumerate(found):
        for key in {k for m in cluster.members for k in m.order_keys | m.exam_keys} & ordering:
            holders.setdefault(key, []).append(index)
    for key in sorted(holders):
        if len(holders[key]) > 1:
            _join_order(groups, sorted({groups.root(i) for i in holders[key]}), today)
    return groups.remaining()


def _join_order(groups: _Groups, indexes: list[int], today: date) -> None:
    """Join what belongs to one order: records of one exam, then the order with its first exam."""
    days = {i: _day(groups.clusters[i], today) for i in indexes}
    exams = [i for i in indexes if not groups.clusters[i].is_order_only]
    orders = [i for i in indexes if groups.clusters[i].is_order_only]
    firsts: list[int] = []
    last = date.min
    for index in sorted(exams, key=days.__getitem__):
        day = days[index]
        if firsts and (day == date.max or day - last <= SAME_EXAM_ISSUED):
            groups.join(firsts[-1], index)
        else:
            firsts.append(index)
        last = last if day == date.max else day
    for index in orders:
        written = _written(groups.clusters[index])
        fitting = (i for i in firsts if written is None or days[i] >= written - SAME_EXAM)
        target = next(fitting, orders[0] if not exams else index)
        groups.join(target, index)


def _day(cluster: Cluster, today: date) -> date:
    """Day of the exam; without one it sorts last."""
    when = cluster.when(today)
    return when.latest if when and when.precision is Precision.DAY else date.max


def _written(cluster: Cluster) -> date | None:
    """Day on which the first order of a cluster was written, at the earliest."""
    days = [m.authored.earliest for m in cluster.members if m.authored and m.authored.earliest]
    return min(days, default=None)


_Dated: TypeAlias = tuple[date, Cluster]


def _by_date(found: list[Cluster], today: date, since: date) -> list[Cluster]:
    """Join records of one region that share no link, the most precise dates first."""
    days: list[_Dated] = []
    partial: list[tuple[DateInterval, Cluster]] = []
    issued: list[_Dated] = []
    orders: list[Cluster] = []
    undated: list[Cluster] = []
    apart: list[Cluster] = []
    for cluster in found:
        when = cluster.when(today)
        if when is not None and when.precision is Precision.DAY:
            days.append((when.latest, cluster))
        elif when is not None and when.precision in _PARTIAL:
            partial.append((when, cluster))
        elif when is not None and when.element == "issued":
            issued.append((when.latest, cluster))
        elif cluster.is_order_only:
            orders.append(cluster)
        elif cluster.is_done and not cluster.is_future(today):
            undated.append(cluster)
        else:
            apart.append(cluster)
    dated = _swept(days, SAME_EXAM)
    dated = _sorted(dated + _swept(_not_near(issued, dated), SAME_EXAM_ISSUED))
    standing = [cluster for _, cluster in dated] + _not_within(partial, dated)
    return [
        *standing,
        *_not_recent(undated, dated, since),
        *_not_done(orders, dated),
        *apart,
    ]


def _sorted(found: Iterable[_Dated]) -> list[_Dated]:
    return sorted(found, key=lambda item: (item[0], item[1].sort_key))


def _swept(found: list[_Dated], tolerance: timedelta) -> list[_Dated]:
    """Join neighbours in time; return each cluster with its first day."""
    kept: list[_Dated] = []
    near: list[_Dated] = []
    for day, cluster in _sorted(found):
        near = [(last, c) for last, c in near if day - last <= tolerance][-_MOST_COMPARED:]
        for place, (_, other) in enumerate(near):
            if not other.is_separate_from(cluster):
                other.join(cluster)
                near[place] = (day, other)
                break
        else:
            kept.append((day, cluster))
            near.append((day, cluster))
    return kept


def _not_near(issued: list[_Dated], dated: list[_Dated]) -> list[_Dated]:
    """Join reports that only say when they were issued with the nearest exam of those days."""
    days = [day for day, _ in dated]
    left: list[_Dated] = []
    for on, cluster in _sorted(issued):
        low = bisect_left(days, on - SAME_EXAM_ISSUED)
        high = bisect_right(days, on + SAME_EXAM_ISSUED)
        near = sorted((abs(days[i] - on), days[i], i) for i in range(low, high))
        if not _joined((dated[i][1] for _, _, i in near), cluster):
            left.append((on, cluster))
    return left


def _not_within(partial: list[tuple[DateInterval, Cluster]], dated: list[_Dated]) -> list[Cluster]:
    """Join records of a month or a year with the newest exam in it, else with each other."""
    days = [day for day, _ in dated]
    left: list[tuple[DateInterval, Cluster]] = []
    for when, cluster in sorted(partial, key=_precise_then_source):
        low = bisect_left(days, (when.earliest or when.latest) - SAME_EXAM)
        high = bisect_right(days, when.latest + SAME_EXAM)
        within = dated[max(low, high - _MOST_COMPARED) : high]
        around = (c for other, c in left[-_MOST_COMPARED:] if _overlap(other, when))
        if not _joined(chain((c for _, c in reversed(within)), around), cluster):
            left.append((when, cluster))
    return [cluster for _, cluster in left]


def _precise_then_source(item: tuple[DateInterval, Cluster]) -> tuple[str, date, tuple[int, str]]:
    when, cluster = item
    return when.precision, when.latest, cluster.sort_key


def _overlap(some: DateInterval, other: DateInterval) -> bool:
    return (some.earliest or some.latest) <= other.latest and (
        other.earliest or other.latest
    ) <= some.latest


def _not_recent(undated: list[Cluster], dated: list[_Dated], since: date) -> list[Cluster]:
    """Join undated records with the newest recent exam, else with each other (quirk 6)."""
    left: list[Cluster] = []
    for cluster in sorted(undated, key=lambda c: c.sort_key):
        recent = (c for day, c in reversed(dated[-_MOST_COMPARED:]) if day >= since)
        if not _joined(chain(recent, left[:_MOST_COMPARED]), cluster):
            left.append(cluster)
    return left


def _not_done(orders: list[Cluster], dated: list[_Dated]) -> list[Cluster]:
    """Join orders with the first exam after they were written: orders are often never closed.

    Of what is left, orders written within a day of each other are one (placer and filler).
    """
    days = [day for day, _ in dated]
    open_orders: list[_Dated] = []
    completed: list[_Dated] = []
    for cluster in orders:
        written = _written(cluster) or date.max
        place = bisect_left(days, written)
        if not _joined((c for _, c in dated[place : place + 1]), cluster):
            (completed if cluster.is_done else open_orders).append((written, cluster))
    left = _swept(completed, SAME_EXAM) + _swept(open_orders, SAME_EXAM)
    return [cluster for _, cluster in left]


def _joined(candidates: Iterable[Cluster], cluster: Cluster) -> bool:
    """Join a cluster with the first candidate that is not a separate exam."""
    for candidate in candidates:
        if not candidate.is_separate_from(cluster):
            candidate.join(cluster)
            return True
    return False
