"""Safety at chart level, through the service: what is warned of, and what is not offered with it.

Regressions found by an adversarial reading of decision table F80-F83, §6 (D1, D3) and §8.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from bundled import knowledge
from findings_of import CPT, ICD, LOINC, SCT, code, condition, observation, quantity
from http_service import BACK_PAIN, LUMBAR_MRI, PATIENT, bundle, hook_request, post

Json: TypeAlias = dict[str, Any]

DAY = "2026-03-16"
OLD_PAIN = {**BACK_PAIN, "onsetDateTime": "2023-06-01"}
BONE_METASTASIS = condition(ICD, "C79.51", onsetDateTime="2026-02-01")
DISCITIS = condition(ICD, "M46.46", onsetDateTime="2026-03-01")
PACEMAKER = condition(ICD, "Z95.0")
EGFR = "98979-8"
HCG = "2118-8"
HCG_AMOUNT = "19080-1"
RECENT = "2026-03-10"
BOTH = "Change to MRI without and with contrast"
WITHOUT = "Change to MRI without contrast"
CT = {"Replace by CT without contrast", "Replace by CT myelography"}
POSITIVE = {"interpretation": [{"coding": [{"code": "POS"}]}]}


class Answer:
    """What the service says of one order: its rows, and the labels that it offers."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """Read the body of a response."""
        self.cards: list[Json] = list(body["cards"])
        decisions = body.get("extension", {}).get("org.lumbar-mri-cds.decisions", [])
        self.decision: Json = decisions[0] if decisions else {}
        self.safety: list[str] = self.decision.get("safety") or []
        self.offers = [s["label"] for card in self.cards for s in card.get("suggestions", [])]

    @property
    def safety_card(self) -> Json:
        """The safety card."""
        return next(c for c in self.cards if c["source"]["topic"]["code"].startswith("SF"))


def _ask(
    *resources: Mapping[str, Any],
    mri: str = "72148",
    note: str = "",
    patient: Mapping[str, object] = PATIENT,
    unread: str = "",
) -> Answer:
    """Ask about a lumbar MRI for a patient with old back pain and these resources."""
    answers: dict[str, object] = {}
    named = [{"id": f"r{place}", **r} for place, r in enumerate((OLD_PAIN, *resources))]
    for key, kind in knowledge().prefetch_types.items():
        if kind == unread:
            answers[key] = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}
        elif kind == "Patient":
            answers[key] = dict(patient)
        else:
            answers[key] = bundle(*(r for r in named if r["resourceType"] == kind))
    order = {**LUMBAR_MRI, "code": code(CPT, mri), "note": [{"text": note}] if note else []}
    response = post(hook_request(order, prefetch=answers), day=DAY)
    assert response.status_code == 200
    return Answer(response.get_json())


def _said(text: str) -> Json:
    return {**condition(ICD, ""), "code": {"text": text}}


def _procedure(what: Mapping[str, Any], when: str = "2020-01-01", **more: object) -> Json:
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": dict(what),
        "performedDateTime": when,
        **more,
    }


def _allergy(text: str, **more: object) -> Json:
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"text": text},
        **more,
    }


def _amount(value: float, **more: object) -> Json:
    return observation(LOINC, HCG_AMOUNT, RECENT, **quantity(value, "m[IU]/mL"), **more)


# Pregnancy, decision table F80

PREGNANT = [
    pytest.param(condition(ICD, "Z33.1"), id="undated"),
    pytest.param(condition(ICD, "Z34.90"), id="undated supervision"),
    pytest.param(condition(SCT, "77386006"), id="undated SNOMED"),
    pytest.param(_said("Pregnant, 20 weeks"), id="words"),
    pytest.param(
        condition(ICD, "Z33.1", encounter={"reference": "Encounter/e9"}), id="date elsewhere"
    ),
    pytest.param(condition(ICD, "Z33.1", recordedDate="2025"), id="a year that straddles"),
    pytest.param(observation(LOINC, HCG, RECENT, **POSITIVE), id="interpretation alone"),
    pytest.param(_amount(50_000), id="amount"),
    pytest.param(_amount(25), id="amount at the limit"),
    pytest.param(
        observation(LOINC, HCG_AMOUNT, RECENT, valueString="> 1,000"), id="amount in words"
    ),
    pytest.param(
        observation(LOINC, "21198-7", RECENT, **quantity(1, "[IU]/mL")), id="another unit"
    ),
]
NOT_KNOWN_PREGNANT = [
    pytest.param(condition(ICD, "Z33.1", onsetDateTime="2025-05-01"), id="over 300 days"),
    pytest.param(condition(ICD, "Z33.1", status="resolved"), id="resolved"),
    pytest.param(_amount(24), id="unclear amount"),
    pytest.param(
        _amount(8, interpretation=[{"coding": [{"code": "H"}]}]), id="unclear amount, flagged"
    ),
    pytest.param(_amount(3), id="none"),
    pytest.param(
        observation(LOINC, HCG_AMOUNT, RECENT, valueString="<25"), id="bound on both sides"
    ),
    pytest.param(
        observation(
            LOINC, HCG_AMOUNT, RECENT, **quantity(80, "ng/mL"), interpretation=[{"text": "H"}]
        ),
        id="unit not known",
    ),
    pytest.param(
        observation(
            LOINC, HCG, RECENT, dataAbsentReason={"coding": [{"code": "error"}]}, **POSITIVE
        ),
        id="no result",
    ),
    pytest.param(observation(LOINC, HCG, "2025-12-01", **POSITIVE), id="old test"),
]


@pytest.mark.parametrize("resource", PREGNANT)
def test_a_current_pregnancy_warns_of_contrast_and_offers_no_radiation(resource: Json) -> None:
    answer = _ask(resource, mri="72158")
    assert answer.safety == ["SF3"]
    assert answer.decision["protocolRow"] == "D4"
    assert not CT & set(_ask(resource, PACEMAKER).offers)


@pytest.mark.parametrize("resource", NOT_KNOWN_PREGNANT)
def test_what_does_not_say_pregnant_warns_of_nothing(resource: Json) -> None:
    assert _ask(resource, mri="72158").safety == []


@pytest.mark.parametrize("who", [{"gender": "male"}, {"birthDate": "1950-01-01"}])
def test_an_undated_pregnancy_of_who_cannot_be_pregnant_is_stale(who: Json) -> None:
    assert _ask(condition(ICD, "Z33.1"), mri="72158", patient={**PATIENT, **who}).safety == []


# Kidneys, decision table F82

SEVERE_WORDS = (
    *("End stage renal disease on hemodialysis", "ESRD on dialysis", "on dialysis", "CKD stage 4"),
    *("CKD 5", "CKD IV", "Chronic kidney disease, stage 5", "stage 4 CKD", "CKD 4 since 2019"),
    *("AKI", "acute kidney injury", "AKI on CKD 3", "eGFR 22"),
)
MILD_WORDS = (
    *("no CKD", "CKD stage 3", "CKD 2", "CKD 3a", "CKD 5 years", "not on dialysis", "no AKI"),
    *("resolved AKI", "AKI, resolved", "h/o AKI", "AKI 2019", "mother on dialysis"),
    *("father with ESRD", "dialysis nurse", "eGFR 65"),
)


@pytest.mark.parametrize("words", SEVERE_WORDS)
def test_severe_kidney_disease_in_words_warns_wherever_it_is_said(words: str) -> None:
    local = {"coding": [{"system": "urn:site", "code": "K1", "display": words}]}
    for answer in (
        _ask(BONE_METASTASIS, _said(words), mri="72158"),
        _ask(BONE_METASTASIS, {**_said(words), "code": local}, mri="72158"),
        _ask(BONE_METASTASIS, mri="72158", note=words),
    ):
        assert answer.safety == ["SF2"]


@pytest.mark.parametrize("words", SEVERE_WORDS)
def test_with_severe_kidney_disease_contrast_is_never_proposed(words: str) -> None:
    assert BOTH not in _ask(BONE_METASTASIS, _said(words)).offers
    assert _ask(BONE_METASTASIS, _said(words), mri="72149").offers == [WITHOUT]


@pytest.mark.parametrize("words", MILD_WORDS)
def test_other_words_of_the_kidneys_change_nothing(words: str) -> None:
    assert _ask(BONE_METASTASIS, _said(words), mri="72158").safety == []
    assert BOTH in _ask(BONE_METASTASIS, _said(words)).offers


@pytest.mark.parametrize(
    "resource",
    [
        condition(SCT, "433146000"),
        condition(ICD, "I12.0"),
        condition(ICD, "I13.11"),
        condition(ICD, "I13.2"),
        _procedure(code(CPT, "90935"), "2026-03-01"),
        _procedure({"text": "Hemodialysis"}, "2026-03-01"),
    ],
    ids=lambda r: str(r["code"]),
)
def test_codes_and_procedures_of_severe_kidney_disease_warn(resource: Json) -> None:
    assert _ask(resource, mri="72158").safety == ["SF2"]


@pytest.mark.parametrize(
    "resource",
    [
        condition(ICD, "I12.9"),
        condition(ICD, "I13.10"),
        _procedure({"text": "Hemodialysis"}, "2024-03-01"),
    ],
    ids=lambda r: str(r["code"]),
)
def test_milder_disease_and_old_dialysis_do_not(resource: Json) -> None:
    assert _ask(resource, mri="72158").safety == []


LOW = ("25 (low)", "22 L", "22L", "22*", "~25", "G4 (15-29)", "G4", "25 mL/min/1.73m2 (L)")
NOT_LOW = ("90 N", "45 (low)", "G3a (45-59)", "G2", "> 60 N", "normal")
UNREADABLE = ("<60", "22 (prev 45)", "see comment", "unable to calculate", "G3-G4")


@pytest.mark.parametrize("text", LOW)
def test_a_low_egfr_is_read_with_its_flag(text: str) -> None:
    assert _ask(observation(LOINC, EGFR, RECENT, valueString=text), mri="72158").safety == ["SF2"]


@pytest.mark.parametrize("text", NOT_LOW)
def test_an_egfr_that_is_not_low_leaves_contrast_open(text: str) -> None:
    egfr = observation(LOINC, EGFR, RECENT, valueString=text)
    assert _ask(egfr, mri="72158").safety == []
    assert BOTH in _ask(BONE_METASTASIS, egfr).offers


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_egfr_that_cannot_be_read_warns_of_nothing_and_offers_no_contrast(text: str) -> None:
    egfr = observation(LOINC, EGFR, RECENT, valueString=text)
    assert _ask(egfr, mri="72158").safety == []
    assert BOTH not in _ask(BONE_METASTASIS, egfr).offers
    assert _ask(BONE_METASTASIS, egfr, mri="72149").offers == [WITHOUT]


def test_a_newer_egfr_answers_one_that_cannot_be_read() -> None:
    unclear = observation(LOINC, EGFR, "2026-03-01", valueString="see comment")
    clear = observation(LOINC, EGFR, RECENT, **quantity(80))
    assert BOTH in _ask(BONE_METASTASIS, unclear, clear).offers


@pytest.mark.parametrize(
    "what",
    [{"text": "eGFR"}, {"coding": [{"system": "urn:site", "code": "L9", "display": "GFR, est"}]}],
)
def test_an_egfr_by_its_name_is_one(what: Json) -> None:
    low = observation(LOINC, "", RECENT, **quantity(22, "mL/min/{1.73_m2}"))
    assert _ask({**low, "code": what}, mri="72158").safety == ["SF2"]


def test_an_undated_low_egfr_offers_no_contrast() -> None:
    low = observation(LOINC, EGFR, "", **quantity(22))
    assert BOTH not in _ask(BONE_METASTASIS, low).offers


# Open questions about contrast (S3)

REACTION = _allergy(
    "Contrast media", criticality="high", reaction=[{"manifestation": [{"text": "anaphylaxis"}]}]
)


def test_while_the_agent_of_a_reaction_is_asked_contrast_is_not_proposed() -> None:
    answer = _ask(BONE_METASTASIS, REACTION, mri="72149")
    assert answer.safety == ["SF4"]
    assert answer.offers == [WITHOUT]
    assert not any("without and with" in card["summary"] for card in answer.cards)
    assert BOTH not in _ask(BONE_METASTASIS, REACTION).offers


@pytest.mark.parametrize("kind", ["AllergyIntolerance", "Observation"])
def test_contrast_is_not_proposed_on_a_record_that_was_not_read(kind: str) -> None:
    assert _ask(BONE_METASTASIS, mri="72149", unread=kind).offers == [WITHOUT]
    assert BOTH not in _ask(BONE_METASTASIS, unread=kind).offers


def test_with_conditions_unread_contrast_is_not_proposed_either() -> None:
    assert BOTH not in _ask(mri="72149", note="known bone metastases", unread="Condition").offers
    assert BOTH not in _ask(note="known bone metastases", unread="Condition").offers


@pytest.mark.parametrize("kind", ["", "ServiceRequest"])
def test_contrast_is_proposed_where_nothing_is_open(kind: str) -> None:
    assert BOTH in _ask(BONE_METASTASIS, mri="72149", unread=kind).offers
    assert BOTH in _ask(BONE_METASTASIS, unread=kind).offers


# Implants, decision table F81

IMPLANTS = (
    *("AICD", "left ventricular assist device", "HeartMate 3", "sacral nerve stimulator"),
    *("InterStim", "dorsal column stimulator", "hypoglossal nerve stimulator"),
    *("gastric stimulator", "phrenic nerve stimulator", "CRT device", "biventricular pacer"),
    *("transcatheter pacing system", "implantable pulse generator"),
    *("retained epicardial pacing wires", "clipping of cerebral aneurysm"),
    *("clipped MCA aneurysm", "intraocular foreign body metallic", "PPM 2015"),
)
NO_IMPLANTS = (
    *("PPM 5 ppm fluoride", "electrical cardioversion", "no AICD", "AICD removed 2020"),
    *("mother has AICD", "eye exam, metal worker", "aneurysm coiled"),
    *("transcutaneous nerve stimulator", "artificial heart valve"),
)


def _device(text: str) -> Json:
    return {"resourceType": "Device", "status": "active", "type": {"text": text}}


@pytest.mark.parametrize("words", IMPLANTS)
def test_an_implant_is_found_in_every_place(words: str) -> None:
    for answer in (
        _ask(_device(words)),
        _ask(_said(words)),
        _ask(_procedure({"text": words})),
        _ask(note=words),
    ):
        assert "SF1" in answer.safety


@pytest.mark.parametrize("words", NO_IMPLANTS)
def test_what_is_no_implant_is_none_in_any_place(words: str) -> None:
    for answer in (_ask(_said(words)), _ask(_procedure({"text": words})), _ask(note=words)):
        assert answer.safety == []


@pytest.mark.parametrize("number", ["33206", "33207", "33208", "33249", "63650", "63685"])
def test_an_implantation_by_its_cpt_number_counts(number: str) -> None:
    assert _ask(_procedure(code(CPT, number))).safety == ["SF1"]


@pytest.mark.parametrize("number", ["69930", "61700"])
def test_so_do_the_cochlear_implant_and_the_clip(number: str) -> None:
    assert _ask(_procedure(code(CPT, number))).safety == ["SF1"]


@pytest.mark.parametrize(("action", "expected"), [("", ["SF1"]), ("implanted", ["SF1"])])
def test_the_device_that_a_procedure_put_in_counts(action: str, expected: list[str]) -> None:
    assert _ask(_with_device(action)).safety == expected


def test_a_device_that_a_procedure_took_out_is_not_in() -> None:
    assert _ask(_with_device("explanted")).safety == []
    both = _ask({**PACEMAKER, "onsetDateTime": "2015-01-01"}, _with_device("explanted"))
    assert "perhaps removed" in both.safety_card["summary"]


def _with_device(action: str) -> Json:
    focal: Json = {"manipulated": {"display": "Azure pacemaker"}}
    if action:
        focal["action"] = {"coding": [{"code": action}]}
    return _procedure({"text": "Cardiac device procedure"}, focalDevice=[focal])


# What the safety card offers and says (SF1)


@pytest.mark.parametrize(
    ("resources", "patient"),
    [
        pytest.param([DISCITIS], PATIENT, id="spinal infection"),
        pytest.param([condition(ICD, "G83.4", onsetDateTime="2026-03-12")], PATIENT, id="E1"),
        pytest.param([condition(ICD, "M21.371", onsetDateTime="2026-03-12")], PATIENT, id="E2"),
        pytest.param([], {**PATIENT, "birthDate": "2012-01-01"}, id="child"),
        pytest.param([condition(ICD, "Z33.1")], PATIENT, id="pregnant"),
    ],
)
def test_no_other_study_is_offered_where_mri_must_be_sorted_out_first(
    resources: list[Json], patient: Mapping[str, object]
) -> None:
    answer = _ask(PACEMAKER, *resources, patient=patient)
    assert "SF1" in answer.safety
    assert not CT & set(answer.offers)


def test_elsewhere_ct_is_offered_with_an_implant() -> None:
    assert set(_ask(PACEMAKER).offers) >= CT


@pytest.mark.parametrize(("resources", "is_urgent"), [([DISCITIS], True), ([], False)])
def test_suspected_spinal_infection_with_an_implant_is_a_call(
    resources: list[Json], *, is_urgent: bool
) -> None:
    detail = _ask(PACEMAKER, *resources).safety_card["detail"]
    assert ("call MR safety and radiology now" in detail) is is_urgent


def test_the_summary_names_what_else_is_in_the_card() -> None:
    resources = (PACEMAKER, condition(ICD, "Z33.1"), condition(ICD, "N18.5"))
    answer = _ask(*resources, _allergy("Gadobutrol"), mri="72158")
    assert answer.safety == ["SF1", "SF2", "SF3", "SF4"]
    summary = answer.safety_card["summary"]
    assert "kidneys" in summary
    assert "pregnancy" in summary
    assert len(summary) < 140


def test_the_summary_of_one_row_names_nothing_else() -> None:
    assert "also" not in _ask(PACEMAKER).safety_card["summary"]


def test_a_long_finding_is_cut_for_the_other_rows() -> None:
    long = _device("Dual chamber rate responsive pacemaker of an unknown make and model")
    summary = _ask(long, condition(ICD, "Z33.1"), mri="72158").safety_card["summary"]
    assert summary.endswith("pregnancy")
    assert len(summary) < 140


# Beside an alarm about a repeat (RI1, RI2, RI4a, RI6a)


def _study(when: str) -> Json:
    return {
        "resourceType": "ImagingStudy",
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        "description": "MRI LUMBAR SPINE WITHOUT AND WITH CONTRAST",
        "numberOfSeries": 1,
        "numberOfInstances": 20,
        "started": when,
    }


OLD_CANCER = condition(ICD, "Z85.3", onsetDateTime="2019-03-01")


@pytest.mark.parametrize(("when", "row"), [("2026-02-20", "RI1"), ("2025-11-10", "RI2")])
def test_beside_a_repeat_alarm_no_contrast_and_no_xray_is_offered(when: str, row: str) -> None:
    answer = _ask(OLD_CANCER, _study(when))
    assert answer.decision["overlay"] == row
    assert BOTH not in answer.offers
    assert not any(offer.startswith("Replace") for offer in answer.offers)
    assert any(offer.startswith("Add:") for offer in answer.offers)


def test_beside_a_repeat_alarm_a_contrast_only_order_is_still_corrected() -> None:
    answer = _ask(OLD_CANCER, _study("2025-11-10"), mri="72149")
    assert answer.decision["overlay"] == "RI2"
    assert BOTH in answer.offers


def test_beside_a_repeat_alarm_the_xray_of_a_minor_fracture_is_not_offered() -> None:
    fall = condition(ICD, "W18.30XA", onsetDateTime="2025-10-01", recordedDate="2025-10-01")
    age = {**PATIENT, "birthDate": "1950-01-01"}
    answer = _ask(fall, _study("2025-11-10"), patient=age)
    assert answer.decision["overlay"] == "RI2"
    assert not any(offer.startswith("Replace") for offer in answer.offers)
    assert any(offer.startswith("Replace") for offer in _ask(fall, patient=age).offers)
