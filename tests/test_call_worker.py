"""The worker: slow clients, of every kind and however many, hold up nobody but each other."""

import json
import random
import resource
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import requests
from http_service import KNEE_MRI, LUMBAR_MRI, ORDER_SELECT, hook_request
from served import Served, served
from slow_clients import KINDS, Slowness, slow_clients
from traffic import http_call, http_get

from cds_service.arriving_requests import LARGEST_KEPT
from cds_service.call_worker import SECONDS_TO_SEND
from cds_service.connections import seconds_unread, takes_answers

pytestmark = pytest.mark.xdist_group("timed")

SECONDS_OF_BUDGET = 1.5
MANY = 2300
"""More than two workers take at once."""
CALL = http_call(ORDER_SELECT, json.dumps(hook_request(KNEE_MRI)).encode())
CHUNKED = (
    CALL[: CALL.index(b"Content-Length")]
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{} \r\n0\r\n\r\n"
)
BODY_BEGINS = CALL.index(b"\r\n\r\n") + 4
ANSWER = b'{"cards":[]}'


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served({"CDS_CLIENT_AUTH": "off"}) as running:
        yield running


def slowest_of(server: Served, calls: int) -> float:
    """Return the seconds of the slowest of some usual calls, all of which must be answered."""
    slowest = 0.0
    for _ in range(calls):
        began = time.perf_counter()
        answer = requests.post(server.url + ORDER_SELECT, json=hook_request(), timeout=20)
        slowest = max(slowest, time.perf_counter() - began)
        assert 200 == answer.status_code
        assert answer.json()["extension"]
    return slowest


def connect(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS_TO_SEND + 5)


def read_until(connection: socket.socket, wanted: bytes, *, count: int = 1) -> bytes:
    """Return what comes, up to so many occurrences; less when the server hangs up."""
    received = b""
    while received.count(wanted) < count and (chunk := connection.recv(65536)):
        received += chunk
    return received


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_fifty_slow_clients_hold_up_nobody(server: Served, kind: Slowness) -> None:
    """R-ROB-05; penetration checklist 7."""
    with slow_clients(server.port, kind, 50):
        time.sleep(1)

        assert slowest_of(server, 8) < SECONDS_OF_BUDGET


