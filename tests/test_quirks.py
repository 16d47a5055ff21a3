"""What real R4 data does: one test or more for each quirk of `ehr-integration.md` §5 in reading.

Quirks of orders (12, 13, 16, 20), of words (22) and of cards (54) are tested where they are
handled; of prior imaging (4–7, 15, 27–32, 45–47) in `test_imaging_history.py` as well.
"""

from collections.abc import Mapping

import pytest
from charts import (
    CPT,
    ICD_10_CM,
    LOINC,
    SNOMED,
    SUBJECT,
    TODAY,
    Json,
    bundle,
    chart_from,
    chart_of,
    code,
    history_of,
    resource,
    source,
)

from cds_service.chart.reading import SourceState
from cds_service.fhir_dates import Precision, completed_years, within_days
from cds_service.findings import Strength
from cds_service.records import Condition, Currency, Observation, Reading, Verification

LOW_BACK_PAIN = code(ICD_10_CM, "M54.50", "Low back pain, unspecified")
LUMBAR_MRI = code(CPT, "72148")
ACTIVE = code("http://terminology.hl7.org/CodeSystem/condition-clinical", "active")


def condition(**elements: object) -> Json:
    """Return a current low-back Condition; elements replace or, as None, remove."""
    return resource(
        "Condition", "c1", **{"code": LOW_BACK_PAIN, "clinicalStatus": ACTIVE, **elements}
    )


def read_condition(**elements: object) -> Condition:
    """Return it as it is read."""
    (found,) = chart_of(condition(**elements)).conditions
    return found


def read_observation(**elements: object) -> Observation:
    """Return a final Observation as it is read."""
    raw = resource("Observation", "o1", **{"status": "final", "code": {"text": "CRP"}, **elements})
    # Components follow as observations of their own.
    found, *_ = chart_of(raw).observations
    return found


def test_quirk_01_a_month_is_the_whole_month() -> None:
    onset = read_condition(onsetDateTime="2026-02").onset

    assert onset is not None
    assert ("2026-02", None) == (onset.text, within_days(onset, TODAY, 42))


def test_quirk_02_a_year_is_neither_shorter_nor_longer_than_six_weeks() -> None:
    onset = read_condition(onsetDateTime="2026").onset

    assert onset is not None
    assert within_days(onset, TODAY, 42) is None


def test_quirk_03_a_time_without_zone_is_the_time_of_the_site() -> None:
    onset = read_condition(onsetDateTime="2026-03-01T23:30:00").onset

    assert onset is not None
    assert "2026-03-01" == onset.text


def test_quirk_04_a_period_with_an_end_only_dates_by_its_end() -> None:
    observation = read_observation(effectivePeriod={"end": "2026-03-01"}, valueInteger=1)
    onset = read_condition(onsetPeriod={"end": "2026-03-01"}).onset

    assert observation.effective is not None
    assert "2026-03-01" == observation.effective.text
    assert onset is not None
    assert "by 2026-03-01" == onset.text


def test_quirk_05_issued_is_the_last_resort_and_named() -> None:
    observation = read_observation(issued="2026-03-01T10:00:00-05:00", valueInteger=1)

    assert observation.effective is not None
    assert ("2026-03-01", "issued") == (observation.effective.text, observation.effective.element)


def test_quirk_06_no_date_is_no_date() -> None:
    assert read_observation(valueInteger=1).effective is None
    assert read_condition().began is None


def test_quirk_07_a_future_date_on_what_is_past_is_unknown() -> None:
    found = read_condition(onsetDateTime="2026-04-01", recordedDate="2026-04-02")

    assert found.onset is None
    assert found.recorded is None
    assert read_observation(effectiveDateTime="2026-04-01", valueInteger=1).effective is None


@pytest.mark.parametrize(
    ("onset", "expected"),
    [("2026-03-01T24:00:00", "2026-03-02"), ("2026-03-01T23:59:60-05:00", "2026-03-01")],
)
def test_quirk_08_odd_times_are_read(onset: str, expected: str) -> None:
    found = read_condition(onsetDateTime=onset).onset

    assert found is not None
    assert expected == found.text


def test_quirk_08_an_impossible_date_costs_only_itself() -> None:
    found = read_condition(onsetDateTime="2026-02-31T99:00:00", recordedDate="2026-03-01")

    assert found.onset is None
    assert found.recorded is not None


