"""Statements in the order's words: duration, change, treatment, planned procedure, score."""

import pytest

from cds_service.text.change import ChangeState, change_anywhere, change_words
from cds_service.text.durations import says_acute, says_chronic, stated_duration_days
from cds_service.text.statements import (
    CareState,
    candidate_statement,
    care_statement,
    severe_score,
)

SIX, SHORTER, NO_CARE = CareState.SIX_WEEKS_OR_MORE, CareState.SHORTER, CareState.NONE
WORSE, STABLE, NO_CHANGE = ChangeState.WORSE, ChangeState.STABLE, ChangeState.NONE


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("low back pain x 10 days", (10, 10)),
        ("LBP for 3 weeks", (21, 27)),
        ("LBP x3wks", (21, 27)),
        ("LBP x 6w", (42, 48)),
        ("5d back pain", (5, 5)),
        ("2 months of sciatica", (56, 92)),
        ("3 week history of LBP", (21, 27)),
        ("10 day h/o back pain", (10, 10)),
        ("six weeks of low back pain", (42, 48)),
        ("LBP 6/52", (42, 48)),
        ("LBP 2-3 weeks", (14, 21)),
        ("LBP since yesterday", (1, 1)),
        ("pain began last week", (2, 14)),
        ("LBP started 3 weeks ago", (21, 27)),
        ("acute LBP onset 2 days ago", (2, 2)),
        ("LBP > 6 weeks", (42, None)),
        ("back pain less than 6 weeks", (0, 41)),
        ("back pain for over a year", (365, None)),
        ("LBP for years", (730, None)),
        ("back pain for months", (56, None)),
        ("back pain for several months", (56, None)),
        ("LBP for the past 4 weeks", (28, 34)),
        ("low back pain radiating to left leg x 3 weeks", (21, 27)),
        ("45 year old with LBP x 2 days", (2, 2)),
        ("LBP x 3 months, 6 weeks NSAIDs", (84, 123)),
        ("LBP x 1 month, numbness 2 days", (28, 61)),
        ("LBP x 5 years, worse sciatica x 2 weeks", (1825, 2195)),
        ("pain 8/10 for 5 days", (5, 5)),
    ],
)
def test_duration_of_the_pain_is_read_in_days(text: str, days: tuple[int, int | None]) -> None:
    assert days == stated_duration_days(text)


@pytest.mark.parametrize(
    "text",
    [
        "chronic LBP",
        "LBP, PT x 6 weeks",
        "6 weeks of PT for LBP",
        "failed 6 weeks of PT, LBP",
        "LBP, fever x 2 days",
        "prednisone x 5 days, LBP",
        "LBP after fall 3 weeks ago",
        "LBP MRI 2 years ago",
        "45 y/o LBP",
        "LBP in a 45 year old",
        "f/u in 2 weeks for LBP",
        "LBP, PT every 2 weeks",
        "no back pain x 3 weeks",
        "fever x 3 days",
        "",
    ],
)
def test_duration_that_is_not_the_pains_is_not_read(text: str) -> None:
    assert stated_duration_days(text) is None


@pytest.mark.parametrize(
    ("text", "chronic", "acute"),
    [
        ("chronic low back pain", True, False),
        ("Chronic low back pain (finding)", True, False),
        ("LBP, chronic", True, False),
        ("long-standing sciatica", True, False),
        ("back pain for years", True, False),
        ("CKD, chronic b/l low back pain", True, False),
        ("acute on chronic LBP", True, False),
        ("acute low back pain", False, True),
        ("back pain, acute", False, True),
        ("acute onset back pain", False, True),
        ("subacute LBP", False, False),
        ("chronic kidney disease, LBP", False, False),
        ("chronic steroids for LBP", False, False),
        ("no acute distress, LBP", False, False),
        ("acute urinary retention, LBP", False, False),
        ("no chronic pain", False, False),
    ],
)
def test_pain_is_called_chronic_or_acute(text: str, *, chronic: bool, acute: bool) -> None:
    assert (chronic, acute) == (says_chronic(text), says_acute(text))


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("LBP worse", WORSE),
        ("LBP, worse since last MRI", WORSE),
        ("worsening sciatica", WORSE),
        ("progressive leg weakness", WORSE),
        ("weakness progressing", WORSE),
        ("new onset sciatica", WORSE),
        ("new right leg numbness", WORSE),
        ("foot drop is new", WORSE),
        ("recurrent LBP", WORSE),
        ("increasing leg pain", WORSE),
        ("symptoms have changed", WORSE),
        ("?worsening radiculopathy", WORSE),
        ("no fever, worsening LBP", WORSE),
        ("LBP stable, new foot drop", WORSE),
        ("increase in pain", WORSE),
        ("symptoms escalated", WORSE),
        ("sxs progressed", WORSE),
        ("r/o recurrent HNP", WORSE),
        ("recurrent L5-S1 herniation", WORSE),
        ("pain migrated to right side", WORSE),
        ("was stable until last week", WORSE),
        ("symptoms stable until yesterday", WORSE),
        ("no recurrent HNP", NO_CHANGE),
        ("stable until seen by surgery", NO_CHANGE),
        ("weight stable until last week", NO_CHANGE),
        ("LBP, worsening anxiety", NO_CHANGE),
        ("symptoms unchanged", STABLE),
        ("pain stable", STABLE),
        ("pain improved", STABLE),
        ("sciatica resolved", STABLE),
        ("new patient", NO_CHANGE),
        ("new patient, low back pain", NO_CHANGE),
        ("new MRI for LBP", NO_CHANGE),
        ("increased pain meds", NO_CHANGE),
        ("changed insurance", NO_CHANGE),
        ("no new symptoms", NO_CHANGE),
        ("denies worsening pain", NO_CHANGE),
        ("pain has not changed", NO_CHANGE),
        ("not changed", NO_CHANGE),
        ("pain not improved", NO_CHANGE),
        ("pain worse with sitting", NO_CHANGE),
        ("stable vitals", NO_CHANGE),
        ("worse", NO_CHANGE),
        ("pain in the left knee and the right shoulder worse", NO_CHANGE),
    ],
)
def test_words_of_change_count_near_a_symptom_and_not_negated(
    text: str, state: ChangeState
) -> None:
    assert state is change_words(text).state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("worsened", WORSE),
        ("deteriorating", WORSE),
        ("getting worse", WORSE),
        ("now with progression", WORSE),
        ("loss of sensation", WORSE),
        ("loss of left patellar reflex", WORSE),
        ("not worse", NO_CHANGE),
        ("no loss of sensation", NO_CHANGE),
        ("return if worse", NO_CHANGE),
        ("worse with sitting", NO_CHANGE),
        ("worsening anxiety", NO_CHANGE),
        ("worsening renal function", NO_CHANGE),
        ("recurrent depression", NO_CHANGE),
        ("progressing well in PT", NO_CHANGE),
        ("progress note reviewed", NO_CHANGE),
        ("records migrated from Epic", NO_CHANGE),
        ("new patient", NO_CHANGE),
        ("not changed", NO_CHANGE),
    ],
)
def test_words_for_worse_count_anywhere_unless_of_something_else(
    text: str, state: ChangeState
) -> None:
    assert state is change_anywhere(text).state


