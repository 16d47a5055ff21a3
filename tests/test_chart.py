"""The chart: what is read of each resource type, what is not, and that nothing stops it."""

import json
from datetime import date
from pathlib import Path

import pytest
from charts import (
    ICD_10_CM,
    LOINC,
    PATIENT,
    SNOMED,
    SUBJECT,
    TODAY,
    Json,
    bundle,
    chart_from,
    chart_of,
    code,
    history_in,
    resource,
    source,
)
from hypothesis import given
from hypothesis import strategies as st

from cds_service.chart.reading import SourceState
from cds_service.findings import Strength
from cds_service.records import (
    Allergy,
    Chart,
    Condition,
    Currency,
    Device,
    Medication,
    Observation,
    ProcedureState,
    Reading,
    Verification,
)

PAIN = code(ICD_10_CM, "M54.50")


def read_condition(**elements: object) -> Condition:
    """Return a Condition as it is read."""
    (found,) = chart_of(resource("Condition", "c1", **{"code": PAIN, **elements})).conditions
    return found


def read_observation(**elements: object) -> Observation:
    """Return an Observation as it is read."""
    raw = resource("Observation", "o1", **{"status": "final", "code": {"text": "x"}, **elements})
    # Components follow as observations of their own.
    found, *_ = chart_of(raw).observations
    return found


def read_medication(kind: str = "MedicationRequest", /, **elements: object) -> Medication:
    """Return a medication as it is read."""
    defaults: Json = {"status": "active", "medicationCodeableConcept": {"text": "prednisone"}}
    (found,) = chart_of(resource(kind, "m1", **{**defaults, **elements})).medications
    return found


# Sources


@pytest.mark.parametrize(
    "junk", ["<html>Sign in</html>", 5, True, [], [{"resourceType": "Condition"}], {}, {"a": 1}]
)
def test_junk_in_place_of_a_resource_is_unreadable(junk: object) -> None:
    assert {"Condition": "unreadable"} == chart_from(source(junk)).unreadable


@pytest.mark.parametrize("entries", ["x", 5, True], ids=repr)
def test_entries_that_are_no_list_are_unreadable(entries: object) -> None:
    sent = {"resourceType": "Bundle", "entry": entries}

    assert {"Condition": "unreadable"} == chart_from(source(sent)).unreadable


def test_one_resource_in_place_of_a_bundle_is_read() -> None:
    assert 1 == len(chart_from(source(resource("Condition", "c1", code=PAIN))).conditions)


def test_a_single_entry_that_is_not_in_a_list_is_read() -> None:
    sent = {"resourceType": "Bundle", "entry": {"resource": resource("Condition", "c1", code=PAIN)}}

    assert 1 == len(chart_from(source(sent)).conditions)


@pytest.mark.parametrize(
    ("wrapped", "unreadable", "conditions"),
    [
        pytest.param(
            {"response": {"status": "200 OK"}, "resource": resource("Condition", "c1", code=PAIN)},
            {},
            1,
            id="200",
        ),
        pytest.param({"response": {"status": "200 OK"}}, {}, 0, id="nothing in it"),
        pytest.param(
            {"response": {"status": "404 Not Found"}, "resource": None},
            {"Condition": "404"},
            0,
            id="404",
        ),
        pytest.param({"response": {"status": "503"}}, {"Condition": "503"}, 0, id="503"),
        pytest.param({"resource": {"id": "x"}}, {"Condition": "unreadable"}, 0, id="no type"),
    ],
)
def test_the_wrapper_of_early_clients_is_taken_off(
    wrapped: object, unreadable: dict[str, str], conditions: int
) -> None:
    chart = chart_from(source(wrapped))

    assert (unreadable, conditions) == (chart.unreadable, len(chart.conditions))


def test_a_batch_response_is_read_through() -> None:
    inner = bundle(resource("Condition", "c1", code=PAIN))
    partial = {**bundle(), "link": [{"relation": "next", "url": "x"}]}

    whole = chart_from(source(bundle(inner)))
    parts = chart_from(source(bundle(inner, partial)))

    assert ({}, 1) == (whole.unreadable, len(whole.conditions))
    assert ({"Condition": "incomplete"}, 1) == (parts.unreadable, len(parts.conditions))


def test_a_failed_entry_of_a_batch_is_unreadable_and_the_rest_kept() -> None:
    sent = bundle(resource("Condition", "c1", code=PAIN))
    entries = sent["entry"]
    assert isinstance(entries, list)
    entries.append({"response": {"status": "403 Forbidden"}})

    chart = chart_from(source(sent))

    assert ({"Condition": "403"}, 1) == (chart.unreadable, len(chart.conditions))


def test_bundles_in_bundles_are_read_to_a_depth() -> None:
    sent: Json = bundle(resource("Condition", "c1", code=PAIN))
    for _ in range(5):
        sent = bundle(sent)

    chart = chart_from(source(sent))

    assert ({"Condition": "unreadable"}, ()) == (chart.unreadable, chart.conditions)


@pytest.mark.parametrize(
    ("state", "reason", "content", "expected"),
    [
        (SourceState.NOT_SENT, "", None, "not sent"),
        (SourceState.UNREADABLE, "timeout", None, "timeout"),
        (SourceState.UNREADABLE, "", None, "unreadable"),
        (SourceState.UNREADABLE, "incomplete", bundle(), "incomplete"),
    ],
)
def test_a_source_that_was_not_read_says_why(
    state: SourceState, reason: str, content: object, expected: str
) -> None:
    chart = chart_from(source(content, state=state, reason=reason))

    assert {"Condition": expected} == chart.unreadable


def test_the_pages_of_an_incomplete_source_are_read() -> None:
    sent = bundle(resource("Condition", "c1", code=PAIN))

    chart = chart_from(source(sent, state=SourceState.UNREADABLE, reason="incomplete"))

    assert ({"Condition": "incomplete"}, 1) == (chart.unreadable, len(chart.conditions))


