"""A radiologist's recommendation of another MRI or of contrast, in the words of conclusions."""

import pytest

from cds_service.imaging_history.follow_up import recommends_follow_up


@pytest.mark.parametrize(
    "conclusion",
    [
        "Recommend follow-up MRI in 6 weeks.",
        "Recommended repeat MRI.",
        "Repeat MRI is recommended",
        "Follow up with contrast-enhanced MRI recommended",
        "RECOMMEND FURTHER MRI WITH CONTRAST",
        "Recommend contrast-enhanced imaging of the lumbar spine.",
        "Recommendation: follow-up MRI with and without gadolinium",
        "Lesion of L3. Further evaluation with contrast enhanced MRI is recommended",
        "Short interval follow-up imaging is suggested.",
        "No acute fracture, recommend follow-up MRI if pain persists.",
        "No fracture but repeat MRI with contrast is advised",
        "Consider MRI with and without contrast.",
        "Lesion at L2; MRI without and with contrast recommended for characterization.",
        "Recommend repeat MRI lumbar spine without contrast in 3 months.",
        "Post-contrast imaging recommended.",
        "MRI follow-up in 6 months is recommended",
        "Repeat examination recommended due to motion.",
        "1.5 cm lesion, recommend follow-up MRI.",
    ],
)
def test_a_recommended_repeat_further_mri_or_contrast_is_found(conclusion: str) -> None:
    assert recommends_follow_up([conclusion])


@pytest.mark.parametrize(
    "conclusion",
    [
        "",
        "Normal.",
        "No follow-up recommended.",
        "No further imaging recommended",
        "No additional imaging recommended at this time.",
        "Repeat MRI is not recommended",
        "Recommend against repeat MRI.",
        "Recommend no further imaging.",
        "No recommendation for follow-up MRI",
        "Follow-up imaging is not needed",
        "Follow-up imaging not required",
        "Previously recommended follow-up MRI.",
        "Follow-up MRI as previously recommended shows resolution",
        "Recommend follow-up with primary care.",
        "Recommend clinical correlation.",
        "Recommend follow-up renal ultrasound.",
        "Recommend CT abdomen with contrast.",
        "Recommend MRI brain with contrast",
        "Study performed without contrast.",
        "Compared with the prior MRI with contrast.",
        "Physical therapy recommended.",
    ],
)
def test_no_recommendation_a_denied_one_or_one_of_something_else_is_none(conclusion: str) -> None:
    assert not recommends_follow_up([conclusion])


def test_the_last_word_that_speaks_of_it_decides() -> None:
    wet_read, final = "Recommend repeat MRI.", "No follow-up imaging recommended."

    assert not recommends_follow_up([final, wet_read])
    assert recommends_follow_up(["Addendum: L4-5, not L3-4.", wet_read, final])
