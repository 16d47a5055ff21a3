"""Raw FHIR elements: whatever the JSON, what can be read is read and nothing raises."""

from collections.abc import Callable
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.fhir import (
    accession_numbers,
    code_of,
    codeable,
    codeables,
    codes_of,
    convert,
    date_in_words,
    days_of,
    first_date,
    identifier_tokens,
    instant_of,
    is_entered_in_error,
    note_texts,
    number_of,
    object_of,
    objects,
    reference_of,
    references_of,
    resource_ref,
    shifted,
    study_uids,
    text_of,
    year_in,
    years_of,
)
from cds_service.fhir_dates import DateInterval, Precision

UTC = ZoneInfo("UTC")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param([{"a": 1}, None, "x", {"b": 2}], [{"a": 1}, {"b": 2}], id="list"),
        pytest.param({"a": 1}, [{"a": 1}], id="one object in place of a list"),
        pytest.param("x", [], id="text"),
        pytest.param(None, [], id="null"),
    ],
)
def test_objects_are_taken_from_lists_and_from_single_elements(
    value: object, expected: list[object]
) -> None:
    assert expected == objects(value)
    assert (expected[0] if expected else {}) == object_of(value)


@pytest.mark.parametrize("value", [True, "5", None, [], {}, float("nan"), 1e999, 10**400], ids=repr)
def test_quirk_52_a_string_is_not_a_number(value: object) -> None:
    assert number_of(value) is None
    assert number_of(5) == 5.0
    assert number_of(-0.5) == -0.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Active", ("active",), id="code"),
        pytest.param("  ", (), id="blank"),
        pytest.param({"code": "final"}, ("final",), id="Coding"),
        pytest.param({"coding": [{"code": "a"}, {"code": "b"}]}, ("a", "b"), id="CodeableConcept"),
        pytest.param(
            [{"coding": {"code": "lab"}}, "vital signs"], ("lab", "vital-signs"), id="mix"
        ),
        pytest.param({"text": "Entered in Error"}, ("entered-in-error",), id="text only"),
        pytest.param({"coding": [{"code": 7}]}, (), id="code that is a number"),
        pytest.param(5, (), id="number"),
    ],
)
def test_codes_are_read_from_every_shape(value: object, expected: tuple[str, ...]) -> None:
    assert expected == codes_of(value)
    assert (expected[0] if expected else "") == code_of(value)


CODING = {"system": "s", "code": "c", "display": "d"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"coding": [CODING]}, {"coding": [CODING], "text": ""}, id="CodeableConcept"),
        pytest.param(CODING, {"coding": [CODING], "text": ""}, id="Coding"),
        pytest.param({"concept": {"coding": CODING}}, {"coding": [CODING], "text": ""}, id="R5"),
        pytest.param("back pain", {"coding": [], "text": "back pain"}, id="DSTU2 string"),
        pytest.param(
            {"coding": [{"code": 72148}]},
            {"coding": [{"system": "", "code": "72148", "display": ""}], "text": ""},
            id="code as a number",
        ),
        pytest.param({"text": "pain", "code": "x"}, {"coding": [], "text": "pain"}, id="text"),
        pytest.param({"coding": [{}]}, None, id="empty coding"),
        pytest.param({"coding": [{"code": True}]}, None, id="junk code"),
        pytest.param({"extension": []}, None, id="data absent"),
        pytest.param("", None, id="empty string"),
        pytest.param(5, None, id="number"),
    ],
)
def test_a_concept_is_read_from_every_shape(value: object, expected: object) -> None:
    assert expected == codeable(value)
    assert ([] if expected is None else [expected]) == codeables([value, None])


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("Patient/1", "Patient/1", id="relative"),
        pytest.param("https://ehr.example/r4/Patient/1", "Patient/1", id="absolute"),
        pytest.param("https://ehr.example/Patient/1/_history/4", "Patient/1", id="versioned"),
        pytest.param("Patient/a.b-C_1/", "Patient/a.b-C_1", id="long id, trailing slash"),
        pytest.param("urn:uuid:5", "urn:uuid:5", id="urn"),
        pytest.param("#med", "#med", id="contained"),
        pytest.param("pat-1", "pat-1", id="bare id"),
        pytest.param("Patient?identifier=x|1", "", id="search"),
        pytest.param("https://ehr.example/nothing", "", id="no resource"),
        pytest.param(None, "", id="none"),
    ],
)
def test_quirk_34_references_are_compared_by_type_and_id(reference: object, expected: str) -> None:
    assert expected == reference_of({"reference": reference, "display": "x"})
    assert ((expected,) if expected else ()) == references_of([{"reference": reference}])