def test_the_first_reason_of_a_resource_type_stands() -> None:
    chart = chart_from(source("junk"), source(None, state=SourceState.NOT_SENT))

    assert {"Condition": "unreadable"} == chart.unreadable


# Patient


def test_the_patient_is_read() -> None:
    raw = {
        "resourceType": "Patient",
        "id": PATIENT,
        "gender": "Female",
        "birthDate": "1956-03-16",
        "deceasedDateTime": "2026-01-01",
        "managingOrganization": {"reference": "Organization/here"},
    }

    patient = chart_from(source(raw, "Patient")).patient

    assert patient is not None
    assert patient.birth is not None
    assert ("Patient/pat-1", "female", "1956-03-16", True, "Organization/here") == (
        *(patient.ref, patient.sex, patient.birth.text),
        *(patient.is_deceased, patient.organization),
    )


def test_a_patient_without_id_is_accepted_from_its_own_source_only() -> None:
    raw = {"resourceType": "Patient", "gender": "male"}

    own = chart_from(source(raw, "Patient"))
    included = chart_from(source(bundle(raw)))

    assert own.patient is not None
    assert "Patient/?" == own.patient.ref
    assert included.patient is None


def test_the_address_of_an_entry_names_a_resource_without_id() -> None:
    entries = [
        {
            "fullUrl": "https://x.example/Condition/c7",
            "resource": {"resourceType": "Condition", "code": PAIN},
        },
        {
            "fullUrl": "https://x.example/Patient/p",
            "resource": {"resourceType": "Condition", "code": PAIN},
        },
    ]

    chart = chart_from(source({"resourceType": "Bundle", "entry": entries}))

    assert ["Condition/c7", "Condition/?"] == [c.ref for c in chart.conditions]


# Condition


@pytest.mark.parametrize(
    ("status", "abatement", "currency", "strength"),
    [
        pytest.param("active", {}, Currency.CURRENT, Strength.STRONG, id="active"),
        pytest.param("recurrence", {}, Currency.CURRENT, Strength.STRONG, id="recurrence"),
        pytest.param("relapse", {}, Currency.CURRENT, Strength.STRONG, id="relapse"),
        *(
            pytest.param(past, {}, Currency.PAST, Strength.STRONG, id=past)
            for past in ("inactive", "remission", "resolved")
        ),
        *(
            pytest.param("active", ended, Currency.CONTRADICTORY, Strength.POSSIBLE, id=str(ended))
            for ended in (
                {"abatementDateTime": "2026-03-16"},
                {"abatementDateTime": "2026"},
                {"abatementPeriod": {"end": "2025-01-01"}},
                {"abatementString": "last summer"},
                {"abatementAge": {"value": 40, "code": "a"}},
                {"abatementBoolean": True},
            )
        ),
        pytest.param(
            "active",
            {"abatementDateTime": "2026-03-17"},
            Currency.CURRENT,
            Strength.STRONG,
            id="abates tomorrow",
        ),
        pytest.param(
            "active",
            {"abatementBoolean": False},
            Currency.CURRENT,
            Strength.STRONG,
            id="not abated",
        ),
        pytest.param("Chronic", {}, Currency.CURRENT, Strength.POSSIBLE, id="local status"),
    ],
)
def test_the_currency_of_a_condition(
    status: str, abatement: Json, currency: Currency, strength: Strength
) -> None:
    found = read_condition(clinicalStatus=code("urn:clinical", status), **abatement)

    assert (currency, strength) == (found.currency, found.currency_strength)


ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"


@pytest.mark.parametrize(
    ("elements", "text", "element"),
    [
        pytest.param(
            {
                "extension": [{"url": "x"}, {"url": ASSERTED, "valueDateTime": "2026-01-01"}],
                "recordedDate": "2026-02-01",
            },
            "2026-01-01",
            "assertedDate",
            id="extension first",
        ),
        pytest.param(
            {"extension": [{"url": ASSERTED}], "recordedDate": "2026-02-01"},
            "2026-02-01",
            "recordedDate",
            id="recorded",
        ),
        pytest.param(
            {"encounter": {"reference": "Encounter/e1"}},
            "2026-01-05",
            "period.start",
            id="encounter",
        ),
        pytest.param(
            {"context": {"reference": "Encounter/e1"}}, "2026-01-05", "period.start", id="STU3"
        ),
    ],
)
def test_when_a_condition_was_recorded(elements: Json, text: str, element: str) -> None:
    visit = resource("Encounter", "e1", status="finished", period={"start": "2026-01-05"})

    (found,) = chart_of(resource("Condition", "c1", code=PAIN, **elements), visit).conditions

    assert found.recorded is not None
    assert found.began is found.recorded
    assert (text, element) == (found.recorded.text, found.recorded.element)


def test_an_unknown_encounter_gives_no_date() -> None:
    assert read_condition(encounter={"reference": "Encounter/gone"}).recorded is None


@pytest.mark.parametrize(
    ("onset", "text"),
    [
        ({"onsetDateTime": "2025", "onsetPeriod": {"start": "2024"}}, "2025"),
        ({"onsetPeriod": {"start": "2026-02-01", "end": "2026-03-01"}}, "2026-02-01"),
        ({"onsetString": "since 2021-05"}, "2021-05"),
    ],
    ids=str,
)
def test_when_a_condition_began(onset: Json, text: str) -> None:
    found = read_condition(recordedDate="2026-03-01", **onset)

    assert found.began is found.onset
    assert found.onset is not None
    assert text == found.onset.text


def aged(age: object, birth: str | None) -> Condition:
    """Return a Condition with an onset at an age."""
    patient = {"resourceType": "Patient", "id": PATIENT, "birthDate": birth}
    raw = resource("Condition", "c1", code=PAIN, onsetAge=age)
    (found,) = chart_from(source(patient, "Patient"), source(bundle(raw))).conditions
    return found


