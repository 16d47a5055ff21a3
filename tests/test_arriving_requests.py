"""A request while its bytes come in: it is whole with its last byte, and never before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.arriving_requests import LARGEST_KEPT, LONGEST_HEAD, ArrivingRequest

CALL = b"POST /cds-services/lumbar-mri-order-select HTTP/1.1\r\nHost: cds.example\r\n"
WHOLE = {
    "a length": CALL + b"Content-Length: 11\r\n\r\n" + b"hello world",
    "a length in odd letters": CALL + b"content-LENGTH:11 \r\n\r\n" + b"hello world",
    "no body": CALL + b"\r\n",
    "length 0": CALL + b"Content-Length: 0\r\n\r\n",
    "chunks": CALL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "chunks with extensions": CALL
    + b'Transfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0;c\r\n\r\n',
    "trailers": CALL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "an end within a chunk": CALL
    + b"Transfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
}


def arrived(*pieces: bytes) -> ArrivingRequest:
    request = ArrivingRequest()
    for piece in pieces:
        request.add(piece)
    return request


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_request_is_whole_with_its_last_byte_however_it_is_cut(data: bytes) -> None:
    byte_by_byte = ArrivingRequest()
    for n in range(len(data)):
        assert not byte_by_byte.is_whole
        assert not arrived(data[:n]).is_whole if n else True
        byte_by_byte.add(data[n : n + 1])

    assert byte_by_byte.is_whole
    assert all(arrived(data[:n], data[n:]).is_whole for n in range(1, len(data)))
    assert data == bytes(byte_by_byte.data)


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_what_follows_a_request_does_not_matter(data: bytes) -> None:
    assert arrived(data + CALL).is_whole


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        CALL + b"A: b\nC: d",
        CALL + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n",
        CALL + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
    ids=["bare line feeds", "one bare line feed", "no chunk size", "a negative chunk size"],
)
def test_what_the_parser_refuses_anyway_is_not_waited_for(data: bytes) -> None:
    assert arrived(data).is_whole


@given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from(sorted(WHOLE.values())))
def test_no_bytes_whatever_break_it(pieces: list[bytes], data: bytes) -> None:
    """It runs in the loop of a worker, which an error would end."""
    for first in (b"", CALL, data[: len(data) // 2]):
        request = arrived(*(piece for piece in (first, *pieces) if piece))

        assert isinstance(request.is_whole, bool)
        assert isinstance(request.authorization, str)
        assert isinstance(request.service_id, str)
        assert isinstance(request.origin, bytes)
        assert isinstance(request.is_feedback or request.is_for_operators, bool)
        assert isinstance(request.is_for_readers or request.expects_continue, bool)


@pytest.mark.parametrize(
    ("line", "is_for_operators", "is_for_readers", "service_id", "is_feedback"),
    [
        (b"GET /health/live HTTP/1.1", True, False, "", False),
        (b"HEAD /cds/lumbar/health/ready HTTP/1.1", True, False, "", False),
        (b"GET /metrics?x=1 HTTP/1.1", True, False, "", False),
        (b"GET /metrics/x HTTP/1.1", False, False, "", False),
        (b"GET /?a=/health/live HTTP/1.1", False, False, "", False),
        (b"POST /health/live HTTP/1.1", False, False, "", False),
        (b"GET /knowledge/lumbar-mri HTTP/1.1", False, True, "", False),
        (b"GET /cds-services HTTP/1.1", False, False, "", False),
        (b"POST /cds-services/a-b HTTP/1.1", False, False, "a-b", False),
        (b"POST /cds/lumbar/cds-services/a-b/feedback HTTP/1.1", False, False, "a-b", True),
        (b"POST /x?y=/cds-services/a-b HTTP/1.1", False, False, "", False),
    ],
)
def test_whom_a_request_is_for(
    line: bytes, *, is_for_operators: bool, is_for_readers: bool, service_id: str, is_feedback: bool
) -> None:
    request = arrived(line + b"\r\nHost: x\r\n\r\n")

    assert is_for_operators == request.is_for_operators
    assert is_for_readers == request.is_for_readers
    assert service_id == request.service_id
    assert is_feedback == request.is_feedback


def test_headers_are_looked_for_in_the_head_only() -> None:
    request = arrived(CALL + b"AUTHORIZATION: \tBearer a.b.c\r\norigin: https://x.example\r\n\r\n")
    late = arrived(CALL + b"\r\n\r\nExpect: 100-continue\r\n")

    assert "Bearer a.b.c" == request.authorization
    assert b"https://x.example" == request.origin
    assert not request.expects_continue
    assert arrived(CALL + b"Expect: 100-Continue\r\n\r\n").expects_continue
    assert not late.expects_continue


@pytest.mark.parametrize(
    ("begun", "most"),
    [(CALL + b"A: ", LONGEST_HEAD), (CALL + b"Content-Length: 99999999\r\n\r\n", LARGEST_KEPT)],
    ids=["head", "body"],
)
def test_a_head_and_a_body_may_have_so_many_bytes(begun: bytes, most: int) -> None:
    rest = b"x" * (most - len(begun))

    assert not arrived(begun, rest).is_too_large_to_keep
    assert arrived(begun, rest, b"x").is_too_large_to_keep
