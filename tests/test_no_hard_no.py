"""No plausible red flag, however it is worded or coded, may meet a warning against the order.

Each line was a warning with "cancel this MRI" until an independent test of 1,200 charts found
it. The base chart alone is one: ten days of back pain, nothing else.
"""

from typing import Any

import pytest
from findings_of import (
    ICD,
    LOINC,
    SCT,
    code,
    condition,
    days_ago,
    decision,
    observation,
    quantity,
)

from cds_service.decision import Decision
from cds_service.knowledge import Indicator

LBP = condition(ICD, "M54.50", onsetDateTime=days_ago(10))
BACK = code(ICD, "M54.50")


def _is_hard_no(judged: Decision) -> bool:
    return judged.rule.is_against and judged.indicator is Indicator.WARNING


def _exam(name: str, value: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": name},
        "effectiveDateTime": days_ago(1),
        "valueString": value,
    }


def test_the_base_chart_alone_is_a_hard_no() -> None:
    assert _is_hard_no(decision(LBP, reasonCode=[BACK]))


@pytest.mark.parametrize(
    "words",
    [
        "can't pee since last night",
        "lost control of bladder",
        "no bowel control",
        "no rectal tone",
        "PVR 450 mL",
        "decreased perianal sensation",
        "numb bottom",
        "S2-S4 numbness",
        "bladder issues",
        "never had this before: saddle numbness",
        "urinary retention despite no prior history",
        "low suspicion for cauda equina",
        "doubt cauda equina",
        "leg weakness",
        "weakness in left leg getting worse",
        "cannot lift foot",
        "paralysis of left leg",
        "strength 3/5 LLE",
        "unable to walk",
        "rule out cord compression",
        "r/o spinal infection",
        "IVDU",
        "HIV",
        "T 38.9",
        "r/o tumor",
        "weight loss 15 lbs",
        "awakens patient from sleep",
        "MVA yesterday",
        "diving accident",
    ],
)
def test_words_of_the_order(words: str) -> None:
    assert not _is_hard_no(decision(LBP, reasonCode=[BACK, {"text": words}]))


@pytest.mark.parametrize(
    "words",
    [
        "denies fever, weakness, saddle anesthesia, trauma",
        "No leg weakness. No bowel or bladder incontinence. No fever.",
        "no saddle anesthesia, no bladder sx",
        "father had foot drop",
    ],
)
def test_what_is_denied_or_of_a_relative_does_not_soften(words: str) -> None:
    assert _is_hard_no(decision(LBP, reasonCode=[BACK, {"text": words}]))


@pytest.mark.parametrize("value", ["R33.9", "R32", "R15.9", "K59.2", "G95.81"])
def test_sphincter_codes_as_reason_are_an_emergency(value: str) -> None:
    assert decision(LBP, reasonCode=[BACK, code(ICD, value)]).row == "E1"


@pytest.mark.parametrize("value", ["G83.9", "R39.14", "R20.0", "T81.42XA", "R29.898"])
def test_unspecific_codes_soften_as_reason_and_on_record(value: str) -> None:
    assert not _is_hard_no(decision(LBP, reasonCode=[BACK, code(ICD, value)]))
    assert not _is_hard_no(decision(LBP, condition(ICD, value, onsetDateTime=days_ago(2))))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Rectal tone", "reduced"),
        ("Saddle sensation", "decreased"),
        ("Perianal sensation", "Absent"),
    ],
)
def test_an_abnormal_answer_about_saddle_or_tone_is_an_emergency(name: str, value: str) -> None:
    assert decision(LBP, _exam(name, value), reasonCode=[BACK]).row == "E1"


def test_a_large_residual_is_an_emergency() -> None:
    residual = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Post-void residual"},
        "effectiveDateTime": days_ago(1),
        **quantity(450, "mL"),
    }

    assert decision(LBP, residual).row == "E1"


@pytest.mark.parametrize(
    ("component", "row"),
    [
        ({"code": code(LOINC, "8310-5"), **quantity(39, "Cel")}, "R1"),
        ({"code": {"text": "Ankle dorsiflexion strength left"}, "valueString": "2/5"}, "E2"),
        ({"code": code(SCT, "449813001"), "valueBoolean": True}, "E1"),
    ],
    ids=["temperature", "strength", "saddle"],
)
def test_the_sign_may_be_a_component(component: dict[str, Any], row: str) -> None:
    """Quirk 52."""
    panel = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Examination"},
        "effectiveDateTime": days_ago(1),
        "component": [component],
    }

    assert row == decision(LBP, panel).row


def test_a_fever_without_a_unit_asserts_nothing_and_softens() -> None:
    """Quirk 53."""
    judged = decision(LBP, observation(LOINC, "8310-5", days_ago(1), **quantity(38.6)))

    assert judged.row == "S4a"
    assert not _is_hard_no(judged)
    assert judged.picture.findings["fever_infection"].value is None


@pytest.mark.parametrize("words", ["LBP x 3 months", "chronic low back pain"])
def test_a_longer_duration_in_words_takes_the_alarm_away(words: str) -> None:
    assert decision(LBP, reasonCode=[{"text": words}]).row == "S4c"


def test_an_order_for_a_knee_is_asked_about() -> None:
    assert not _is_hard_no(decision(LBP, reasonCode=[code(ICD, "M25.561")]))


def test_a_reason_that_leads_nowhere_is_not_a_clean_reason() -> None:
    judged = decision(LBP, reasonReference=[{"reference": "Condition/nowhere"}])

    assert not _is_hard_no(judged)
    assert ("reasonReference: not found",) == judged.unreadable


@pytest.mark.parametrize("member", ["reasonCode", "reason"])
def test_reasons_are_read_in_every_shape_that_is_sent(member: str) -> None:
    """Quirks 49 to 51."""
    concept = {"text": "suspected cauda equina syndrome"}
    shapes: list[object] = [[concept], concept, "suspected cauda equina syndrome"]
    if member == "reason":
        shapes.append([{"concept": concept}])
    for shape in shapes:
        sent: dict[str, Any] = {member: shape}
        assert decision(LBP, **sent).row == "E1"


def test_a_pathological_fracture_is_no_high_energy_trauma() -> None:
    fracture = condition(ICD, "M48.56XA", onsetDateTime=days_ago(5))

    assert decision(LBP, fracture).row == "R6"
