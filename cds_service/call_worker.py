"""The worker process: gunicorn's threaded worker, but no thread ever waits for a client.

Gunicorn's own hands a new connection to a thread at once, which then waits for its bytes: eight
clients that send nothing, or a byte a second, keep all threads busy for ever. Here the loop of
the first thread collects each request and hands it over when it is whole. What is not whole
after a moment is read by threads of its own, where slow clients hold up each other only. Health
and metrics have threads of their own too. Whole calls wait in lines, one for each client, and
clients take turns; when a line is too long, the loop refuses the next call itself.
"""

import contextlib
import errno
import logging
import selectors
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from gunicorn.http import Request, RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from cds_service.app import door_of
from cds_service.arriving_requests import ArrivingRequest
from cds_service.connections import SECONDS_TO_TAKE, Rest, seconds_unread, takes_answers
from cds_service.overload import ARRIVAL, Arrival, WaitingLines

if TYPE_CHECKING:
    from gunicorn._types import _EnvironType, _ResponseBodyType, _StartResponseType

logger = logging.getLogger(__name__)

SECONDS_TO_SEND = 10.0
"""From the first byte of a request to its last."""

_SECONDS_OF_PATIENCE = 0.5
"""Then a request that is not whole is handed over: its refusal need not wait for its body."""
_SECONDS_TO_HANG_UP = 2.0
"""For a client to close, once we have; closing sooner could cost it the end of the answer."""
_SECONDS_BETWEEN_SWEEPS = 0.1
_SECONDS_BETWEEN_THREADS = 0.0005
"""Judging keeps the interpreter busy; at its usual 5 ms the loop would get a turn too seldom."""
_PIECE = 64 * 1024
_MOST_BYTES_KEPT = 64 * 1024 * 1024
"""Of all requests that come in or wait: nobody has said yet who sends them."""
_NO_FILE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Lane(Enum):
    """Threads of their own for requests that must not wait for each other."""

    CALLS = auto()
    SLOW = auto()
    OPERATORS = auto()


@dataclass(slots=True, eq=False)
class _Incoming:
    """A connection whose next request is coming in."""

    conn: TConn
    gives_up_at: float
    """`time.monotonic()`."""
    is_slow_at: float = 0.0
    is_held: bool = False
    """The client asks on and does not take the answers."""
    request: ArrivingRequest = field(default_factory=ArrivingRequest)


@dataclass(slots=True, eq=False)
class _Turn:
    """A request that has been handed to a lane."""

    conn: TConn
    lane: _Lane
    arrival: Arrival
    size: int
    """Bytes that are kept for it."""
    seconds: float = 0.0
    """For which it kept a thread busy."""


def _parser_of(conn: TConn) -> RequestParser:
    """Return the parser of a connection, which lives as long as the connection."""
    if conn.parser is None:
        conn.parser = RequestParser(conn.cfg, Rest(conn), conn.client)  # type: ignore[arg-type]  # `recv` is all it uses
        conn.initialized = True
    assert isinstance(conn.parser, RequestParser)  # noqa: S101  # no other protocol is switched on
    return conn.parser


def _sender_of(conn: TConn) -> str:
    """Return the address of the other end; empty for a Unix socket."""
    return conn.client[0] if isinstance(conn.client, tuple) else ""