@pytest.fixture
def _files_for_many() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < MANY + 500:
        pytest.skip(f"needs {MANY + 500} open files; see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], MANY + 500), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("_files_for_many")
def test_more_slow_clients_than_there_is_room_for_are_let_go_one_by_one(server: Served) -> None:
    """Penetration checklist 7."""
    with slow_clients(server.port, KINDS["sends a head byte by byte"], MANY):
        assert slowest_of(server, 8) < SECONDS_OF_BUDGET


def test_who_takes_too_long_is_told_so_and_let_go(server: Served) -> None:
    """R-ROB-05: however steadily the bytes come."""
    began = time.perf_counter()
    with ExitStack() as stack:
        head, body = (stack.enter_context(closing(connect(server))) for _ in range(2))
        head.sendall(CALL[:30])
        body.sendall(CALL[: BODY_BEGINS + 10])
        for n in range(int(SECONDS_TO_SEND / 0.5) - 1):
            time.sleep(0.5)
            head.sendall(CALL[30 + n : 31 + n])
            body.sendall(CALL[BODY_BEGINS + 10 + n : BODY_BEGINS + 11 + n])
        answers = [read_until(connection, b"\r\n\r\n") for connection in (head, body)]

    assert answers[0].startswith(b"HTTP/1.1 408 ")
    assert answers[1].startswith(b"HTTP/1.1 400 ")
    assert SECONDS_TO_SEND - 1 < time.perf_counter() - began < SECONDS_TO_SEND + 4


def test_a_body_that_comes_late_but_in_time_is_judged(server: Served) -> None:
    """R-ROB-05."""
    with connect(server) as connection:
        for start in range(0, len(CALL), len(CALL) // 4):
            connection.sendall(CALL[start : start + len(CALL) // 4])
            time.sleep(0.4)
        answer = read_until(connection, ANSWER)

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_waits_for_a_word_gets_it_once(server: Served) -> None:
    """RFC 9110, 10.1.1."""
    head = CALL[: BODY_BEGINS - 2] + b"Expect: 100-continue\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head)
        word = read_until(connection, b"\r\n\r\n")
        connection.sendall(CALL[BODY_BEGINS:])
        answer = read_until(connection, ANSWER)

    assert b"HTTP/1.1 100 Continue\r\n\r\n" == word
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_requests_sent_at_once_are_answered_in_order_on_one_connection(server: Served) -> None:
    """RFC 9112, 9.3.2; also after a call whose body was not read."""
    unread = http_call("/cds-services/none", b" " * 200_000)
    with connect(server) as connection:
        connection.sendall(unread + CALL + http_get("/health/live") + CALL)
        answers = read_until(connection, ANSWER, count=2)
        connection.sendall(CALL)
        more = read_until(connection, ANSWER)

    assert [b"404", b"200", b"200", b"200"] == [
        part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]
    ]
    assert answers.index(b'"alive"') > answers.index(ANSWER)
    assert more.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("more", [-20_000, 1_000, 20_000, 500_000])
def test_a_body_larger_than_is_kept_is_judged_too(server: Served, more: int) -> None:
    filler = {**LUMBAR_MRI, "id": "filler", "note": [{"text": "x" * (LARGEST_KEPT + more)}]}
    request = hook_request(LUMBAR_MRI, filler, selections=["ServiceRequest/draft-mri"])
    answer = requests.post(server.url + ORDER_SELECT, json=request, timeout=20)

    assert 200 == answer.status_code
    assert answer.json()["extension"]


def test_a_head_without_end_is_refused(server: Served) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000)
        answer = read_until(connection, b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_that_no_parser_takes_is_refused_without_waiting(server: Served) -> None:
    began = time.perf_counter()
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        answer = read_until(connection, b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert time.perf_counter() - began < SECONDS_TO_SEND - 2


def _spoilt(chance: random.Random) -> bytes:
    """Return some requests at once, with bytes changed, left out or cut off."""
    parts = (CALL, CHUNKED, http_call(ORDER_SELECT, b" " * 70_000), http_get("/metrics"))
    data = bytearray(b"".join(chance.choices(parts, k=chance.randint(1, 4))))
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(data))
        data[at : at + chance.randint(0, 20)] = chance.randbytes(chance.randint(0, 3))
    return bytes(data[: chance.randint(1, len(data) * 2)])


def _send_and_leave(server: Served, chance: random.Random) -> None:
    """Send something spoilt in pieces, and go: in order, half, or as if the cable were cut."""
    data, step = _spoilt(chance), chance.choice((7, 100, 5000, 10**6))
    with connect(server) as connection, suppress(OSError):
        connection.settimeout(0.1)
        for start in range(0, min(len(data), 20 * step), step):
            connection.sendall(data[start : start + step])
        leaving = chance.random()
        if leaving < 0.3:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif leaving < 0.6:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)


def test_nothing_that_is_sent_ends_a_worker_or_stays_open(server: Served) -> None:
    """R-ROB-05: everything here runs in the loop of a worker, which an error would end."""
    slowest_of(server, 8)
    first = server.process.pid
    children = Path(f"/proc/{first}/task/{first}/children")
    workers = children.read_text("ascii").split()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: _send_and_leave(server, random.Random(n)), range(600)))  # noqa: S311  # the same each time
    time.sleep(3)

    assert slowest_of(server, 8) < SECONDS_OF_BUDGET
    assert workers == children.read_text("ascii").split()
    assert [] == [line for line in server.messages() if line["level"] in ("error", "critical")]
    assert all(len(list(Path(f"/proc/{pid}/fd").iterdir())) < 60 for pid in workers)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a TCP connection; the first has small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.create_connection(listener.getsockname()) as near:
            far, _ = listener.accept()
            with far:
                yield near, far


def test_how_long_bytes_lay_unread_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    """Where the system says it: Linux."""
    near, far = pair
    near.sendall(b"x")
    time.sleep(0.4)

    assert 0.35 < seconds_unread(far) < 2
    near.sendall(b"x")
    time.sleep(0.02)
    assert seconds_unread(far) < 0.3


def test_a_unix_socket_says_nothing_of_that(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as near:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        near.connect(str(tmp_path / "s"))
        far, _ = listener.accept()
        with far:
            near.sendall(b"x")
            time.sleep(0.05)

            assert 0.0 == seconds_unread(far)


def test_a_connection_that_nobody_reads_takes_no_more(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    assert takes_answers(near)
    near.settimeout(0.2)
    with pytest.raises(TimeoutError):
        near.sendall(b"x" * 50_000_000)

    assert not takes_answers(near)