def test_an_onset_age_never_reaches_past_today() -> None:
    onset = aged({"value": 46, "code": "a"}, "1980-01-01").onset

    assert onset is not None
    assert TODAY == onset.latest


@pytest.mark.parametrize(
    ("age", "birth"),
    [
        pytest.param({"value": 60, "code": "a"}, "1980-01-01", id="older than the patient"),
        pytest.param({"value": 40, "code": "a"}, None, id="no birth date"),
        pytest.param({"value": 40, "code": "a"}, "9000", id="not born"),
    ],
)
def test_an_onset_age_that_cannot_be_dated_is_unknown(age: Json, birth: str | None) -> None:
    assert aged(age, birth).onset is None


def test_an_age_beyond_the_calendar_is_unknown() -> None:
    patient = {"resourceType": "Patient", "id": PATIENT, "birthDate": "0001-01-01"}
    old = resource("Condition", "c1", code=PAIN, onsetAge={"value": 150, "code": "a"})

    (found,) = chart_from(source(patient, "Patient"), source(bundle(old))).conditions

    assert found.onset is not None
    assert date(152, 1, 1) == found.onset.latest


def test_notes_and_body_sites_of_a_condition() -> None:
    found = read_condition(
        note=[{"text": "radiates to the left leg"}],
        bodySite=[code(SNOMED, "122496007")],
        category=[code("urn:c", "encounter-diagnosis")],
    )

    assert ("radiates to the left leg",) == found.notes
    assert ["lumbar-body-site" in site.sets for site in found.body_sites] == [True]
    assert found.is_encounter_diagnosis


# Observation

NEGATIVE = code(SNOMED, "260385009")


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"interpretation": [code("urn:i", "N")]}, Reading.NORMAL),
        ({"interpretation": [code("urn:i", "NEG")]}, Reading.NORMAL),
        *(
            ({"interpretation": [code("urn:i", one)]}, Reading.ABNORMAL)
            for one in ("A", "AA", "H", "HH", "L", "LL", "POS")
        ),
        ({"interpretation": code("urn:i", "H"), "valueInteger": 5}, Reading.ABNORMAL),
        ({"interpretation": [code("urn:i", "N"), code("urn:i", "A")]}, Reading.UNCLEAR),
        ({"valueCodeableConcept": NEGATIVE}, Reading.NORMAL),
        ({"valueCodeableConcept": code(SNOMED, "10828004")}, Reading.ABNORMAL),
        ({"valueCodeableConcept": code(SNOMED, "17621005")}, Reading.NORMAL),
        ({"valueCodeableConcept": code(SNOMED, "263654008")}, Reading.ABNORMAL),
        ({"valueCodeableConcept": code(SNOMED, "2667000")}, Reading.NORMAL),
        ({"valueCodeableConcept": code(SNOMED, "52101004")}, Reading.ABNORMAL),
        ({"valueCodeableConcept": code("urn:local", "10828004")}, Reading.UNCLEAR),
        ({"valueCodeableConcept": {"text": "Negative"}}, Reading.NORMAL),
        ({"valueCodeableConcept": code("urn:local", "7", "Positive")}, Reading.ABNORMAL),
        ({"valueBoolean": True}, Reading.ABNORMAL),
        ({"valueBoolean": False}, Reading.NORMAL),
        ({"valueQuantity": {"value": 5, "unit": "/5"}}, Reading.NORMAL),
        ({"valueQuantity": {"value": 3, "unit": "/ 5"}}, Reading.ABNORMAL),
        ({"valueQuantity": {"value": 12, "unit": "mg/L"}}, Reading.UNCLEAR),
        (
            {
                "valueRatio": {"numerator": {"value": 4}, "denominator": {"value": 5}},
            },
            Reading.ABNORMAL,
        ),
        ({"valueRatio": {"numerator": {"value": 4}}}, Reading.UNCLEAR),
        ({}, Reading.UNCLEAR),
    ],
    ids=str,
)
def test_what_a_result_says(elements: Json, expected: Reading) -> None:
    assert expected is read_observation(**elements).reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, Reading.NORMAL) for text in ("negative", "Normal.", "absent", "No", "intact")),
        *((text, Reading.NORMAL) for text in ("5/5", "5/5 bilaterally", "5 of 5", "WNL")),
        *((text, Reading.NORMAL) for text in ("no weakness", "Denies", "Sensation intact")),
        *((text, Reading.NORMAL) for text in ("negative bilaterally", "normal; intact")),
        *((text, Reading.ABNORMAL) for text in ("positive", "Present", "yes", "decreased")),
        *((text, Reading.ABNORMAL) for text in ("4/5", "0/5", "4+/5 left, 5/5 right", "3 / 5")),
        *((text, Reading.ABNORMAL) for text in ("positive left, negative right", "SLR positive")),
        *((text, Reading.UNCLEAR) for text in ("not normal", "no change", "5-/5", "see note")),
        *(
            (text, Reading.UNCLEAR)
            for text in ("normal, but foot drop", "5/5/2026", "", "negative?")
        ),
        *((text, Reading.UNCLEAR) for text in ("previously normal", "normal " * 40)),
    ],
)
def test_words_of_a_result_are_read(text: str, expected: Reading) -> None:
    assert expected is read_observation(valueString=text).reading


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        ("Saddle anaesthesia", "absent", Reading.NORMAL),
        ("Saddle anaesthesia", "present", Reading.ABNORMAL),
        ("Perianal sensation", "absent", Reading.ABNORMAL),
        ("Perianal sensation", "present", Reading.UNCLEAR),
        ("Loss of sensation", "no", Reading.NORMAL),
        ("Ankle reflex", "absent", Reading.UNCLEAR),
        ("Ankle reflex", "normal", Reading.NORMAL),
        ("Babinski reflex", "present", Reading.ABNORMAL),
        ("Anal tone", "none", Reading.ABNORMAL),
    ],
)
def test_present_and_absent_are_judged_by_what_was_asked(
    asked: str, answer: str, expected: Reading
) -> None:
    words = read_observation(code={"text": asked}, valueString=answer)

    assert expected is words.reading


