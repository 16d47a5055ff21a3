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
from cds_service.imaging_history.cluster import (
    PARTIAL,
    SAME_EXAM,
    SAME_EXAM_ISSUED,
    Cluster,
    moved,
)
from cds_service.imaging_history.linked import Groups, by_exam
from cds_service.imaging_history.members import Member
from cds_service.imaging_history.names import ExamKind

_MOST_COMPARED = 20
"""Separate exams of one day that a further record of that day is compared with."""


def clusters(
    members: Iterable[Member], *, today: date, since: date
) -> dict[ExamKind, list[Cluster]]:
    """Return one cluster an exam, by what it is an exam of.

    An undated record joins the newest dated exam since `since`: with such an exam on record it
    can add nothing. Otherwise it stands alone, as it may be newer than any that is dated.
    """
    found = _by_order(by_exam(sorted(members, key=lambda m: m.sort_key)), today)
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
        low, high = (
            bisect_left(days, moved(day, -SAME_EXAM)),
            bisect_right(days, moved(day, SAME_EXAM)),
        )
        if not _joined((c for _, c in dated[low:high]), cluster):
            left.append(cluster)
    return left


def _by_order(found: list[Cluster], today: date) -> list[Cluster]:
    """Join records of one order; exams of one order on different days stay apart."""
    groups = Groups(found)
    holders: dict[str, list[int]] = {}
    ordering = {key for c in found for m in c.members for key in m.order_keys}
    for index, cluster in enumerate(found):
        for key in {k for m in cluster.members for k in m.order_keys | m.exam_keys} & ordering:
            holders.setdefault(key, []).append(index)
    for key in sorted(holders):
        if len(holders[key]) > 1:
            _join_order(groups, sorted({groups.root(i) for i in holders[key]}), today)
    return groups.remaining()