@pytest.mark.parametrize(
    "onset",
    [
        {"onsetRange": {"low": {"value": 40, "code": "a"}}},
        {"onsetString": "a few weeks ago"},
        {"onsetAge": {"value": 6, "code": "wk"}},
        {"onsetAge": {"value": 44, "code": "a"}},
    ],
    ids=lambda onset: next(iter(onset)),
)
def test_quirk_09_an_onset_that_is_no_date_is_unknown_and_recorded_bounds_it(
    onset: Mapping[str, object],
) -> None:
    found = read_condition(**onset, recordedDate="2026-03-01")

    assert found.onset is None
    assert found.recorded is not None
    assert "2026-03-01" == found.recorded.text


def test_quirk_09_an_age_with_a_birth_date_is_a_year_to_either_side() -> None:
    patient = {"resourceType": "Patient", "id": "pat-1", "birthDate": "1980-05-01"}
    raw = condition(onsetAge={"value": 44, "unit": "years"})

    (found,) = chart_from(source(patient, "Patient"), source(bundle(raw))).conditions

    assert found.onset is not None
    assert found.onset.earliest is not None
    assert ("2023-05-01", "2025-05-01") == (
        found.onset.earliest.isoformat(),
        found.onset.latest.isoformat(),
    )


def test_quirk_10_a_value_only_in_a_primitive_extension_is_absent() -> None:
    absent = {"extension": [{"url": "urn:data-absent-reason", "valueCode": "unknown"}]}

    found = read_condition(_onsetDateTime=absent)

    assert found.onset is None


def test_quirk_11_a_masked_birth_date_leaves_the_age_unknown() -> None:
    masked = {"extension": [{"url": "urn:data-absent-reason", "valueCode": "masked"}]}
    chart = chart_from(
        source({"resourceType": "Patient", "id": "pat-1", "_birthDate": masked}, "Patient")
    )

    assert chart.patient is not None
    assert chart.patient.birth is None
    assert {} == chart.unreadable


def test_quirk_11_a_year_of_birth_is_an_age_of_two() -> None:
    chart = chart_from(
        source({"resourceType": "Patient", "id": "pat-1", "birthDate": "1956"}, "Patient")
    )

    assert chart.patient is not None
    assert chart.patient.birth is not None
    assert (69, 70) == completed_years(chart.patient.birth, TODAY)


def test_quirk_14_every_coding_is_looked_at() -> None:
    local = {"system": "urn:oid:1.2.840.114350.1.13.1.2.7.2.696580", "code": "123"}
    found = read_condition(code={"coding": [local, *LOW_BACK_PAIN["coding"]]})  # type: ignore[misc]  # a list by construction

    assert "low-back-pain" in found.concept.sets


@pytest.mark.parametrize("value", ["M54.5", "M5450", "M54.51", "m54.50"])
def test_quirk_17_icd_codes_match_by_prefix_with_and_without_dot(value: str) -> None:
    assert "low-back-pain" in read_condition(code=code(ICD_10_CM, value)).concept.sets


@pytest.mark.parametrize(
    "system",
    [
        "urn:oid:2.16.840.1.113883.6.90",
        "2.16.840.1.113883.6.90",
        "http://hl7.org/fhir/sid/ICD-10-CM",
        "https://hl7.org/fhir/sid/icd-10-cm/",
    ],
)
def test_quirk_18_systems_are_known_by_their_other_names(system: str) -> None:
    assert "low-back-pain" in read_condition(code=code(system, "M54.50")).concept.sets


def test_quirk_19_a_code_without_system_matches_nothing_but_its_display_is_kept() -> None:
    found = read_condition(code={"coding": [{"code": "M54.50", "display": "Low back pain"}]})

    assert frozenset() == found.concept.sets
    assert "Low back pain" == found.concept.label


