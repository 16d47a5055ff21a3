"""HTTP to the servers of a site: whom we believe, and a whole answer by its deadline or none.

Used for FHIR servers and for the key sets of clients. No redirects, no cookies, nothing from the
environment (proxies, netrc, CA files). TLS 1.2 or later; certificate and host name are always
checked. urllib3 beneath, not requests: that reads the roots anew for each connection, and its
time limit is for each piece that arrives, so a server that sends a byte a second holds a thread
for hours.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK_BYTES = 64 * 1024


class Failure(StrEnum):
    """Why there is no answer; the texts of errors may hold URLs, and so names and ids."""

    UNREACHABLE = "unreachable"
    """No such host, or nobody listens."""
    TIMEOUT = "timeout"
    RESET = "reset"
    """The connection broke. Often a pooled one that the server had closed."""
    TLS = "TLS"
    INCOMPLETE = "incomplete"
    """The connection ended before the announced length."""
    NOT_HTTP = "not HTTP"
    BAD_ENCODING = "bad encoding"
    """Not packed as Content-Encoding says."""
    TOO_LARGE = "too large"


class NoAnswer(Exception):
    """No answer, or none that may be read."""

    def __init__(self, failure: Failure) -> None:
        """Keep the reason, which never holds data."""
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names are found in any case."""
    body: bytes
    """Decoded; empty unless the status is 200: nobody looks at any other."""


@cache
def trusting(private_roots: str = "") -> ssl.SSLContext:
    """Return a TLS context that trusts the usual roots and these (PEM); made once, it is slow.

    Raises ssl.SSLError if there is PEM that cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Sites hand out the CA that issues their certificates, and not always the root above it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certifi.where())
    if private_roots:
        context.load_verify_locations(cadata=private_roots)
    context.sslsocket_class = _TlsSocket
    return context


class Peer:
    """One server, by its origin, with the connections to it that may be used again."""

    def __init__(self, origin: str, *, tls: ssl.SSLContext, most_connections: int = 1) -> None:
        """Connect to nothing yet. `origin` is `https://host` or `http://host`, with any port.

        Raises NoAnswer if it names no host or port that there could be.
        """
        try:
            parts = urlsplit(origin)
            host, port = parts.hostname or "", parts.port
            self._pool = (
                _TlsPool(host, port, maxsize=most_connections, ssl_context=tls)
                if parts.scheme == "https"
                else _PlainPool(host, port, maxsize=most_connections)
            )
        except ValueError:
            raise NoAnswer(Failure.UNREACHABLE) from None

    def get(
        self, target: str, headers: Mapping[str, str], *, seconds: float, most_bytes: int
    ) -> Answer:
        """Return the answer to GET `target`, a path with its query.

        It is there within `seconds`, or the connection is given up, however slowly it trickles
        in; looking up the host's name is not counted, and each of its addresses has its turn.
        Raises NoAnswer.
        """
        try:
            response = self._pool.urlopen(
                "GET",
                target,
                headers=dict(headers),
                timeout=urllib3.Timeout(total=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                is_read = response.status == http.HTTPStatus.OK
                body = _body_of(response, most_bytes) if is_read else b""
            finally:
                # Closes the connection unless the answer was read to its end.
                response.close()
                response.release_conn()
        except exceptions.HTTPError as error:
            raise NoAnswer(_failure_of(error)) from None
        return Answer(status=response.status, headers=response.headers, body=body)

    def close(self) -> None:
        """Close connections that are not in use."""
        self._pool.close()


class _DueSocket(socket.socket):
    """Reads until a moment, not for so long at a time."""

    due = 0.0
    """On the clock of `time.monotonic`; set before an answer is awaited."""

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Read what is there by then. Raises TimeoutError."""
        self.settimeout(_seconds_until(self.due))
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    """The same over TLS."""

    due = 0.0

    def recv_into(
        self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0
    ) -> int:
        """Read what is there by then. Raises TimeoutError."""
        self.settimeout(_seconds_until(self.due))
        return super().recv_into(buffer, nbytes, flags)


def _seconds_until(moment: float) -> float:
    seconds = moment - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _PlainConnection(HTTPConnection):
    """Reads each answer by the deadline of its request."""

    sock: _DueSocket

    def connect(self) -> None:
        """Connect, and put our own kind of socket in the place of the usual one."""
        super().connect()
        self.sock = _DueSocket(fileno=self.sock.detach())
        self.sock.settimeout(self.timeout)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """Await the answer: what is left of the time is for all of it, the body included."""
        self.sock.due = time.monotonic() + (self.timeout or 0)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    """The same over TLS."""

    sock: _TlsSocket

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """Await the answer: what is left of the time is for all of it, the body included."""
        self.sock.due = time.monotonic() + (self.timeout or 0)
        return super().getresponse()

    @property
    def is_connected(self) -> bool:
        """Fit for use again; not if more came than was asked for, which TLS may have unpacked."""
        return super().is_connected and self.sock.pending() == 0


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _body_of(response: urllib3.BaseHTTPResponse, most_bytes: int) -> bytes:
    if (response.length_remaining or 0) > most_bytes:
        raise NoAnswer(Failure.TOO_LARGE)
    body = bytearray()
    # Not `read`: that unpacks everything before anybody can count it.
    while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > most_bytes:
            raise NoAnswer(Failure.TOO_LARGE)
    return bytes(body)


def _failure_of(error: exceptions.HTTPError) -> Failure:
    match error:
        case exceptions.NewConnectionError() | exceptions.LocationValueError():
            return Failure.UNREACHABLE
        case exceptions.TimeoutError():
            return Failure.TIMEOUT
        case exceptions.SSLError():
            return Failure.TLS
        case exceptions.DecodeError():
            return Failure.BAD_ENCODING
        case exceptions.ProtocolError():
            return _failure_beneath(error)
        case _:
            return Failure.NOT_HTTP


def _failure_beneath(error: exceptions.ProtocolError) -> Failure:
    for cause in error.args:
        match cause:
            case http.client.RemoteDisconnected():
                return Failure.RESET
            case http.client.IncompleteRead():
                return Failure.INCOMPLETE
            case http.client.HTTPException():
                return Failure.NOT_HTTP
    return Failure.RESET
