"""Overload: who is refused, with what answer, and whose turn it is."""

import json
import time

import pytest
from client_tokens import PUBLIC_URL, bearer, client_entry, ec_key, key_set, site_text, token
from flask.testing import FlaskClient
from http_service import ORDER_SELECT, client, error_code, fire, hook_request
from hypothesis import given
from hypothesis import strategies as st

from cds_service.app import door_of
from cds_service.overload import ARRIVAL, SHARE_FOR_WAITING, Arrival, Door, WaitingLines
from cds_service.senders import network_of
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file

pytestmark = pytest.mark.xdist_group("timed")

ORIGIN = "https://sandbox.example"
SETTINGS = Settings(client_auth=ClientAuth.OFF, cors_origins=(ORIGIN,), time_budget_ms=1000)
FEEDBACK = f"{ORDER_SELECT}/feedback"


def waited(seconds: float) -> dict[str, object]:
    """Return a WSGI environment as our worker makes it, after so long a wait."""
    return {ARRIVAL: Arrival(time.perf_counter() - seconds)}


def metric(to: FlaskClient, start: str) -> float:
    """Return the value of the metric line that starts so; 0 if there is none."""
    lines = [line for line in to.get("/metrics").text.splitlines() if line.startswith(start)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("path", [ORDER_SELECT, FEEDBACK])
def test_a_call_that_waited_for_too_long_is_refused_before_anything_is_looked_at(path: str) -> None:
    """Also where tokens are required and none came: no work is done for it."""
    to = client(Settings(time_budget_ms=1000))
    answer = to.post(path, data=b"{", environ_overrides=waited(SHARE_FOR_WAITING + 0.01))

    assert 503 == answer.status_code
    assert "overloaded" == error_code(answer)
    assert "1" == answer.headers["Retry-After"]
    assert 1 == metric(to, "cds_calls_shed_total")
    assert 1 == metric(to, "cds_wait_seconds_count")


def test_a_call_that_waited_a_little_is_answered_and_the_wait_is_counted() -> None:
    to = client(SETTINGS)
    answer = to.post(ORDER_SELECT, json=hook_request(), environ_overrides=waited(0.3))

    assert 200 == answer.status_code
    assert 0 == metric(to, "cds_calls_shed_total")
    assert 0.3 < metric(to, "cds_wait_seconds_sum") < 5
    assert 0.3 < metric(to, "cds_call_seconds_sum")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/cds-services"])
def test_nothing_but_calls_is_refused_for_having_waited(path: str) -> None:
    assert 200 == client(SETTINGS).get(path, environ_overrides=waited(60)).status_code


@pytest.mark.parametrize("origin", ["", ORIGIN, "https://other.example"])
def test_the_door_answers_as_the_application_does(origin: str) -> None:
    """R-CORS-02, R-RESP-07."""
    to = client(SETTINGS)
    headers = {"Origin": origin} if origin else {}
    by_application = to.post(ORDER_SELECT, headers=headers, json={}, environ_overrides=waited(60))
    raw = door_of(to.application).refuse(
        "lumbar-mri-order-select", is_feedback=False, origin=origin.encode()
    )
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    by_door = dict(line.split(": ", 1) for line in lines)

    assert "HTTP/1.1 503 Service Unavailable" == first
    assert "close" == by_door.pop("Connection")
    assert dict(by_application.headers) == by_door
    assert json.loads(by_application.get_data()) == json.loads(body)
    start = 'cds_calls_total{hook="order-select",service="lumbar-mri-order-select",status="503"'
    assert 2 == metric(to, start)
    assert 2 == metric(to, 'cds_requests_refused_total{code="overloaded",status="503"')
    assert 2 == metric(to, "cds_calls_shed_total")


def lines(*, threads: int = 2, longest_wait: float = 1.0, mean: float = 0.1) -> WaitingLines[str]:
    """Return lines whose recent calls kept a thread busy for so long."""
    made = WaitingLines[str](threads=threads, longest_wait=longest_wait)
    for _ in range(200):
        made.enter("warm-up", "")
        made.next()
        made.leave(mean)
    return made


def test_calls_wait_only_when_all_threads_are_busy() -> None:
    waiting = lines(threads=2)
    for call in "abc":
        waiting.enter("x", call)

    assert ["a", "b", None] == [waiting.next() for _ in range(3)]
    waiting.leave(0.1)
    assert ["c", None] == [waiting.next() for _ in range(2)]


def test_clients_take_turns_however_many_calls_one_of_them_has_waiting() -> None:
    waiting = lines(threads=1)
    for n in range(50):
        waiting.enter("greedy", f"greedy {n}")
    waiting.enter("modest", "modest 0")
    waiting.enter("modest", "modest 1")
    turns = []
    for _ in range(6):
        turns.append(waiting.next())
        waiting.leave(0.1)

    assert ["greedy 0", "modest 0", "greedy 1", "modest 1", "greedy 2", "greedy 3"] == turns


def test_a_line_is_too_long_for_the_client_that_made_it_long_and_for_no_other() -> None:
    waiting = lines(threads=2, longest_wait=1.0, mean=0.1)
    for _ in range(20):
        assert not waiting.are_too_long("greedy", waited=0.0)
        waiting.enter("greedy", "call")
    waiting.enter("greedy", "the one too many")

    assert waiting.are_too_long("greedy", waited=0.0)
    assert not waiting.are_too_long("modest", waited=0.0)
    assert not waiting.are_too_long("modest", waited=0.9)
    assert waiting.are_too_long("modest", waited=0.96)


def test_many_lines_of_one_call_are_as_long_as_one_line_of_many() -> None:
    waiting = lines(threads=2, longest_wait=1.0, mean=0.1)
    for n in range(21):
        waiting.enter(f"client {n}", "call")

    assert waiting.are_too_long("one more", waited=0.0)


def test_without_calls_before_it_only_the_wait_so_far_counts() -> None:
    waiting = lines(longest_wait=1.0, mean=30.0)

    assert not waiting.are_too_long("x", waited=1.0)
    assert waiting.are_too_long("x", waited=1.001)


def _door() -> Door:
    site = site_text(
        client_entry(), client_entry(issuer="https://other.example", jwks=key_set(ec_key()))
    )
    settings = Settings(public_url=PUBLIC_URL)
    return door_of(client(settings, site=parse_site_file(site, name="site.yaml")).application)


DOOR = _door()


def test_each_registered_client_has_a_line_and_each_sender_that_names_none() -> None:
    ours, other = bearer(token()), bearer(token(iss="https://other.example"))
    names = [
        DOOR.line_of(ours["Authorization"], "10.0.0.1"),
        DOOR.line_of(other["Authorization"], "10.0.0.1"),
        DOOR.line_of(bearer(token(iss="https://nobody.example"))["Authorization"], "10.0.0.1"),
        DOOR.line_of("", "10.0.0.2"),
    ]

    assert 4 == len(set(names))
    assert names[0] == DOOR.line_of(bearer(token())["Authorization"], "10.0.0.9")
    assert names[2] == DOOR.line_of("Basic x", "10.0.0.1")
    assert "at 10.0.0.1" == door_of(client(SETTINGS).application).line_of(
        ours["Authorization"], "10.0.0.1"
    )


@given(st.text(), st.text())
def test_no_header_and_no_address_whatever_breaks_the_door(header: str, sender: str) -> None:
    """It is asked in the loop of a worker, which an error would end."""
    head, payload, signature = token().split(".")
    for authorization in (header, f"Bearer {header}", f"Bearer {head}.{header}.{signature}"):
        assert DOOR.line_of(authorization, sender)
    assert DOOR.line_of(f"Bearer {head}.{payload}.{header}", sender)


@pytest.mark.parametrize(
    ("sender", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_a_sender_is_its_address_or_the_network_that_it_has_to_itself(
    sender: str, network: str
) -> None:
    assert network == network_of(sender)


def test_under_a_server_that_does_not_say_how_calls_came_none_has_waited() -> None:
    assert 200 == fire(client(SETTINGS), hook_request()).status_code
