"""A short run of every fuzzing engine, the same each time, and proof that the oracle sees faults.

The long run is `make fuzz`. What it found is in `test_hostile.py` and `test_robustness.py`.
"""

import copy
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing.corpus import emergencies, seeds
from fuzzing.engines import profile, run
from fuzzing.from_document import run_document
from fuzzing.harness import Answer, LogCheck, Tally, send
from fuzzing.odd_values import CANARY
from fuzzing.oracle import check
from fuzzing.sent import Sent
from fuzzing.tokens import run_tokens
from werkzeug.datastructures import Headers


@pytest.fixture
def log() -> Iterator[LogCheck]:
    with LogCheck() as checking:
        yield checking


@pytest.mark.parametrize(
    ("engine", "examples"),
    [("structure", 150), ("bytes", 200), ("headers", 200), ("additions", 90)],
)
def test_no_changed_request_breaks_a_promise(engine: str, examples: int, log: LogCheck) -> None:
    """R-ROB-02 to R-ROB-07, R-GEN-02, R-GEN-05, R-CTX-03, R-CTX-13, R-LINK-06."""
    tally = Tally()
    run(engine, profile(examples, is_short=True), tally, log)

    assert examples <= tally.inputs
    assert 0 == tally.server_errors
    assert tally.by_status[200] > 0


def test_no_token_that_is_almost_good_breaks_a_promise(log: LogCheck, tmp_path: Path) -> None:
    """R-SEC-02 to R-SEC-14."""
    tally = Tally()
    run_tokens(profile(150, is_short=True), tally, log, store=tmp_path / "store.sqlite3")

    assert {200, 401} == set(tally.by_status)


def test_answers_to_data_made_from_the_document_are_as_it_says(
    log: LogCheck, tmp_path: Path
) -> None:
    tally = Tally()
    run_document(profile(8, is_short=True), tally, log, store=tmp_path / "store.sqlite3")

    assert {"document positive", "document negative"} == set(tally.by_engine)
    assert {200, 400, 401} <= set(tally.by_status)
    assert 0 == tally.server_errors


def seed_and_answer() -> tuple[Sent, Answer]:
    """Return an emergency as it is, and its answer, which is good."""
    seed = emergencies()[0]
    sent = Sent(seed=seed, body=seed.body, changes=(), only_added=True)
    answer = send(sent, Tally())
    check(sent, answer)
    return sent, answer


def rewritten(answer: Answer, change: Callable[[dict[str, Any]], object]) -> Answer:
    body = json.loads(answer.data)
    change(body)
    return Answer(answer.status_code, answer.headers, json.dumps(body).encode())


def _first(body: dict[str, Any]) -> dict[str, Any]:
    card = body["cards"][0]
    assert isinstance(card, dict)
    return card


def _cancel(order: str) -> Callable[[dict[str, Any]], object]:
    action = {"type": "delete", "description": "x", "resourceId": order}
    return lambda body: _first(body)["suggestions"].append(
        {"label": "x", "uuid": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02", "actions": [action]}
    )


def _decision(**members: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body["extension"]["org.lumbar-mri-cds.decisions"][0].update(members)


def _action(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda body: change(_first(body)["suggestions"][0]["actions"][0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: _first(body).update(detail=None), "None is not of type"),
        (lambda body: body["extension"].update({"x.y": {}}), "null or empty"),
        (lambda body: _first(body).update(summary="<b>x</b>"), "does not match"),
        (lambda body: _first(body).update(detail="x" * 20_000), "a detail of"),
        (
            lambda body: _first(body).update(
                links=[{"label": "x", "url": "http://x.example/", "type": "absolute"}]
            ),
            "link",
        ),
        (_action(lambda a: a["resource"].update(id="other")), "what is no draft"),
        (_cancel("ServiceRequest/other"), "what is no draft"),
        (_cancel("ServiceRequest/arendal-mri-draft"), "an offer to cancel"),
        (_decision(order="ServiceRequest/other"), "what is no draft"),
        (_decision(row="S4a"), "is S4a now"),
        (_decision(overlay="RI2"), "has RI2 now"),
        (_decision(rating="usually-not-appropriate"), "is rated"),
    ],
)
def test_the_oracle_sees_a_fault_in_advice(
    change: Callable[[dict[str, Any]], object], says: str
) -> None:
    sent, answer = seed_and_answer()

    with pytest.raises(AssertionError, match=says):
        check(sent, rewritten(answer, change))


REFUSAL = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "invalid",
            "details": {"coding": [{"system": "x", "code": "malformed-request"}]},
            "diagnostics": "x",
        }
    ],
}


def refused(status: int, body: object, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, Headers({"Content-Type": "application/fhir+json", **headers}), data)


def with_code(code: str) -> dict[str, Any]:
    changed = copy.deepcopy(REFUSAL)
    changed["issue"][0]["details"]["coding"][0]["code"] = code  # type: ignore[index]  # as above
    return changed


@pytest.mark.parametrize(
    "answer",
    [
        refused(500, REFUSAL),
        refused(302, REFUSAL),
        refused(400, with_code("other")),
        refused(413, REFUSAL),
        refused(400, b"<html>"),
        refused(400, b'{"resourceType": "OperationOutcome", "a": 1, "a": 2}'),
        refused(400, {**REFUSAL, "text": CANARY}),
        refused(400, {**REFUSAL, "text": "Traceback (most recent call last)"}),
        refused(400, {**REFUSAL, "text": "x" * 1_000}),
        refused(400, REFUSAL, Location=CANARY),
        refused(400, {**REFUSAL, "resourceType": "Bundle"}),
    ],
)
def test_the_oracle_sees_a_fault_in_a_refusal(answer: Answer) -> None:
    sent = Sent(seed=seeds()[0], body=b"", changes=())
    check(sent, refused(400, REFUSAL))

    with pytest.raises((AssertionError, ValueError)):
        check(sent, answer)


def test_the_log_check_sees_what_was_sent(log: LogCheck) -> None:
    logging.getLogger("cds_service.routes").info("hook call", extra={"service": CANARY})

    assert "repeats" in log.problems[0]
