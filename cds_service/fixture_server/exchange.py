"""The HTTP side of the FHIR server for tests: connections on loopback, good and bad answers."""

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cds_service.fixture_server.behaviour import FHIR_JSON, PACED, Behaviour, Fault
from cds_service.fixture_server.wire import STAYS_OPEN, packed, pieces, spoiled

LOOPBACK = "127.0.0.1"
BASE_PATH = "/fhir"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """What one request asked for."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def steps(self) -> list[str]:
        """Decoded path segments below the FHIR base; unusable ones if it is not below."""
        base, _, rest = self.path.partition(BASE_PATH)
        if base or (rest and not rest.startswith("/")):
            return ["", "", ""]
        return [unquote(step) for step in rest.strip("/").split("/") if step]

    @property
    def resource_type(self) -> str:
        """The type asked for; empty for a page at the server's base."""
        return next(iter(self.steps), "")


class Exchange(BaseHTTPRequestHandler):
    """One connection; what is specific to FHIR is in the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Listener"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # inherited name
        """Write nothing: paths hold patient ids."""

    def _do(self) -> None:
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815  # http.server's

    def do_OPTIONS(self) -> None:  # http.server's
        """Let browser clients such as the CDS Hooks Sandbox in: nobody here is real."""
        self._send(204, b"", "", {"access_control_allow_headers": "Authorization, Content-Type"})

    def recorded(self) -> RecordedRequest:
        """Return what was asked; a body is read away so that the connection can be used again."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        return RecordedRequest(
            method=self.command,
            path=parts.path,
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
        )

    def send(self, status: int, resource: Mapping[str, object], **headers: str) -> None:
        """Answer with a resource; `retry_after="1"` becomes `Retry-After: 1`, empty is left out."""
        self._send(status, json.dumps(resource).encode(), FHIR_JSON, headers)

    def send_badly(
        self,
        status: int,
        resource: Mapping[str, object],
        behaviour: Behaviour,
        stopping: threading.Event,
    ) -> None:
        """Answer with a resource in the way that `behaviour` asks for."""
        body = json.dumps(resource).encode() + b" " * behaviour.pad_bytes
        fault = behaviour.fault
        if fault is Fault.RESET:
            self._reset()
        elif fault is Fault.REDIRECT:
            location = {"location": behaviour.target + self.path}
            self._send(302, b"", "text/html", location)
        elif fault is not Fault.NONE and (sent := pieces(body, fault)) is not None:
            self._write(sent, behaviour.delay_seconds if fault in PACED else 0, stopping)
            self.close_connection = fault not in STAYS_OPEN
            if fault is Fault.RESET_IN_BODY:
                self._reset()
        else:
            body = body if fault is Fault.NONE else spoiled(body, fault)
            body, encoding = packed(body, fault, is_gzipped=behaviour.is_gzipped)
            is_page = fault is Fault.HTML
            content_type = "text/html; charset=utf-8" if is_page else behaviour.content_type
            self._send(status, body, content_type, {"content_encoding": encoding})

    def _write(self, sent: Iterator[bytes], pace: float, stopping: threading.Event) -> None:
        """Write piece after piece, until there is none or the server stops."""
        for piece in sent:
            self.wfile.write(piece)
            if stopping.wait(pace):
                break

    def _send(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str]
    ) -> None:
        self._start(status, len(body), content_type, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(
        self, status: int, length: int, content_type: str, headers: Mapping[str, str]
    ) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        self.send_header("Access-Control-Allow-Origin", "*")
        # Load balancers do this; a client that keeps it would tie one patient's call to another's.
        self.send_header("Set-Cookie", "balancer=node1; Path=/")
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-").title(), value)
        self.end_headers()

    def _reset(self) -> None:
        # Closing with a linger time of zero sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


class Listener(ThreadingHTTPServer):
    """Listens on loopback, one thread a connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, answer: "Callable[[Exchange], None]", port: int, tls: ssl.SSLContext | None
    ) -> None:
        """Listen on `port`, or on a free one for 0; `answer` runs on the connection's thread."""
        self.answer = answer
        self.accepted = 0
        """Connections so far."""
        self._open: set[socket.socket] = set()
        super().__init__((LOOPBACK, port), Exchange)
        if tls is not None:
            # Shakes hands when the connection's own thread reads: a slow client holds nobody.
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def server_bind(self) -> None:
        """Bind without looking up the name of the host, which may ask a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as typeshed
        """Remember the connection while it is served."""
        self.accepted += 1
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as typeshed
        """Forget a connection that is over."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Hang up on clients that keep their connections: nobody answers there any more."""
        super().server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client hangs up: callers with a time budget do so all the time."""
        # ValueError: http.server flushes a file that Fault.RESET has closed. SSLError: a client
        # that does not trust us.
        if not isinstance(sys.exception(), ConnectionError | ValueError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as typeshed