def _join_order(groups: Groups, indexes: list[int], today: date) -> None:
    """Join what belongs to one order: records of one exam, then the order with its first exam.

    What is planned belongs to the order only while that is open: a standing order goes on.
    """
    days = {i: _day(groups.clusters[i], today) for i in indexes}
    exams: list[int] = []
    planned: list[int] = []
    orders: list[int] = []
    bookings: list[int] = []
    for index in indexes:
        cluster = groups.clusters[index]
        if cluster.is_order_only:
            (bookings if cluster.is_booking_only else orders).append(index)
        else:
            (planned if cluster.is_future(today) else exams).append(index)
    firsts: list[int] = []
    last = date.min
    for index in sorted(exams, key=days.__getitem__):
        day = days[index]
        if firsts and (day == date.max or day - last <= SAME_EXAM_ISSUED):
            groups.join(firsts[-1], index)
        else:
            firsts.append(index)
        last = last if day == date.max else day
    still_open: list[int] = []
    for index in orders:
        written = _written(groups.clusters[index])
        fitting = (i for i in firsts if written is None or days[i] >= moved(written, -SAME_EXAM))
        done = next(fitting, None)
        if done is not None:
            groups.join(done, index)
        else:
            still_open.append(index)
    # Orders that follow one another without an exam are one; after an exam each stands alone.
    waiting = [*(still_open if not exams else still_open[:1]), *planned]
    for index in (*waiting, *bookings) if waiting else ():
        groups.join(waiting[0], index)


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
    planned: list[Cluster] = []
    for cluster in found:
        when = cluster.when(today)
        if when is not None and when.precision is Precision.DAY:
            days.append((when.latest, cluster))
        elif when is not None and when.precision in PARTIAL:
            partial.append((when, cluster))
        elif when is not None and when.element == "issued":
            issued.append((when.latest, cluster))
        elif cluster.is_order_only:
            orders.append(cluster)
        elif cluster.is_done and not cluster.is_future(today):
            undated.append(cluster)
        else:
            planned.append(cluster)
    dated = _swept(days, SAME_EXAM)
    dated = _sorted(dated + _swept(_not_near(issued, dated), SAME_EXAM_ISSUED))
    standing = [cluster for _, cluster in dated] + _not_within(partial, dated)
    return [
        *standing,
        *_not_recent(undated, dated, since, today),
        *_not_planned(planned, _not_done(orders, dated)),
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
        low = bisect_left(days, moved(on, -SAME_EXAM_ISSUED))
        high = bisect_right(days, moved(on, SAME_EXAM_ISSUED))
        near = sorted((abs(days[i] - on), days[i], i) for i in range(low, high))
        if not _joined((dated[i][1] for _, _, i in near), cluster):
            left.append((on, cluster))
    return left


def _not_within(partial: list[tuple[DateInterval, Cluster]], dated: list[_Dated]) -> list[Cluster]:
    """Join records of a month or a year with the newest exam in it, else with each other."""
    days = [day for day, _ in dated]
    left: list[tuple[DateInterval, Cluster]] = []
    for when, cluster in sorted(partial, key=_precise_then_source):
        low = bisect_left(days, moved(when.earliest or when.latest, -SAME_EXAM))
        high = bisect_right(days, moved(when.latest, SAME_EXAM))
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


def _not_recent(
    undated: list[Cluster], dated: list[_Dated], since: date, today: date
) -> list[Cluster]:
    """Join undated records with the newest recent exam, else with each other (quirk 6).

    One that is known to be older than a day is not an exam of a later day.
    """
    left: list[Cluster] = []
    for cluster in sorted(undated, key=lambda c: c.sort_key):
        bound = cluster.bound(today)
        latest = date.max if bound is None else moved(bound, SAME_EXAM)
        recent = (c for day, c in reversed(dated[-_MOST_COMPARED:]) if since <= day <= latest)
        alike = (c for c in left[:_MOST_COMPARED] if _is_near(c.bound(today), bound))
        if not _joined(chain(recent, alike), cluster):
            left.append(cluster)
    return left


def _is_near(one: date | None, other: date | None) -> bool:
    """Records without date are not told apart; of two bounds the later may be a newer exam."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= SAME_EXAM_ISSUED


def _not_done(orders: list[Cluster], dated: list[_Dated]) -> list[Cluster]:
    """Join orders with the first exam after they were written: orders are often never closed.

    Of what is left, orders written within a day of each other are one (placer and filler).
    A booking without an order is for the newest open one, unless the exam of its day was done.
    """
    days = [day for day, _ in dated]
    open_orders: list[_Dated] = []
    completed: list[_Dated] = []
    bookings: list[Cluster] = []
    for cluster in orders:
        written = _written(cluster) or date.max
        place = bisect_left(days, written)
        if cluster.is_booking_only:
            bookings.append(cluster)
        elif not _joined((c for _, c in dated[place : place + 1]), cluster):
            (completed if cluster.is_done else open_orders).append((written, cluster))
    waiting = [cluster for _, cluster in _swept(open_orders, SAME_EXAM)]
    left = [cluster for _, cluster in _swept(completed, SAME_EXAM)] + waiting
    for booking in bookings:
        low = bisect_left(days, moved(booking.planned, -SAME_EXAM))
        high = bisect_right(days, moved(booking.planned, SAME_EXAM))
        candidates = chain((c for _, c in dated[low:high]), reversed(waiting))
        if not _joined(candidates, booking):
            left.append(booking)
    return left


def _not_planned(planned: list[Cluster], orders: list[Cluster]) -> list[Cluster]:
    """Join a study or report that is registered for a coming day with the newest open order."""
    waiting = [c for c in reversed(orders) if not c.is_done]
    apart = [
        cluster
        for cluster in sorted(planned, key=lambda c: c.sort_key)
        if not (cluster.is_in_flight and _joined(waiting, cluster))
    ]
    return [*orders, *apart]


def _joined(candidates: Iterable[Cluster], cluster: Cluster) -> bool:
    """Join a cluster with the first candidate that is not a separate exam."""
    for candidate in candidates:
        if not candidate.is_separate_from(cluster):
            candidate.join(cluster)
            return True
    return False
