"""Threads of FHIR reading: a slow server gets them back late to nobody but itself."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests
from fhir_calls import (
    CHARTS,
    GENEROUS_SECONDS,
    MARGIN_SECONDS,
    TOKEN,
    outcome_of,
    read_all,
    request_to,
    sources_of,
)
from http_service import ORDER_SELECT, hook_request
from served import served

from cds_service.chart.sources import SourceState
from cds_service.fixture_server.behaviour import BEHAVES, Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.reader import FhirReader
from cds_service.prefetch.server import MOST_REQUESTS, Deadline, FhirServer, ReadFailure

pytestmark = pytest.mark.xdist_group("timed")

SECONDS = 1.0
LONG_SECONDS = 4.0
PACE = 0.05
"""Each byte comes well before a time limit for single reads could strike."""


@pytest.fixture
def reader() -> Iterator[FhirReader]:
    reader = FhirReader()
    yield reader
    reader.close()


def asked(server: FhirServer, url: str, seconds: float) -> list[Future[None]]:
    """Take up every thread of a server with a request."""
    deadline = Deadline(at=time.monotonic() + seconds, monotonic=time.monotonic)

    def ask() -> None:
        with pytest.raises(ReadFailure):
            server.get(url, TOKEN, deadline)

    return [server.submit(ask) for _ in range(MOST_REQUESTS)]


@contextmanager
def misbehaving(behaviour: Behaviour) -> Iterator[str]:
    with FixtureServer(CHARTS, behaviours={"Condition": behaviour}) as server:
        yield server.origin


@contextmanager
def accepts_and_is_silent() -> Iterator[str]:
    """No TLS handshake ever comes of it."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def never_accepts() -> Iterator[str]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(lambda: misbehaving(Behaviour(delay_seconds=60)), id="late answer"),
        *(
            pytest.param(
                lambda fault=fault: misbehaving(Behaviour(fault=fault, delay_seconds=PACE)),
                id=fault.value,
            )
            for fault in (
                Fault.SLOW_HEADERS,
                Fault.TRICKLE,
                Fault.STALL,
                Fault.ENDLESS_CONTINUE,
            )
        ),
        pytest.param(accepts_and_is_silent, id="silent handshake"),
        pytest.param(never_accepts, id="full backlog"),
    ],
)
def test_every_thread_is_free_again_soon_after_its_deadline(
    slow: Callable[[], AbstractContextManager[str]], reader: FhirReader
) -> None:
    with slow() as origin:
        tasks = asked(reader.server("", origin), f"{origin}/fhir/Condition", SECONDS)
        done, late = wait(tasks, SECONDS + MARGIN_SECONDS)

        assert (MOST_REQUESTS, 0) == (len(done), len(late))

    for task in done:
        task.result()


def test_after_slow_calls_the_same_server_is_read_as_if_nothing_had_been(
    reader: FhirReader,
) -> None:
    slow = Behaviour(fault=Fault.SLOW_HEADERS, delay_seconds=PACE)
    with FixtureServer(CHARTS, behaviours={"Condition": slow}) as server:
        wait(asked(reader.server("", server.origin), f"{server.base_url}/Condition", SECONDS))
        server.behave("Condition", BEHAVES)
        sources = read_all(server, reader)

    assert {(SourceState.READ, "")} == set(map(outcome_of, sources.values()))


def test_a_server_that_hangs_takes_no_thread_from_another(reader: FhirReader) -> None:
    with (
        FixtureServer(CHARTS, behaviours={"Condition": Behaviour(delay_seconds=60)}) as hung,
        FixtureServer(CHARTS) as fine,
    ):
        waiting = asked(
            reader.server("", hung.origin), f"{hung.base_url}/Condition", GENEROUS_SECONDS
        )
        sources = read_all(fine, reader)

        assert not any(task.done() for task in waiting)

    assert {(SourceState.READ, "")} == set(map(outcome_of, sources.values()))


def test_a_task_that_is_queued_past_its_deadline_does_nothing(reader: FhirReader) -> None:
    with FixtureServer(CHARTS, behaviours={"Condition": Behaviour(delay_seconds=60)}) as server:
        url = f"{server.base_url}/Condition"
        tasks = asked(reader.server("", server.origin), url, LONG_SECONDS)
        while len(server.requests) < MOST_REQUESTS and not any(task.done() for task in tasks):
            time.sleep(0.01)
        request = request_to(server.base_url)
        late = sources_of(request, reader, server.base_url, seconds=SECONDS / 4)
        wait(tasks)
        afterwards = read_all(server, reader, prefetch={"conditions": None})

        assert MOST_REQUESTS == len(server.requests_for("Condition"))
        assert 1 == len(server.requests_for("Device"))

    assert {(SourceState.UNREADABLE, "timeout")} == set(map(outcome_of, late.values()))
    assert {(SourceState.READ, "")} == set(map(outcome_of, afterwards.values()))


def test_a_whole_process_answers_in_time_and_stops_at_once_after_slow_headers() -> None:
    """R-FHIR-07, with real workers: the threads that were waited for do not hold the exit."""
    budget = 1.0
    slow = Behaviour(fault=Fault.SLOW_HEADERS, delay_seconds=PACE)
    kinds = ("Condition", "Observation", "Procedure", "ImagingStudy")
    with FixtureServer(behaviours=dict.fromkeys(kinds, slow)) as ehr:
        settings = {
            "CDS_CLIENT_AUTH": "off",
            "CDS_FHIR_SERVERS": ehr.base_url,
            "CDS_TIME_BUDGET_MS": str(int(budget * 1000)),
        }
        request = hook_request(prefetch={"patient": {"resourceType": "Patient", "id": "pat-1"}})
        request |= {
            "fhirServer": ehr.base_url,
            "fhirAuthorization": {"access_token": "t", "token_type": "Bearer"},
        }
        with served(settings, day="2026-03-16") as service:
            url = service.url + ORDER_SELECT
            answers = [requests.post(url, json=request, timeout=30) for _ in range(4)]
            began = time.monotonic()
            code = service.stop()
            took = time.monotonic() - began

    assert [200] * 4 == [answer.status_code for answer in answers]
    assert budget + MARGIN_SECONDS > max(a.elapsed.total_seconds() for a in answers)
    assert all("Condition: timeout" in answer.text for answer in answers[:1])
    assert (0, True) == (code, took < MARGIN_SECONDS)
