"""The real server: workers, graceful stop, reload, slow and broken clients, quiet logs."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from http_service import KNEE_MRI, LUMBAR_MRI, ORDER_SELECT, hook_request
from served import Served, served

pytestmark = pytest.mark.xdist_group("timed")

OPEN = {"CDS_CLIENT_AUTH": "off", "CDS_MAX_BODY_BYTES": "200000"}
EAP = "urn:oid:1.2.840.114350.1.13.999.2.7.2.696580"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(OPEN) as running:
        yield running


def post(server: Served, body: object) -> requests.Response:
    return requests.post(server.url + ORDER_SELECT, json=body, timeout=10)


def head_of(body: bytes, *, announced: int | None = None) -> bytes:
    """Return the head of a POST whose body has the announced length."""
    length = len(body) if announced is None else announced
    return (
        f"POST {ORDER_SELECT} HTTP/1.1\r\nHost: cds.example\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def connect(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def is_alive(server: Served) -> bool:
    return requests.get(f"{server.url}/health/live", timeout=5).status_code == 200


def test_hook_calls_are_answered_over_http(server: Served) -> None:
    answer = post(server, hook_request())

    assert 200 == answer.status_code
    assert 1 == len(answer.json()["extension"]["org.lumbar-mri-cds.decisions"])


def test_metrics_sum_over_all_workers(server: Served) -> None:
    def total() -> float:
        text = requests.get(f"{server.url}/metrics", timeout=5).text
        lines = [line for line in text.splitlines() if line.startswith("cds_calls_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    before = total()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(server, hook_request(KNEE_MRI)), range(40)))

    assert {200} == {a.status_code for a in answers}
    assert before + 40 == total()


def test_a_chunked_body_without_a_length_is_read(server: Served) -> None:
    """R-ROB-05."""
    body = json.dumps(hook_request()).encode()
    answer = requests.post(
        server.url + ORDER_SELECT,
        data=iter([body[:100], body[100:]]),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )

    assert 200 == answer.status_code
    assert answer.json()["extension"]


def test_a_chunked_body_over_the_limit_is_413(server: Served) -> None:
    """R-ROB-01, R-ROB-05."""
    answer = requests.post(
        server.url + ORDER_SELECT,
        data=iter([b'["' + b"x" * 150_000, b"x" * 150_000 + b'"]']),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )

    assert 413 == answer.status_code
    assert "OperationOutcome" == answer.json()["resourceType"]


def test_an_oversized_body_is_refused_and_the_service_lives(server: Served) -> None:
    """R-ROB-01."""
    with connect(server) as connection:
        connection.sendall(head_of(b"", announced=50_000_000) + b'{"a": "')
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 413")
    assert is_alive(server)


def test_a_body_shorter_than_announced_is_dropped(server: Served) -> None:
    """R-ROB-05."""
    with connect(server) as connection:
        connection.sendall(head_of(b"", announced=1000) + b'{"hook":')
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert is_alive(server)


def test_stalled_clients_do_not_hang_other_callers(server: Served) -> None:
    """R-ROB-05."""
    stalled = [connect(server) for _ in range(3)]
    for connection in stalled:
        connection.sendall(head_of(b"", announced=1000) + b'{"hook":')
    began = time.monotonic()
    answers = [post(server, hook_request()) for _ in range(10)]
    took = time.monotonic() - began
    for connection in stalled:
        connection.close()

    assert {200} == {a.status_code for a in answers}
    assert took < 5


def test_a_client_that_stops_in_the_middle_is_let_go(server: Served) -> None:
    with connect(server) as connection:
        connection.settimeout(15)
        connection.sendall(head_of(b"", announced=1000) + b'{"hook":')
        answer = read_all(connection)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%00", "/" + "x" * 5000])
def test_odd_addresses_are_client_errors(server: Served, path: str) -> None:
    with connect(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = int(read_all(connection).split(b" ", 2)[1])

    assert 400 <= status < 500


def test_a_worker_that_dies_is_replaced(server: Served) -> None:
    worker = int(str(server.wait_for("open to all")["pid"]))
    booted = len([m for m in server.messages() if m["message"] == "open to all"])
    os.kill(worker, signal.SIGKILL)
    server.wait_for("open to all", count=booted + 1)

    assert {200} == {post(server, hook_request()).status_code for _ in range(5)}


def test_a_call_under_way_is_finished_when_the_server_is_told_to_stop() -> None:
    body = json.dumps(hook_request()).encode()
    with served(OPEN) as server, connect(server) as connection:
        connection.sendall(head_of(body) + body[:200])
        time.sleep(0.3)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        time.sleep(0.7)
        connection.sendall(body[200:])
        answer = read_all(connection)
        code = server.process.wait(timeout=15)
        took = time.monotonic() - began

    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"org.lumbar-mri-cds.decisions"' in answer
    assert 0 == code
    assert took < 10


def test_a_client_that_never_finishes_does_not_hold_up_the_stop() -> None:
    with served(OPEN) as server, connect(server) as connection:
        connection.sendall(head_of(b"", announced=1000) + b"{")
        time.sleep(0.3)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        server.process.wait(timeout=15)

        assert time.monotonic() - began < 10


def test_the_site_file_is_read_again_on_hup_without_dropping_a_call(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("orderCodes: {nothing yet: none}\n")
    local = {**LUMBAR_MRI, "code": {"coding": [{"system": EAP, "code": "IMG4021"}]}}
    request = hook_request(local)
    with served({**OPEN, "CDS_SITE_FILE": str(site)}) as server:
        before = post(server, request)
        site.write_text(f'orderCodes: {{"{EAP}|IMG4021": without}}\n')
        server.signal(signal.SIGHUP)
        answers = []
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            answers.append(post(server, request))
            if all("extension" in a.json() for a in answers[-10:]) and len(answers) > 10:
                break
        site.write_text("orderCodes: {a: sideways}\n")
        server.signal(signal.SIGHUP)
        report = server.wait_for("site file not reloaded")
        after = [post(server, request) for _ in range(5)]

    assert {"cards": []} == before.json()
    assert {200} == {a.status_code for a in answers}
    assert "extension" in answers[-1].json()
    assert "site.yaml:1: orderCodes.a must be" in str(report["reason"])
    assert all("extension" in a.json() for a in after)


def test_a_faulty_site_file_stops_start_up(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("ordercodes: {}\n")

    with (
        pytest.raises(AssertionError, match="unknown keys: ordercodes"),
        served({**OPEN, "CDS_SITE_FILE": str(site)}),
    ):
        pass


def test_logs_are_json_lines_without_anything_from_a_request(server: Served) -> None:
    """R-FHIR-03 and house rule 9: a canary in every place of a request, none in the log."""
    canary = "Canary-7741"
    request = hook_request({**LUMBAR_MRI, "note": [{"text": canary}], "id": canary})
    request["hookInstance"] = canary
    request["fhirServer"] = f"https://{canary.lower()}.example/fhir"
    request["fhirAuthorization"] = {"access_token": canary, "token_type": "Bearer"}
    for body in (request, {canary: canary}, [canary], {**request, "hook": canary}):
        post(server, body)
    requests.get(f"{server.url}/{canary}?name={canary}", timeout=5)
    requests.post(f"{server.url}/cds-services/{canary}", data=canary, timeout=5)
    with connect(server) as connection:
        connection.sendall(f"{canary} / HTTP/9.9\r\n{canary}\r\n\r\n".encode())
        read_all(connection)
    time.sleep(0.5)
    lines = server.messages()

    assert [m for m in lines if m["message"] == "hook call"]
    assert canary.lower() not in json.dumps(lines).lower()
