"""Moves all dates of a synthetic patient by the same number of days, so that a demo is of today.

Day precision moves exactly. Months and years move by the middle of the stretch they stand for,
so they keep their meaning as nearly as a partial date can.
"""

import re
from datetime import date, timedelta

_DAY = re.compile(r"^(\d{4}-\d{2}-\d{2})((?:T.*)?)$")
_MONTH = re.compile(r"^(\d{4})-(\d{2})$")
_YEAR = re.compile(r"^(?:19|20)\d{2}$")
# Elements whose value can be a bare year; elsewhere four digits may be anything.
_DATE_ELEMENT = re.compile(r"(?:DateTime|Date|On|start|end|issued|started|onset|authored)$")


def shift_dates(value: object, days: int, element: str = "") -> object:
    """Return a copy of a JSON value with every date in it `days` later."""
    if isinstance(value, dict):
        return {key: shift_dates(item, days, key) for key, item in value.items()}
    if isinstance(value, list):
        return [shift_dates(item, days, element) for item in value]
    return _shifted(value, days, element) if isinstance(value, str) else value


def _shifted(text: str, days: int, element: str) -> str:
    later = timedelta(days=days)
    if found := _DAY.match(text):
        try:
            return (date.fromisoformat(found[1]) + later).isoformat() + found[2]
        except ValueError:
            return text
    if found := _MONTH.match(text):
        return (date(int(found[1]), int(found[2]), 15) + later).isoformat()[:7]
    if _YEAR.match(text) and _DATE_ELEMENT.search(element):
        return (date(int(text), 7, 1) + later).isoformat()[:4]
    return text