@pytest.mark.parametrize(
    "absent",
    [
        None,
        {},
        {"coding": [{}]},
        {"coding": None, "text": None},
        {"extension": [{"url": "urn:data-absent-reason", "valueCode": "unknown"}]},
        [],
        7,
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "kind", ["Condition", "Observation", "Procedure", "AllergyIntolerance", "MedicationRequest"]
)
def test_quirk_21_a_resource_without_code_is_skipped_and_the_rest_kept(
    kind: str, absent: object
) -> None:
    status = {} if kind in {"Condition", "AllergyIntolerance"} else {"status": "completed"}
    nameless = {"resourceType": kind, "id": "x", "subject": SUBJECT, "code": absent, **status}

    chart = chart_of(nameless, condition())

    assert ("Condition/c1",) == tuple(c.ref for c in chart.conditions)
    assert () == chart.observations + chart.procedures + chart.allergies + chart.medications


def test_quirk_23_without_clinical_status_a_condition_is_possibly_current() -> None:
    found = read_condition(clinicalStatus=None)

    assert (Currency.CURRENT, Strength.POSSIBLE) == (found.currency, found.currency_strength)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        pytest.param("2025-12-16", Strength.STRONG, id="90 days"),
        pytest.param("2025-12-15", Strength.POSSIBLE, id="91 days"),
        pytest.param("2025-12", Strength.POSSIBLE, id="a month that straddles"),
        pytest.param(None, Strength.POSSIBLE, id="no date"),
    ],
)
def test_quirk_23_a_recent_encounter_diagnosis_without_status_is_current(
    recorded: str | None, expected: Strength
) -> None:
    category = [
        code("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")
    ]

    found = read_condition(clinicalStatus=None, category=category, recordedDate=recorded)

    assert (Currency.CURRENT, expected) == (found.currency, found.currency_strength)


def test_quirk_23_without_status_but_abated_is_past() -> None:
    found = read_condition(clinicalStatus=None, abatementDateTime="2025-01-01")

    assert Currency.PAST is found.currency


IN_ERROR = code("http://terminology.hl7.org/CodeSystem/condition-ver-status", "entered-in-error")


@pytest.mark.parametrize(
    "raw",
    [
        condition(verificationStatus=IN_ERROR),
        condition(clinicalStatus=None, verificationStatus={"text": "Entered in Error"}),
        resource("Observation", "x", status="entered-in-error", code={"text": "x"}),
        resource("Procedure", "x", status="entered-in-error", code={"text": "x"}),
        resource("ServiceRequest", "x", status="entered-in-error", code={"text": "x"}),
        resource("ImagingStudy", "x", status="entered-in-error", description="x"),
        resource("DiagnosticReport", "x", status="entered-in-error", code={"text": "x"}),
        resource(
            "MedicationRequest",
            "x",
            status="entered-in-error",
            medicationCodeableConcept={"text": "x"},
        ),
        resource("AllergyIntolerance", "x", verificationStatus=IN_ERROR, code={"text": "x"}),
        resource("Device", "x", status="entered-in-error", type={"text": "x"}),
        resource("Encounter", "x", status="entered-in-error"),
        resource("Appointment", "x", status="entered-in-error"),
    ],
    ids=lambda raw: raw["resourceType"],
)
def test_quirk_24_entered_in_error_is_ignored_in_every_type(raw: Json) -> None:
    assert chart_of() == chart_of(raw)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("refuted", Verification.REFUTED),
        ("unconfirmed", Verification.UNCONFIRMED),
        ("provisional", Verification.UNCONFIRMED),
        ("differential", Verification.UNCONFIRMED),
        ("confirmed", Verification.CONFIRMED),
        (None, Verification.CONFIRMED),
    ],
)
def test_quirk_25_verification_is_folded(status: str | None, expected: Verification) -> None:
    said = None if status is None else code("urn:ver", status)

    assert expected is read_condition(verificationStatus=said).verification


def test_quirk_26_a_resolved_condition_is_kept_as_past() -> None:
    cancer = condition(
        code=code(ICD_10_CM, "C50.911"), clinicalStatus=code("urn:clinical", "resolved")
    )

    (found,) = chart_of(cancer).conditions

    assert Currency.PAST is found.currency
    assert "malignancy-active" in found.concept.sets


@pytest.mark.parametrize("status", ["registered", "cancelled", "unknown"])
def test_quirk_27_an_observation_that_is_not_out_is_not_read(status: str) -> None:
    raw = resource("Observation", "o1", status=status, code={"text": "CRP"}, valueInteger=1)

    assert () == chart_of(raw).observations


