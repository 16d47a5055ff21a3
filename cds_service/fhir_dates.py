"""FHIR dates as intervals of days, and calendar arithmetic on them.

`2025` means some day of 2025, never its first one; a missing date means any day up to
today. So every question about a window has three answers: yes, no, unknown.
Source: FHIR R4 `date`, `dateTime`, `instant`; decision table §2.3.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# Year, month, day, then an optional time. Real senders leave the zone out (quirk 3), write
# 24:00 and second 60 (quirk 8), so the time is read leniently and only to find the day.
_FHIR_DATE = re.compile(
    r"^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?"
    r"(Z|[+-]\d{2}:?\d{2})?)?)?)?$"
)
_HOURS_IN_A_DAY = 24


class Precision(StrEnum):
    """How exactly a date is known."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    UPPER_BOUND = "upper-bound"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DateInterval:
    """The days on which something may have happened; `earliest` None is "no lower bound"."""

    earliest: date | None
    latest: date
    precision: Precision
    element: str = ""
    """FHIR element the date came from, for the card: `onsetDateTime`, `recordedDate` …"""

    @property
    def text(self) -> str:
        """The date as it may be shown: `2026-03-06`, `2026-03`, `2026`, `by 2026-03-06`."""
        match self.precision:
            case Precision.DAY:
                return self.latest.isoformat()
            case Precision.MONTH:
                return self.latest.isoformat()[:7]
            case Precision.YEAR:
                return self.latest.isoformat()[:4]
            case Precision.UPPER_BOUND:
                return f"by {self.latest.isoformat()}"
            case Precision.UNKNOWN:
                return "date unknown"

    @property
    def fhir(self) -> str:
        """The date as FHIR writes it; an upper bound as its day; empty if it is not known."""
        match self.precision:
            case Precision.UNKNOWN:
                return ""
            case Precision.UPPER_BOUND:
                return self.latest.isoformat()
            case _:
                return self.text

    def as_upper_bound(self) -> "DateInterval":
        """The same date read as "not later than this" (recordedDate, issued)."""
        return DateInterval(None, self.latest, Precision.UPPER_BOUND, self.element)

    def is_future(self, today: date) -> bool:
        """True if every possible day is later than tomorrow (decision table §2.3)."""
        return self.earliest is not None and self.earliest > today + timedelta(days=1)


def unknown_date(today: date, element: str = "") -> DateInterval:
    """No date at all: any day up to today."""
    return DateInterval(None, today, Precision.UNKNOWN, element)


def parse_fhir_date(value: object, zone: ZoneInfo, element: str = "") -> DateInterval | None:
    """Read a FHIR date, dateTime or instant; None if there is none or it is impossible.

    A time with an offset is moved to the organisation's `zone` before its day is taken; a
    time without one is taken to be in that zone already.
    """
    if not isinstance(value, str):
        return None
    found = _FHIR_DATE.match(value.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second, offset = found.groups()
    try:
        if month is None:
            return DateInterval(
                date(int(year), 1, 1), date(int(year), 12, 31), Precision.YEAR, element
            )
        if day is None:
            first = date(int(year), int(month), 1)
            return DateInterval(first, last_day_of_month(first), Precision.MONTH, element)
        on = date(int(year), int(month), int(day))
        if hour is not None:
            on = _local_day(on, int(hour), int(minute), int(second or 0), offset, zone)
    except (ValueError, OverflowError):
        return None
    return DateInterval(on, on, Precision.DAY, element)


def _local_day(
    on: date, hour: int, minute: int, second: int, offset: str | None, zone: ZoneInfo
) -> date:
    """Return the calendar day in `zone` of a time of day, allowing 24:00 and second 60."""
    if hour > _HOURS_IN_A_DAY or (hour == _HOURS_IN_A_DAY and (minute or second)):
        raise ValueError
    extra = timedelta(days=1) if hour == _HOURS_IN_A_DAY else timedelta()
    clock = f"{hour % _HOURS_IN_A_DAY:02d}:{minute:02d}:{min(second, 59):02d}"
    moment = datetime.fromisoformat(f"{on.isoformat()}T{clock}{offset or ''}")
    if offset is None:
        return on + extra
    return (moment + extra).astimezone(zone).date()


def last_day_of_month(day: date) -> date:
    """Return the last day of the month that `day` is in."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def add_months(day: date, months: int) -> date:
    """Move by calendar months; the 31st becomes the last day of a shorter month.

    2025-03-16 + 12 is 2026-03-16; 2024-02-29 + 12 is 2025-02-28; 2025-08-31 − 6 is
    2025-02-28. Defended by `test_add_months_clamps_to_the_end_of_the_month`.
    """
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    return first.replace(day=min(day.day, last_day_of_month(first).day))


def within_days(when: DateInterval | None, today: date, days: int) -> bool | None:
    """Was it at most `days` calendar days before `today`? Unknown if the interval straddles.

    Day 0 is today; tomorrow still counts (clock skew), later dates are unknown (§2.3).
    """
    if when is None or when.is_future(today):
        return None
    return on_or_after(when, today - timedelta(days=days))


def within_months(when: DateInterval | None, today: date, months: int) -> bool | None:
    """Is it strictly later than `today` less `months` calendar months (decision table §1)?

    On 2026-03-16, 2025-03-17 is within 12 months and 2025-03-16 is not.
    """
    if when is None or when.is_future(today):
        return None
    return on_or_after(when, add_months(today, -months) + timedelta(days=1))


def on_or_after(when: DateInterval | None, limit: date) -> bool | None:
    """Is it on or after `limit`? True or False only if all days of the interval agree."""
    if when is None:
        return None
    if when.earliest is not None and when.earliest >= limit:
        return True
    if when.latest < limit:
        return False
    return None


def after(when: DateInterval | None, other: DateInterval | None) -> bool | None:
    """Is `when` strictly later than `other`, whatever days both may stand for?"""
    if when is None or other is None:
        return None
    if when.earliest is not None and when.earliest > other.latest:
        return True
    if other.earliest is not None and when.latest < other.earliest:
        return False
    if when.latest == when.earliest == other.latest == other.earliest:
        return False
    return None


def days_since(when: DateInterval, today: date) -> tuple[int, int | None]:
    """Return the least and the most days from `when` to `today`; most is None if unbounded."""
    most = None if when.earliest is None else (today - when.earliest).days
    return (today - when.latest).days, most


def completed_years(birth: DateInterval, today: date) -> tuple[int, int] | None:
    """Return the least and greatest possible age in completed years; None if not bounded.

    A birthday counts from that day on: born 1956-03-16 is 70 on 2026-03-16. Someone born on
    29 February completes the year on 1 March of a common year.
    """
    if birth.earliest is None or birth.is_future(today):
        return None

    def age(born: date) -> int:
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

    return max(age(birth.latest), 0), age(birth.earliest)