def test_absence_of_a_function_by_code_and_boolean() -> None:
    tone = {"text": "Anal tone"}

    assert Reading.ABNORMAL is read_observation(code=tone, valueBoolean=False).reading
    assert (
        Reading.ABNORMAL
        is read_observation(code=tone, valueCodeableConcept=code(SNOMED, "2667000")).reading
    )


@pytest.mark.parametrize(
    ("text", "comparator", "number"),
    [(">60", ">", 60.0), ("<= 5.5", "<=", 5.5), ("60", "", None), ("> 3 weeks", "", None)],
)
def test_a_bound_in_words_is_a_number_without_unit(
    text: str, comparator: str, number: float | None
) -> None:
    value = read_observation(valueString=text).value

    assert (comparator, number, "", text) == (
        *(value.comparator, value.number),
        *(value.unit, value.text),
    )


@pytest.mark.parametrize(
    ("quantity", "number", "text"),
    [
        ({"value": 30, "comparator": "<", "unit": "mL/min"}, 30.0, ""),
        ({"value": "30", "unit": "mL/min"}, None, "30"),
        ({"value": "30", "comparator": "<", "unit": "mL/min"}, None, "<30"),
        ({"value": 30, "comparator": "ad", "unit": "mL/min"}, None, ""),
    ],
    ids=str,
)
def test_a_quantity_is_a_number_only_if_it_is_one(
    quantity: Json, number: float | None, text: str
) -> None:
    value = read_observation(valueQuantity=quantity).value

    assert (number, text, "mL/min") == (value.number, value.text, value.unit)


def test_an_integer_is_a_number() -> None:
    found = read_observation(valueInteger=9)

    assert (9.0, True) == (found.value.number, found.has_value)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([{"low": {"value": 0}, "high": {"value": 5, "unit": "mg/L"}}], (0.0, 5.0)),
        ([{"high": {"value": 0.5, "unit": "mg/dL"}}], (None, None)),
        ([{"type": code("urn:t", "therapeutic"), "high": {"value": 9}}], (None, None)),
        ([{"type": code("urn:t", "normal"), "high": {"value": 9}}], (None, 9.0)),
        ([{"text": "0.0 - 5.0"}], (0.0, 5.0)),
        ([{"text": "<5"}], (None, 5.0)),
        ([{"text": "see report"}], (None, None)),
        (None, (None, None)),
    ],
    ids=str,
)
def test_the_reference_range_is_read_in_the_unit_of_the_value(
    ranges: object, expected: tuple[float | None, float | None]
) -> None:
    found = read_observation(valueQuantity={"value": 9, "unit": "mg/L"}, referenceRange=ranges)

    assert expected == (found.reference_low, found.reference_high)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"effectiveDateTime": "2026-03-01", "issued": "2026-03-05T00:00:00Z"}, "2026-03-01"),
        ({"effectiveInstant": "2026-03-01T12:00:00Z"}, "2026-03-01"),
        ({"effectivePeriod": {"start": "2026-02-01", "end": "2026-03-01"}}, "2026-03-01"),
        ({"effectivePeriod": {"start": "2026-02-01"}}, "2026-02-01"),
    ],
    ids=str,
)
def test_when_something_was_observed(elements: Json, expected: str) -> None:
    effective = read_observation(**elements).effective

    assert effective is not None
    assert expected == effective.text


def test_categories_and_components_of_an_observation() -> None:
    found = read_observation(
        category=[code("urn:c", "vital-signs"), {"text": "Exam"}],
        component=[
            {"code": {"text": "left"}, "dataAbsentReason": code("u", "x"), "valueInteger": 1}
        ],
        bodySite=code(SNOMED, "122496007"),
        comment="seen",
    )

    assert frozenset({"vital-signs", "exam"}) == found.categories
    assert [(None, False)] == [(p.value.number, found.has_value) for p in found.parts]
    assert (1, ("seen",)) == (len(found.body_sites), found.notes)


# Procedure and order


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"status": "completed"}, ProcedureState.DONE),
        ({"status": "in-progress"}, ProcedureState.ONGOING),
        ({"status": "preparation"}, ProcedureState.PLANNED),
        ({"status": "not-done"}, ProcedureState.NOT_DONE),
        ({"status": "stopped"}, ProcedureState.STOPPED),
        ({"status": "aborted"}, ProcedureState.STOPPED),
        ({"status": "completed", "notDone": True}, ProcedureState.NOT_DONE),
        ({}, ProcedureState.DONE),
    ],
    ids=str,
)
def test_the_state_of_a_procedure(elements: Json, expected: ProcedureState) -> None:
    (found,) = chart_of(resource("Procedure", "p1", code={"text": "PT"}, **elements)).procedures

    assert expected is found.state
    assert ("status" in elements) is (found.strength is Strength.STRONG)


def test_a_procedure_of_unknown_status_is_not_read() -> None:
    assert () == chart_of(resource("Procedure", "p1", status="unknown", code=PAIN)).procedures


