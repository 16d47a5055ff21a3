"""JSON reading: what is refused, with which error, and that nothing valid is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service import strict_json
from cds_service.errors import MalformedRequest, TooLarge


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "empty", id="no bytes"),
        pytest.param(b" \n", "empty", id="only blanks"),
        pytest.param(b"\xef\xbb\xbf", "empty", id="only a byte-order mark"),
        pytest.param(b'{"a": 1', "not JSON", id="truncated"),
        pytest.param(b'{"a": NaN}', "not JSON", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "not JSON", id="infinity"),
        pytest.param(b'{"a": 1e400}', "not JSON", id="number beyond a double"),
        pytest.param(b'{"a": 1,}', "not JSON", id="trailing comma"),
        pytest.param(b'{"a": 1} // why', "not JSON", id="comment"),
        pytest.param(b'{"a": "\\ud800"}', "not JSON", id="lone high surrogate"),
        pytest.param(b'{"a": "\\udc00"}', "not JSON", id="lone low surrogate"),
        pytest.param(b'{"a": "caf\xe9"}', "not UTF-8", id="latin-1"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not", id="UTF-16"),
    ],
)
def test_text_that_is_not_json_is_malformed(body: bytes, says: str) -> None:
    """R-CALL-13, R-ROB-03, R-ROB-04."""
    with pytest.raises(MalformedRequest, match=says):
        strict_json.loads(body)


def test_a_byte_order_mark_is_dropped() -> None:
    """R-ROB-04."""
    assert {"a": 1} == strict_json.loads(b'\xef\xbb\xbf{"a": 1}')


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":1,"a":2}', id="compact"),
        pytest.param(b'{"a" : 1, "a" : 2}', id="blank before colon"),
        pytest.param(b'{"x":[{"y":{"a":1,"b":2,"a":1}}]}', id="deep inside"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="one of them escaped"),
        pytest.param(b'{"a":1,"a":2,"t":"\\"\\u003a"}', id="hidden behind an escaped colon"),
        pytest.param(b'{"a":1,"a":2,"t":"\\u0022:"}', id="hidden behind an escaped quote"),
        pytest.param(b'{"a":1,"a":2,"t":"\\"\\u0020:", "u" : 1}', id="behind an escaped blank"),
    ],
)
def test_a_repeated_member_name_is_malformed_wherever_it_stands(body: bytes) -> None:
    """R-ROB-03."""
    with pytest.raises(MalformedRequest, match="twice"):
        strict_json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"t": "a \\":b\\" : c", "u" : "\\u0022:\\u003a", "a": {"a": [{"a": 1}]}}',
        b'{"t":"\\\\","u":"\\":"}',
        b'{"\\":":1,":":2}',
        b'{"t": "\\t\\u0009\\n:"}',
    ],
)
def test_quotes_and_colons_inside_strings_are_no_repetition(body: bytes) -> None:
    assert json.loads(body) == strict_json.loads(body)


_names = st.text(alphabet='a":\\ \n\u00e9', max_size=3)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=12,
)


@given(
    value=_values, separators=st.sampled_from([(",", ":"), (", ", " : ")]), ascii_only=st.booleans()
)
def test_every_json_text_without_repetition_is_read_as_it_is(
    value: object, separators: tuple[str, str], *, ascii_only: bool
) -> None:
    body = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()

    assert value == strict_json.loads(body)


@given(name=_names, members=st.dictionaries(_names, st.integers(0, 9) | _names, max_size=3))
def test_every_repetition_is_found(name: str, members: dict[str, object]) -> None:
    once = [f"{json.dumps(k)}:{json.dumps(v)}" for k, v in members.items()]
    twice = [f"{json.dumps(name)}:1", *once, f"{json.dumps(name)} :2"]

    with pytest.raises(MalformedRequest, match="twice"):
        strict_json.loads(f"[{{{','.join(twice)}}}]".encode())


@pytest.mark.parametrize("depth", [201, 1000, 10_000, 100_000])
def test_nesting_beyond_the_limit_is_too_large(depth: int) -> None:
    """R-ROB-02."""
    with pytest.raises(TooLarge, match="200 levels"):
        strict_json.loads(b'{"a":' * depth + b"1" + b"}" * depth)


def test_nesting_at_the_limit_can_be_read_and_written_inside_a_card() -> None:
    """R-ROB-02: 40 levels and more inside an extension are fine."""
    deep = strict_json.loads(b"[" * 200 + b"]" * 200)
    card = {"cards": [{"suggestions": [{"actions": [{"resource": deep}]}]}]}

    assert strict_json.dumps(card).startswith(b'{"cards":[{"suggestions"')


def test_twenty_thousand_entries_are_read_and_one_more_is_too_large() -> None:
    entries = [b"{}"] * 20_000

    assert isinstance(strict_json.loads(b'{"entry":[' + b",".join(entries) + b"]}"), dict)
    with pytest.raises(TooLarge, match="20000 entries"):
        strict_json.loads(b'{"entry":[' + b",".join([*entries, b"{}"]) + b"]}")


@pytest.mark.parametrize(
    "around",
    [
        pytest.param((b"[[[", b"]]]"), id="arrays"),
        pytest.param((b'{"a":[{"b":[{"c":', b"}]}]}"), id="entries of entries"),
        pytest.param((b'[{"long":"' + b"x" * 50_000 + b'"},', b"]"), id="beside a long text"),
    ],
)
def test_an_array_that_is_too_long_is_found_wherever_it_stands(around: tuple[bytes, bytes]) -> None:
    before, after = around
    with pytest.raises(TooLarge, match="20000 entries"):
        strict_json.loads(before + b"[" + b",".join([b"0"] * 20_001) + b"]" + after)

    assert strict_json.loads(before + b"[" + b",".join([b"0"] * 20_000) + b"]" + after)


def test_no_message_repeats_the_body() -> None:
    """R-CALL-14."""
    bodies = [b'{"Janet": Doe}', b'{"Janet": 1, "Janet": 2}', b"Janet", b'{"a": "Janet\xff"}']
    for body in bodies:
        with pytest.raises(MalformedRequest) as caught:
            strict_json.loads(body)

        assert "Janet" not in str(caught.value)
