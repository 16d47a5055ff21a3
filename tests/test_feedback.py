"""Feedback: every form that CDS Hooks 2.0 allows, the forms of Epic, and what is refused."""

import json
from datetime import UTC, datetime

import pytest

from cds_service.errors import MalformedRequest, TooLarge
from cds_service.feedback import FeedbackOutcome, parse_feedback

AT = "2026-03-16T09:30:00Z"


def body(*entries: object) -> bytes:
    return json.dumps({"feedback": list(entries)}).encode()


def overridden(**members: object) -> dict[str, object]:
    return {"card": "c1", "outcome": "overridden", "outcomeTimestamp": AT, **members}


def accepted(**members: object) -> dict[str, object]:
    return {"card": "c1", "outcome": "accepted", "outcomeTimestamp": AT, **members}


def test_an_accepted_suggestion_is_read() -> None:
    """R-FB-02."""
    (feedback,) = parse_feedback(body(accepted(acceptedSuggestions=[{"id": "s1"}, {"id": "s2"}])))

    assert FeedbackOutcome.ACCEPTED is feedback.outcome
    assert ("s1", "s2") == feedback.accepted_suggestions
    assert datetime(2026, 3, 16, 9, 30, tzinfo=UTC) == feedback.at


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        pytest.param({}, (), id="no reason"),
        pytest.param({"overrideReason": {"reason": {"code": "O1"}}}, ("O1",), id="reason"),
        pytest.param({"overrideReason": {"userComment": "Mrs X"}}, (), id="comment only"),
        pytest.param(
            {"overrideReason": {"reason": {"code": "O1", "system": "s"}, "userComment": "x"}},
            ("O1",),
            id="reason and comment",
        ),
        pytest.param({"overrideReason": {}}, (), id="neither (R-FB-08)"),
        pytest.param({"overrideReason": None}, (), id="null"),
        pytest.param(
            {"overrideReasons": {"reason": {"code": "O2"}}}, ("O2",), id="Epic: plural, an object"
        ),
        pytest.param(
            {"overrideReasons": [{"reason": {"code": "O2"}}, {"reason": {"code": "O3"}}]},
            ("O2", "O3"),
            id="plural, several",
        ),
        pytest.param(
            {
                "overrideReasons": {
                    "extension": {"com.epic.cdshooks.feedback.overrideReason.id": "12"},
                    "userComment": "x",
                }
            },
            (),
            id="Epic: extension instead of a reason",
        ),
        pytest.param({"acceptedSuggestions": None, "extension": "x"}, (), id="null and text"),
    ],
)
def test_an_override_is_read_with_and_without_reasons(
    members: dict[str, object], codes: tuple[str, ...]
) -> None:
    """R-FB-03, R-FB-06, R-FB-08 and what Epic sends."""
    (feedback,) = parse_feedback(body(overridden(**members)))

    assert codes == feedback.override_codes


def test_free_text_is_dropped() -> None:
    """R-FB-09."""
    comment = "Janet Doe \x00 <script> |" * 1000
    feedback = parse_feedback(body(overridden(overrideReason={"userComment": comment})))

    assert "Janet" not in repr(feedback)


def test_batches_and_repeats_are_read() -> None:
    """R-FB-04."""
    assert 3 == len(parse_feedback(body(overridden(), overridden(), overridden(card="other"))))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({}, "feedback[0].card is missing"),
        (overridden(card=None), "feedback[0].card must be a string"),
        (overridden(card=""), "feedback[0].card must not be empty"),
        ({"card": "c", "outcomeTimestamp": AT}, "feedback[0].outcome is missing"),
        (overridden(outcome="ignored"), "feedback[0].outcome must be accepted or overridden"),
        ({"card": "c", "outcome": "overridden"}, "feedback[0].outcomeTimestamp is missing"),
        (overridden(outcomeTimestamp="2026-03-16"), "RFC 3339 time with a zone"),
        (overridden(outcomeTimestamp="2026-03-16T09:30:00"), "RFC 3339 time with a zone"),
        (overridden(outcomeTimestamp="2026-02-30T09:30:00Z"), "RFC 3339 time with a zone"),
        (overridden(outcomeTimestamp=0), "must be a string"),
        (accepted(), "feedback[0].acceptedSuggestions is missing"),
        (accepted(acceptedSuggestions=None), "acceptedSuggestions must be an array"),
        (accepted(acceptedSuggestions=[]), "acceptedSuggestions must not be empty"),
        (accepted(acceptedSuggestions=["s"]), "acceptedSuggestions[0] must be an object"),
        (accepted(acceptedSuggestions=[{}]), "acceptedSuggestions[0].id is missing"),
        (overridden(overrideReason="O1"), "overrideReason must be an object or an array or null"),
        (overridden(overrideReasons=["O1"]), "overrideReasons[0] must be an object"),
        (overridden(overrideReason={"reason": {"code": 1}}), "reason.code must be a string"),
        ("x", "feedback[0] must be an object"),
    ],
)
def test_a_breach_is_named_by_its_place(entry: object, says: str) -> None:
    """R-FB-05, R-FB-06."""
    with pytest.raises(MalformedRequest) as caught:
        parse_feedback(body(entry))

    assert says in str(caught.value)


@pytest.mark.parametrize("sent", [b"{}", b"[]", b'{"feedback": {}}', b'{"feedback": null}', b"x"])
def test_a_body_without_a_feedback_array_is_refused(sent: bytes) -> None:
    """R-FB-06."""
    with pytest.raises(MalformedRequest):
        parse_feedback(sent)


def test_more_than_a_thousand_reports_are_refused() -> None:
    with pytest.raises((MalformedRequest, TooLarge), match="more than 1000"):
        parse_feedback(body(*[overridden()] * 1001))
