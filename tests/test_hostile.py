"""Bad input gets a clear 4xx or a calm answer, and the process lives (R-ROB-*, R-CALL-13)."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fixture_stories import as_of, stories
from http_service import post
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.evaluate import MOST_ORDERS, MOST_STATED
from cds_service.protocol import MOST_DRAFTS

_WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "x",
    [],
    {},
    [None],
    {"x": None},
    [[]],
    "2024-13-45",
)


def _story(name: str = "acute-back-pain-ten-days") -> dict[str, Any]:
    story = next(s for s in stories() if s.name == name)
    return copy.deepcopy(story.request)


def _body(**changes: object) -> bytes:
    return json.dumps({**_story(), **changes}).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b"{", 400, id="cut off"),
        pytest.param(b"not json", 400, id="not JSON"),
        pytest.param(b"[]", 400, id="an array"),
        pytest.param(b"3", 400, id="a number"),
        pytest.param(b'{"hook": NaN}', 400, id="NaN"),
        pytest.param(b'{"hook": Infinity}', 400, id="Infinity"),
        pytest.param(b'{"hook": "\\ud800"}', 400, id="lone surrogate"),
        pytest.param('{"hook": "ä"}'.encode("latin-1"), 400, id="Latin-1"),
        pytest.param('{"hook": 1}'.encode("utf-16"), 400, id="UTF-16"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, 413, id="depth 10,000"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 413, id="objects 10,000 deep"),
        pytest.param(b'{"hook":"order-select","hook":"order-sign"}', 400, id="repeated member"),
        pytest.param(b'{"hook": 1' + b"0" * 400 + b"}", 400, id="a number of 400 digits"),
        pytest.param(b'{"hook": /* no */ 1}', 400, id="a comment"),
        pytest.param(b'{"hook": 1,}', 400, id="a trailing comma"),
    ],
)
def test_a_body_that_is_not_good_json_is_refused(body: bytes, status: int) -> None:
    """R-CALL-13, R-ROB-02, R-ROB-03, R-ROB-04."""
    answer = post(body, day=as_of())

    assert status == answer.status_code
    assert answer.get_json()["resourceType"] == "OperationOutcome"
    assert answer.get_json()["issue"][0]["diagnostics"]


def test_a_repeated_member_deep_inside_is_refused() -> None:
    """R-ROB-03."""
    body = _body().replace(b'"birthDate":', b'"birthDate": "1900-01-01", "birthDate":', 1)

    assert post(body, day=as_of()).status_code == 400


def test_a_hundred_thousand_entries_are_refused_with_the_limit() -> None:
    request = _story()
    request["prefetch"]["conditions"] = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "Condition"}}] * 100_000,
    }

    answer = post(request, day=as_of())

    assert answer.status_code == 413
    assert "20000" in answer.get_json()["issue"][0]["diagnostics"]


def _draft(request: dict[str, Any]) -> dict[str, Any]:
    draft: dict[str, Any] = request["context"]["draftOrders"]["entry"][0]["resource"]
    return draft


def _many_drafts(request: dict[str, Any]) -> None:
    entries = request["context"]["draftOrders"]["entry"]
    entries.extend({"resource": {"resourceType": "Goal"}} for _ in range(MOST_DRAFTS))


def _many_lumbar_mris(request: dict[str, Any]) -> None:
    draft = _draft(request)
    entries = request["context"]["draftOrders"]["entry"]
    entries.extend({"resource": {**draft, "id": f"mri-{n}"}} for n in range(MOST_ORDERS))
    request["context"]["selections"] = []


def _many_notes(request: dict[str, Any]) -> None:
    _draft(request)["note"] = [{"text": f"pain {n}"} for n in range(MOST_STATED + 1)]


def _a_library_of_diagnoses(request: dict[str, Any]) -> None:
    said = "numb saddle, weak legs, cancer, fever, fall, worse, surgery, pacemaker, osteoporosis. "
    request["prefetch"]["conditions"] = {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {"resourceType": "Condition", "code": {"text": f"{n} " + said * 24}}}
            for n in range(3_000)
        ],
    }


@pytest.mark.parametrize(
    ("grow", "says"),
    [
        (_many_drafts, f"more than {MOST_DRAFTS} entries"),
        (_many_lumbar_mris, f"More than {MOST_ORDERS} orders in one call: Lumbar MRI."),
        (_many_notes, f"more than {MOST_STATED} entries in one list"),
        (_a_library_of_diagnoses, "more free text than can be read"),
    ],
)
def test_what_could_not_be_judged_in_time_is_refused_with_the_limit(
    grow: Callable[[dict[str, Any]], None], says: str
) -> None:
    """R-ROB-01: a small body may hold days of work."""
    request = _story()
    grow(request)

    answer = post(request, day=as_of())

    assert answer.status_code == 413
    assert says in answer.get_json()["issue"][0]["diagnostics"]


def test_one_endless_text_is_read_no_further_than_its_beginning() -> None:
    request = _story()
    _draft(request)["note"] = [{"text": "x" * 2_000_000}]

    assert post(request, day=as_of()).status_code == 200


def test_a_patient_id_that_is_none_never_stands_in_a_new_order() -> None:
    """Found by `make fuzz`: what was sent as an id became the subject of a referral."""
    request = _story()
    request["prefetch"]["patient"]["id"] = "x <b>x</b>"

    answer = post(request, day=as_of()).get_json()

    made = [
        action["resource"]["subject"]["reference"]
        for card in answer["cards"]
        for suggestion in card["suggestions"]
        for action in suggestion["actions"]
        if action["type"] == "create"
    ]
    assert made
    bare = request["context"]["patientId"].rpartition("/")[2]
    assert {f"Patient/{bare}"} == set(made)


def test_a_byte_order_mark_does_no_harm() -> None:
    """R-ROB-04."""
    assert post(b"\xef\xbb\xbf" + _body(), day=as_of()).status_code == 200


def _places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value[:3]):
            yield from _places(item, (*path, place))


def _with(request: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed: Any = copy.deepcopy(request)
    at = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return dict(changed)


def test_a_wrong_type_anywhere_never_fails_the_service() -> None:
    """R-ROB-06, R-ROB-07, R-PRE-15: the mutation sweep, one wrong value at every place.

    Every wrong value at every place of a smaller request: `test_robustness.py`; the rest: fuzzing.
    """
    request = _story()
    for number, path in enumerate(_places(request)):
        wrong = _WRONG[number % len(_WRONG)]
        answer = post(_with(request, path, wrong), day=as_of(), service="lumbar-mri-order-select")

        assert answer.status_code in {200, 400, 404, 412, 413}, (path, wrong, answer.text[:300])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150)
@given(st.sampled_from(["conditions", "observations", "procedures", "patient"]), _json)
def test_any_json_under_a_prefetch_key_never_fails_the_service(key: str, value: object) -> None:
    """R-PRE-15."""
    request = _story()
    request["prefetch"][key] = value

    assert post(request, day=as_of()).status_code in {200, 400, 412, 413}
