"""Repeat imaging as a clinician sees it: several drafts, uncertain exams, what a card says of them.

Each test sends one request to the service and reads its answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from bundled import knowledge
from charts import CPT, ICD_10_CM, LOINC, Json, code
from exam_records import order as completed
from exam_records import study
from findings_of import condition
from http_service import LUMBAR_MRI, PATIENT, body_of, bundle, decisions_of, hook_request, post

from cds_service.knowledge import SUMMARY_LIMIT

BACK = condition(ICD_10_CM, "M54.50", onsetDateTime="2023-06-01", recordedDate="2025-12-20")
SUBJECT = {"reference": "Patient/pat-1"}
PRIOR = study()


def therapy(on: str) -> Json:
    """Return a session of therapeutic exercise for the back."""
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": code(CPT, "97110"),
        "performedDateTime": on,
        "reasonCode": [code(ICD_10_CM, "M54.50")],
    }


CARE = therapy("2026-01-12")
WEIGHT_LOSS = condition(ICD_10_CM, "R63.4", onsetDateTime="2026-02-20", recordedDate="2026-02-20")


def draft(name: str = "draft-mri", **more: object) -> dict[str, object]:
    """Return a draft of a lumbar MRI."""
    return {**LUMBAR_MRI, "id": name, **more}


def answer(
    records: Sequence[Mapping[str, Any]], *drafts: Mapping[str, object], birth: str = "1986-07-02"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return decisions and cards of one call on signing."""
    named = [{"id": f"r{n}", "subject": SUBJECT, **r} for n, r in enumerate(records)]
    prefetch: dict[str, object] = {
        key: {**PATIENT, "birthDate": birth}
        if kind == "Patient"
        else bundle(*(r for r in named if r["resourceType"] == kind))
        for key, kind in knowledge().prefetch_types.items()
    }
    request = hook_request(*(drafts or (draft(),)), hook="order-sign", prefetch=prefetch)
    response = post(request, day="2026-03-16")
    cards = body_of(response)["cards"]
    assert isinstance(cards, list)
    return decisions_of(response), cards


@pytest.mark.parametrize(
    ("priorities", "duplicates"),
    [
        (("routine", "routine"), [1]),
        (("routine", "stat"), [0]),
        (("stat", "routine"), [1]),
        (("stat", "stat"), [1]),
        (("routine", "routine", "urgent"), [0, 1]),
        (("asap", "stat", "urgent"), [0, 2]),
    ],
)
def test_the_most_urgent_draft_stays(priorities: tuple[str, ...], duplicates: list[int]) -> None:
    drafts = [draft(f"d{n}", priority=priority) for n, priority in enumerate(priorities)]

    decisions, cards = answer([BACK, CARE], *drafts)

    assert duplicates == [n for n, d in enumerate(decisions) if d.get("overlay") == "RI0"]
    deleted = {
        action["resourceId"]
        for card in cards
        for suggestion in card.get("suggestions", [])
        for action in suggestion["actions"]
        if action["type"] == "delete"
    }
    assert {f"ServiceRequest/d{n}" for n in duplicates} == deleted


@pytest.mark.parametrize(
    ("second", "birth"),
    [
        pytest.param({"code": code(LOINC, "30854-4")}, "1986-07-02", id="several regions"),
        pytest.param({}, "2012-01-01", id="child"),
        pytest.param({}, "1986-07-02", id="adult"),
    ],
)
def test_a_second_draft_is_not_called_an_active_order(second: Json, birth: str) -> None:
    _, cards = answer([BACK, CARE], draft("d1"), draft("d2", **second), birth=birth)

    (card,) = [c for c in cards if c["source"]["topic"]["code"] == "RI0"]
    assert "This basket" in card["summary"]
    assert "stands in this basket" in card["detail"]
    for text in (card["summary"], card["detail"]):
        assert "active order" not in text
        assert "ordered, booked" not in text


def test_a_draft_that_replaces_another_is_no_duplicate_of_it() -> None:
    replacing = draft("d2", replaces=[{"reference": "ServiceRequest/d1"}])

    for drafts in ((draft("d1"), replacing), (replacing, draft("d1"))):
        decisions, _ = answer([BACK, CARE], *drafts)
        assert [None, None] == [d.get("overlay") for d in decisions]


def named_study(text: str, **more: object) -> Json:
    """Return an MR study that only its description names."""
    return study(description=text, series=None, numberOfInstances=20, **more)


