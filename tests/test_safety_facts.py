"""Facts of the safety rows on charts: both sides of every edge (decision table F80-F85, §8)."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from findings_of import (
    ICD,
    LOINC,
    RXNORM,
    SCT,
    code,
    condition,
    days_ago,
    decision,
    observation,
    quantity,
    value_of,
)

from cds_service.fact_kinds.implant_entries import ImplantClass
from cds_service.findings import Finding, Strength, Truth

Json: TypeAlias = dict[str, Any]

IMPLANT_FACTS = ("unsafe_implant", "conditional_implant", "removed_implant")
REACTION_FACTS = (
    "gadolinium_reaction",
    "severe_gadolinium_reaction",
    "unnamed_contrast_reaction",
)
SAFETY_FACTS = (
    *IMPLANT_FACTS,
    *REACTION_FACTS,
    *("caution_implant", "low_egfr", "acute_kidney_injury", "renal_risk", "claustrophobia"),
    *("aortic_aneurysm", "recent_back_pain", "contrast_risk"),
)
EGFR = "98979-8"
PACEMAKER = code(SCT, "14106009", "Pacemaker")
PACEMAKER_STATUS = condition(ICD, "Z95.0")
CONDITIONAL = [{"text": "MR Conditional"}]
REMOVAL = code(SCT, "233187001", "Removal of pacemaker")
IMPLANTATION = code(SCT, "307280005", "Implantation of pacemaker")


def _device(kind: Json | None = None, **more: object) -> Json:
    return {"resourceType": "Device", "status": "active", "type": kind or PACEMAKER, **more}


def _procedure(what: Json, when: str = "", status: str = "completed") -> Json:
    dated = {"performedDateTime": when} if when else {}
    return {"resourceType": "Procedure", "status": status, "code": what, **dated}


def _use(status: str, **more: object) -> Json:
    return {
        "resourceType": "DeviceUseStatement",
        "status": status,
        "device": {"display": "Pacemaker"},
        **more,
    }


def _finding(fact: str, *resources: Mapping[str, Any]) -> Finding:
    return decision(*resources).picture.findings[fact]


def _true_of(facts: tuple[str, ...], *resources: Mapping[str, Any], words: str = "") -> list[str]:
    """Return which of the facts are true, with these words as the reason of the order."""
    reasons = [{"text": words}] if words else []
    findings = decision(*resources, reasonCode=reasons).picture.findings
    return [fact for fact in facts if findings[fact].is_true]


# Implants

TEXT_DEVICE = {"text": "Dual chamber pacemaker"}
HAS_ONE = [
    pytest.param([_device()], id="device"),
    pytest.param([_device(status="unknown")], id="device of unknown status"),
    pytest.param([_device(TEXT_DEVICE)], id="device in words"),
    pytest.param(
        [_device({"text": "Generator"}, deviceName=[{"name": "Pacemaker"}])], id="device name"
    ),
    pytest.param([_use("active")], id="use of a device"),
    pytest.param([_use("on-hold")], id="use on hold"),
    pytest.param([PACEMAKER_STATUS], id="status code"),
    pytest.param([condition(ICD, "Z96.21")], id="cochlear implant status"),
    pytest.param([{**PACEMAKER_STATUS, "code": {"text": "pacemaker 2015"}}], id="problem in words"),
    pytest.param([_procedure(IMPLANTATION, "2015-01-01")], id="implantation"),
    pytest.param([_procedure({"text": "Pacemaker interrogation"}, "2025-01-01")], id="check"),
    pytest.param([_device(property=[{"type": {"text": "Mode"}}])], id="nothing stated of MR"),
    pytest.param([_device(safety=[{"text": "MR Unsafe"}])], id="MR unsafe"),
    pytest.param([_device(note=[{"text": "not MR conditional"}])], id="denied to be conditional"),
    pytest.param([_device(note=[{"text": "MR conditional status unknown"}])], id="left open"),
    pytest.param([_device(note=[{"text": "MR Conditional. Abandoned lead"}])], id="abandoned lead"),
    pytest.param(
        [_device(property=[{"type": {"text": "MR Conditional"}, "valueBoolean": False}])],
        id="property says no",
    ),
    pytest.param(
        [_device(safety=CONDITIONAL), _device(code(SCT, "72506001"))], id="one of two classes"
    ),
    pytest.param([_device(safety=CONDITIONAL), _device()], id="one of two of a class"),
    pytest.param(
        [_device(safety=CONDITIONAL), condition(ICD, "Z96.82")], id="device of another class"
    ),
    pytest.param(
        [_procedure(IMPLANTATION, "2021-01-01"), _procedure(REMOVAL, "2020-12-31")],
        id="put in after the removal",
    ),
    pytest.param(
        [_procedure(IMPLANTATION, "2020-05-01"), _procedure(REMOVAL, "2020-05-01")],
        id="exchanged on one day",
    ),
    pytest.param(
        [_procedure({"text": "Removal and replacement of pacemaker generator"}, "2020-05-01")],
        id="replaced",
    ),
    pytest.param(
        [_device(status="inactive"), _device(), PACEMAKER_STATUS], id="old device beside a new one"
    ),
    pytest.param(
        [PACEMAKER_STATUS, _procedure(REMOVAL, "2020-01-01", status="not-done")],
        id="removal not done",
    ),
    pytest.param(
        [
            {**PACEMAKER_STATUS, "onsetDateTime": "2015-01-01"},
            _procedure({"text": "Removal of cochlear implant"}, "2020-01-01"),
        ],
        id="removal of something else",
    ),
    pytest.param(
        [observation(LOINC, "x", days_ago(9), code={"text": "Pacemaker"}, valueBoolean=True)],
        id="observed",
    ),
    pytest.param(
        [observation(LOINC, "x", days_ago(9), code={"text": "Implants"}, valueString="pacemaker")],
        id="named as the answer",
    ),
]


@pytest.mark.parametrize("record", HAS_ONE)
def test_an_implant_without_mr_statement_is_unsafe(record: list[Json]) -> None:
    assert ["unsafe_implant"] == _true_of(IMPLANT_FACTS, *record)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param([_device(safety=CONDITIONAL)], id="safety"),
        pytest.param(
            [
                _device(
                    extension=[
                        {
                            "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Device.safety",
                            "valueCodeableConcept": {"text": "Magnetic Resonance (MR) Safe"},
                        }
                    ]
                )
            ],
            id="extension",
        ),
        pytest.param(
            [_device(property=[{"type": {"text": "MRI safety"}, "valueString": "MR Conditional"}])],
            id="property",
        ),
        pytest.param([_device(note=[{"text": "MRI conditional at 1.5 T"}])], id="note"),
        pytest.param([_device({"text": "Pacemaker, MR Conditional"})], id="type"),
        pytest.param(
            [_device(udiCarrier=[{"carrierHRF": "(01)123 MR Conditional"}])], id="udi text"
        ),
        pytest.param([_device(safety=CONDITIONAL), PACEMAKER_STATUS], id="for a diagnosis"),
        pytest.param(
            [_device(safety=CONDITIONAL), _procedure(IMPLANTATION, "2021-01-01")],
            id="for a procedure",
        ),
        pytest.param(
            [
                _device(safety=CONDITIONAL),
                _device(status="inactive"),
                _procedure(IMPLANTATION, "2021-01-01"),
            ],
            id="old device is out",
        ),
        pytest.param(
            [
                _device(safety=CONDITIONAL),
                _procedure(REMOVAL, "2021-01-01"),
                _procedure(IMPLANTATION, "2021-01-01"),
            ],
            id="exchanged",
        ),
        pytest.param(
            [
                _device(safety=CONDITIONAL),
                {**PACEMAKER_STATUS, "code": {"text": "Pacemaker, MR conditional status unknown"}},
            ],
            id="for a diagnosis that leaves it open",
        ),
        pytest.param(
            [_device(safety=CONDITIONAL), _device(code(SCT, "43252007"), safety=CONDITIONAL)],
            id="both of two",
        ),
    ],
)
def test_an_implant_stated_to_be_mr_conditional(record: list[Json]) -> None:
    assert ["conditional_implant"] == _true_of(IMPLANT_FACTS, *record)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(
            [_procedure(IMPLANTATION, "2015-01-01"), _procedure(REMOVAL, "2015-01-02")],
            id="removed after",
        ),
        pytest.param([_device(), _procedure(REMOVAL, "2020-01-01")], id="device not dated"),
        pytest.param(
            [_procedure(IMPLANTATION, "2020"), _procedure(REMOVAL, "2020-06-01")], id="that year"
        ),
        pytest.param([_device(status="inactive"), PACEMAKER_STATUS], id="inactive device"),
        pytest.param([_use("stopped"), PACEMAKER_STATUS], id="use stopped"),
        pytest.param(
            [
                _device(id="d1"),
                _use("completed", device={"reference": "Device/d1"}),
            ],
            id="use of an active device ended",
        ),
        pytest.param([_device(note=[{"text": "Explanted 2020-05-01"}])], id="note of the device"),
        pytest.param(
            [
                {**PACEMAKER_STATUS, "onsetDateTime": "2015-01-01"},
                _procedure({"text": "Explantation of pacemaker"}, "2020-01-01"),
            ],
            id="removal in words",
        ),
        pytest.param(
            [{**PACEMAKER_STATUS, "abatementDateTime": "2020-01-01"}], id="active but abated"
        ),
        pytest.param(
            [_device(safety=CONDITIONAL), _procedure(REMOVAL, "2020-01-01")],
            id="conditional and removed",
        ),
    ],
)
def test_an_implant_that_came_out_is_asked_about(record: list[Json]) -> None:
    assert ["removed_implant"] == _true_of(IMPLANT_FACTS, *record)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param([_device(status="inactive")], id="inactive device alone"),
        pytest.param([_device(status="entered-in-error")], id="entered in error"),
        pytest.param([_use("intended")], id="intended"),
        pytest.param([condition(ICD, "Z95.0", "resolved")], id="resolved"),
        pytest.param(
            [condition(ICD, "Z95.0", verificationStatus={"coding": [{"code": "refuted"}]})],
            id="refuted",
        ),
        pytest.param([_procedure(IMPLANTATION, status="preparation")], id="planned"),
        pytest.param([_procedure(IMPLANTATION, status="stopped")], id="attempted"),
        pytest.param([_procedure(REMOVAL, "2020-01-01")], id="removal alone"),
        pytest.param(
            [{**PACEMAKER_STATUS, "code": {"text": "pacemaker explanted 2020"}}], id="explanted"
        ),
        pytest.param(
            [{**PACEMAKER_STATUS, "code": {"text": "father has pacemaker"}}], id="relative"
        ),
        pytest.param(
            [observation(LOINC, "x", days_ago(9), code={"text": "Pacemaker"}, valueString="no")],
            id="observed absent",
        ),
        pytest.param(
            [
                observation(
                    LOINC,
                    "x",
                    days_ago(9),
                    code={"text": "Hydrogen PPM"},
                    interpretation=[{"coding": [{"code": "H"}]}],
                    **quantity(25, "ppm"),
                )
            ],
            id="a measurement",
        ),
        pytest.param([condition(ICD, "Z95.5")], id="coronary stent"),
    ],
)
def test_no_implant(record: list[Json]) -> None:
    assert [] == _true_of(IMPLANT_FACTS, *record)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("LBP, has pacemaker", ["unsafe_implant"]),
        ("? pacemaker", ["unsafe_implant"]),
        ("pacemaker, considering SCS", ["unsafe_implant"]),
        ("pacemaker not removed", ["unsafe_implant"]),
        ("pacemaker explanted 2015, new pacemaker 2018", ["unsafe_implant"]),
        ("MR conditional pacemaker", ["conditional_implant"]),
        ("MRI compatible pacemaker", ["unsafe_implant"]),
        ("pacemaker explanted 2020", []),
        ("no pacemaker", []),
        ("denies pacemaker, ICD or other implants", []),
        ("pacemaker clinic declined", []),
        ("declined a pacemaker", []),
        ("MRI before spinal cord stimulator trial", []),
        ("SCS evaluation", []),
        ("SCS trial leads in place", ["unsafe_implant"]),
        ("candidate for spinal cord stimulator", []),
        ("pacemaker - is it MR conditional?", ["unsafe_implant"]),
        ("pacemaker battery replaced 2020", ["unsafe_implant"]),
        ("pacemaker; SCS explanted 2020", ["unsafe_implant"]),
        ("ICD-10 M54.5", []),
    ],
)
def test_implants_in_the_words_of_the_order(words: str, expected: list[str]) -> None:
    assert expected == _true_of(IMPLANT_FACTS, words=words)


def test_an_implant_in_words_is_possible_evidence_and_a_code_is_strong() -> None:
    assert Strength.POSSIBLE is _finding("unsafe_implant", _device(TEXT_DEVICE)).strength
    assert Strength.STRONG is _finding("unsafe_implant", _device()).strength


def _entered(value: str, when: str, verification: str) -> Json:
    verified = {"coding": [{"code": verification}]}
    return condition(ICD, value, recordedDate=when, verificationStatus=verified)


def test_a_refuted_entry_cancels_an_older_unconfirmed_one_of_its_class_only() -> None:
    old = _entered("Z95.0", "2020-01-01", "unconfirmed")
    later = _entered("Z95.0", "2021-01-01", "refuted")
    other = _entered("Z96.21", "2021-01-01", "refuted")

    assert value_of("unsafe_implant", old, later) is None
    assert value_of("unsafe_implant", old, other) is True


@pytest.mark.parametrize(
    ("when", "answer", "expected"),
    [
        ("2025-03-17", {"valueString": "none"}, False),
        ("2025-03-16", {"valueString": "none"}, None),
        ("2026-03-01", {"valueBoolean": False}, False),
        ("2026-03-01", {"valueCodeableConcept": {"text": "No"}}, False),
        ("2026-03-01", {"valueBoolean": True}, None),
        ("2026-03-01", {"valueString": "cleared"}, None),
        ("2026-03-01", {"valueString": "No implants, no metal"}, False),
        ("2026-03-01", {"status": "cancelled", "valueString": "none"}, None),
        ("2026-03-01", {}, None),
    ],
)
def test_a_screening_says_no_for_a_year(when: str, answer: Json, expected: Truth) -> None:
    screening = observation(LOINC, "x", when, **{"code": {"text": "Implanted devices"}, **answer})

    assert expected is value_of("unsafe_implant", screening)


@pytest.mark.parametrize("what", ["Dental implants", "Cochlear implants", "MRI safety screening"])
def test_a_screening_for_something_else_says_nothing(what: str) -> None:
    screening = observation(LOINC, "x", days_ago(9), code={"text": what}, valueString="none")

    assert value_of("unsafe_implant", screening) is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (_procedure(IMPLANTATION, "2026-02-28"), (False, None)),
        (_procedure(IMPLANTATION, "2026-03-01"), (True, None)),
        (_procedure(IMPLANTATION), (True, None)),
        ({**PACEMAKER_STATUS, "onsetDateTime": "2015-01-01"}, (False, True)),
        (PACEMAKER_STATUS, (True, None)),
        (_device(), (True, None)),
    ],
    ids=["before", "same day", "no date", "standing", "standing without date", "device"],
)
def test_a_screening_answers_only_what_is_older(record: Json, expected: tuple[Truth, ...]) -> None:
    screening = observation(LOINC, "x", "2026-03-01", code={"text": "Implants"}, valueString="none")

    assert expected == tuple(
        value_of(fact, record, screening) for fact in ("unsafe_implant", "removed_implant")
    )


@pytest.mark.parametrize(("said", "expected"), [(True, False), (False, None)])
def test_a_screening_may_ask_in_the_negative(*, said: bool, expected: Truth) -> None:
    asked = {"code": {"text": "No implants"}, "valueBoolean": said}

    assert expected is value_of("unsafe_implant", observation(LOINC, "x", days_ago(9), **asked))


def test_a_coded_reason_of_the_order_is_strong_evidence() -> None:
    def of_reason(fact: str, value: str) -> Finding:
        return decision(reasonCode=[code(ICD, value)]).picture.findings[fact]

    assert of_reason("unsafe_implant", "Z95.0").is_strong
    assert of_reason("unnamed_contrast_reaction", "Z91.041").is_strong
    assert of_reason("gadolinium_reaction", "Z91.041").value is None


def test_a_refuted_diagnosis_of_a_reaction_says_no() -> None:
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    entry = {**PACEMAKER_STATUS, **refuted, "code": {"text": "Allergy to gadolinium"}}

    assert value_of("gadolinium_reaction", entry) is False
    assert value_of("unnamed_contrast_reaction", entry) is None


@pytest.mark.parametrize("text", ["pacemaker", "pacemaker: Z95.0", ": Z95.0 | ppm", "p: Z95.0 | "])
def test_a_class_of_implants_has_a_name_and_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form"):
        ImplantClass.parse(text)


def test_the_newest_screening_decides_in_either_order() -> None:
    asked = {"code": {"text": "Implants"}}
    none = observation(LOINC, "x", "2025-12-01", valueString="none", **asked)
    some = observation(LOINC, "x", "2026-01-01", valueBoolean=True, **asked)

    assert value_of("unsafe_implant", none, some) is None
    assert value_of("unsafe_implant", some, none) is None
    assert value_of("unsafe_implant", none) is False


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (_device(safety=CONDITIONAL), "Pacemaker (Device), MR Conditional"),
        (
            _procedure(IMPLANTATION, "2019-05-02"),
            "Implantation of pacemaker (Procedure), 2019-05-02",
        ),
    ],
)
def test_the_evidence_of_an_implant_is_short_and_dated(record: Json, text: str) -> None:
    findings = decision(record).picture.findings

    assert [text] == [e.text for fact in IMPLANT_FACTS for e in findings[fact].evidence]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (_device(code(SCT, "65818007")), True),
        (condition(ICD, "Z96.41"), True),
        (condition(ICD, "Z95.828", "resolved"), None),
        (_procedure({"text": "IVC filter placement"}, "2020-01-01"), True),
        (_procedure({"text": "IVC filter removal"}, "2020-01-01"), None),
        (PACEMAKER_STATUS, None),
    ],
)
def test_implants_of_moderate_concern(record: Json, expected: Truth) -> None:
    assert expected is value_of("caution_implant", record)
    assert value_of("caution_implant", reasonCode=[{"text": "insulin pump"}]) is True


# Kidneys


def _egfr(when: str = "2026-03-01", **value: object) -> Json:
    return observation(LOINC, EGFR, when, **value)


def _compared(comparator: str, value: float, unit: str = "mL/min/{1.73_m2}") -> Json:
    return {"valueQuantity": {"value": value, "comparator": comparator, "code": unit}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (quantity(29.9, "mL/min/{1.73_m2}"), True),
        (quantity(30, "mL/min/{1.73_m2}"), False),
        (quantity(24, "mL/min/1.73m2"), True),
        (quantity(24, "mL/min/1.73 m2"), True),
        (quantity(24, "mL/min"), True),
        (quantity(24), True),
        (quantity(45), False),
        (quantity(2), None),
        (quantity(0.4, "mL/s/{1.73_m2}"), True),
        (quantity(0.5, "mL/s/{1.73_m2}"), False),
        (quantity(24, "mL/h"), None),
        (quantity(24, "mg/dL"), None),
        (quantity(-5, "mL/min"), None),
        (_compared("<", 30), True),
        (_compared("<", 15), True),
        (_compared("<", 31), None),
        (_compared("<=", 30), None),
        (_compared("<=", 29), True),
        (_compared("<", 60), None),
        (_compared(">", 60), False),
        (_compared(">", 20), None),
        (_compared(">=", 30), False),
        (_compared(">", 30), False),
        (_compared(">=", 29), None),
        (_compared(">", 90), False),
        (_compared("~", 24), None),
        ({"valueQuantity": {"value": "24", "unit": "mL/min"}}, True),
        ({"valueQuantity": {"value": "60", "comparator": "<"}}, None),
        ({"valueString": "<15"}, True),
        ({"valueString": "< 30 mL/min/1.73m2"}, True),
        ({"valueString": ">60"}, False),
        ({"valueString": "≥ 60 mL/min/1.73 m2"}, False),
        ({"valueString": "greater than 60"}, False),
        ({"valueString": "15-29"}, True),
        ({"valueString": "25-35"}, None),
        ({"valueString": "24"}, True),
        ({"valueString": "see comment"}, None),
        ({"valueCodeableConcept": {"text": ">90"}}, False),
        ({"valueInteger": 24}, True),
        ({"dataAbsentReason": {"text": "hemolysed"}, **quantity(24)}, None),
    ],
    ids=str,
)
def test_low_egfr_by_value_comparator_and_unit(value: Json, expected: Truth) -> None:
    assert expected is value_of("low_egfr", _egfr(**value))


@pytest.mark.parametrize(
    ("when", "expected"),
    [(days_ago(180), True), (days_ago(181), None), ("2025", None), ("2026-02", True)],
)
def test_an_egfr_counts_for_180_days(when: str, expected: Truth) -> None:
    assert expected is value_of("low_egfr", _egfr(when, **quantity(24)))


@pytest.mark.parametrize(
    ("status", "expected"),
    [("preliminary", True), ("corrected", True), ("cancelled", None), ("registered", None)],
)
def test_an_egfr_counts_by_its_status(status: str, expected: Truth) -> None:
    assert expected is value_of("low_egfr", {**_egfr(**quantity(24)), "status": status})


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        (quantity(24), quantity(45), False),
        (quantity(45), quantity(24), True),
        (quantity(24), _compared("<", 60), None),
        (quantity(24), {"valueString": "pending"}, True),
        (quantity(24), quantity(45, "mL/h"), None),
    ],
)
def test_the_newest_egfr_wins_in_either_order(older: Json, newer: Json, expected: Truth) -> None:
    first, second = _egfr("2026-02-01", **older), _egfr("2026-02-02", **newer)

    assert expected is value_of("low_egfr", first, second)
    assert expected is value_of("low_egfr", second, first)


@pytest.mark.parametrize(("other", "expected"), [(quantity(24), True), (_compared("<", 60), False)])
def test_of_two_results_of_one_day_the_worse_counts(other: Json, expected: Truth) -> None:
    results = [_egfr(**quantity(45)), _egfr(**other)]

    assert expected is value_of("low_egfr", *results)
    assert expected is value_of("low_egfr", *reversed(results))


def test_the_evidence_of_an_egfr_is_short_and_dated() -> None:
    (evidence,) = _finding("low_egfr", _egfr("2026-02-01", **quantity(24, "mL/min"))).evidence

    assert "eGFR 24 mL/min/1.73 m2, 2026-02-01" == evidence.text


@pytest.mark.parametrize(
    ("record", "acute", "chronic"),
    [
        (condition(ICD, "N17.9"), True, None),
        (condition(SCT, "14669001"), True, None),
        (condition(ICD, "N17.9", "resolved"), None, None),
        (condition(ICD, "N18.4"), None, True),
        (condition(ICD, "N18.6"), None, True),
        (condition(ICD, "Z99.2"), None, True),
        (condition(ICD, "N18.30"), None, None),
        (condition(SCT, "433144002"), None, None),
        (_procedure(code(SCT, "265764009"), days_ago(180)), None, True),
        (_procedure(code(SCT, "265764009"), days_ago(181)), None, None),
        (_procedure(code(SCT, "265764009"), days_ago(1), "not-done"), None, None),
    ],
)
def test_acute_and_chronic_kidney_disease(record: Json, acute: Truth, chronic: Truth) -> None:
    findings = decision(record).picture.findings

    assert (acute, chronic) == (
        findings["acute_kidney_injury"].value,
        findings["renal_risk"].value,
    )


@pytest.mark.parametrize(
    ("dates", "egfr", "expected"),
    [
        ({"onsetDateTime": "2026-02-28"}, quantity(45), False),
        ({"onsetDateTime": "2026-03-01"}, quantity(45), True),
        ({"onsetDateTime": "2026-03-02"}, quantity(45), True),
        ({"onsetDateTime": "2020-01-01", "recordedDate": "2026-03-02"}, quantity(45), True),
        ({}, quantity(45), True),
        ({"onsetDateTime": "2020-01-01"}, quantity(24), True),
        ({"onsetDateTime": "2020-01-01"}, _compared("<", 60), True),
        ({"onsetDateTime": "2020-01-01"}, _compared(">", 60), False),
    ],
)
def test_a_later_egfr_outdates_chronic_kidney_disease(
    dates: Json, egfr: Json, expected: Truth
) -> None:
    disease = condition(ICD, "N18.4", **dates)

    assert expected is value_of("renal_risk", disease, _egfr("2026-03-01", **egfr))


def test_an_old_egfr_outdates_nothing() -> None:
    disease = condition(ICD, "N18.4", onsetDateTime="2020-01-01")

    assert value_of("renal_risk", disease, _egfr(days_ago(180), **quantity(45))) is False
    assert value_of("renal_risk", disease, _egfr(days_ago(181), **quantity(45))) is True


def test_acute_kidney_injury_stands_whatever_the_egfr() -> None:
    injury = condition(ICD, "N17.9", onsetDateTime="2026-02-01")

    assert value_of("acute_kidney_injury", injury, _egfr(**quantity(90))) is True


# Reactions


def _allergy(what: Json, **more: object) -> Json:
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": what,
        **more,
    }


GADOBUTROL = {"text": "gadobutrol"}
NAMED = ["gadolinium_reaction"]
SEVERE = ["gadolinium_reaction", "severe_gadolinium_reaction"]
UNNAMED = ["unnamed_contrast_reaction"]
CONTRAST = code(SCT, "293637006")


@pytest.mark.parametrize(
    ("allergy", "expected"),
    [
        (_allergy(GADOBUTROL), NAMED),
        (_allergy(GADOBUTROL, clinicalStatus=None), NAMED),
        (_allergy(code(RXNORM, "1310171")), NAMED),
        (_allergy({"coding": [{"system": RXNORM, "code": "1", "display": "gadoterate"}]}), NAMED),
        (_allergy({"text": "Gadavist"}, criticality="low"), NAMED),
        (_allergy({"text": "iodinated and gadolinium contrast"}), NAMED),
        (_allergy({**CONTRAST, "text": "Dotarem"}), NAMED),
        (_allergy(CONTRAST, reaction=[{"substance": GADOBUTROL}]), NAMED),
        (_allergy(GADOBUTROL, criticality="high"), SEVERE),
        (_allergy(GADOBUTROL, criticality="unable-to-assess"), NAMED),
        (_allergy(GADOBUTROL, reaction=[{"severity": "severe"}]), SEVERE),
        (_allergy(GADOBUTROL, reaction=[{"severity": "moderate"}]), NAMED),
        (_allergy(GADOBUTROL, reaction=[{"manifestation": [code(SCT, "39579001")]}]), SEVERE),
        (_allergy(GADOBUTROL, reaction=[{"manifestation": [{"text": "Anaphylaxis"}]}]), SEVERE),
        (_allergy(GADOBUTROL, reaction=[{"manifestation": [{"text": "Hives"}]}]), NAMED),
        (_allergy(GADOBUTROL, note=[{"text": "no anaphylaxis"}]), NAMED),
        (_allergy({"text": "contrast media"}), UNNAMED),
        (_allergy({"text": "IV contrast dye"}, criticality="high"), UNNAMED),
        (_allergy(CONTRAST), UNNAMED),
        (_allergy(code(ICD, "Z91.041")), UNNAMED),
        (_allergy({"text": "iodinated contrast"}), []),
        (_allergy({"text": "iohexol"}, criticality="high"), []),
        (_allergy({**CONTRAST, "text": "contrast media (Omnipaque)"}), []),
        (_allergy(CONTRAST, reaction=[{"substance": {"text": "iopamidol"}}]), []),
        (_allergy({"text": "CT contrast"}), []),
        (_allergy({"text": "shellfish"}), []),
        (_allergy({"text": "No known allergy to gadolinium"}), []),
        (_allergy(GADOBUTROL, clinicalStatus={"coding": [{"code": "inactive"}]}), []),
        (_allergy(GADOBUTROL, clinicalStatus={"coding": [{"code": "resolved"}]}), []),
        (
            _allergy(GADOBUTROL, verificationStatus={"coding": [{"code": "entered-in-error"}]}),
            [],
        ),
        (condition(ICD, "Z91.041"), UNNAMED),
        (condition(ICD, "Z91.041", "resolved"), []),
        ({**PACEMAKER_STATUS, "code": {"text": "Allergy to gadolinium"}}, NAMED),
        ({**PACEMAKER_STATUS, "code": {"text": "MRI with gadolinium done"}}, []),
    ],
)
def test_reactions_to_contrast(allergy: Json, expected: list[str]) -> None:
    assert expected == _true_of(REACTION_FACTS, allergy)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("allergic to gadolinium", NAMED),
        ("Allergies: penicillin, gadolinium", NAMED),
        ("gadolinium anaphylaxis 2019", SEVERE),
        ("severe reaction to MRI contrast", SEVERE),
        ("rash with Gadavist", NAMED),
        ("crash, MRI with gadolinium", []),
        ("crash MRI with gadolinium", []),
        ("tolerated gadolinium after a reaction to iohexol", []),
        ("contrast allergy", UNNAMED),
        ("MRI with gadolinium please", []),
        ("shellfish allergy, MRI with contrast", []),
        ("no gadolinium allergy", []),
        ("allergic to iodinated contrast", []),
    ],
)
def test_reactions_in_the_words_of_the_order(words: str, expected: list[str]) -> None:
    assert expected == _true_of(REACTION_FACTS, words=words)


def test_a_refuted_allergy_says_no_unless_another_says_yes() -> None:
    refuted = _allergy(GADOBUTROL, verificationStatus={"coding": [{"code": "refuted"}]})
    findings = decision(refuted).picture.findings

    assert [False, False, None] == [findings[fact].value for fact in REACTION_FACTS]
    assert value_of("gadolinium_reaction", refuted, _allergy({"text": "gadoterate"})) is True


def test_a_refuted_allergy_cancels_an_unconfirmed_one_that_is_not_newer() -> None:
    refuted = _allergy(
        GADOBUTROL,
        verificationStatus={"coding": [{"code": "refuted"}]},
        recordedDate="2021-01-01",
    )
    doubt = {"verificationStatus": {"coding": [{"code": "unconfirmed"}]}}
    older = _allergy(GADOBUTROL, recordedDate="2020-01-01", **doubt)
    newer = _allergy(GADOBUTROL, recordedDate="2022-01-01", **doubt)

    assert value_of("gadolinium_reaction", refuted, older) is False
    assert Strength.POSSIBLE is _finding("gadolinium_reaction", refuted, newer).strength


# Claustrophobia, aorta, back pain, and what they come to


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (condition(ICD, "F40.240"), True),
        (condition(SCT, "19887002"), True),
        (condition(ICD, "F40.240", "resolved"), None),
        (condition(ICD, "F40.00"), None),
        ({**PACEMAKER_STATUS, "code": {"text": "mother claustrophobic"}}, None),
        (
            condition(ICD, "F40.240", verificationStatus={"coding": [{"code": "refuted"}]}),
            False,
        ),
    ],
)
def test_claustrophobia(record: Json, expected: Truth) -> None:
    assert expected is value_of("claustrophobia", record)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (condition(ICD, "I71.40"), True),
        (condition(ICD, "I71.30"), True),
        (condition(ICD, "I71.02"), True),
        (condition(ICD, "I71.40", "resolved"), None),
        (condition(ICD, "I71.40", "inactive"), None),
        ({**PACEMAKER_STATUS, "code": {"text": "Abdominal aortic aneurysm 4.2 cm"}}, True),
        ({**PACEMAKER_STATUS, "code": {"text": "AAA s/p EVAR 2019"}}, None),
        ({**PACEMAKER_STATUS, "code": {"text": "Repaired AAA"}}, None),
        ({**PACEMAKER_STATUS, "code": {"text": "family history of AAA"}}, None),
        (condition(ICD, "I72.3"), None),
    ],
)
def test_aortic_aneurysm(record: Json, expected: Truth) -> None:
    assert expected is value_of("aortic_aneurysm", record)


@pytest.mark.parametrize(("ago", "expected"), [(179, True), (180, False)])
def test_back_pain_of_less_than_180_days(ago: int, expected: Truth) -> None:
    pain = condition(ICD, "M54.50", onsetDateTime=days_ago(ago))

    assert expected is value_of("recent_back_pain", pain)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (condition(ICD, "O26.90", onsetDateTime=days_ago(30)), True),
        (_egfr(**quantity(24)), True),
        (_egfr(**quantity(45)), None),
        (condition(ICD, "N17.9"), True),
        (condition(ICD, "N18.5"), True),
        (_allergy(GADOBUTROL), True),
        (_allergy(CONTRAST), None),
        (PACEMAKER_STATUS, None),
    ],
)
def test_what_makes_gadolinium_a_risk(record: Json, expected: Truth) -> None:
    assert expected is value_of("contrast_risk", record)


JUNK: tuple[object, ...] = (
    *(None, True, 0, -1.5, "", "x", [], {}, [None], [[]], [{}], {"coding": 7}),
    *({"coding": [None, "x", {"code": 5}]}, {"value": "x", "comparator": 3}, {"reference": []}),
)
_STATUS = ("status", "clinicalStatus", "verificationStatus")
ELEMENTS: Mapping[str, tuple[Json, str]] = {
    "Device": (
        _device(safety=CONDITIONAL, note=[{"text": "explanted"}]),
        "type safety property deviceName note udiCarrier udi extension modelNumber",
    ),
    "DeviceUseStatement": (
        _use("completed"),
        "device note timingPeriod timingDateTime recordedOn contained",
    ),
    "AllergyIntolerance": (
        _allergy(GADOBUTROL),
        "code criticality reaction note recordedDate substance",
    ),
    "Observation": (
        _egfr(**quantity(24)),
        "code effectiveDateTime valueQuantity valueString valueBoolean component",
    ),
    "Procedure": (_procedure(REMOVAL), "code performedDateTime note"),
    "Condition": (PACEMAKER_STATUS, "code onsetDateTime recordedDate note"),
}


@pytest.mark.parametrize("kind", ELEMENTS)
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_in_any_element_is_read_without_an_error(kind: str, junk: object) -> None:
    whole, elements = ELEMENTS[kind]
    broken = [{**whole, element: junk} for element in (*_STATUS, *elements.split())]

    findings = decision(*broken).picture.findings

    assert set(SAFETY_FACTS) <= set(findings)
    assert sum(findings[fact].is_true for fact in IMPLANT_FACTS) <= 1
