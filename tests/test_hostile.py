"""Bad input gets a clear 4xx or a calm answer, and the process lives (R-ROB-*, R-CALL-13)."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fixture_stories import as_of, stories
from http_service import post
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("turn", range(3))
def test_a_wrong_type_anywhere_never_fails_the_service(turn: int) -> None:
    """R-ROB-06, R-ROB-07, R-PRE-15: the mutation sweep, three wrong values at every place."""
    request = _story()
    for number, path in enumerate(_places(request)):
        wrong = _WRONG[(number + 5 * turn) % len(_WRONG)]
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