@pytest.mark.parametrize(
    ("performed", "expected"),
    [
        ({"performedDateTime": "2019-05-01"}, "2019-05-01"),
        ({"performedPeriod": {"start": "2019-05", "end": "2019-06"}}, "2019-05"),
        ({"performedPeriod": {"end": "2019-06"}}, "2019-06"),
        ({"performedString": "2019-05"}, "2019-05"),
        ({"performedString": "about 2019"}, "2019"),
        ({"occurrenceDateTime": "2019"}, "2019"),
        ({"occurrenceString": "in 2019"}, "2019"),
        ({"performedString": "long ago"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_when_a_procedure_was_performed(performed: Json, expected: str | None) -> None:
    raw = resource("Procedure", "p1", status="completed", code={"text": "fusion"}, **performed)

    (found,) = chart_of(raw).procedures

    assert expected == (None if found.performed is None else found.performed.text)


def test_reasons_of_a_procedure_are_read_in_r4_and_r5() -> None:
    r4 = resource(
        *("Procedure", "p1"),
        status="completed",
        code={"text": "PT"},
        reasonCode=[PAIN],
        reasonReference=[{"reference": "Condition/c1"}],
    )
    r5 = resource(
        *("Procedure", "p2"),
        status="completed",
        code={"text": "PT"},
        reason=[{"concept": PAIN}, {"reference": {"reference": "Condition/c1"}}],
    )

    for found in chart_of(r4, r5).procedures:
        assert ["low-back-pain" in reason.sets for reason in found.reasons] == [True]
        assert ("Condition/c1",) == found.reason_refs


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *(("active", "active"), ("on-hold", "on-hold"), ("completed", "completed")),
        *(("suspended", "on-hold"), ("accepted", "active")),
    ],
)
def test_orders_that_stand_are_read(status: str, expected: str) -> None:
    raw = resource("ServiceRequest", "s1", status=status, intent="order", code=PAIN)

    (found,) = chart_of(raw).service_requests

    assert (expected, True) == (found.status, found.is_firm)


@pytest.mark.parametrize(
    "elements",
    [{"doNotPerform": True}, {"status": None}, {"status": "ended"}, {"code": None}],
    ids=str,
)
def test_orders_not_to_be_read(elements: Json) -> None:
    raw = resource(
        "ServiceRequest", "s1", **{"status": "active", "intent": "order", "code": PAIN, **elements}
    )

    assert () == chart_of(raw).service_requests


def test_an_order_is_read_whole() -> None:
    raw = resource(
        *("ServiceRequest", "s1"),
        status="active",
        intent="plan",
        code={"concept": PAIN},
        orderDetail=[{"text": "with contrast"}],
        occurrenceTiming={"event": ["2026-05-01"]},
        authoredOn="2026-03-01",
        basedOn=[{"reference": "ServiceRequest/s0", "identifier": {"system": "u", "value": "1"}}],
        replaces=[{"reference": "ServiceRequest/old"}],
        requisition={"system": "u", "value": "R1"},
        category=[{"text": "Imaging"}],
        note=[{"text": "hurry"}],
    )

    (found,) = chart_of(raw).service_requests

    assert found.occurrence is not None
    assert found.authored is not None
    assert not found.is_firm
    assert ("2026-05-01", "2026-03-01") == (found.occurrence.text, found.authored.text)
    assert (frozenset({"ServiceRequest/s0", "u|1"}), frozenset({"ServiceRequest/old"}), "u|R1") == (
        *(found.based_on, found.replaces),
        found.requisition,
    )
    assert ("with contrast", "Imaging", "hurry") == (
        *(found.details[0].label, found.categories[0].label),
        *found.notes,
    )


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ({"repeat": {"boundsPeriod": {"start": "2026-05-01"}}}, "2026-05-01"),
        ({"event": []}, None),
        ({"event": "2026-05-01"}, "2026-05-01"),
    ],
    ids=str,
)
def test_when_a_repeated_order_begins(timing: Json, expected: str | None) -> None:
    raw = resource("ServiceRequest", "s1", status="active", code=PAIN, occurrenceTiming=timing)

    (found,) = chart_of(raw).service_requests

    assert expected == (None if found.occurrence is None else found.occurrence.text)


# Medications


@pytest.mark.parametrize(
    ("kind", "status", "strength"),
    [
        *(("MedicationRequest", s, Strength.STRONG) for s in ("active", "completed", "stopped")),
        ("MedicationRequest", "on-hold", Strength.STRONG),
        ("MedicationRequest", None, Strength.POSSIBLE),
        ("MedicationStatement", "intended", Strength.POSSIBLE),
        ("MedicationStatement", "recorded", Strength.STRONG),
        ("MedicationDispense", "completed", Strength.STRONG),
        ("MedicationAdministration", "in-progress", Strength.STRONG),
        ("MedicationOrder", "active", Strength.STRONG),
    ],
)
def test_medications_that_count(kind: str, status: str | None, strength: Strength) -> None:
    found = read_medication(kind, status=status)

    assert (kind, strength, False) == (found.kind, found.strength, found.not_taken)


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        *(("MedicationRequest", {"status": s}) for s in ("draft", "cancelled", "unknown")),
        *(("MedicationRequest", {"intent": i}) for i in ("proposal", "plan", "option")),
        ("MedicationRequest", {"doNotPerform": True}),
        ("MedicationStatement", {"status": "unknown"}),
        ("MedicationDispense", {"status": "preparation"}),
    ],
)
def test_medications_that_do_not_count(kind: str, elements: Json) -> None:
    raw = resource(
        kind,
        "m1",
        **{"status": "active", "medicationCodeableConcept": {"text": "prednisone"}, **elements},
    )

    assert () == chart_of(raw).medications


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("MedicationStatement", {"status": "not-taken"}),
        ("MedicationStatement", {"status": "active", "taken": "n"}),
        ("MedicationStatement", {"status": "active", "wasNotTaken": True}),
        ("MedicationAdministration", {"status": "not-done"}),
        ("MedicationDispense", {"status": "declined"}),
    ],
)
def test_a_medication_not_taken_is_a_statement(kind: str, elements: Json) -> None:
    assert read_medication(kind, **elements).not_taken


@pytest.mark.parametrize(
    ("kind", "elements", "text"),
    [
        ("MedicationRequest", {"authoredOn": "2026-01-01"}, "2026-01-01"),
        ("MedicationOrder", {"dateWritten": "2026-01-01"}, "2026-01-01"),
        ("MedicationStatement", {"effectivePeriod": {"start": "2026-01-01"}}, "2026-01-01"),
        ("MedicationStatement", {"dateAsserted": "2026-01-01"}, "by 2026-01-01"),
        ("MedicationAdministration", {"effectiveDateTime": "2026-01-01"}, "2026-01-01"),
        ("MedicationDispense", {"whenHandedOver": "2026-01-01"}, "2026-01-01"),
        ("MedicationRequest", {}, None),
    ],
)
def test_when_a_medication_began(kind: str, elements: Json, text: str | None) -> None:
    start = read_medication(kind, status="completed", **elements).start

    assert text == (None if start is None else start.text)