@pytest.mark.parametrize("status", ["draft", "revoked", "unknown"])
def test_quirk_29_orders_that_do_not_stand_are_left_out(status: str) -> None:
    raw = resource("ServiceRequest", "s1", status=status, intent="order", code=LUMBAR_MRI)

    assert () == chart_of(raw).service_requests


PLACER = {"system": "urn:placer", "value": "P-1"}


@pytest.mark.parametrize(
    ("drafts", "identifiers"),
    [
        pytest.param({"ServiceRequest/s1"}, set(), id="same id"),
        pytest.param(set(), {"urn:placer|P-1"}, id="same placer number"),
    ],
)
def test_quirk_29_the_draft_that_comes_back_through_the_search_is_dropped(
    drafts: set[str], identifiers: set[str]
) -> None:
    order = resource(
        "ServiceRequest",
        "s1",
        status="active",
        intent="order",
        code=LUMBAR_MRI,
        identifier=[PLACER],
    )
    other = {**order, "id": "s2", "identifier": [{"system": "urn:placer", "value": "P-2"}]}

    chart = chart_from(
        source(bundle(order, other)),
        drafts=frozenset(drafts),
        draft_identifiers=frozenset(identifiers),
    )

    assert ("ServiceRequest/s2",) == tuple(o.ref for o in chart.service_requests)


@pytest.mark.parametrize("status", ["not-done", "stopped"])
def test_quirk_30_a_procedure_not_done_says_so(status: str) -> None:
    raw = resource(
        "Procedure", "p1", status=status, code=LUMBAR_MRI, performedDateTime="2026-01-01"
    )

    (found,) = chart_of(raw).procedures

    assert status == found.state.value
    assert () == history_of(raw).exams


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {}, id="last in order"),
        pytest.param({"versionId": "9"}, {"versionId": "10"}, id="version"),
        pytest.param({"lastUpdated": "2026-01-01"}, {"lastUpdated": "2026-02-01"}, id="date"),
        pytest.param(
            {"versionId": "a", "lastUpdated": "2026-01-01T10:00:00Z"},
            {"versionId": "b", "lastUpdated": "2026-01-01T06:00:00-05:00"},
            id="time with offset",
        ),
    ],
)
def test_quirk_31_the_newest_version_is_judged(first: Json, second: Json) -> None:
    old = condition(meta=first)
    new = condition(meta=second, verificationStatus=IN_ERROR)

    assert () == chart_of(old, new).conditions
    if first:
        assert () == chart_of(new, old).conditions


def test_quirk_31_resources_without_id_are_never_versions_of_each_other() -> None:
    chart = chart_of(condition(id=None), condition(id=None))

    assert ("Condition/?", "Condition/?") == tuple(c.ref for c in chart.conditions)


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/somebody-else"},
        {"reference": "https://ehr.example/Patient/somebody-else/_history/1"},
        {"reference": "Group/g1"},
        {"reference": "somebody-else"},
        "Patient/somebody-else",
    ],
    ids=str,
)
def test_quirk_33_another_patient_is_dropped_and_counted(subject: object) -> None:
    chart = chart_of(condition(subject=subject))

    assert ((), 1) == (chart.conditions, chart.foreign)


def test_quirk_33_the_patient_of_another_id_is_not_used() -> None:
    chart = chart_from(
        source({"resourceType": "Patient", "id": "other", "birthDate": "1956"}, "Patient")
    )

    assert chart.patient is None
    assert {"Patient": "other patient"} == chart.unreadable
    assert 1 == chart.foreign


def test_quirk_33_an_included_patient_of_another_id_changes_nothing() -> None:
    other = {"resourceType": "Patient", "id": "other"}
    own = {"resourceType": "Patient", "id": "pat-1"}

    condition = resource("Condition", "c1")
    chart = chart_from(source(bundle(own, other), "Patient"), source(bundle(other, condition)))

    assert chart.patient is not None
    assert ({}, 1) == (chart.unreadable, chart.foreign)


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "https://ehr.example/api/FHIR/R4/Patient/pat-1"},
        {"reference": "https://ehr.example/Patient/pat-1/_history/7"},
        {"reference": "pat-1"},
        "Patient/pat-1",
    ],
    ids=str,
)
def test_quirk_34_absolute_and_versioned_references_are_the_same_patient(subject: object) -> None:
    chart = chart_of(condition(subject=subject))

    assert (1, 0) == (len(chart.conditions), chart.foreign)


