"""Client tokens at the real server: what only a connection, a process or its log can show."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token
from http_service import KNEE_MRI, ORDER_SELECT, hook_request
from served import Served, served

pytestmark = pytest.mark.xdist_group("timed")

SECONDS_FOR_A_REFUSAL = 4
"""Shorter than the server waits for the bytes of a body."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("site")
    site_file = folder / "site.yaml"
    site_file.write_text(site_text(client_entry()), "utf-8")
    environ = {
        "CDS_PUBLIC_URL": PUBLIC_URL,
        "CDS_SITE_FILE": str(site_file),
        "XDG_STATE_HOME": str(folder),
    }
    with served(environ) as running:
        yield running


def fresh() -> str:
    """Return a good token by the clock of the machine."""
    now = int(time.time())
    return token(iat=now, exp=now + 300)


def exchange(server: Served, request: bytes) -> bytes:
    """Send bytes and return what comes until the server hangs up or has nothing more to say."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS_FOR_A_REFUSAL) as connection:
        connection.sendall(request)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
    return received


def head(*lines: str, length: int = 0, is_last: bool = True) -> bytes:
    """Return the head of a POST to the service."""
    usual = [f"POST {ORDER_SELECT} HTTP/1.1", "Host: cds.example", "Content-Type: application/json"]
    ending = ["Connection: close"] if is_last else []
    return "\r\n".join([*usual, f"Content-Length: {length}", *lines, *ending, "", ""]).encode()


def test_a_good_token_is_let_in_and_its_lines_name_the_client(server: Served) -> None:
    answer = requests.post(
        server.url + ORDER_SELECT, json=hook_request(KNEE_MRI), headers=bearer(fresh()), timeout=10
    )

    assert 200 == answer.status_code
    assert client_entry()["issuer"] == server.wait_for("hook call")["client"]


def test_a_refusal_does_not_wait_for_the_body(server: Served) -> None:
    """R-SEC-16: the body is announced and never sent."""
    answer = exchange(server, head("Authorization: Bearer x", length=1000))

    assert answer.startswith(b"HTTP/1.1 401")


def test_two_authorization_headers_are_refused(server: Served) -> None:
    """R-SEC-02."""
    good = f"Authorization: Bearer {fresh()}"

    assert exchange(server, head(good, good)).startswith(b"HTTP/1.1 401")
    other = f"authorization: Bearer {fresh()}"
    assert exchange(server, head(good, other)).startswith(b"HTTP/1.1 401")


def test_a_token_of_a_mebibyte_is_refused_and_the_service_lives(server: Served) -> None:
    answer = exchange(server, head(f"Authorization: Bearer {'A' * 1024 * 1024}"))

    assert not answer or answer.split()[1].startswith(b"4")
    assert requests.get(f"{server.url}/health/live", timeout=5).ok


def test_the_body_of_a_refused_call_is_never_taken_for_a_second_call(server: Served) -> None:
    """A proxy that keeps the connection must not hand a stranger's bytes to the next caller."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: cds.example\r\n\r\n"
    first = head("Authorization: Bearer x", length=len(hidden), is_last=False) + hidden
    answer = exchange(server, first + head("Authorization: Bearer y"))

    assert 2 == answer.count(b"HTTP/1.1 401")
    assert b'"alive"' not in answer


def test_no_token_and_no_claim_reaches_the_log_of_the_process(server: Served) -> None:
    """R-SEC-14."""
    now = int(time.time())
    canary = "canary-93bd"
    for sent in (
        token(iat=now, exp=now + 300, jti=canary, sub=canary),
        token(iat=now, exp=now + 300, iss=canary),
        token(iat=now, exp=now + 300, aud=canary),
        canary,
    ):
        requests.post(server.url + ORDER_SELECT, json={}, headers=bearer(sent), timeout=10)
    server.wait_for("hook call", count=4)

    assert canary not in json.dumps(server.messages())
    assert canary not in requests.get(f"{server.url}/metrics", timeout=5).text