def days(value: float) -> Json:
    """Return a Duration."""
    return {"value": value, "code": "d"}


@pytest.mark.parametrize(
    ("elements", "supply", "end"),
    [
        pytest.param(
            {
                "dispenseRequest": {
                    "validityPeriod": {"end": "2026-12-31"},
                    "expectedSupplyDuration": days(30),
                }
            },
            30,
            "2026-12-31",
            id="validity first",
        ),
        pytest.param(
            {"dispenseRequest": {"expectedSupplyDuration": days(30)}}, 30, "2026-01-31", id="supply"
        ),
        pytest.param(
            {
                "dispenseRequest": {
                    "expectedSupplyDuration": days(30),
                    "numberOfRepeatsAllowed": 2,
                }
            },
            90,
            "2026-04-01",
            id="with repeats",
        ),
        pytest.param(
            {
                "dispenseRequest": {
                    "expectedSupplyDuration": days(30),
                    "numberOfRepeatsAllowed": "2",
                }
            },
            30,
            "2026-01-31",
            id="repeats as text",
        ),
        pytest.param(
            {"dispenseRequest": {"expectedSupplyDuration": {"value": 30}}}, None, None, id="no unit"
        ),
        pytest.param(
            {"dispenseRequest": {"expectedSupplyDuration": days(1e12)}}, 10**12, None, id="absurd"
        ),
        pytest.param(
            {
                "dosageInstruction": [
                    {"timing": {"repeat": {"boundsPeriod": {"end": "2026-02-01"}}}}
                ]
            },
            None,
            "2026-02-01",
            id="bounds",
        ),
        pytest.param(
            {"dosageInstruction": [{}, {"timing": {"repeat": {"boundsDuration": days(10)}}}]},
            None,
            "2026-01-11",
            id="bounds as a duration",
        ),
        pytest.param({}, None, None, id="not stated"),
    ],
)
def test_until_when_a_prescription_reaches(
    elements: Json, supply: int | None, end: str | None
) -> None:
    found = read_medication(authoredOn="2026-01-01", **elements)

    assert (supply, end) == (found.supply_days, None if found.end is None else found.end.text)


def test_a_dispense_lasts_for_its_days_supply() -> None:
    found = read_medication(
        "MedicationDispense",
        status="completed",
        whenHandedOver="2026-01-01",
        daysSupply={"value": 30},
    )

    assert found.end is not None
    assert (30, "2026-01-31") == (found.supply_days, found.end.text)


def test_route_and_form_and_dosage_are_words() -> None:
    medication = {
        "resourceType": "Medication",
        "id": "m",
        "code": {"text": "fluticasone"},
        "form": {"text": "Inhalation powder"},
    }

    found = read_medication(
        medicationCodeableConcept=None,
        contained=[medication],
        medicationReference={"reference": "#m"},
        dosageInstruction=[{"text": "two puffs", "route": code(SNOMED, "1", "Oral inhalation")}],
        reasonCode=[PAIN],
    )

    assert ("oral inhalation inhalation powder", "two puffs") == (found.route, found.dosage_text)
    assert 1 == len(found.reasons)


RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@pytest.mark.parametrize(
    ("medication", "label"),
    [
        pytest.param({"code": code(RXNORM, "8640", "prednisone")}, "prednisone", id="code"),
        pytest.param(
            {
                "code": {"text": "LOCAL-7"},
                "ingredient": [
                    {"itemCodeableConcept": {"text": "water"}},
                    {"itemCodeableConcept": code(RXNORM, "312615", "prednisone 20 MG Oral Tablet")},
                ],
            },
            None,
            id="known ingredient",
        ),
        pytest.param({"code": {"text": "LOCAL-7"}}, "LOCAL-7", id="local name"),
    ],
)
def test_the_medication_is_named_by_code_or_ingredient(medication: Json, label: str | None) -> None:
    contained = [{"resourceType": "Medication", "id": "m", **medication}]

    found = read_medication(
        medicationCodeableConcept=None,
        contained=contained,
        medicationReference={"reference": "#m"},
    )

    assert found.concept.is_recognised if label is None else label == found.concept.label


# Allergy, device, encounter, appointment


@pytest.mark.parametrize(
    "elements",
    [
        {"clinicalStatus": code("urn:c", "inactive")},
        {"clinicalStatus": code("urn:c", "resolved")},
        {"status": "inactive"},
        {"code": None},
    ],
    ids=str,
)
def test_allergies_not_to_be_read(elements: Json) -> None:
    raw = resource("AllergyIntolerance", "a1", **{"code": {"text": "gadolinium"}, **elements})

    assert () == chart_of(raw).allergies


def test_an_allergy_is_read_whole() -> None:
    raw = resource(
        *("AllergyIntolerance", "a1"),
        subject=None,
        patient=SUBJECT,
        clinicalStatus=code("urn:c", "active"),
        criticality="CRITH",
        recordedDate="2020-01-01",
        reaction=[
            {
                "substance": {"text": "gadobutrol"},
                "manifestation": [{"text": "hives"}],
                "severity": "severe",
                "description": "within minutes",
            }
        ],
    )

    (found,) = chart_of(raw).allergies

    assert isinstance(found, Allergy)
    assert found.recorded is not None
    assert (
        "gadobutrol",
        "high",
        frozenset({"severe"}),
        "hives",
        ("within minutes",),
        "2020-01-01",
    ) == (
        *(found.concept.label, found.criticality, found.severities),
        *(found.manifestations[0].label, found.notes, found.recorded.text),
    )


def read_device(*raws: Json) -> Device:
    """Return the only device."""
    (found,) = chart_of(*raws).devices
    return found