def test_change_names_the_clause() -> None:
    assert "LBP worse" == change_words("55F. LBP worse; PT x 8 weeks").clause


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("failed 6 weeks PT", SIX),
        ("8 wks of NSAIDs", SIX),
        ("6wk PT/NSAIDs", SIX),
        ("PT x 6 weeks", SIX),
        ("pt x 6 wks", SIX),
        ("PT>6wks", SIX),
        ("PT 2x/week for 6 weeks", SIX),
        ("6+ weeks of conservative care", SIX),
        ("six weeks conservative therapy", SIX),
        ("gabapentin 300 mg tid x 8 weeks", SIX),
        ("PT and NSAIDs for 2 months without relief", SIX),
        ("no improvement after 6 weeks of physical therapy", SIX),
        ("PT started 8 weeks ago", SIX),
        ("failed conservative treatment", SIX),
        ("failed conservative therapy", SIX),
        ("conservative tx failed", SIX),
        ("no relief with conservative management", SIX),
        ("3 weeks of PT, 8 weeks of NSAIDs", SIX),
        ("3 weeks of PT so far", SHORTER),
        ("started PT 2 weeks ago", SHORTER),
        ("NSAIDs x 10 days", SHORTER),
        ("less than 6 weeks of PT", SHORTER),
        ("failed 3 weeks of conservative care", SHORTER),
        ("LBP x 6 weeks, PT x 2 weeks", SHORTER),
        ("4-6 weeks PT", NO_CARE),
        ("PT x 1 month", NO_CARE),
        ("failed PT", NO_CARE),
        ("LBP x 6 weeks", NO_CARE),
        ("LBP x 3 months despite PT", NO_CARE),
        ("LBP 8 weeks failed PT", NO_CARE),
        ("LBP 6 weeks pt failed nsaids", NO_CARE),
        ("pt with LBP x 8 weeks", NO_CARE),
        ("Pt has had 8 weeks of back pain", NO_CARE),
        ("PT for knee x 8 weeks", NO_CARE),
        ("will start 6 weeks PT", NO_CARE),
        ("refer to PT x 6 weeks", NO_CARE),
        ("declined PT x 6 weeks", NO_CARE),
        ("no PT yet", NO_CARE),
        ("has not completed 6 weeks of PT", NO_CARE),
        ("has not failed conservative treatment", NO_CARE),
        ("", NO_CARE),
    ],
)
def test_care_is_stated_with_its_duration(text: str, state: CareState) -> None:
    assert state is care_statement(text).state


def test_care_statement_gives_days_and_clause() -> None:
    stated = care_statement("LBP. Completed 8 weeks of PT; no fever")

    assert (56, "Completed 8 weeks of PT") == (stated.days, stated.clause)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("surgical candidate", True),
        ("candidate for ESI", True),
        ("ESI planned", True),
        ("L4-5 fusion planned", True),
        ("planned fusion", True),
        ("pre-op planning", True),
        ("preop MRI", True),
        ("considering surgery", True),
        ("considering repeat injection", True),
        ("evaluate for surgery", True),
        ("awaiting decompression", True),
        ("needs MRI prior to injection", True),
        ("not a surgical candidate, ESI planned", True),
        ("not a surgical candidate", False),
        ("poor surgical candidate", False),
        ("nonsurgical candidate", False),
        ("no surgery planned", False),
        ("not considering surgery", False),
        ("LBP", None),
        ("s/p fusion 2015", None),
        ("pain since surgery", None),
        ("pre-op for knee replacement", None),
        ("declines surgery", None),
        ("PT planned", None),
        ("", None),
    ],
)
def test_procedure_is_an_option_or_not(text: str, *, said: bool | None) -> None:
    assert said is candidate_statement(text)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("9/10", 9),
        ("pain 10/10", 10),
        ("pain 9 out of 10", 9),
        ("VAS 9", 9),
        ("pain level 8", 8),
        ("pain 7-8/10", 8),
        ("pain 4/10 at rest, 9/10 walking", 9),
        ("since 9/10", None),
        ("9/10/2026", None),
        ("EHL 4/5", None),
        ("pain 9 days", None),
        ("", None),
    ],
)
def test_pain_score_is_read_and_a_date_is_not(text: str, score: int | None) -> None:
    assert score == severe_score(text)
