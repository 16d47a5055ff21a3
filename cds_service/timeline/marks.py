"""The marks: one shape a kind, hollow where uncertain, hatched where a date is wide."""

from collections.abc import Iterator
from dataclasses import dataclass

from cds_service.fhir_dates import Precision
from cds_service.timeline.axis import Axis
from cds_service.timeline.records import Entry, Shape

_RADIUS = 5.0
_THIN = 2.0
"""Narrower stretches are drawn as the mark alone."""


def hatching(prefix: str) -> str:
    """Return the definition of the hatching that stands for "somewhere in here"."""
    return (
        f'<defs><pattern id="{prefix}-hatch" width="5" height="5" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect x="0" y="0" width="5" height="5" fill="white"/>'
        '<line x1="0" y1="0" x2="0" y2="5" stroke="black" stroke-width="2"/></pattern></defs>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One entry as it is drawn: a shape at `right`, hatching from `left` to there."""

    left: float
    right: float
    mark: Shape
    is_uncertain: bool = False
    is_open: bool = False
    """No earliest day: an arrow leads off to the left."""
    until: float | None = None
    """Where a period ends."""

    def drawn(self, y: float, prefix: str) -> Iterator[str]:
        """Yield the elements, the shape last."""
        if self.right - self.left > _THIN:
            yield (
                f'<rect x="{self.left:.1f}" y="{y - 3:.1f}" '
                f'width="{self.right - self.left:.1f}" height="6" '
                f'fill="url(#{prefix}-hatch)" stroke="black" stroke-width="0.8"/>'
            )
        if self.is_open:
            tip = self.left - 6
            yield _polygon((tip, y), (self.left, y - 5), (self.left, y + 5), is_hollow=False)
        if self.until is not None and self.until - self.right > _THIN:
            yield (
                f'<rect x="{self.right:.1f}" y="{y - 3:.1f}" '
                f'width="{self.until - self.right:.1f}" height="6" fill="black"/>'
            )
        yield self._shape(self.right, y)

    def _shape(self, x: float, y: float) -> str:
        r = _RADIUS
        match self.mark:
            case Shape.EXAM:
                box = ((x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r))
                return _polygon(*box, is_hollow=self.is_uncertain)
            case Shape.PLANNED:
                tips = ((x, y - r), (x + r, y), (x, y + r), (x - r, y))
                return _polygon(*tips, is_hollow=True)
            case Shape.ORDER:
                return _polygon((x, y - r), (x + r, y + r), (x - r, y + r), is_hollow=False)
            case Shape.DENIED:
                return (
                    f'<path d="M{x - 4:.1f} {y - 4:.1f}L{x + 4:.1f} {y + 4:.1f}'
                    f'M{x - 4:.1f} {y + 4:.1f}L{x + 4:.1f} {y - 4:.1f}" '
                    'stroke="black" stroke-width="2" fill="none"/>'
                )
            case Shape.EVENT | Shape.PERIOD:
                fill = "white" if self.is_uncertain else "black"
                return (
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}" fill="{fill}" '
                    'stroke="black" stroke-width="1.5"/>'
                )


def mark_of(entry: Entry, axis: Axis) -> Mark:
    """Return the mark of an entry that has a date."""
    when = entry.when
    if when is None:
        message = "an entry without a date has no place on the line"
        raise ValueError(message)
    is_exact = when.precision is Precision.DAY
    right = axis.place(when.latest)
    left = axis.left if when.earliest is None else axis.place(when.earliest)
    return Mark(
        left=left,
        right=right,
        mark=entry.shape,
        is_uncertain=entry.is_uncertain or not is_exact,
        is_open=when.earliest is None,
        until=axis.place(axis.today) if entry.shape is Shape.PERIOD else None,
    )


def _polygon(*points: tuple[float, float], is_hollow: bool) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    fill = "white" if is_hollow else "black"
    return f'<polygon points="{places}" fill="{fill}" stroke="black" stroke-width="1.5"/>'


LEGEND: tuple[tuple[Shape, str], ...] = (
    (Shape.EVENT, "on record (hollow: uncertain; bar: until today)"),
    (Shape.EXAM, "MRI done"),
    (Shape.PLANNED, "ordered, not done"),
    (Shape.DENIED, "denied"),
    (Shape.ORDER, "this order"),
)
"""Marks in the order in which the legend lists them; hatching is told beside them."""
