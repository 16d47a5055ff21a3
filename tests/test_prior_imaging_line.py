"""What the card and the decision object say of earlier lumbar MRI exams (§7.1, §7.4)."""

from typing import Any

import pytest
from bundled import knowledge
from findings_of import CPT, ICD, code, condition, days_ago, decision

from cds_service.cards.card import cards_for, decision_object

LBP = condition(ICD, "M54.50", onsetDateTime=days_ago(300))
REPORT = {
    "resourceType": "DiagnosticReport",
    "status": "final",
    "category": [{"coding": [{"code": "RAD"}]}],
    "code": code(CPT, "72158"),
    "effectiveDateTime": "2025-11-10",
}


def _detail(*resources: dict[str, Any], unread: str = "") -> str:
    judged = decision(*resources, unread={unread: "503"} if unread else None)
    card = cards_for(knowledge(), judged, hook_instance="x")[0]
    return str(card["detail"])


def test_an_earlier_exam_is_listed_with_date_contrast_and_sources() -> None:
    listed = decision_object(knowledge(), decision(LBP, REPORT))["priorImaging"]

    assert [
        {
            "date": "2025-11-10",
            "precision": "day",
            "contrast": "without-and-with",
            "sources": ["DiagnosticReport/r1"],
            "outside": False,
        }
    ] == listed
    assert "2025-11-10 (without and with contrast, DiagnosticReport)" in _detail(LBP, REPORT)


def test_an_exam_without_a_date_is_listed_without_one() -> None:
    """Quirk 6."""
    undated = {name: value for name, value in REPORT.items() if name != "effectiveDateTime"}
    listed = decision_object(knowledge(), decision(LBP, undated))["priorImaging"]

    assert isinstance(listed, list)
    assert "date" not in listed[0]
    assert listed[0]["precision"] == "unknown"


def test_no_earlier_exam_is_said_only_when_every_source_was_read() -> None:
    assert "No earlier lumbar MRI found here" in _detail(LBP)


@pytest.mark.parametrize(
    "unread", ["ImagingStudy", "DiagnosticReport", "Procedure", "ServiceRequest"]
)
def test_no_earlier_exam_is_never_said_while_a_source_is_unreadable(unread: str) -> None:
    """R-PRE-19."""
    assert "No earlier lumbar MRI" not in _detail(LBP, unread=unread)


def test_the_decision_leaves_out_what_has_no_value() -> None:
    """R-GEN-02."""
    assert "priorImaging" not in decision_object(knowledge(), decision(LBP))
