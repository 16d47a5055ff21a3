"""Hostile and broken bodies: a clear 4xx or a normal answer, never a 5xx (R-ROB-01 to R-ROB-08)."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_service import BACK_PAIN, ORDER_SELECT, ORDER_SIGN, bundle, client, fire, hook_request

WRONG: tuple[object, ...] = (None, "x", 7, [], [None], {"x": [1]})


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every leaf and branch."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from places(member, (*path, index))


def replaced(request: object, path: tuple[str | int, ...], value: object) -> object:
    changed = copy.deepcopy(request)
    node = changed
    for step in path[:-1]:
        node = node[step]  # type: ignore[index]  # the path was read off this very value
    node[path[-1]] = value  # type: ignore[index]  # as above
    return changed


def rich_request() -> dict[str, object]:
    """Return a request with one resource of each kind that the service reads."""
    request = hook_request()
    subject = {"reference": "Patient/pat-1"}
    concept = {"coding": [{"system": "http://loinc.org", "code": "1988-5"}], "text": "x"}
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    prefetch["observations"] = bundle(
        {
            "resourceType": "Observation",
            "id": "o1",
            "status": "final",
            "code": concept,
            "subject": subject,
            "effectiveDateTime": "2026-03-10T08:00:00Z",
            "valueQuantity": {"value": 44.5, "unit": "mg/L", "code": "mg/L"},
            "referenceRange": [{"high": {"value": 5}}],
            "interpretation": [{"coding": [{"code": "H"}]}],
        }
    )
    prefetch["procedures"] = bundle(
        {
            "resourceType": "Procedure",
            "id": "pr1",
            "status": "completed",
            "code": concept,
            "subject": subject,
            "performedPeriod": {"start": "2026-01-01", "end": "2026-02-20"},
        }
    )
    prefetch["medicationRequests"] = bundle(
        {
            "resourceType": "MedicationRequest",
            "id": "m1",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": concept,
            "subject": subject,
            "authoredOn": "2026-02-01",
            "dispenseRequest": {"expectedSupplyDuration": {"value": 30, "code": "d"}},
        }
    )
    prefetch["diagnosticReports"] = bundle(
        {
            "resourceType": "DiagnosticReport",
            "id": "r1",
            "status": "final",
            "code": concept,
            "subject": subject,
            "effectivePeriod": {"end": "2025-11-10"},
            "presentedForm": [{"title": "MRI lumbar spine"}],
        }
    )
    prefetch["imagingStudies"] = bundle(
        {
            "resourceType": "ImagingStudy",
            "id": "i1",
            "status": "available",
            "subject": subject,
            "started": "2025-11-10",
            "modality": [{"code": "MR"}],
            "series": [{"modality": {"code": "MR"}, "bodySite": {"code": "x"}}],
        }
    )
    return request


def test_a_wrong_value_anywhere_never_gives_a_server_error() -> None:
    """R-ROB-06, R-PRE-15, R-CALL-07: every leaf and branch replaced by every wrong value."""
    to = client()
    request = rich_request()
    answers = {
        (path, repr(value)): fire(to, replaced(request, path, value), path=ORDER_SELECT)
        for path in places(request)
        for value in WRONG
    }

    assert len(answers) > 900
    assert {} == {k: a.text for k, a in answers.items() if a.status_code not in (200, 400, 412)}


@pytest.mark.parametrize(
    "sent",
    [
        *("2026", "2026-03", "2024-13-45", "2026-02-30", "0000", "9999-12-31", "2226-01-01"),
        *("2026-03-10T24:00:00Z", "2026-03-10T23:59:60Z", "2026-03-10T10:00:00", "20260310"),
        *("2026-03-10T10:00:00+99:00", "10/03/2026", "yesterday", "", " ", "\u0662\u0660\u0662"),
    ],
)
def test_odd_dates_never_give_a_server_error(sent: str) -> None:
    """R-ROB-07."""
    request = rich_request()
    text = json.dumps(request)
    for date in ("1986-07-02", "2026-03-06", "2026-03-10T08:00:00Z", "2026-02-01", "2025-11-10"):
        assert date in text
        changed = text.replace(json.dumps(date), json.dumps(sent))
        response = client().post(
            ORDER_SELECT, data=changed.encode(), content_type="application/json"
        )

        assert 200 == response.status_code


def _text(body: str) -> bytes:
    return body.encode()


VALID = json.dumps(hook_request())


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(b"", {400}, id="empty"),
        pytest.param(b"{", {400}, id="truncated"),
        pytest.param(b"[]", {400}, id="an array"),
        pytest.param(b"7", {400}, id="a number"),
        pytest.param(_text(VALID + "//"), {400}, id="a comment"),
        pytest.param(_text(VALID[:-1] + ",}"), {400}, id="trailing comma"),
        pytest.param(_text(VALID[:-1] + ',"hook":"order-select"}'), {400}, id="repeated name"),
        pytest.param(_text(VALID[:-1] + ',"n":NaN}'), {400}, id="NaN"),
        pytest.param(_text(VALID[:-1] + ',"n":1e999}'), {400}, id="huge number"),
        pytest.param(_text(VALID[:-1] + f',"n":{"9" * 300}}}'), {200, 400}, id="300 digits"),
        pytest.param(_text(VALID[:-1] + ',"n":"\\ud800"}'), {400}, id="lone surrogate"),
        pytest.param(_text(VALID[:-1] + ',"n":"\\u0000"}'), {200}, id="NUL character"),
        pytest.param(_text(VALID.replace("pat-1", "pat-1\\u0000")), {400}, id="NUL in the id"),
        pytest.param(b"\xef\xbb\xbf" + _text(VALID), {200}, id="byte-order mark"),
        pytest.param(_text(VALID[:-1] + ',"n":"\xe9"}').replace(b"\xc3", b""), {400}, id="latin-1"),
        pytest.param(VALID.encode("utf-16"), {400}, id="UTF-16"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {413}, id="depth 10,000"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, {413}, id="depth 100,000"),
        pytest.param(
            _text(VALID[:-1] + ',"extension":' + '{"a":' * 40 + "1" + "}" * 41),
            {200},
            id="depth 40 in an extension",
        ),
        pytest.param(
            _text(VALID[:-1] + ',"n":[' + ",".join(["{}"] * 100_000) + "]}"), {413}, id="100,000"
        ),
    ],
)
def test_bodies_that_break_parsers_are_answered_clearly(body: bytes, statuses: set[int]) -> None:
    """R-CALL-13, R-ROB-02, R-ROB-03, R-ROB-04."""
    response = client().post(ORDER_SELECT, data=body, content_type="application/json")

    assert response.status_code in statuses
    if response.status_code != 200:
        assert "OperationOutcome" == json.loads(response.get_data())["resourceType"]
        assert "Traceback" not in response.text


def test_twenty_thousand_resources_in_one_prefetch_bundle_are_judged() -> None:
    conditions = bundle(*({**BACK_PAIN, "id": f"c{i}"} for i in range(20_000)))
    request = hook_request()
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    prefetch["conditions"] = conditions

    assert 200 == fire(client(), request).status_code


def test_captured_requests_of_other_products_are_survived(shared: Path) -> None:
    """R-ROB-08: as captured, and with hook and selections made to fit."""
    files = sorted((shared / "realworld" / "requests").glob("*.json"))
    to = client()
    answers = {}
    for file in files:
        captured = json.loads(file.read_text("utf-8"))
        for path, hook in ((ORDER_SELECT, "order-select"), (ORDER_SIGN, "order-sign")):
            answers[file.name, hook, "as is"] = fire(to, captured, path=path)
            adapted = {**captured, "hook": hook}
            answers[file.name, hook, "adapted"] = fire(to, adapted, path=path)

    assert len(files) >= 10
    assert {} == {k: a.text for k, a in answers.items() if a.status_code not in (200, 400)}
    assert {200} == {a.status_code for k, a in answers.items() if k[2] == "adapted"}
