"""Words of the order that lift a repeat alarm: change, advice, an earlier MRI lost (§7.3)."""

import pytest
from charts import CPT, ICD_10_CM, Json, code
from exam_records import study
from findings_of import condition, decision

from cds_service.decision import Decision

BACK = condition(ICD_10_CM, "M54.50", onsetDateTime="2023-06-01", recordedDate="2025-12-20")


def done(text: str = "", *, number: str = "", on: str = "2026-01-12") -> Json:
    """Return a procedure that was done."""
    named: Json = code(CPT, number) if number else {"text": text}
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": named,
        "performedDateTime": on,
        "reasonCode": [code(ICD_10_CM, "M54.50")],
    }


CARE = done(number="97110")


def with_prior(*more: Json, note: str = "") -> Decision:
    """Return the decision beside a lumbar MRI of four months ago and six weeks of care."""
    notes = [{"text": note}] if note else []
    reason = [code(ICD_10_CM, "M54.50")]
    return decision(BACK, CARE, study(subject=None), *more, reasonCode=reason, note=notes)


@pytest.mark.parametrize(
    ("note", "fact"),
    [
        ("prior MRI not available", "prior_not_usable"),
        ("outside MRI images cannot be obtained", "prior_not_usable"),
        ("unable to obtain outside MRI", "prior_not_usable"),
        ("no access to prior imaging", "prior_not_usable"),
        ("previous MRI nondiagnostic", "prior_not_usable"),
        ("last MRI was limited by motion", "prior_not_usable"),
        ("MRI from 2025 lost", "prior_not_usable"),
        ("s/p discectomy Jan 2026", "procedure_since_prior"),
        ("s/p discectomy Jan. 2026", "procedure_since_prior"),
        ("s/p L4-5 fusion 2026", "procedure_since_prior"),
        ("ESI 1/15/2026", "procedure_since_prior"),
        ("lumbar ESI 3 weeks ago", "procedure_since_prior"),
        ("radiologist recommended repeat", "follow_up_recommended"),
        ("indeterminate L3 lesion, 3 month follow-up recommended", "follow_up_recommended"),
        ("increase in pain", "words_of_change"),
        ("symptoms escalated", "words_of_change"),
        ("sxs progressed", "words_of_change"),
        ("r/o recurrent HNP", "words_of_change"),
        ("worsened", "words_of_change"),
        ("deteriorating", "words_of_change"),
        ("pain migrated to right side", "words_of_change"),
        ("was stable until last week", "words_of_change"),
        ("loss of sensation", "words_of_change"),
    ],
)
def test_what_the_order_says_lifts_the_repeat_alarm(note: str, fact: str) -> None:
    judged = with_prior(note=note)

    assert judged.picture.findings[fact].is_true
    assert not judged.picture.findings[fact].is_strong
    assert ("RI3", "info") == (judged.overlay, str(judged.indicator))


@pytest.mark.parametrize(
    "note",
    [
        "new patient",
        "no new symptoms",
        "not changed",
        "worse with sitting",
        "LBP, worsening anxiety",
        "return if worse",
        "prior MRI reviewed",
        "prior MRI available",
        "prior MRI shows limited disc bulge",
        "last MRI was not limited",
        "patient lost weight before last MRI",
        "prior CT not available",
        "prior cervical MRI not available",
        "no follow-up recommended",
        "follow-up in clinic recommended",
        "s/p discectomy 2019",
        "s/p discectomy 2025",
        "s/p discectomy",
        "s/p cervical fusion Jan 2026",
        "progressing well in PT",
    ],
)
def test_what_says_nothing_of_change_leaves_the_alarm(note: str) -> None:
    assert "RI2" == with_prior(note=note).overlay


@pytest.mark.parametrize(
    "procedure",
    [
        pytest.param(done("Kyphoplasty L2", on="2026-01-20"), id="kyphoplasty in words"),
        pytest.param(done("Lumbar medial branch RFA", on="2026-01-20"), id="ablation in words"),
        *(
            pytest.param(done(number=number, on="2026-01-20"), id=number)
            for number in ("22514", "62322", "64484", "64635")
        ),
    ],
)
def test_an_intervention_since_the_exam_is_change(procedure: Json) -> None:
    assert with_prior(procedure).picture.findings["procedure_since_prior"].is_true