def test_a_device_is_read_with_its_statements() -> None:
    raw = resource(
        *("Device", "d1"),
        subject=None,
        patient=SUBJECT,
        type={"text": "Pacemaker"},
        deviceName=[{"name": "Azure XT", "type": "user-friendly-name"}],
        modelNumber="W1DR01",
        safety=[{"text": "MR Conditional"}],
        property=[
            {"type": {"text": "MR field"}, "valueCode": [{"text": "1.5 T"}]},
            {"type": {"text": "Mode"}, "valueString": "DDD"},
            {"type": {"text": "Empty"}},
        ],
        note=[{"text": "implanted left"}],
    )

    found = read_device(raw)

    assert "Pacemaker" == found.concept.label
    assert (
        *("Azure XT", "W1DR01", "MR Conditional", "MR field: 1.5 T", "Mode: DDD"),
        "implanted left",
    ) == found.notes


def test_devices_not_to_be_read() -> None:
    nameless = resource("Device", "d2", status="active")
    meant = resource("DeviceUseStatement", "u1", status="intended", device={"display": "Pacemaker"})
    empty = resource("DeviceUseStatement", "u2", status="active")

    assert () == chart_of(nameless, meant, empty).devices


def test_a_device_no_longer_in_use_is_read_as_such() -> None:
    inactive = resource("Device", "d1", status="inactive", type={"text": "Pacemaker"})
    past = resource(
        *("DeviceUseStatement", "u1"),
        status="completed",
        device={"display": "Pacemaker"},
        timingPeriod={"start": "2015-01-01", "end": "2020-05-01"},
    )

    device, use = chart_of(inactive, past).devices

    assert (False, False) == (device.is_in_use, use.is_in_use)
    assert use.recorded is not None
    assert "2020-05-01" == use.recorded.text


def test_a_use_that_ended_is_read_beside_its_device() -> None:
    device = resource("Device", "d1", type={"text": "Pacemaker"})
    use = resource("DeviceUseStatement", "u1", status="stopped", device={"reference": "Device/d1"})

    found = chart_of(device, use).devices

    assert [("Pacemaker", True), ("Pacemaker", False)] == [
        (d.concept.label, d.is_in_use) for d in found
    ]


def test_what_a_device_states_of_mr_is_read_wherever_it_stands() -> None:
    raw = resource(
        *("Device", "d1"),
        type=[{"text": "Lead"}, code(SNOMED, "14106009")],
        udiCarrier=[{"carrierHRF": "(01)00643169007222"}],
        extension=[
            {
                "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Device.safety",
                "valueCodeableConcept": {"text": "MR Conditional"},
            },
            {"url": "http://example.org/colour", "valueString": "grey"},
        ],
        property=[{"type": {"text": "MR Safe"}, "valueBoolean": False}],
    )

    found = read_device(raw)

    assert found.concept.is_recognised
    assert ("Lead", "(01)00643169007222", "MR Safe: no", "MR Conditional") == found.notes


def test_a_refuted_allergy_is_read_as_refuted() -> None:
    raw = resource(
        *("AllergyIntolerance", "a1"),
        code={"text": "gadolinium"},
        clinicalStatus=code("urn:c", "resolved"),
        verificationStatus=code("urn:v", "refuted"),
    )

    (found,) = chart_of(raw).allergies

    assert found.verification is Verification.REFUTED


def test_a_device_in_use_is_named_by_what_it_refers_to() -> None:
    shown = resource(
        *("DeviceUseStatement", "u1"),
        status="active",
        device={"display": "Pacemaker"},
        recordedOn="2020-01-01",
    )
    contained = resource(
        *("DeviceUseStatement", "u1"),
        contained=[{"resourceType": "Device", "id": "d", "type": {"text": "Cochlear implant"}}],
        device={"reference": "#d"},
    )

    found = read_device(shown)

    assert found.recorded is not None
    assert ("DeviceUseStatement/u1", "Pacemaker", "2020-01-01") == (
        *(found.ref, found.concept.label),
        found.recorded.text,
    )
    assert "Cochlear implant" == read_device(contained).concept.label


def test_a_device_that_is_sent_speaks_for_itself() -> None:
    device = resource("Device", "d1", type={"text": "Pacemaker"})
    use = resource("DeviceUseStatement", "u1", status="active", device={"reference": "Device/d1"})

    assert "Device/d1" == read_device(device, use).ref


@pytest.mark.parametrize(
    ("elements", "text"),
    [
        ({"period": {"start": "2026-03-01", "end": "2026-03-02"}}, "2026-03-01"),
        ({"period": {"end": "2026-03-02"}}, "2026-03-02"),
        ({"actualPeriod": {"start": "2026-03-01"}}, "2026-03-01"),
        ({"period": {"start": "2026-05-01"}}, None),
    ],
    ids=str,
)
def test_an_encounter_is_read_with_its_day(elements: Json, text: str | None) -> None:
    raw = resource("Encounter", "e1", status="finished", reasonCode=[PAIN], **elements)

    (found,) = chart_of(raw).encounters

    assert text == (None if found.period is None else found.period.text)
    assert ["low-back-pain" in reason.sets for reason in found.reasons] == [True]


def test_encounters_of_other_versions_give_their_reasons() -> None:
    stu3 = resource("Encounter", "e1", status="finished", reason=[PAIN])
    r5 = resource("Encounter", "e2", reason=[{"value": [{"concept": PAIN}]}])
    planned = resource("Encounter", "e3", status="planned", reasonCode=[PAIN])

    found = chart_of(stu3, r5, planned).encounters

    assert [1, 1] == [len(encounter.reasons) for encounter in found]