@pytest.mark.parametrize(
    "patient_id", ["pat-1", "Patient/pat-1", "https://x.example/Patient/pat-1"]
)
def test_quirk_34_the_hook_may_name_the_patient_in_any_form(patient_id: str) -> None:
    chart = chart_from(source(bundle(condition())), patient_id=patient_id)

    assert 1 == len(chart.conditions)


def test_quirk_35_urn_references_are_resolved_in_the_bundle() -> None:
    def entry(uuid: str, raw: Json) -> Json:
        return {"fullUrl": f"urn:uuid:{uuid}", "resource": raw}

    own = entry("1", {"resourceType": "Patient", "id": "pat-1"})
    other = entry("2", {"resourceType": "Patient", "id": "other"})
    visit = entry("3", resource("Encounter", "e1", period={"start": "2026-03-01"}))
    mine = entry(
        "4",
        condition(
            id=None, subject={"reference": "urn:uuid:1"}, encounter={"reference": "urn:uuid:3"}
        ),
    )
    foreign = entry("5", condition(id="c5", subject={"reference": "urn:uuid:2"}))
    sent = {"resourceType": "Bundle", "entry": [own, other, visit, mine, foreign]}

    chart = chart_from(source(sent))

    (found,) = chart.conditions
    assert ("Condition/4", 2) == (found.ref, chart.foreign)
    assert found.recorded is not None
    assert ("2026-03-01", "period.start") == (found.recorded.text, found.recorded.element)


@pytest.mark.parametrize(
    "subject",
    [
        None,
        {"display": "Someone"},
        {"identifier": {"value": "MRN-1"}},
        {"reference": "Patient?identifier=urn:mrn|1"},
        {"reference": "urn:uuid:nobody-has-it"},
    ],
    ids=str,
)
def test_quirk_36_a_subject_that_cannot_be_checked_is_accepted(subject: object) -> None:
    chart = chart_of(condition(subject=subject))

    assert (1, 0) == (len(chart.conditions), chart.foreign)


PREDNISONE = {"text": "prednisone 10 mg tablet"}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param(
            {
                "contained": [{"resourceType": "Medication", "id": "m", "code": PREDNISONE}],
                "medicationReference": {"reference": "#m", "display": "shown"},
            },
            "prednisone 10 mg tablet",
            id="contained",
        ),
        pytest.param(
            {"medicationReference": {"reference": "https://x.example/Medication/m1"}},
            "prednisone 20 mg tablet",
            id="entry",
        ),
        pytest.param(
            {"medicationReference": {"reference": "Medication/gone", "display": "prednisone 5 mg"}},
            "prednisone 5 mg",
            id="display",
        ),
    ],
)
def test_quirk_37_a_medication_is_found_without_asking(elements: Json, expected: str) -> None:
    order = resource("MedicationRequest", "r1", status="active", intent="order", **elements)
    entry = {"resourceType": "Medication", "id": "m1", "code": {"text": "prednisone 20 mg tablet"}}

    (found,) = chart_of(order, entry).medications

    assert expected == found.concept.label


def outcome(*codes: str, severity: str = "warning") -> Json:
    """Return an OperationOutcome as Epic sends it."""
    issues = [
        {"severity": severity, "code": "processing", "details": code("urn:epic", one)}
        for one in codes
    ]
    return {"resourceType": "OperationOutcome", "issue": issues}


def test_quirk_38_epic_says_none_and_means_it() -> None:
    chart = chart_from(source(bundle(outcome("4101"))))

    assert ({}, ()) == (chart.unreadable, chart.conditions)


@pytest.mark.parametrize("codes", [("4100",), ("4101", "4100"), ()], ids=str)
def test_quirk_38_any_other_warning_means_incomplete_and_keeps_the_rest(
    codes: tuple[str, ...],
) -> None:
    chart = chart_from(source(bundle(condition(), outcome(*codes))))

    assert ({"Condition": "incomplete"}, 1) == (chart.unreadable, len(chart.conditions))


