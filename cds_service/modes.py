"""What the service does with its decisions."""

from enum import StrEnum


class Mode(StrEnum):
    """For the whole service, or for one client."""

    LIVE = "live"
    SILENT = "silent"
    """Decide and record, but show no cards."""
    OFF = "off"
    """Kill switch: every call is answered at once, without cards."""


def strictest(one: Mode, other: Mode | None) -> Mode:
    """Return the mode that shows less: off before silent before live."""
    order = (Mode.OFF, Mode.SILENT, Mode.LIVE)
    return one if other is None else min(one, other, key=order.index)
