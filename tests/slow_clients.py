"""Clients that are slow on purpose, each on a connection of its own, until they are stopped."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from http_service import ORDER_SELECT
from traffic import http_call, http_get

_CALL = http_call(ORDER_SELECT, b" " * 1000)
_BODY_BEGINS = _CALL.index(b"\r\n\r\n") + 4
_SMALLEST_BUFFER = 2048


@dataclass(frozen=True, slots=True)
class Slowness:
    """What a slow client does."""

    at_once: bytes
    """What it sends at first."""
    then: bytes
    """Of this, a piece in each period, over and over."""
    piece: int = 1
    seconds: float = 1.0
    """The period."""
    buffer: int = 0
    """Size of its receive buffer in bytes, of which nothing is ever taken; 0: the usual one."""


KINDS = {
    "sends nothing": Slowness(b"", b""),
    "sends a head byte by byte": Slowness(_CALL[:20], _CALL[20:_BODY_BEGINS]),
    "sends a body byte by byte": Slowness(_CALL[: _BODY_BEGINS + 1], b" "),
    "does not hang up": Slowness(
        http_get("/health/live").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b""
    ),
    "asks on and reads nothing": Slowness(
        b"", http_get("/cds-services") * 300, piece=30_000, seconds=0.1, buffer=_SMALLEST_BUFFER
    ),
}


@contextmanager
def slow_clients(port: int, slowness: Slowness, count: int) -> Iterator[None]:
    """Connect so many slow clients to a port of loopback, and keep them at it."""
    with ExitStack() as stack:
        clients = [stack.enter_context(_connected(port, slowness)) for _ in range(count)]
        is_over = threading.Event()
        trickle = threading.Thread(target=_trickle, args=(clients, slowness, is_over))
        trickle.start()
        try:
            yield
        finally:
            is_over.set()
            trickle.join()


def _connected(port: int, slowness: Slowness) -> socket.socket:
    client = socket.socket()
    if slowness.buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, slowness.buffer)
    client.connect(("127.0.0.1", port))
    client.sendall(slowness.at_once)
    client.settimeout(0.0)
    return client


def _trickle(clients: list[socket.socket], slowness: Slowness, is_over: threading.Event) -> None:
    sent = 0
    while not is_over.wait(slowness.seconds):
        piece = slowness.then[sent : sent + slowness.piece]
        for client in clients:
            # It may have been let go, or have no room left.
            with suppress(OSError):
                client.send(piece)
        sent = (sent + slowness.piece) % max(len(slowness.then), 1)
