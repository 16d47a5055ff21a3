"""The bytes of broken answers: bodies that are no JSON, and answers that are no HTTP.

What a fault does not spoil is as it should be, so that nothing else can be the reason why an
answer is refused.
"""

import gzip
import zlib
from collections.abc import Iterator
from itertools import chain, repeat

from cds_service.fixture_server.behaviour import Fault

STAYS_OPEN = frozenset({Fault.SHORT_LENGTH, Fault.TWO_ANSWERS, Fault.CONTINUE, Fault.EARLY_HINTS})
"""What comes after the answer is left on a connection that seems to be fit for another one."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MEGABYTE = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_DEEP = 100_000
_LOGIN_PAGE = b"<!DOCTYPE html><html><body><form><input name='user'></form></body></html>"


def spoiled(body: bytes, fault: Fault) -> bytes:
    """Return the body that is sent in place of good JSON; the same for any other fault."""
    return {
        Fault.NO_BODY: b"",
        Fault.HTML: _LOGIN_PAGE,
        Fault.TRUNCATED: body[: len(body) // 2],
        Fault.BYTE_ORDER_MARK: b"\xef\xbb\xbf" + body,
        Fault.BAD_UTF8: b'{"text": "\xff\xfe", ' + body[1:],
        Fault.UTF16: body.decode().encode("utf-16"),
        Fault.DEEP: b'{"extension": ' + b"[" * _DEEP + b"]" * _DEEP + b", " + body[1:],
        Fault.NAME_TWICE: b'{"resourceType": "Basic", ' + body[1:],
        Fault.NAN: b'{"valueDecimal": NaN, ' + body[1:],
        Fault.ARRAY: b"[" + body + b"]",
        Fault.NULL: b"null",
    }.get(fault, body)


def packed(body: bytes, fault: Fault, *, is_gzipped: bool) -> tuple[bytes, str]:
    """Return the body as it is packed, and what Content-Encoding says of it."""
    match fault:
        case Fault.BAD_GZIP:
            return body, "gzip"
        case Fault.CUT_GZIP:
            whole = gzip.compress(body)
            return whole[: len(whole) // 2], "gzip"
        case Fault.GZIP_TWICE:
            return gzip.compress(gzip.compress(body)), "gzip, gzip"
        case Fault.DEFLATE:
            return zlib.compress(body), "deflate"
        case Fault.BROTLI:
            return body, "br"
        case _ if is_gzipped:
            return gzip.compress(body, compresslevel=1), "gzip"
        case _:
            return body, ""


def pieces(body: bytes, fault: Fault) -> Iterator[bytes] | None:
    """Return the pieces of an answer that is no good HTTP; None for any other fault."""
    half = body[: len(body) // 2]
    head = _HEAD + _length(len(body)) + b"\r\n"
    match fault:
        case Fault.SLOW_HEADERS:
            return (bytes([byte]) for byte in head + body)
        case Fault.TRICKLE:
            return chain([head], (bytes([byte]) for byte in body))
        case Fault.STALL:
            return chain([head + half], repeat(b""))
        case Fault.ENDLESS_CONTINUE:
            return repeat(_CONTINUE)
        case Fault.ENDLESS_CHUNKS:
            return chain([_HEAD + _CHUNKED], repeat(_chunk(b" " * _CHUNK_BYTES)))
    whole = head + body
    at_once = {
        Fault.CLOSE: b"",
        Fault.RESET_IN_BODY: head + half,
        Fault.CUT_OFF: head + half,
        Fault.GARBAGE: b"\x15\x03\x01\x00\x02\x02\x16 what is this\r\n\r\n",
        Fault.HUGE_HEADER: _HEAD + b"X-Trace: " + b"x" * _MEGABYTE + b"\r\n\r\n" + body,
        Fault.MANY_HEADERS: _HEAD + b"X-Trace: x\r\n" * 10_000 + b"\r\n" + body,
        Fault.HUGE_LENGTH: _HEAD + _length(10**15) + b"\r\n" + body,
        Fault.LONG_LENGTH: _HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + body,
        Fault.TWO_LENGTHS: _HEAD + _length(len(half)) + head.removeprefix(_HEAD) + body,
        Fault.SHORT_LENGTH: _HEAD + _length(len(half)) + b"\r\n" + body,
        Fault.TWO_ANSWERS: whole + whole,
        Fault.BAD_CHUNKS: _HEAD + _CHUNKED + _chunk(half) + b"many\r\n" + body,
        Fault.NEGATIVE_CHUNK: _HEAD + _CHUNKED + _chunk(half) + b"-5\r\n" + body,
        Fault.CUT_CHUNKS: _HEAD + _CHUNKED + _chunk(body),
        Fault.CONTINUE: _CONTINUE + whole,
        Fault.EARLY_HINTS: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + whole,
    }
    return iter([at_once[fault]]) if fault in at_once else None


def _length(size: int) -> bytes:
    return b"Content-Length: %d\r\n" % size


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)