@pytest.mark.parametrize("withheld", ["59100", "4119"])
def test_quirk_39_withheld_data_is_unreadable(withheld: str) -> None:
    chart = chart_from(source(bundle(condition(), outcome(withheld))))

    assert {"Condition": "withheld"} == chart.unreadable


def test_quirk_40_included_resources_are_sorted_by_type() -> None:
    report = resource("DiagnosticReport", "r1", status="final", code=LUMBAR_MRI)

    chart = chart_from(source(bundle(report, condition()), "DiagnosticReport"))

    assert (1, 1) == (len(chart.conditions), len(chart.diagnostic_reports))
    assert {} == chart.unreadable


def test_quirk_41_entries_without_resource_are_skipped() -> None:
    junk: list[object] = [None, 5, "x", [], {}, {"fullUrl": "urn:x"}, {"resource": None}]
    sent = bundle(condition(), "not a resource", {"id": "no type"})
    entries = sent["entry"]
    assert isinstance(entries, list)
    sent["entry"] = [*junk, *entries]

    chart = chart_from(source(sent))

    assert ({}, 1) == (chart.unreadable, len(chart.conditions))


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "total": 20},
        {"resourceType": "Bundle", "entry": None},
        {"resourceType": "Bundle", "entry": {}},
        {"resourceType": "Bundle", "entry": []},
    ],
    ids=str,
)
def test_quirk_42_no_rows_in_whatever_form_are_no_data(sent: object) -> None:
    chart = chart_from(source(sent))

    assert ({}, ()) == (chart.unreadable, chart.conditions)


NEXT = [{"relation": "self", "url": "x"}, {"relation": "next", "url": "y"}]


def test_quirk_43_a_next_link_means_incomplete() -> None:
    chart = chart_from(source(bundle(condition(), link=NEXT)))

    assert ({"Condition": "incomplete"}, 1) == (chart.unreadable, len(chart.conditions))


def test_quirk_43_pages_that_were_read_complete_the_list() -> None:
    second = bundle(condition(id="c2"), link=[{"relation": "self", "url": "y"}])

    chart = chart_from(source(bundle(condition(), link=NEXT), more=(second,)))

    assert ({}, 2) == (chart.unreadable, len(chart.conditions))


@pytest.mark.parametrize(
    "page", [{"resourceType": "Bundle", "link": NEXT}, "<html>", outcome("4119")], ids=str
)
def test_quirk_43_a_page_that_is_missing_or_junk_means_incomplete(page: object) -> None:
    chart = chart_from(source(bundle(condition(), link=NEXT), more=(page,)))

    assert ({"Condition": "incomplete"}, 1) == (chart.unreadable, len(chart.conditions))


def test_quirk_44_an_outcome_in_place_of_a_bundle_is_unreadable() -> None:
    assert {"Condition": "unreadable"} == chart_from(source(outcome("4101"))).unreadable
    assert {"Condition": "withheld"} == chart_from(source(outcome("4119"))).unreadable


def test_quirk_45_instances_are_never_walked() -> None:
    class Unwalked(list[object]):
        def __iter__(self) -> object:  # type: ignore[override]  # any use of it fails the test
            raise AssertionError

    series = {"modality": {"code": "MR"}, "instance": Unwalked([{"uid": "1"}])}

    (found,) = chart_of(resource("ImagingStudy", "s1", series=[series])).imaging_studies

    assert found.has_images


def test_quirk_48_an_r5_imaging_study_is_read() -> None:
    study = resource(
        "ImagingStudy",
        "s1",
        status="available",
        started="2025-11-10",
        modality=[code("http://dicom.nema.org/resources/ontology/DCM", "MR")],
        procedure=[{"concept": LUMBAR_MRI, "reference": {"reference": "Procedure/p1"}}],
        series=[{"bodySite": {"concept": code(SNOMED, "122496007")}}],
    )

    (found,) = chart_of(study).imaging_studies

    assert ["lumbar-mri-without" in p.sets for p in found.procedures] == [True]
    assert ["lumbar-body-site" in s.sets for s in found.body_sites] == [True]
    assert ["mr-modality" in m.sets for m in found.modalities] == [True]
    assert "Procedure/p1" == found.procedure_ref


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param({"clinicalStatus": "active", "verificationStatus": "provisional"}, id="STU3"),
        pytest.param(
            {"subject": None, "patient": SUBJECT, "clinicalStatus": "active"}, id="DSTU2 patient"
        ),
        pytest.param(
            {"category": code("urn:c", "encounter-diagnosis"), "dateRecorded": "2026-03-01"},
            id="single category",
        ),
    ],
)
def test_quirk_49_an_older_condition_is_read(elements: Json) -> None:
    found = read_condition(**elements)

    assert Currency.CURRENT is found.currency
    assert ("verificationStatus" in elements) is (found.verification is Verification.UNCONFIRMED)
    assert ("category" in elements) is found.is_encounter_diagnosis