class CallWorker(ThreadWorker):
    """See above. All but `handle_request` and what it calls runs in the first thread."""

    def init_process(self) -> None:
        """Prepare, then serve until told to stop."""
        sys.setswitchinterval(_SECONDS_BETWEEN_THREADS)
        self._incoming: dict[socket.socket, _Incoming] = {}
        self._bytes_kept = 0
        self._leaving: dict[socket.socket, float] = {}
        self._sweep_at = 0.0
        self._calls_shed = 0
        self._has_no_file = False
        self._of_this_thread = threading.local()
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Make the threads; a lane that is never used has none."""
        calls = ThreadPoolExecutor(self.cfg.threads)
        self._lanes = {
            _Lane.CALLS: calls,
            _Lane.SLOW: ThreadPoolExecutor(self.cfg.threads),
            # Two: liveness does not wait for readiness, which asks the stores.
            _Lane.OPERATORS: ThreadPoolExecutor(2),
        }
        return calls

    def load_wsgi(self) -> None:
        """Load the application and let it see how each request came."""
        super().load_wsgi()
        application = self.wsgi
        self._door = door_of(application)
        self._lines: WaitingLines[_Turn] = WaitingLines(
            threads=self.cfg.threads, longest_wait=self._door.longest_wait
        )

        def with_arrival(
            environ: "_EnvironType", start_response: "_StartResponseType"
        ) -> "_ResponseBodyType":
            environ[ARRIVAL] = self._of_this_thread.turn.arrival
            return application(environ, start_response)

        self.wsgi = with_arrival

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, or see to it that one can be taken in the next turn."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _NO_FILE_LEFT:
                raise
            self._has_no_file = True

    def enqueue_req(self, conn: TConn) -> None:
        """Collect the next request of a connection: a new one, a kept one, or with bytes left."""
        conn.sock.settimeout(0.0)
        incoming = _Incoming(conn, time.monotonic() + self.cfg.keepalive)
        self._incoming[conn.sock] = incoming
        if left := _parser_of(conn).unreader.take_buffered():
            self._add(incoming, left)
        else:
            self._receive(conn.sock)
        if conn.sock in self._incoming and not incoming.is_held:
            self.poller.register(conn.sock, selectors.EVENT_READ, self._receive)

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """Keep the connection for its next request, or hang up without waiting for the client."""
        if fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._hang_up(conn)

    def murder_pending(self) -> None:
        """Let go of clients that are too slow; called in each turn of the loop."""
        # Not in `accept`: what is closed there may have an event in the same turn.
        if self._has_no_file or self.nr_conns >= self.worker_connections:
            self._make_room()
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SECONDS_BETWEEN_SWEEPS
        if self._calls_shed:
            logger.warning("calls shed", extra={"calls": self._calls_shed})
            self._calls_shed = 0
        for incoming in list(self._incoming.values()):
            self._be_patient(incoming, now)
        for sock, gives_up_at in list(self._leaving.items()):
            if now >= gives_up_at:
                self._part(sock)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wait, but not for longer than somebody may have to be let go."""
        is_quiet = not (self._incoming or self._leaving)
        super().wait_for_and_dispatch_events(timeout if is_quiet else _SECONDS_BETWEEN_SWEEPS)

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer one request; return whether the connection may be used again."""
        turn: _Turn = self._of_this_thread.turn
        conn.sock.settimeout(SECONDS_TO_TAKE)
        # The client has been told already, when the head of the request was here.
        vars(req)["_expected_100_continue"] = False
        if turn.lane is _Lane.SLOW:
            # What the application does not read of a body is never waited for.
            req.force_close()
        try:
            is_kept = super().handle_request(req, conn)
        except TimeoutError:
            return False
        while is_kept and req.body and req.body.read(_PIECE):
            pass  # What was not read of the body is here, and the next request comes behind it.
        return is_kept

    def _receive(self, sock: socket.socket) -> None:
        incoming = self._incoming[sock]
        try:
            piece = sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(incoming)
            return
        if piece:
            self._add(incoming, piece)
        elif incoming.request.has_head:
            self._hand_over(incoming)
        else:
            self._drop(incoming)

    def _add(self, incoming: _Incoming, piece: bytes) -> None:
        request = incoming.request
        if not request.data:
            now = time.monotonic()
            incoming.gives_up_at = now + SECONDS_TO_SEND
            incoming.is_slow_at = now + _SECONDS_OF_PATIENCE
        had_head = request.has_head
        request.add(piece)
        self._bytes_kept += len(piece)
        is_too_much = request.is_too_large_to_keep or not self._has_room(request)
        if request.is_whole or (request.has_head and is_too_much):
            self._hand_over(incoming)
        elif request.is_too_large_to_keep:
            self._dismiss(incoming, "431 Request Header Fields Too Large")
        elif not had_head and request.expects_continue:
            with contextlib.suppress(OSError):
                incoming.conn.sock.send(_CONTINUE)

    def _be_patient(self, incoming: _Incoming, now: float) -> None:
        """Wait on for the rest of a request, or not."""
        if incoming.is_held and now >= incoming.gives_up_at:
            self._drop(incoming)
        elif incoming.request.has_head:
            if incoming.is_held or now >= incoming.is_slow_at:
                self._hand_over(incoming)
        elif not incoming.request.data:
            if now >= incoming.gives_up_at or not self.alive:
                self._drop(incoming)
        elif now >= incoming.gives_up_at:
            self._dismiss(incoming, "408 Request Timeout")

    def _has_room(self, request: ArrivingRequest) -> bool:
        """Tell whether a request may be kept; a small one always may."""
        return len(request.data) <= _PIECE or self._bytes_kept <= _MOST_BYTES_KEPT

    def _dismiss(self, incoming: _Incoming, status: str) -> None:
        """Answer a request without a whole head: there is nothing that could be parsed."""
        self._forget(incoming)
        with contextlib.suppress(OSError):
            incoming.conn.sock.send(
                f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
            )
        self._hang_up(incoming.conn)

    def _hand_over(self, incoming: _Incoming) -> None:
        """Give the request to a lane, as far as it is here."""
        conn, request = incoming.conn, incoming.request
        if not takes_answers(conn.sock):
            incoming.is_held = True
            self._stop_listening(conn.sock)
            return
        has_room = self._has_room(request)
        self._forget(incoming)
        waited = seconds_unread(conn.sock)
        arrival = Arrival(time.perf_counter() - waited)
        turn = _Turn(conn, self._lane_of(request), arrival, len(request.data))
        _parser_of(conn).unreader.unread(request.data)
        conn.timeout = incoming.gives_up_at if turn.lane is _Lane.SLOW else None
        if turn.lane is not _Lane.CALLS:
            self._bytes_kept += turn.size
            self._submit(turn)
            return
        line = self._door.line_of(request.authorization, _sender_of(conn))
        if not has_room or self._lines.are_too_long(line, waited=waited):
            self._refuse(conn, request)
            return
        self._bytes_kept += turn.size
        self._lines.enter(line, turn)
        self._give_work()

    def _give_work(self) -> None:
        while turn := self._lines.next():
            self._submit(turn)

    def _submit(self, turn: _Turn) -> None:
        future = self._lanes[turn.lane].submit(self._take, turn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._finish, turn, done))

    def _refuse(self, conn: TConn, request: ArrivingRequest) -> None:
        answer = self._door.refuse(
            request.service_id, is_feedback=request.is_feedback, origin=request.origin
        )
        self._calls_shed += 1
        with contextlib.suppress(OSError):
            conn.sock.send(answer)
        # All of the request has been taken off the connection: closing cannot cost the answer.
        self._let_go(conn.sock)

    def _lane_of(self, request: ArrivingRequest) -> _Lane:
        if not request.is_whole or request.is_for_readers:
            return _Lane.SLOW
        return _Lane.OPERATORS if request.is_for_operators else _Lane.CALLS

    def _take(self, turn: _Turn) -> bool:
        """Run in a thread of the lane."""
        began = time.perf_counter()
        self._of_this_thread.turn = turn
        try:
            return self.handle(turn.conn)
        finally:
            turn.seconds = time.perf_counter() - began

    def _finish(self, turn: _Turn, done: Future[bool]) -> None:
        self._bytes_kept -= turn.size
        if turn.lane is _Lane.CALLS:
            self._lines.leave(turn.seconds)
            self._give_work()
        self.finish_request(turn.conn, done)

    def _hang_up(self, conn: TConn) -> None:
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0.0)
            self.poller.register(conn.sock, selectors.EVENT_READ, self._discard)
        except (OSError, ValueError):
            self._let_go(conn.sock)
        else:
            self._leaving[conn.sock] = time.monotonic() + _SECONDS_TO_HANG_UP

    def _discard(self, sock: socket.socket) -> None:
        try:
            is_open = bool(sock.recv(_PIECE))
        except BlockingIOError:
            is_open = True
        except OSError:
            is_open = False
        if not is_open:
            self._part(sock)

    def _part(self, sock: socket.socket) -> None:
        """Close a connection on which we have hung up."""
        del self._leaving[sock]
        self._stop_listening(sock)
        self._let_go(sock)

    def _drop(self, incoming: _Incoming) -> None:
        self._forget(incoming)
        self._let_go(incoming.conn.sock)

    def _forget(self, incoming: _Incoming) -> None:
        del self._incoming[incoming.conn.sock]
        self._bytes_kept -= len(incoming.request.data)
        self._stop_listening(incoming.conn.sock)

    def _stop_listening(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            self.poller.unregister(sock)

    def _let_go(self, sock: socket.socket) -> None:
        self.nr_conns -= 1
        sock.close()

    def _make_room(self) -> None:
        """Let one connection go: one that is closing, or that is idle, or that sends slowly."""
        self._has_no_file = False
        if self._leaving:
            self._part(next(iter(self._leaving)))
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0.0
            self.murder_keepalived()
        elif self._incoming:
            self._drop(next(iter(self._incoming.values())))
