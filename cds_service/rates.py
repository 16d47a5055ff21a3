"""How many calls in how much time, as operators write it: `6000 per minute`, `10/second`, `off`."""

import sys
from dataclasses import dataclass
from typing import Final

OFF = "off"


@dataclass(frozen=True, slots=True)
class Rate:
    """The most calls within a window of time."""

    calls: int
    seconds: int


UNLIMITED: Final = Rate(calls=sys.maxsize, seconds=1)


def parse_rate(text: str) -> Rate:
    """Return the rate in `text`. Raises ValueError that says what may stand there."""
    if text == OFF:
        return UNLIMITED
    from limits import parse_many  # noqa: PLC0415 - slow to import, and the usual rate needs none

    try:
        (item,) = parse_many(text)
    except ValueError:
        item = None
    if item is None or item.amount == 0:
        msg = "must be one rate, such as 100 per second or 6000/minute, or off"
        raise ValueError(msg)
    return Rate(calls=item.amount, seconds=item.get_expiry())
