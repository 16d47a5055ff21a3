"""An emergency that stands outside the order's reasons and the problem list still stops an alarm.

Each line was a warning with "cancel this MRI" until an independent test found it: in an
Observation, in another draft of the basket, in the report of the earlier MRI, or in words that
no pattern knew. Bases: ten days of back pain (S4a), and chronic pain with care and an MRI of
24 days ago (RI1).
"""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from bundled import knowledge
from http_service import LUMBAR_MRI, PATIENT, bundle, hook_request, post

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
CPT = "http://www.ama-assn.org/go/cpt"
DAY = "2026-03-16"
T = "2026-03-14T09:00:00Z"

Resource = dict[str, Any]


def concept(system: str = "", code: str = "", text: str = "") -> Resource:
    """Return a CodeableConcept."""
    coded: Resource = {"coding": [{"system": system, "code": code}]} if code else {}
    return {**coded, **({"text": text} if text else {})}


def condition(code: str = "", text: str = "", **more: object) -> Resource:
    """Return an active, confirmed diagnosis."""
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": concept(ICD, code, text),
        **more,
    }


def observation(
    text: str = "", *, code: str = "", system: str = LOINC, when: str = T, **more: object
) -> Resource:
    """Return a final Observation."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(system, code, text),
        "effectiveDateTime": when,
        **more,
    }


def quantity(value: float, unit: str) -> Resource:
    """Return a valueQuantity member."""
    return {"valueQuantity": {"value": value, "unit": unit, "code": unit}}


def order(**more: object) -> Resource:
    """Return the lumbar MRI order."""
    return {**copy.deepcopy(dict(LUMBAR_MRI)), **more}


def note(text: str) -> list[dict[str, str]]:
    """Return an Annotation list."""
    return [{"text": text}]


S4A = (condition("M54.50", onsetDateTime="2026-03-06"),)
CARE = (
    condition("M54.50", onsetDateTime="2023-06-01", recordedDate="2025-12-20"),
    {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept(CPT, "97110", "Therapeutic exercise"),
        "performedDateTime": "2026-01-12",
        "reasonCode": [concept(ICD, "M54.50")],
    },
)
PRIOR: Resource = {
    "resourceType": "ImagingStudy",
    "status": "available",
    "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
    "description": "MRI LUMBAR SPINE WITHOUT CONTRAST",
    "numberOfInstances": 20,
    "started": "2026-02-20",
}
BASES = {"S4a": S4A, "RI1": (*CARE, PRIOR)}


def fire(*resources: Mapping[str, Any], drafts: list[Resource] | None = None) -> Resource:
    """Return the body of the answer on the day of the tests."""
    named = [
        {"id": f"x{n}", "subject": {"reference": "Patient/pat-1"}, **r}
        for n, r in enumerate(resources)
    ]
    prefetch = {
        key: dict(PATIENT)
        if kind == "Patient"
        else bundle(*(r for r in named if r["resourceType"] == kind))
        for key, kind in knowledge().prefetch_types.items()
    }
    request = hook_request(*(drafts or [order()]), hook="order-sign", prefetch=prefetch)
    response = post(request, day=DAY)
    assert response.status_code == 200
    body = response.get_json()
    assert isinstance(body, dict)
    return body


def row(body: Resource, place: int = 0) -> str:
    """Return the base row of a decision."""
    return str(body["extension"]["org.lumbar-mri-cds.decisions"][place]["row"])


def overlay(body: Resource) -> object:
    """Return the repeat row of the first decision."""
    return body["extension"]["org.lumbar-mri-cds.decisions"][0].get("overlay")


def is_alarm(body: Resource) -> bool:
    """Tell whether a card warns against an order, or offers to cancel it."""
    return any(
        (card["indicator"] == "warning" and card["source"]["topic"]["code"] in {"S4a", "RI1"})
        or any("ancel" in each["label"] for each in card.get("suggestions", []))
        for card in body["cards"]
    )


@pytest.mark.parametrize("base", BASES)
def test_the_bases_alone_are_alarms(base: str) -> None:
    assert is_alarm(fire(*BASES[base]))


A = [concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "A")]
PRESENT: Resource = {"valueCodeableConcept": concept(SCT, "52101004")}
EMERGENCIES: dict[str, tuple[str, Resource]] = {
    "foot drop present": ("E2", observation("Foot drop", valueString="present")),
    "foot drop true": ("E2", observation("Foot drop", valueBoolean=True)),
    "foot drop left": ("E2", observation("Foot drop", valueString="left")),
    "foot drop coded present": ("E2", observation("Foot drop", **PRESENT)),
    "foot drop interpreted": ("E2", observation("Foot drop", interpretation=A)),
    "strength 2/5": ("E2", observation("Lower extremity strength", valueString="2/5")),
    "power 3/5": ("E2", observation("Muscle power left leg", valueString="3/5")),
    "EHL": ("E2", observation("Strength L EHL", valueString="2/5")),
    "EHL out of": ("E2", observation("Strength L EHL", valueString="2 out of 5")),
    "EHL 3+": ("E2", observation("Left EHL", valueString="3+/5")),
    "tibialis": ("E2", observation("Tibialis anterior power L", valueString="2/5")),
    "dorsiflexion": ("E2", observation("Left ankle dorsiflexion", valueString="2/5")),
    "hip flexion": ("E2", observation("Hip flexion left", valueString="1/5")),
    "component": (
        "E2",
        observation(
            "Neurological exam",
            component=[{"code": {"text": "Left ankle dorsiflexion"}, "valueString": "2/5"}],
        ),
    ),
    "free text": ("E2", observation("Neurological exam", valueString="left foot drop")),
    "complaint": (
        "E2",
        observation("Chief complaint", code="8661-1", valueString="Sudden foot drop"),
    ),
    "note": ("E2", observation("Exam", valueString="see note", note=note("new left foot drop"))),
    "cauda equina coded": (
        "E1",
        observation(code="192970008", system=SCT, **PRESENT),
    ),
    "cauda equina as value": (
        "E1",
        observation("Impression", valueCodeableConcept=concept(SCT, "192970008")),
    ),
    "cauda equina suspected": (
        "E1",
        observation("Cauda equina syndrome suspected", valueBoolean=True),
    ),
    "fever": ("R1", observation("Fever", valueBoolean=True)),
    "fever coded": ("R1", observation(code="386661006", system=SCT, valueBoolean=True)),
    "temperature in words": ("R1", observation("Temperature", **quantity(39.2, "Cel"))),
    "oral temperature": ("R1", observation(code="8331-1", **quantity(39.2, "Cel"))),
    "ear temperature": ("R1", observation(code="8333-7", **quantity(39.2, "Cel"))),
    "temperature as text": ("R1", observation(code="8310-5", valueString="102.5 F")),
}
ASKED: dict[str, Resource] = {
    "weakness": observation("Lower limb weakness", valueBoolean=True),
    "4-/5": observation("Left EHL", valueString="4-/5"),
    "fever ten days ago": observation(code="8310-5", when="2026-03-06", **quantity(38.5, "Cel")),
    "CRP": observation(code="1988-5", **quantity(180, "mg/L")),
    "procalcitonin": observation(code="33959-8", **quantity(8, "ng/mL")),
    "blood culture": observation("Blood culture", valueString="Staphylococcus aureus"),
    "numb": observation("Sensation left leg", valueString="numbness left L5 dermatome, new"),
    "note of the bladder": observation("Exam", valueString="done", note=note("bladder distended")),
    "temperature without a unit": observation("Temp", valueString="39.2"),
    "foot drop not assessed": observation("Foot drop", valueString="not assessed"),
    "red flags reviewed": observation("Cauda equina red flags reviewed", valueBoolean=True),
    "unclear cauda equina": observation("Cauda equina syndrome", valueString="unknown"),
    "urinary tract infection": condition("N39.0", "Urinary tract infection", recordedDate=DAY),
    "LLE": condition(text="LLE weakness 3/5", recordedDate="2026-03-14"),
    "RLE": condition(text="RLE 2/5", recordedDate="2026-03-14"),
    "bladder": condition(text="bladder not emptying", recordedDate="2026-03-14"),
    "MSCC": condition(text="MSCC", recordedDate="2026-03-14"),
    "endocarditis": condition(text="endocarditis", recordedDate="2026-03-14"),
    "deficit": condition(text="neurologic deficit new", recordedDate="2026-03-14"),
    "words beside a code": condition("M54.50", "LBP, bladder incontinent", recordedDate=DAY),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", EMERGENCIES)
def test_emergency_in_an_observation_counts(name: str, base: str) -> None:
    expected, resource = EMERGENCIES[name]
    body = fire(*BASES[base], resource)
    assert row(body) == expected
    assert not is_alarm(body)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", ASKED)
def test_what_may_be_a_red_flag_in_the_record_is_asked(name: str, base: str) -> None:
    assert not is_alarm(fire(*BASES[base], ASKED[name]))


SINCE_PRIOR = {
    "sensory": (True, observation("Sensory exam", valueString="decreased L5 left")),
    "numbness": (True, observation("Sensation left leg", valueString="numbness left L5, new")),
    "reflexes": (True, observation("Deep tendon reflexes", valueString="reduced")),
    "Babinski": (True, observation("Babinski", valueString="positive")),
    "ankle reflex": (False, observation("Ankle reflex left", valueString="absent")),
    "foot drop unclear": (False, observation("Foot drop", valueString="not assessed")),
    "heel walking": (False, observation("Heel walking", valueString="unable left")),
}


@pytest.mark.parametrize("name", SINCE_PRIOR)
def test_neurological_finding_after_the_prior_is_a_change_or_asked(name: str) -> None:
    is_change, resource = SINCE_PRIOR[name]
    body = fire(*BASES["RI1"], resource)
    assert not is_alarm(body)
    assert (overlay(body) == "RI3") is is_change


QUIET: dict[str, Resource] = {
    "foot drop absent": observation("Foot drop", valueString="absent"),
    "foot drop no": observation("Foot drop", valueBoolean=False),
    "foot drop none": observation("Foot drop", valueString="none seen"),
    "foot drop coded absent": observation(
        "Foot drop", valueCodeableConcept=concept(SCT, "2667000")
    ),
    "family": observation("Family history", valueString="father: cauda equina syndrome"),
    "full strength": observation("Lower extremity strength", valueString="5/5 bilaterally"),
    "one leg full": observation("Left ankle dorsiflexion", valueString="5/5"),
    "arm": observation("Left grip strength", valueString="2/5"),
    "pain of the knee": observation("Knee pain score", valueString="3/5"),
    "cauda equina denied": observation("Cauda equina symptoms", valueString="denies"),
    "fever denied": observation("Fever", valueString="no"),
    "no fever": observation("Review of systems", valueString="No fever, no weakness."),
    "temperature": observation("Temperature", **quantity(36.8, "Cel")),
    "temperature as text": observation(code="8310-5", valueString="98.6 F"),
    "oral temperature": observation(code="8331-1", **quantity(98.2, "[degF]")),
    "skin temperature": observation("Skin", valueString="warm and dry"),
    "body mass index": observation("Body mass index", code="39156-5", **quantity(27, "kg/m2")),
    "fall risk": observation("Fall risk", valueString="low"),
    "fall risk score": observation("Morse fall scale total", **quantity(35, "{score}")),
    "bowel sounds": observation("Bowel sounds", valueString="present"),
    "bladder": observation("Bladder function", valueString="normal"),
    "urine": observation("Urine color", valueString="yellow"),
    "gait": observation("Gait", valueString="steady"),
    "CRP normal": observation(code="1988-5", **quantity(3, "mg/L")),
    "CRP in words": observation("CRP", **quantity(3, "mg/L")),
    "culture": observation("Blood culture", valueString="no growth at 5 days"),
    "HIV": observation("HIV screen", valueString="negative"),
    "reflexes 2+": observation("Patellar reflex", valueString="2+"),
    "sensation": observation("Sensation", valueString="intact"),
    "neuro exam": observation("Neurological exam", valueString="Gait normal, strength 5/5"),
    "neuro exam in full": observation(
        "Neurological exam",
        valueString="Strength 5/5 throughout, sensation intact, reflexes 2+, gait steady.",
    ),
    "toes down": observation("Babinski", valueString="downgoing bilaterally"),
    "heels": observation("Heel walking", valueString="able"),
    "gait of pain": observation("Gait", valueString="antalgic"),
    "room": observation("Room temperature", **quantity(39, "Cel")),
    "bladder scan": observation("Bladder scan", **quantity(40, "mL")),
    "old words": observation("Bladder issues", valueString="yes", when="2019-03-01"),
    "no value": observation("Pain", valueString="worse with sitting"),
    "hypertension": condition("I10", "Essential hypertension", recordedDate=DAY),
    "vaccine": condition("Z23", "Encounter for immunization", recordedDate=DAY),
    "screening": condition(
        "Z12.31", "Encounter for screening mammogram for malignant neoplasm", recordedDate=DAY
    ),
    "denied": condition("R52", "Pain, no weakness, no bladder symptoms", recordedDate=DAY),
    "old problem": condition(text="bladder issues", onsetDateTime="2019-01-01"),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", QUIET)
def test_what_is_normal_denied_or_old_leaves_the_alarm(name: str, base: str) -> None:
    assert is_alarm(fire(*BASES[base], QUIET[name]))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "words",
    [
        "can't feel when I wipe",
        "pins and needles in private parts",
        "postvoid residual 600 cc",
        "constipation and retention",
        "fecal soiling",
        "hasn't peed since yesterday",
        "needs straight cath",
        "DRE: reduced tone",
        "S3-S5 sensory loss",
        "sacral anesthesia",
        "wet herself",
        "dorsiflexion 2 out of 5",
        "EHL 4-/5, was 5/5 last month",
        "quads 3+/5",
        "dragging left foot",
        "toe drop",
        "unable to heel walk",
        "foot won't lift",
        "neuro deterioration",
        "urosepsis",
        "pyelonephritis last week",
        "TB spine suspected",
        "post-op wound drainage",
        "night sweats",
    ],
)
def test_wording_in_the_order_stops_the_alarm(words: str, base: str) -> None:
    assert not is_alarm(fire(*BASES[base], drafts=[order(note=note(words))]))


CONSULT: Resource = {
    "resourceType": "ServiceRequest",
    "id": "consult",
    "status": "draft",
    "intent": "order",
    "code": {"text": "Neurosurgery consult"},
    "reasonCode": [concept(ICD, "G83.4")],
    "subject": {"reference": "Patient/pat-1"},
}
LABS: Resource = {
    **CONSULT,
    "code": {"text": "Urinalysis, CRP and ESR"},
    "reasonCode": [concept(ICD, "M54.50")],
}


@pytest.mark.parametrize("base", BASES)
def test_emergency_in_another_draft_is_asked(base: str) -> None:
    body = fire(*BASES[base], drafts=[order(), CONSULT])
    assert row(body) != "E1"
    assert not is_alarm(body)
    assert is_alarm(fire(*BASES[base], drafts=[order(), LABS]))
    exercise = {**LABS, "code": {"text": "Physical therapy"}, "note": note("gait training")}
    assert is_alarm(fire(*BASES[base], drafts=[order(), exercise]))


def test_emergency_in_the_second_lumbar_mri_of_the_basket() -> None:
    other = order(id="b", note=note("r/o cauda equina"), priority="stat")
    body = fire(*S4A, drafts=[order(id="a"), other])
    assert (row(body), row(body, 1)) == ("S4a", "E1")
    assert not is_alarm(body)


WRITTEN: dict[str, tuple[str, Resource]] = {
    "supporting words": ("E1", {"supportingInfo": [{"display": "Cauda equina syndrome"}]}),
    "title": (
        "E1",
        {"code": {**dict(LUMBAR_MRI)["code"], "text": "MRI lumbar r/o cauda equina"}},  # type: ignore[dict-item]
    ),
    "instruction": ("E1", {"patientInstruction": "Suspected cauda equina, go today"}),
    "supporting observation": ("E2", {"supportingInfo": [{"reference": "Observation/drop"}]}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_stands_elsewhere_in_the_order_is_read(name: str) -> None:
    expected, more = WRITTEN[name]
    # Too old to count by itself: only the order makes it news.
    drop = observation("Foot drop", valueBoolean=True, id="drop", when="2025-12-01")
    body = fire(*S4A, drop, drafts=[order(**more)])
    assert row(body) == expected
    assert not is_alarm(body)


@pytest.mark.parametrize(
    "more",
    [
        {"patientInstruction": "Go to the ED if you develop saddle numbness or incontinence."},
        {"code": {"text": "MRI LUMBAR SPINE W WO CONTRAST (TUMOR, INFECTION)"}},
        {"code": {"text": "MRI lumbar spine without contrast"}},
        {"supportingInfo": [{"display": "No cauda equina symptoms"}]},
    ],
)
def test_instructions_and_titles_of_catalogues_say_nothing(more: Resource) -> None:
    draft = order(**more)
    if "code" in more:
        draft["code"] = {**dict(LUMBAR_MRI)["code"], **more["code"]}  # type: ignore[dict-item]
    assert is_alarm(fire(*S4A, drafts=[draft]))


def report(conclusion: str) -> Resource:
    """Return the report of the earlier MRI."""
    return {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")],
        "code": concept(LOINC, "30679-5", "MR Lumbar spine WO contrast"),
        "effectiveDateTime": "2026-02-20",
        "conclusion": conclusion,
    }


@pytest.mark.parametrize(
    ("conclusion", "alarm"),
    [
        ("severe cauda equina compression, urgent neurosurgical consultation", False),
        ("Epidural abscess L4-S1", False),
        ("Suspected vertebral metastasis at L3.", False),
        ("Acute L1 compression fracture", False),
        ("No cauda equina compression. No fracture. No abscess.", True),
        ("Mild facet arthropathy", True),
    ],
)
def test_conclusion_of_the_prior_stops_the_repeat_alarm(conclusion: str, *, alarm: bool) -> None:
    assert is_alarm(fire(*BASES["RI1"], report(conclusion))) is alarm