@pytest.mark.parametrize(
    ("text", "overlay"),
    [
        ("MRI LUMBAR SPINE WITHOUT CONTRAST", "RI2"),
        ("MRI THORACIC AND LUMBAR SPINE", "RI2"),
        ("MRI LUMBAR SPINE WITH CONTRAST INJECTION", "RI2"),
        ("MR GUIDED BIOPSY LUMBAR SPINE", None),
        ("MR GUIDED LUMBAR INJECTION", None),
        ("MRI GUIDANCE LUMBAR SPINE", None),
        ("MR MYELOGRAM LUMBAR SPINE", "RI2u"),
        ("MRI ABDOMEN, LUMBAR SPINE INCIDENTAL", "RI2u"),
    ],
)
def test_what_is_no_lumbar_mri_gives_no_repeat_alarm(text: str, overlay: str | None) -> None:
    (decision,), _ = answer([BACK, CARE, named_study(text)])

    assert overlay == decision.get("overlay")


@pytest.mark.parametrize(
    ("started", "overlay"), [("2026-03-16", "RI1"), ("2026-03-17", "RI2u"), ("2026-03-19", None)]
)
def test_an_exam_of_a_day_to_come_was_not_done(started: str, overlay: str | None) -> None:
    (decision,), _ = answer([BACK, CARE, study(started=started)])

    assert overlay == decision.get("overlay")


@pytest.mark.parametrize(
    ("sign", "row", "overlay"),
    [
        pytest.param(WEIGHT_LOSS, "R4", "RI2u", id="weight loss"),
        pytest.param(
            condition(ICD_10_CM, "W18.30XA", onsetDateTime="2026-02-16"), "R6", "RI2u", id="fall"
        ),
        pytest.param(
            condition(ICD_10_CM, "M46.46", onsetDateTime="2026-03-01"), "R1", None, id="infection"
        ),
        pytest.param(
            condition(ICD_10_CM, "C50.911", onsetDateTime="2026-03-01"), "R2", None, id="cancer"
        ),
    ],
)
def test_an_exam_of_some_day_last_year_is_a_line_beside_a_newer_sign(
    sign: Json, row: str, overlay: str | None
) -> None:
    (decision,), (card,) = answer([BACK, sign, study(started="2025")])

    assert (row, overlay) == (decision["row"], decision.get("overlay"))
    assert row == card["source"]["topic"]["code"]
    assert (overlay is not None) == ("An earlier lumbar MRI is on record (2025)" in card["detail"])


@pytest.mark.parametrize(
    ("started", "said"),
    [
        ("2026-02-20", "MRI from 2026-02-20 on record: ask whether"),
        ("2025-08-10", "MRI from 2025-08-10: many surgeons accept 6–12 months"),
    ],
)
def test_how_old_the_exam_is_decides_what_is_said_of_it(started: str, said: str) -> None:
    words = [{"text": "considering surgery"}]

    (decision,), (card,) = answer([BACK, CARE, study(started=started)], draft(note=words))

    assert "RI4b" == decision["overlay"]
    assert card["summary"].startswith(said)


def test_an_exam_that_only_an_order_tells_of_is_dated_by_it() -> None:
    _, (card,) = answer([BACK, CARE, completed(authoredOn="2026-01-10")])

    assert "(ordered 2026-01-10)" in card["summary"]


def test_what_changed_is_named_with_its_date() -> None:
    words = [{"text": "night pain, getting worse"}]

    (decision,), (card,) = answer([BACK, CARE, PRIOR, WEIGHT_LOSS], draft(note=words))

    assert "RI3" == decision["overlay"]
    assert "unexplained weight loss (2026-02-20), night pain, worse or new" in card["detail"]
    assert "a sign newer" not in card["detail"]
    assert len(card["summary"]) <= SUMMARY_LIMIT


UNDER_WAY = (condition(ICD_10_CM, "M54.50", onsetDateTime="2026-02-10"), therapy("2026-02-20"))


@pytest.mark.parametrize(
    ("planned", "indicator", "may_cancel"),
    [
        pytest.param({}, "warning", True, id="no date"),
        pytest.param({"occurrenceDateTime": "2026-04-02"}, "warning", True, id="41 days"),
        pytest.param({"occurrenceDateTime": "2026-04-03"}, "info", False, id="42 days"),
        pytest.param({"occurrencePeriod": {"start": "2026-05-01"}}, "info", False, id="later"),
    ],
)
def test_an_order_for_after_six_weeks_of_care_is_only_noted(
    planned: Json, indicator: str, *, may_cancel: bool
) -> None:
    (decision,), (card,) = answer(UNDER_WAY, {**draft(), **planned})

    labels = [suggestion["label"] for suggestion in card["suggestions"]]
    assert ("S3", indicator) == (decision["row"], card["indicator"])
    assert may_cancel == ("Cancel this MRI" in labels)
    assert may_cancel == ("not appropriate yet" in card["summary"])


def test_a_repeat_speaks_first_where_the_order_waits_long_enough() -> None:
    dated = draft(occurrenceDateTime="2026-04-03")

    (decision,), (card,) = answer([*UNDER_WAY, PRIOR], dated)

    assert ("S3", "RI2", "warning") == (*(decision["row"], decision["overlay"]), card["indicator"])
    assert "RI2" == card["source"]["topic"]["code"]
