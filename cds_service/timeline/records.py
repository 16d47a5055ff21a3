"""What stands on a timeline, apart from how it is drawn. Dates stay intervals."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from cds_service.fhir_dates import DateInterval


class Shape(StrEnum):
    """What kind of entry it is; each has a mark of its own, in black and white too."""

    EVENT = "event"
    """Something that happened or was recorded."""
    PERIOD = "period"
    """Something that began then and lasts until today."""
    EXAM = "exam"
    """An MRI that was done."""
    PLANNED = "planned"
    """Ordered or booked, not done."""
    DENIED = "denied"
    """The record says that it is not so."""
    ORDER = "order"
    """The order in question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing on the timeline; without `when` it is listed at the side."""

    label: str
    """Words of ours; chart text in it is cleaned."""
    shape: Shape
    when: DateInterval | None = None
    is_uncertain: bool = False
    """The evidence is only possible, or not enough to say yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Entries of one kind, oldest first."""

    title: str
    dated: tuple[Entry, ...] = ()
    undated: tuple[Entry, ...] = ()
    more: str = ""
    """What is left out of a lane with very many entries."""
    silence: str = ""
    """What an empty lane says: nothing found, or that not everything could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of days before today that the rules ask about."""

    label: str
    first: date
    """From this day until today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All of it: lanes in fixed order, the longest window first."""

    title: str
    verdict: str
    """What was decided, in a line."""
    today: date
    lanes: tuple[Lane, ...]
    windows: tuple[Window, ...]
    unread: str = ""
    """Sources that could not be read; empty if all were."""
