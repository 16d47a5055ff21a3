"""JSON in and out (RFC 8259): what two readers could read differently is refused.

The rest of the service may rely on it: no NaN, no lone surrogates, no member name twice in one
object, bounded nesting and array length. No message repeats anything out of the body.
"""

import json

import orjson

from cds_service.errors import MalformedRequest, TooLarge

MAX_DEPTH = 200
"""Levels of nesting accepted. A FHIR order has about 12; a card wraps it in 8 more."""
MAX_ENTRIES = 20_000
"""Members accepted in one array: a prefetch Bundle may hold that many resources."""

_SAFE_DIGITS = 15
_ORJSON_DUMP_DEPTH = 254
_WRAPPING = _ORJSON_DUMP_DEPTH - MAX_DEPTH
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ESCAPED_COLON = b"\\u003"
"""Start of `\\u003a` and `\\u003A`, and of a few escapes that are as rare."""


def loads(body: bytes) -> object:
    """Return the value that the body holds, or raise MalformedRequest or TooLarge.

    A UTF-8 byte-order mark is dropped. Source: R-CALL-13, R-ROB-02 to R-ROB-04.
    """
    text = body.removeprefix(_BYTE_ORDER_MARK)
    if not text.strip():
        msg = "The body is empty; a JSON object is expected."
        raise MalformedRequest(msg)
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _translated(error) from None
    again = _dumped_within_depth(value)
    if len(text) > 2 * MAX_ENTRIES and _count(text, ",") >= MAX_ENTRIES:
        _check_array_lengths(value)
    if _has_repeated_name(text, again):
        msg = "A member name stands twice in one JSON object; each may stand once."
        raise MalformedRequest(msg)
    return value


def loads_exactly(body: bytes) -> object:
    """Return the same value with every number kept as it was written.

    FHIR decimals carry their precision: 1.50 is not 1.5, and an order that is sent back must
    be the order that came. Only for a body that `loads` has accepted; the numbers can be
    written by `dumps`, not calculated with.
    """
    text = body.removeprefix(_BYTE_ORDER_MARK)
    return json.loads(text, parse_float=orjson.Fragment, parse_int=_kept_int)


def _kept_int(written: str) -> int | orjson.Fragment:
    return int(written) if len(written) <= _SAFE_DIGITS else orjson.Fragment(written)


def dumps_readable(value: object) -> str:
    """Return JSON for people: indented, otherwise as `dumps`."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def dumps(value: object) -> bytes:
    """Return compact UTF-8 JSON. Only for what `loads` gave or what we built ourselves."""
    return orjson.dumps(value)


def _translated(error: orjson.JSONDecodeError) -> MalformedRequest | TooLarge:
    """Say what is wrong and where; orjson's own texts are constants, without data."""
    if "depth" in error.msg:
        return _too_deep()
    if "UTF-8" in error.msg:
        return MalformedRequest("The body is not UTF-8.")
    return MalformedRequest(
        f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
    )


def _too_deep() -> TooLarge:
    return TooLarge(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _dumped_within_depth(value: object) -> bytes:
    """Return the value as compact JSON; refuse one that a card could not carry back."""
    wrapped = value
    for _ in range(_WRAPPING):
        wrapped = [wrapped]
    try:
        return orjson.dumps(wrapped)
    except orjson.JSONEncodeError:
        # The value came out of orjson.loads: nesting is all that its encoder can refuse.
        raise _too_deep() from None


def _check_array_lengths(value: object) -> None:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            if len(node) > MAX_ENTRIES:
                msg = f"An array in the body has more than {MAX_ENTRIES} entries."
                raise TooLarge(msg)
            # An entry takes two bytes at least; to write entries is quicker than to walk them.
            waiting.extend(n for n in node if len(orjson.dumps(n)) > 2 * MAX_ENTRIES)
        elif isinstance(node, dict):
            waiting.extend(n for n in node.values() if isinstance(n, list | dict))


def _has_repeated_name(text: bytes, again: bytes) -> bool:
    """Tell whether parsing lost a member, by comparing how many colons go in and come out.

    What comes out as it went in has lost nothing: most clients send compact JSON. Else each
    member has one colon, and colons inside strings are in both texts, unless an escape
    hides one in the first: then every object is read again, which takes ten times as long.
    """
    if text == again[_WRAPPING:-_WRAPPING]:
        return False
    if _ESCAPED_COLON in text:
        return _repeats_when_read_again(text)
    return _count(text, ":") != _count(again, ":")


def _count(text: bytes, sign: str) -> int:
    """Count an ASCII character; Python counts in a string in two thirds of the time."""
    return text.decode("latin-1").count(sign)


class _RepeatedNameError(Exception):
    """Stops the second reading at the first repeated name."""


def _repeats_when_read_again(text: bytes) -> bool:
    try:
        json.loads(text, object_pairs_hook=_pairs_without_repetition)
    except _RepeatedNameError:
        return True
    return False


def _pairs_without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RepeatedNameError
    return members