def test_references_are_read_as_strings_and_from_r5() -> None:
    assert reference_of("Patient/1") == "Patient/1"
    r5 = {"reference": {"reference": "Patient/1"}}
    assert references_of([r5, {"reference": "Patient/1"}, 5]) == ("Patient/1",)


def test_a_resource_without_id_has_a_question_mark_for_one() -> None:
    assert resource_ref({"resourceType": "Condition", "id": "c1"}) == "Condition/c1"
    assert resource_ref({"resourceType": "Condition", "id": 5}) == "Condition/?"


def test_identifiers_are_told_apart_by_use() -> None:
    identifiers = [
        {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:acc", "value": "A1"},
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"},
        {"value": "urn:oid:1.2.4"},
        {"value": "bare"},
        {"system": "urn:empty"},
        {"type": {"coding": [{"code": "MR"}]}, "system": "urn:mrn", "value": "77"},
        "junk",
    ]

    assert identifier_tokens(identifiers) == {
        *("urn:acc|A1", "urn:dicom:uid|1.2.3", "urn:dicom:uid|1.2.4", "|bare")
    }
    assert accession_numbers(identifiers) == {"urn:acc|A1"}
    assert study_uids(identifiers) == {"1.2.3", "1.2.4"}


def test_the_first_readable_date_names_its_element() -> None:
    raw = {"effectiveDateTime": "soon", "effectivePeriod": {"end": "2025"}, "issued": "2024"}
    elements = (
        *(("effectiveDateTime", ""), ("effectivePeriod", "start"), ("effectivePeriod", "end")),
        ("issued", ""),
    )

    when = first_date(raw, elements, UTC)

    assert when is not None
    assert (when.text, when.element) == ("2025", "effectivePeriod.end")
    assert first_date({}, elements, UTC) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("2019", "2019"), ("about 2019", "2019"), ("summer 2019.", "2019")),
        *(("2019 or 2020", None), ("before 2019", None), ("2018-2019", None), ("since 2019", None)),
        *(("12019", None), ("L4/2019", None), ("long ago", None), (None, None), (2019, None)),
    ],
    ids=repr,
)
def test_one_year_is_read_from_words(text: object, expected: str | None) -> None:
    when = year_in(text, "performedString")

    assert expected == (None if when is None else when.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("2021-05", "2021-05"), ("since 2021", "2021"), ("Onset: 2021-05-14.", "2021-05-14")),
        *(("05/14/2021", "2021-05-14"), ("13/14/2021", None), ("2 weeks ago", None), (5, None)),
    ],
    ids=repr,
)
def test_a_date_is_read_from_words_that_are_one(text: object, expected: str | None) -> None:
    when = date_in_words(text, UTC, "onsetString")

    assert expected == (None if when is None else when.text)


def test_last_updated_compares_with_and_without_a_zone() -> None:
    first, second = instant_of("2026-01-01T10:00:00"), instant_of("2026-01-01T10:00:00-05:00")

    assert first is not None
    assert second is not None
    assert first < second
    assert instant_of("yesterday") is None


