"""FHIR dates as intervals: parsing, windows, ages, calendar months."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.fhir_dates import (
    DateInterval,
    Precision,
    add_months,
    after,
    completed_years,
    days_since,
    last_day_of_month,
    on_or_after,
    parse_fhir_date,
    unknown_date,
    within_days,
    within_months,
)

TODAY = date(2026, 3, 16)
NEW_YORK = ZoneInfo("America/New_York")


def read(text: object) -> DateInterval:
    when = parse_fhir_date(text, NEW_YORK, "onsetDateTime")
    assert when is not None
    return when


@pytest.mark.parametrize(
    ("text", "earliest", "latest", "shown"),
    [
        pytest.param("2025", (2025, 1, 1), (2025, 12, 31), "2025", id="year"),
        pytest.param("2024-02", (2024, 2, 1), (2024, 2, 29), "2024-02", id="month"),
        pytest.param("2025-03-06", (2025, 3, 6), (2025, 3, 6), "2025-03-06", id="day"),
        pytest.param(" 2025-03-06 ", (2025, 3, 6), (2025, 3, 6), "2025-03-06", id="blanks"),
    ],
)
def test_a_date_is_the_interval_of_days_it_may_stand_for(
    text: str, earliest: tuple[int, int, int], latest: tuple[int, int, int], shown: str
) -> None:
    when = read(text)

    assert (date(*earliest), date(*latest), shown) == (when.earliest, when.latest, when.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2025-03-06T02:00:00Z", "2025-03-05", id="UTC is the day before here"),
        pytest.param("2025-03-06T23:30:00-08:00", "2025-03-07", id="west coast is tomorrow here"),
        pytest.param("2025-03-06T23:30:00", "2025-03-06", id="no zone is the zone of the site"),
        pytest.param("2025-03-06T23:30", "2025-03-06", id="no seconds"),
        pytest.param("2025-03-06 23:30:00", "2025-03-06", id="blank for T"),
        pytest.param("2025-03-06T10:00:00.123456789-05:00", "2025-03-06", id="nanoseconds"),
        pytest.param("2025-03-06T24:00:00", "2025-03-07", id="24:00 is the next day"),
        pytest.param("2025-03-06T24:00:00-05:00", "2025-03-07", id="24:00 with an offset"),
        pytest.param("2016-12-31T23:59:60Z", "2016-12-31", id="leap second"),
        pytest.param("2025-03-06T12:00:00+0530", "2025-03-06", id="offset without colon"),
    ],
)
def test_a_time_is_read_for_its_day_in_the_zone_of_the_site(text: str, expected: str) -> None:
    assert expected == read(text).text


@pytest.mark.parametrize(
    "text",
    [
        *("", "20", "2025-3-6", "2025-13", "2025-02-30", "2025-03-06T25:00:00", "06.03.2025"),
        *("2025-03-06T24:00:01", "2025-03-06T10:00:00+99:99", "0000-01-01", "yesterday"),
        *("9999-12-31T23:59:59-14:00", "2025-03-06T10:61:00", None, 2025, True, [], {}),
    ],
    ids=repr,
)
def test_what_is_no_date_is_none(text: object) -> None:
    assert parse_fhir_date(text, NEW_YORK) is None


@given(st.one_of(st.text(), st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")))
def test_no_text_stops_the_reading_of_a_date(text: str) -> None:
    when = parse_fhir_date(text, NEW_YORK)

    assert when is None or when.earliest is not None


def test_add_months_clamps_to_the_end_of_the_month() -> None:
    assert date(2025, 2, 28) == add_months(date(2025, 8, 31), -6)
    assert date(2025, 2, 28) == add_months(date(2024, 2, 29), 12)
    assert date(2026, 3, 16) == add_months(date(2025, 3, 16), 12)
    assert date(2024, 12, 31) == add_months(date(2025, 1, 31), -1)
    assert date(2024, 2, 29) == last_day_of_month(date(2024, 2, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-02-03", True, id="41 days"),
        pytest.param("2026-02-02", True, id="42 days"),
        pytest.param("2026-02-01", False, id="43 days"),
        pytest.param("2026-03-17", True, id="tomorrow is clock skew"),
        pytest.param("2026-03-18", None, id="later is unknown"),
        pytest.param("2026-03", True, id="this month began inside"),
        pytest.param("2026-02", None, id="a month that straddles the limit"),
        pytest.param("2026", None, id="this year began before the limit"),
        pytest.param("2025", False, id="last year is outside"),
    ],
)
def test_a_window_counts_calendar_days_and_knows_when_it_cannot_tell(
    text: str, *, expected: bool | None
) -> None:
    assert within_days(read(text), TODAY, 42) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2025-03-17", True, id="a day less than twelve months"),
        pytest.param("2025-03-16", False, id="twelve months to the day"),
        pytest.param("2025", None, id="last year"),
        pytest.param("2024", False, id="the year before"),
        pytest.param("2027", None, id="future"),
    ],
)
def test_a_window_of_months_is_counted_by_the_calendar(text: str, *, expected: bool | None) -> None:
    assert within_months(read(text), TODAY, 12) is expected
    assert within_months(None, TODAY, 12) is None


def test_a_date_that_is_only_a_bound_can_be_outside_but_never_inside() -> None:
    bound = read("2026-03-06").as_upper_bound()

    assert bound.text == "by 2026-03-06"
    assert within_days(bound, TODAY, 42) is None
    assert within_days(read("2025-03-06").as_upper_bound(), TODAY, 42) is False
    assert not bound.is_future(TODAY)


def test_a_missing_date_is_any_day_up_to_today() -> None:
    when = unknown_date(TODAY, "started")

    assert ("date unknown", None, TODAY) == (when.text, when.earliest, when.latest)
    assert within_days(when, TODAY, 42) is None
    assert within_days(None, TODAY, 42) is None
    assert on_or_after(None, TODAY) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param("2026-03-02", "2026-03-01", True, id="later"),
        pytest.param("2026-03-01", "2026-03-02", False, id="earlier"),
        pytest.param("2026-03-01", "2026-03-01", False, id="same day"),
        pytest.param("2026-03", "2026-02-28", True, id="whole month later"),
        pytest.param("2026-03", "2026-03-01", None, id="month may be that day"),
        pytest.param("2025", "2025", None, id="same year"),
    ],
)
def test_later_is_told_only_where_all_days_agree(
    first: str, second: str, *, expected: bool | None
) -> None:
    assert after(read(first), read(second)) is expected


def test_later_than_nothing_is_unknown() -> None:
    bound = read("2026-03-06").as_upper_bound()

    assert after(None, bound) is None
    assert after(bound, None) is None
    assert after(bound, bound) is None


def test_days_since_a_date_are_a_least_and_a_most() -> None:
    assert (10, 10) == days_since(read("2026-03-06"), TODAY)
    assert (10, None) == days_since(read("2026-03-06").as_upper_bound(), TODAY)
    assert (16, 43) == days_since(read("2026-02"), TODAY)


@pytest.mark.parametrize(
    ("birth", "expected"),
    [
        pytest.param("1956-03-16", (70, 70), id="birthday today"),
        pytest.param("1956-03-17", (69, 69), id="birthday tomorrow"),
        pytest.param("1956", (69, 70), id="year only"),
        pytest.param("2026-03-16", (0, 0), id="born today"),
        pytest.param("2026", (0, 0), id="born this year"),
        pytest.param("2027", None, id="not born"),
    ],
)
def test_age_is_a_least_and_a_greatest(birth: str, expected: tuple[int, int] | None) -> None:
    assert completed_years(read(birth), TODAY) == expected


def test_someone_born_on_29_february_is_older_on_1_march_of_a_common_year() -> None:
    born = read("1956-02-29")

    assert (69, 69) == completed_years(born, date(2026, 2, 28))
    assert (70, 70) == completed_years(born, date(2026, 3, 1))


def test_an_unbounded_birth_date_gives_no_age() -> None:
    assert completed_years(unknown_date(TODAY), TODAY) is None


def test_precision_is_named() -> None:
    assert [Precision.YEAR, Precision.MONTH, Precision.DAY] == [
        read(text).precision for text in ("2025", "2025-03", "2025-03-06")
    ]
