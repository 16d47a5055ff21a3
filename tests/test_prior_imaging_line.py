"""What the card and the decision object say of earlier lumbar MRI exams (§7.1, §7.4)."""

from typing import Any

import pytest
from bundled import knowledge
from findings_of import CPT, ICD, code, condition, days_ago, decision
from http_service import bundle, client, decisions_of, fire, hook_request

from cds_service.cards.card import cards_for, decision_object

LBP = condition(ICD, "M54.50", onsetDateTime=days_ago(300))
REPORT = {
    "resourceType": "DiagnosticReport",
    "status": "final",
    "category": [{"coding": [{"code": "RAD"}]}],
    "code": code(CPT, "72158"),
    "effectiveDateTime": "2025-11-10",
}


ANY_SOURCE = ("ImagingStudy", "DiagnosticReport", "Procedure", "ServiceRequest")


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


@pytest.mark.parametrize("unread", ANY_SOURCE)
def test_no_earlier_exam_is_never_said_while_a_source_is_unreadable(unread: str) -> None:
    """R-PRE-19."""
    assert "No earlier lumbar MRI" not in _detail(LBP, unread=unread)


SPINE = {**REPORT, "code": {"text": "MRI spine"}}


@pytest.mark.parametrize("unread", [*ANY_SOURCE, ""])
def test_no_earlier_exam_is_never_said_beside_an_exam_of_uncertain_region(unread: str) -> None:
    """§7.1, site rules: "MRI spine" may have been of the lumbar spine."""
    resources = [] if unread == "DiagnosticReport" else [SPINE]

    assert "No earlier lumbar MRI" not in _detail(LBP, *resources, unread=unread)


PROCEDURE = {
    "resourceType": "Procedure",
    "status": "completed",
    "code": code(CPT, "72148"),
    "performedDateTime": "2025-11-10",
}


@pytest.mark.parametrize(
    ("resource", "kind"), [(REPORT, "DiagnosticReport"), (PROCEDURE, "Procedure")]
)
def test_one_readable_source_is_enough_to_name_an_exam(resource: dict[str, Any], kind: str) -> None:
    """Many servers have no ImagingStudy at all."""
    assert "2025-11-10 (with" in _detail(LBP, resource, unread="ImagingStudy")
    assert kind in _detail(LBP, resource, unread="ImagingStudy")


def _without_date(raw: dict[str, Any], **elements: object) -> dict[str, Any]:
    return {name: v for name, v in raw.items() if name != "effectiveDateTime"} | elements


ORDER = {
    "resourceType": "ServiceRequest",
    "status": "completed",
    "intent": "order",
    "code": code(CPT, "72148"),
}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        pytest.param(
            _without_date(REPORT, issued="2025-11-10T09:00:00Z"),
            "by 2025-11-10 (date of issue of the report,",
            id="issued only",
        ),
        pytest.param(
            _without_date(REPORT, effectivePeriod={"end": "2025-11-10"}),
            "2025-11-10 (end of the period on record,",
            id="end of a period only",
        ),
        pytest.param(
            _without_date(REPORT, meta={"lastUpdated": "2025-11-10T09:00:00Z"}),
            "by 2025-11-10 (date of the last change of the record,",
            id="last change only",
        ),
        pytest.param(
            {**REPORT, "effectiveDateTime": "2025-11"},
            "2025-11 (only the month is on record,",
            id="month",
        ),
        pytest.param(
            {**REPORT, "effectiveDateTime": "2025"}, "2025 (only the year is on record,", id="year"
        ),
        pytest.param(
            {**ORDER, "authoredOn": "2025-11-10"},
            "on or after 2025-11-10 (date of the order,",
            id="completed order",
        ),
        pytest.param(
            {**ORDER, "occurrenceDateTime": "2025-11-10"},
            "2025-11-10 (date planned in the order,",
            id="completed order with a plan",
        ),
        pytest.param(_without_date(REPORT), "date unknown (", id="no date"),
        pytest.param(REPORT, "2025-11-10 (without and with contrast,", id="date of the exam"),
    ],
)
def test_the_date_that_was_used_is_named_where_it_is_not_that_of_the_exam(
    resource: dict[str, Any], expected: str
) -> None:
    """Quirk 5."""
    assert expected in _detail(LBP, resource)


def test_the_decision_leaves_out_what_has_no_value() -> None:
    """R-GEN-02."""
    assert "priorImaging" not in decision_object(knowledge(), decision(LBP))


def test_a_document_that_the_client_sent_of_its_own_accord_is_named_as_one() -> None:
    request = hook_request()
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    prefetch["documents"] = bundle(
        {
            "resourceType": "DocumentReference",
            "id": "d1",
            "status": "current",
            "subject": {"reference": "Patient/pat-1"},
            "description": "Outside MRI lumbar spine report",
            "date": "2025-11-10",
        }
    )

    answer = fire(client(), request)

    (judged,) = decisions_of(answer)
    assert [
        {
            "date": "2025-11-10",
            "precision": "upper-bound",
            "contrast": "unspecified",
            "sources": ["DocumentReference/d1"],
            "outside": True,
        }
    ] == judged["priorImaging"]
    assert "by 2025-11-10 (date of the document, " in answer.get_json()["cards"][0]["detail"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://pacs.ehr.example/reports/42", ["https://pacs.ehr.example/reports/42"]),
        ("http://pacs.ehr.example/reports/42", []),
        ("Binary/42", []),
        ("javascript:alert(1)", []),
        ("", []),
    ],
)
def test_the_report_is_linked_only_where_the_record_holds_an_absolute_https_address(
    url: str, expected: list[str]
) -> None:
    """R-LINK-02, R-LINK-03, R-LINK-06; decision table §7.4, RI1."""
    form = {"contentType": "application/pdf", **({"url": url} if url else {"data": "eA=="})}
    judged = decision(LBP, {**REPORT, "presentedForm": [form]})
    card = cards_for(knowledge(), judged, hook_instance="x")[0]
    links = card.get("links", [])

    assert isinstance(links, list)
    assert expected == [link["url"] for link in links]
    assert all(link["type"] == "absolute" and "2025-11-10" in link["label"] for link in links)


def test_a_card_that_says_nothing_of_the_earlier_exam_links_to_none() -> None:
    form = {"contentType": "application/pdf", "url": "https://pacs.ehr.example/reports/42"}
    old = {**REPORT, "effectiveDateTime": "2022-11-10", "presentedForm": [form]}
    card = cards_for(knowledge(), decision(LBP, old), hook_instance="x")[0]

    assert "links" not in card
