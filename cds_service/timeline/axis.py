"""Days to places on a line whose scale changes at the edges of the windows.

A patient may have an MRI of fifteen years ago, and whether care has lasted six weeks is decided
by days. One even scale shows one or the other, and a logarithmic one shows no length truly. So
the line is broken where the windows begin: even within each piece, and each piece wide enough to
be read. The breaks are marked and dated.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

_SHARE_OF_THE_PAST = 0.3
"""Of what is older than every window."""
_SHARE_OF_THE_FUTURE = 0.1
_LEAST_PAST_DAYS = 365


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch with one scale; `right` is the place of the start of `end`."""

    start: date
    end: date
    left: float
    right: float

    def place(self, day: date) -> float:
        """Return the place of a day, the ends included."""
        share = (day - self.start).days / max((self.end - self.start).days, 1)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)


@dataclass(frozen=True, slots=True)
class Axis:
    """The whole line, oldest piece first."""

    pieces: tuple[Piece, ...]
    today: date

    @classmethod
    def over(
        cls,
        days: Iterable[date],
        *,
        breaks: Iterable[date],
        today: date,
        left: float,
        right: float,
    ) -> "Axis":
        """Return a line on which all the days find room."""
        every = tuple(days)
        edges = sorted({day for day in breaks if day < today})
        oldest = min(every, default=today)
        first = min(oldest, _before(edges[0] if edges else today))
        last = max((day for day in every if day > today), default=today)
        has_future = last > today
        end_of_present = right - (_SHARE_OF_THE_FUTURE * (right - left) if has_future else 0.0)
        past = _SHARE_OF_THE_PAST * (right - left) if edges else end_of_present - left
        points = [first, *edges, today]
        step = (end_of_present - left - past) / max(len(edges), 1)
        places = [left, *(left + past + step * n for n in range(len(edges))), end_of_present]
        if has_future:
            points.append(last)
            places.append(right)
        return cls(
            tuple(
                Piece(one, other, here, there)
                for (one, other), (here, there) in zip(
                    pairwise(points), pairwise(places), strict=True
                )
            ),
            today,
        )

    @property
    def left(self) -> float:
        """Where the line begins."""
        return self.pieces[0].left

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.pieces[-1].right

    def place(self, day: date) -> float:
        """Return the place of a day; what lies beyond an end is at that end."""
        for piece in self.pieces:
            if day <= piece.end:
                return piece.place(day)
        return self.right

    @property
    def marked_days(self) -> tuple[date, ...]:
        """Days to write below the line: ends and breaks."""
        return (self.pieces[0].start, *(piece.end for piece in self.pieces))


def _before(day: date) -> date:
    """Return a year before a day, or the first day there is."""
    return max(day, date.min + timedelta(days=_LEAST_PAST_DAYS)) - timedelta(days=_LEAST_PAST_DAYS)