def test_an_interval_moves_by_days_but_not_off_the_calendar() -> None:
    when = DateInterval(date(2026, 1, 1), date(2026, 1, 31), Precision.MONTH, "authoredOn")
    bound = when.as_upper_bound()

    moved, moved_bound = shifted(when, 30), shifted(bound, 1)

    assert moved is not None
    assert moved_bound is not None
    assert (moved.earliest, moved.latest) == (date(2026, 1, 31), date(2026, 3, 2))
    assert (moved_bound.earliest, moved_bound.latest) == (None, date(2026, 2, 1))
    assert shifted(when, 10**9) is None
    assert shifted(when, 10**30) is None
    assert shifted(None, 1) is None


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ({"value": 30, "code": "d"}, 30),
        ({"value": 2, "unit": "Weeks"}, 14),
        ({"value": 1, "code": "mo"}, 30),
        ({"value": 30}, None),
        ({"value": -1, "code": "d"}, None),
        ({"value": "30", "code": "d"}, None),
        ({"value": 3, "code": "tablets"}, None),
        (None, None),
    ],
    ids=repr,
)
def test_a_duration_without_a_unit_is_not_guessed_at(
    quantity: object, expected: int | None
) -> None:
    assert expected == days_of(quantity)


def test_days_supply_is_in_days_without_saying_so() -> None:
    assert days_of({"value": 30}, unit="d") == 30


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ({"value": 44, "code": "a"}, 44),
        ({"value": 44.9, "unit": "years"}, 44),
        ({"value": 44, "code": "mo"}, None),
        ({"value": 44}, None),
        ({"value": 400, "code": "a"}, None),
        ({"code": "a"}, None),
    ],
    ids=repr,
)
def test_an_age_is_read_in_years(age: object, expected: int | None) -> None:
    assert expected == years_of(age)


@pytest.mark.parametrize(
    ("number", "unit", "to", "expected"),
    [
        (100.4, "[degF]", "Cel", 38.0),
        (38.0, "Cel", "[degF]", 100.4),
        (100.3, "degF", "Cel", 37.944444),
        (38.0, "°C", "Cel", 38.0),
        (1.2, "mg/dL", "mg/L", 12.0),
        (12.0, "mg/L", "mg/dL", 1.2),
        (220, "[lb_av]", "kg", 99.790321),
        (80000, "g", "kg", 80.0),
        (28, "mm/hr", "mm/h", 28.0),
        (29, "mL/min/{1.73_m2}", "mL/min/1.73m2", 29.0),
        (29, "mL/min/1.73 m2", "mL/min/{1.73_m2}", 29.0),
        (7, "U/L", "U/L", 7),
        (7, "", "mg/L", None),
        (7, "Cel", "mg/L", None),
        (7, "mg/L", "furlong", None),
        (7, "", "", 7),
    ],
)
def test_quirk_53_units_are_converted_and_never_guessed(
    number: float, unit: str, to: str, expected: float | None
) -> None:
    assert expected == convert(number, unit, to)


@pytest.mark.parametrize(
    "element",
    [
        {"status": "entered-in-error"},
        {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}},
        {"clinicalStatus": {"text": "Entered in error"}},
        {"docStatus": "entered-in-error"},
    ],
    ids=lambda element: next(iter(element)),
)
def test_quirk_24_entered_in_error_is_found_in_whatever_field(element: dict[str, object]) -> None:
    assert is_entered_in_error({"resourceType": "X", "code": {"text": "y"}, **element})
    assert not is_entered_in_error({"resourceType": "X", "status": "active"})


def test_notes_are_annotations_or_bare_strings() -> None:
    assert note_texts([{"text": "a"}, {"text": ""}, {"text": "a"}, "x"]) == ("a",)
    assert note_texts("comment") == ("comment",)
    assert note_texts(5) == ()
    assert text_of(5) == ""


READERS: tuple[Callable[[object], object], ...] = (
    *(objects, object_of, text_of, number_of, codes_of, codeables, references_of, note_texts),
    *(identifier_tokens, accession_numbers, study_uids, days_of, years_of, reference_of),
)


@given(JSON)
def test_no_json_stops_the_reading_of_an_element(value: object) -> None:
    read = [reader(value) for reader in READERS]

    assert len(READERS) == len(read)
    assert instant_of(value) is None
