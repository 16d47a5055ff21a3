"""Joining records by what only one exam has: accession number, study UID, identifier, reference.

Source: decision table §7.1, "De-duplication". Whatever they share, exams of different days stay
apart: numbers repeat between sites, and a report may name the exam that it compares with.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from itertools import pairwise

from cds_service.fhir_dates import Precision
from cds_service.imaging_history.cluster import SAME_EXAM_ISSUED, Cluster, bare_numbers, moved
from cds_service.imaging_history.members import Member, SourceKind

_LAST_PLACE = 10**9
_MOST_BARE = 50
"""Records with the same accession number and no system that are looked at."""


class Groups:
    """Clusters that can be joined while they are looked up by key."""

    def __init__(self, found: Iterable[Cluster]) -> None:
        """Begin with each cluster alone."""
        self.clusters = list(found)
        self.parents = list(range(len(self.clusters)))

    def root(self, index: int) -> int:
        """Return the place of the cluster that this one was joined into."""
        while self.parents[index] != index:
            self.parents[index] = self.parents[self.parents[index]]
            index = self.parents[index]
        return index

    def join(self, first: int, second: int) -> None:
        """Join two clusters into the first of them."""
        low, high = sorted((self.root(first), self.root(second)))
        if low != high:
            self.clusters[low].join(self.clusters[high])
            self.parents[high] = low

    def remaining(self) -> list[Cluster]:
        """Return what is left, in order."""
        return [c for i, c in enumerate(self.clusters) if self.parents[i] == i]


class _DatedGroups(Groups):
    """Groups that are never joined over days: a record may link to the exam it compares with."""

    def __init__(self, members: list[Member]) -> None:
        super().__init__(Cluster(member) for member in members)
        self.days = [_exam_day(member) for member in members]

    def day(self, index: int) -> date | None:
        """Return the day of a group by its best record that has one."""
        return self.days[self.root(index)]

    def join_near(self, first: int, second: int) -> None:
        """Join two groups unless they are exams of different days."""
        low, high = sorted((self.root(first), self.root(second)))
        some, other = self.days[low], self.days[high]
        if some is None or other is None or abs(some - other) <= SAME_EXAM_ISSUED:
            self.join(low, high)
            self.days[low] = some or other

    def join_undated(self, first: int, second: int) -> None:
        """Join the second group if it has no day."""
        if self.day(second) is None:
            self.join_near(first, second)


def _exam_day(member: Member) -> date | None:
    """Day of the exam by this record, also of one to come; what was only ordered has none."""
    if member.kind is SourceKind.ORDER:
        return None
    return next((d.latest for d in member.dates if d.precision is Precision.DAY), None)


def by_exam(members: list[Member]) -> list[Cluster]:
    """Join records that share an accession number, a study UID, an identifier, a reference.

    Exams of different days stay apart whatever they share. A record without a date of its own
    goes to the newest exam that it is linked to and that is not later than its report.
    """
    groups = _DatedGroups(members)
    holders = sorted(_holders(members).items())
    linked: dict[int, list[list[tuple[date, int]]]] = {}
    for _, indexes in holders:
        days = sorted((day, i) for i in indexes if (day := groups.days[i]) is not None)
        for (_, one), (_, another) in pairwise(days):
            groups.join_near(one, another)
        for index in indexes if days else ():
            linked.setdefault(index, []).append(days)
    for index, member in enumerate(members):
        if index in linked and groups.day(index) is None:
            groups.join_near(_newest(linked[index], member), index)
    for _, indexes in holders:
        first = max(indexes, key=lambda i: (groups.day(i) or date.min, -i))
        for index in indexes:
            groups.join_undated(first, index)
    return groups.remaining()


def _newest(linked: list[list[tuple[date, int]]], member: Member) -> int:
    """Return the newest of the dated records, those not later than the report if there are any."""
    latest = date.max if member.issued is None else moved(member.issued.latest, SAME_EXAM_ISSUED)
    not_later = [
        days[place - 1] for days in linked if (place := bisect_right(days, (latest, _LAST_PLACE)))
    ]
    return max(not_later or [days[-1] for days in linked])[1]


def _holders(members: list[Member]) -> dict[str, list[int]]:
    """Return the places of the records that have a key; a bare accession number has them all."""
    holders: dict[str, list[int]] = {}
    bare: dict[str, list[int]] = {}
    for index, member in enumerate(members):
        for key in member.exam_keys:
            holders.setdefault(key, []).append(index)
        for number in bare_numbers(member.accessions):
            bare.setdefault(number, []).append(index)
    for key, indexes in holders.items():
        if key.startswith("accession:") and not key.startswith("accession:|"):
            indexes.extend(bare.get(key.partition("|")[2], ())[:_MOST_BARE])
    return holders
