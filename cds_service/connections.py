"""What the system says of a connection, so that no thread has to wait for its client."""

import select
import socket
import sys
import time

from gunicorn.workers.gthread import TConn

SECONDS_TO_TAKE = 5.0
"""For a client to take its answer, as far as the system does not keep it for the client."""

_HAS_TCP_INFO = hasattr(socket, "TCP_INFO")
_LAST_DATA_RECEIVED = slice(52, 56)
"""`tcpi_last_data_recv` of Linux' `struct tcp_info`: milliseconds, of the machine's byte order."""


def seconds_unread(sock: socket.socket) -> float:
    """Return for how long the last bytes of a connection lay in the system, to milliseconds.

    Where the loop is late, calls wait there unseen. Zero where the system does not say.
    """
    if not _HAS_TCP_INFO:
        return 0.0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.stop)
    except OSError:
        return 0.0
    return int.from_bytes(info[_LAST_DATA_RECEIVED], sys.byteorder) / 1000


class Rest:
    """What a parser reads beyond the bytes that are here: nothing, or what comes in time."""

    def __init__(self, conn: TConn) -> None:
        """`conn.timeout` says until when to wait, as `time.monotonic()`; None: not at all."""
        self._conn = conn

    def recv(self, size: int) -> bytes:
        """Return bytes; none when the client has hung up or is too slow."""
        seconds = (self._conn.timeout or 0.0) - time.monotonic()
        if seconds <= 0:
            return b""
        self._conn.sock.settimeout(seconds)
        try:
            return self._conn.sock.recv(size)
        except TimeoutError:
            return b""
        finally:
            self._conn.sock.settimeout(SECONDS_TO_TAKE)


def takes_answers(sock: socket.socket) -> bool:
    """Tell whether the system can keep another answer for the client: then no thread waits."""
    out = select.poll()
    out.register(sock, select.POLLOUT)
    return bool(out.poll(0))
