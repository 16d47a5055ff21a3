"""Real requests changed on the wire: in their bytes, or in address, method and headers."""

import json
from collections.abc import Callable

from hypothesis import strategies as st

from fuzzing.corpus import seeds
from fuzzing.odd_values import (
    DATES,
    ENCODINGS,
    HEADER_NAMES,
    HEADER_VALUES,
    METHODS,
    PATHS,
    PIECES,
)
from fuzzing.sent import Sent
from fuzzing.values import ODD, TEXTS, Draw


@st.composite
def changed_in_bytes(draw: Draw) -> Sent:
    """A real body with bits flipped, pieces cut out, put in, doubled, or encoded otherwise."""
    seed = draw(st.sampled_from(seeds()))
    body = seed.body
    changes = []
    for _ in range(draw(st.integers(1, 4))):
        change = draw(st.sampled_from(_BYTE_CHANGES))
        body, said = change(draw, body)
        changes.append(said)
    return Sent(seed=seed, body=body, changes=tuple(changes))


def _spot(draw: Draw, body: bytes) -> int:
    at: int = draw(st.integers(0, max(len(body) - 1, 0)))
    return at


def _flip(draw: Draw, body: bytes) -> tuple[bytes, str]:
    if not body:
        return body, "nothing to flip"
    at, bit = _spot(draw, body), draw(st.integers(0, 7))
    return body[:at] + bytes([body[at] ^ (1 << bit)]) + body[at + 1 :], f"flip bit {bit} of {at}"


def _overwrite(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, piece = _spot(draw, body), draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at + len(piece) :], f"write {piece[:30]!r} over {at}"


def _put_in(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, piece = _spot(draw, body), draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at:], f"put {piece[:30]!r} at {at}"


def _put_a_value(draw: Draw, body: bytes) -> tuple[bytes, str]:
    """Put a piece where a value begins, so that it is read as one."""
    at = body.find(b":", _spot(draw, body)) + 1
    piece = draw(st.sampled_from(PIECES))
    end = min((e for e in (body.find(b",", at), body.find(b"}", at)) if e > 0), default=at)
    return body[:at] + piece + body[end:], f"value {piece[:30]!r} at {at}"


def _put_a_member(draw: Draw, body: bytes) -> tuple[bytes, str]:
    """Put a piece at the start of an object."""
    at = body.find(b"{", _spot(draw, body)) + 1
    piece = draw(st.sampled_from(PIECES))
    return body[:at] + piece + body[at:], f"member {piece[:30]!r} at {at}"


def _cut_out(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, length = _spot(draw, body), draw(st.sampled_from([1, 2, 7, 100, 5_000]))
    return body[:at] + body[at + length :], f"cut {length} at {at}"


def _cut_off(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at = _spot(draw, body)
    return body[:at], f"cut off at {at}"


def _repeat(draw: Draw, body: bytes) -> tuple[bytes, str]:
    at, length = _spot(draw, body), draw(st.sampled_from([1, 2, 7, 100, 5_000]))
    return body[: at + length] + body[at:], f"repeat {length} at {at}"


def _splice(draw: Draw, body: bytes) -> tuple[bytes, str]:
    other = draw(st.sampled_from(seeds())).body
    at, there = _spot(draw, body), _spot(draw, other)
    return body[:at] + other[there:], f"splice at {at} with {there}"


def _encode(draw: Draw, body: bytes) -> tuple[bytes, str]:
    encoding = draw(st.sampled_from(ENCODINGS))
    return body.decode("utf-8", "replace").encode(encoding), f"encode as {encoding}"


def _any_bytes(draw: Draw, _body: bytes) -> tuple[bytes, str]:
    return draw(st.binary(max_size=200)), "any bytes"


_BYTE_CHANGES: tuple[Callable[[Draw, bytes], tuple[bytes, str]], ...] = (
    *(
        _flip,
        _overwrite,
        _put_in,
        _put_a_value,
        _put_a_value,
        _put_a_member,
        _put_a_member,
        _cut_out,
    ),
    *(_cut_off, _repeat, _splice, _encode, _any_bytes),
)


@st.composite
def changed_in_headers(draw: Draw) -> Sent:
    """A real body to any address by any method, with headers that mean something else."""
    seed = draw(st.sampled_from(seeds()))
    own = f"/cds-services/{seed.service}"
    path = draw(st.sampled_from((own, own, own, f"{own}/feedback", *PATHS)) | _paths)
    method = draw(st.sampled_from(("POST", "POST", "POST", *METHODS)))
    headers = [("Content-Type", "application/json")] if draw(st.booleans()) else []
    headers += draw(st.lists(st.tuples(st.sampled_from(HEADER_NAMES), _header_values), max_size=4))
    is_feedback = path.endswith("/feedback")
    body = draw(_feedback_bodies) if is_feedback else seed.body
    return Sent(seed=seed, body=body, changes=(), method=method, path=path, headers=tuple(headers))


_latin = st.characters(codec="latin-1", exclude_characters="\r\n")
_header_values = st.sampled_from(HEADER_VALUES) | st.text(_latin, max_size=20)
_paths = st.text(_latin, max_size=30).map(lambda text: f"/{text}")

_feedback_entries = st.fixed_dictionaries(
    {
        "card": st.one_of(st.uuids().map(str), TEXTS),
        "outcome": st.sampled_from(["accepted", "overridden", "overriden", None]),
        "outcomeTimestamp": st.one_of(
            st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"), st.sampled_from(DATES)
        ),
    },
    optional={
        "acceptedSuggestions": ODD | st.lists(st.fixed_dictionaries({"id": TEXTS}), max_size=3),
        "overrideReason": ODD | st.fixed_dictionaries({"reason": ODD, "userComment": TEXTS}),
        "overrideReasons": ODD | st.lists(st.fixed_dictionaries({"reason": ODD}), max_size=3),
        "extension": ODD,
    },
)
_feedback_bodies = st.one_of(
    st.lists(_feedback_entries, max_size=4).map(lambda all_: {"feedback": all_}), ODD
).map(lambda body: json.dumps(body).encode())