def test_an_appointment_is_read_if_it_stands_and_is_the_patients() -> None:
    def appointment(name: str, patient: str, status: str) -> Json:
        return {
            "resourceType": "Appointment",
            "id": name,
            "status": status,
            "serviceType": [{"text": "MRI lumbar spine"}],
            "start": "2026-04-01T10:00:00-04:00",
            "basedOn": [{"reference": "ServiceRequest/s1"}],
            "participant": [
                {"actor": {"reference": f"Patient/{patient}"}},
                {"actor": {"reference": "Location/l1"}},
            ],
        }

    chart = chart_of(
        appointment("a1", PATIENT, "booked"),
        appointment("a2", "other", "booked"),
        appointment("a3", PATIENT, "cancelled"),
    )

    (found,) = chart.appointments
    assert found.start is not None
    assert ("Appointment/a1", "booked", "2026-04-01", frozenset({"ServiceRequest/s1"}), 1) == (
        *(found.ref, found.status, found.start.text),
        *(found.based_on, chart.foreign),
    )


# Anything at all

KEYS = st.sampled_from(
    [
        *("resourceType", "id", "status", "code", "coding", "text", "system", "display", "subject"),
        *("reference", "entry", "resource", "value", "unit", "valueQuantity", "valueString", "url"),
        *("onsetDateTime", "onsetAge", "category", "component", "interpretation", "extension"),
        *("performedString", "identifier", "type", "basedOn", "series", "modality", "bodySite"),
        *("started", "issued", "effectivePeriod", "start", "end", "conclusion", "presentedForm"),
        *("medicationReference", "contained", "dispenseRequest", "expectedSupplyDuration", "meta"),
        *("dosageInstruction", "timing", "repeat", "versionId", "lastUpdated", "link", "relation"),
        *("clinicalStatus", "verificationStatus", "reason", "concept", "participant", "actor"),
        *("birthDate", "device", "property", "valueCode", "reaction", "referenceRange", "event"),
        *("occurrenceTiming", "fullUrl", "response", "issue", "details", "period", "data"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *("Bundle", "Patient", "Condition", "Observation", "Procedure", "ServiceRequest"),
            *("ImagingStudy", "DiagnosticReport", "MedicationRequest", "MedicationStatement"),
            *("AllergyIntolerance", "Device", "DeviceUseStatement", "Encounter", "Appointment"),
            *("OperationOutcome", "active", "completed", "final", "2025", "2025-03-04", "MR"),
            *("9999-12-31T23:59:59-14:00", "Patient/pat-1", "urn:uuid:1", "#x", "72148", "next"),
            *("MRI lumbar spine", "http://loinc.org", ">60", "5/5", "urn:oid:1", "4101", "a", "d"),
        ]
    )
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=40,
)
TYPES = st.sampled_from(
    [
        *("Patient", "Condition", "Observation", "Procedure", "ServiceRequest", "ImagingStudy"),
        *("DiagnosticReport", "MedicationRequest", "MedicationDispense", "AllergyIntolerance"),
        *("Device", "DeviceUseStatement", "Encounter", "Appointment", "DiagnosticOrder"),
    ]
)
RESOURCES = st.builds(
    lambda kind, elements: {**elements, "resourceType": kind},
    TYPES,
    st.dictionaries(KEYS, ANYTHING, max_size=12),
)


@given(st.lists(ANYTHING, max_size=3))
def test_any_json_is_read_without_an_exception(contents: list[object]) -> None:
    chart = chart_from(*(source(content, more=(content,)) for content in contents))

    assert isinstance(chart, Chart)


@given(st.lists(RESOURCES, max_size=4))
def test_any_resources_are_read_without_an_exception(resources: list[object]) -> None:
    chart = chart_of(*resources)

    assert history_in(chart) is not None


def nested(depth: int, key: str) -> object:
    """Return an object nested so deep."""
    value: object = "x"
    for _ in range(depth):
        value = {key: value}
    return value


@pytest.mark.parametrize("key", ["concept", "coding", "code", "reference", "resource", "entry"])
def test_deep_nesting_is_read_without_an_exception(key: str) -> None:
    deep = nested(5000, key)

    chart = chart_from(source(deep), source(bundle(resource("Condition", "c1", code=deep), deep)))

    assert () == chart.conditions


def test_every_synthea_patient_is_read(shared: Path) -> None:
    files = sorted((shared / "realworld" / "patients").glob("synthea-*/*.json"))
    assert files
    for file in files:
        sent = json.loads(file.read_text("utf-8"))
        (patient_id,) = {
            entry["resource"]["id"]
            for entry in sent["entry"]
            if entry["resource"]["resourceType"] == "Patient"
        }

        chart = chart_from(source(sent, "Patient"), patient_id=patient_id)

        assert chart.patient is not None, file.name
        assert chart.patient.birth is not None, file.name
        assert chart.conditions, file.name
        assert chart.medications or chart.procedures, file.name
        assert ({}, 0) == (chart.unreadable, chart.foreign), file.name
        assert () == history_in(chart).exams, file.name


def test_every_us_core_example_is_read(shared: Path) -> None:
    folder = shared / "realworld" / "patients" / "us-core-examples"
    files = sorted(folder.glob("*.json"))
    assert files
    for file in files:
        sent = json.loads(file.read_text("utf-8"))
        own = f"Patient/{sent['id']}" if sent["resourceType"] == "Patient" else "Patient/example"
        subject = sent.get("subject", {}).get("reference", own)

        chart = chart_from(source(sent, sent["resourceType"]), patient_id=subject)

        assert ({}, 0) == (chart.unreadable, chart.foreign), file.name


def test_a_prefetch_of_the_old_wrapper_kind_is_read(shared: Path) -> None:
    file = shared / "realworld" / "requests" / "cqf-ruler-opioid-order-select.json"
    request = json.loads(file.read_text("utf-8"))

    chart = chart_from(
        *(source(content, "Patient") for content in request["prefetch"].values()),
        patient_id=request["context"]["patientId"],
    )

    assert chart.patient is not None


def test_a_laboratory_result_is_recognised() -> None:
    found = read_observation(
        code=code(LOINC, "1988-5"), valueQuantity={"value": 12, "code": "mg/L"}
    )

    assert "infection-markers" in found.concept.sets