def test_quirk_49_an_older_condition_of_another_patient_is_dropped() -> None:
    chart = chart_of(condition(subject=None, patient={"reference": "Patient/other"}))

    assert ((), 1) == (chart.conditions, chart.foreign)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            resource(
                "ProcedureRequest",
                "s1",
                status="active",
                intent="order",
                code=LUMBAR_MRI,
                authoredOn="2026-03-01",
            ),
            id="STU3",
        ),
        pytest.param(
            resource(
                "DiagnosticOrder",
                "s1",
                status="requested",
                item=[{"code": LUMBAR_MRI}, {"code": {"text": "X-ray"}}],
                event=[{"status": "requested", "dateTime": "2026-03-01"}],
            ),
            id="DSTU2",
        ),
    ],
)
def test_quirk_50_older_orders_are_service_requests(raw: Json) -> None:
    (found,) = chart_of(raw).service_requests

    assert found.authored is not None
    assert ("active", "2026-03-01") == (found.status, found.authored.text)
    assert "lumbar-mri-without" in found.concept.sets


def test_quirk_51_an_r5_medication_request_is_read() -> None:
    order = resource(
        "MedicationRequest",
        "r1",
        status="active",
        intent="order",
        medication={"concept": {"text": "ibuprofen"}},
        reason=[{"concept": LOW_BACK_PAIN}, {"reference": {"reference": "Condition/c1"}}],
    )
    by_reference = {
        **order,
        "id": "r2",
        "medication": {"reference": {"reference": "Medication/m1"}},
    }
    medication = {"resourceType": "Medication", "id": "m1", "code": {"text": "naproxen"}}

    first, second = chart_of(order, by_reference, medication).medications

    assert ("ibuprofen", "naproxen") == (first.concept.label, second.concept.label)
    assert ["low-back-pain" in reason.sets for reason in first.reasons] == [True]
    assert ("Condition/c1",) == first.reason_refs


def test_quirk_52_absent_is_not_zero_and_not_normal() -> None:
    nothing = read_observation()
    refused = read_observation(
        dataAbsentReason=code("urn:absent", "asked-declined"),
        valueInteger=0,
        interpretation=[code("urn:i", "N")],
    )

    for found in (nothing, refused):
        assert (None, False, Reading.UNCLEAR) == (
            found.value.number,
            found.has_value,
            found.reading,
        )


def test_quirk_52_a_string_is_not_a_number_and_components_are_read() -> None:
    found = read_observation(
        valueString="5",
        component=[
            {"code": {"text": "left"}, "valueQuantity": {"value": 4, "unit": "/5"}},
            {"code": None, "valueInteger": 3},
        ],
    )

    assert (None, "5") == (found.value.number, found.value.text)
    assert [4.0] == [part.value.number for part in found.parts]


def test_quirk_53_the_unit_is_kept_as_sent() -> None:
    coded = read_observation(valueQuantity={"value": 100.4, "unit": "F", "code": "[degF]"})
    without = read_observation(valueQuantity={"value": 38.5})

    assert ("[degF]", "") == (coded.value.unit, without.value.unit)


def test_not_sent_and_unreadable_are_told_apart_from_empty() -> None:
    chart = chart_from(
        source(None, "Condition"),
        source(None, "Observation", state=SourceState.NOT_SENT),
        source(None, "Procedure", state=SourceState.UNREADABLE, reason="503"),
    )

    assert {"Observation": "not sent", "Procedure": "503"} == chart.unreadable


def test_partial_dates_keep_their_precision_in_the_chart() -> None:
    found = read_condition(onsetDateTime="2026", code=code(LOINC, "x", "pain")).onset

    assert found is not None
    assert Precision.YEAR is found.precision
