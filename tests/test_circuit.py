"""A dead FHIR server is left alone, a living one is not, and no client pays for another's token."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from fhir_calls import (
    CHARTS,
    GENEROUS_SECONDS,
    PUBLISHED,
    SHORT_SECONDS,
    all_but,
    outcome_of,
    request_to,
)
from fixture_stories import PREFETCH_KEYS
from http_service import (
    BACK_PAIN,
    PATIENT,
    bundle,
    client,
    decisions_of,
    fire,
    hook_request,
)

from cds_service.chart.sources import SourceState
from cds_service.fixture_server.behaviour import BEHAVES, Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.circuit import (
    FAILED_CALLS_TO_OPEN,
    LONGEST_WAIT_SECONDS,
    SECONDS_OPEN,
    Admission,
    Circuit,
    Sign,
)
from cds_service.prefetch.reader import SECONDS_TO_JUDGE, FhirReader, complete
from cds_service.prefetch.server import NOT_ASKED, OUTCOMES, READ, Tally, wait_asked_for
from cds_service.settings import ClientAuth, Settings

pytestmark = pytest.mark.xdist_group("timed")

HUNG = Behaviour(delay_seconds=60)
SOURCES = len(PREFETCH_KEYS)


@dataclass(slots=True)
class Clock:
    """A clock that a test moves."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the time that it shows."""
        return self.seconds


@dataclass(slots=True)
class Watched:
    """A reader with a clock of its own, and what it tells."""

    clock: Clock = field(default_factory=Clock)
    outcomes: list[str] = field(default_factory=list)
    opened: list[bool] = field(default_factory=list)
    reader: FhirReader = field(init=False)

    def __post_init__(self) -> None:
        """Make the reader."""
        tally = Tally(
            count_request=self.outcomes.append, count_opened=lambda: self.opened.append(True)
        )
        self.reader = FhirReader(tally=tally, monotonic=self.clock)

    def read(
        self,
        base_url: str,
        *,
        seconds: float = GENEROUS_SECONDS,
        client_id: str = "",
        prefetch: Mapping[str, object] | None = None,
    ) -> set[tuple[SourceState, str]]:
        """Return what one call comes to, as states and reasons."""
        sources = complete(
            request_to(base_url, prefetch=prefetch),
            PUBLISHED,
            allowed_servers=(base_url,),
            reader=self.reader,
            budget_seconds=seconds,
            monotonic=time.monotonic,
            client_id=client_id,
        )
        return set(map(outcome_of, sources))


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.reader.close()


ALL_READ = {(SourceState.READ, "")}
DOWN = {(SourceState.UNREADABLE, "server down")}
BUSY = {(SourceState.UNREADABLE, "server busy")}


def on_all(behaviour: Behaviour) -> dict[str, Behaviour]:
    return dict.fromkeys(PREFETCH_KEYS.values(), behaviour)


def set_all(server: FixtureServer, behaviour: Behaviour) -> None:
    for kind in PREFETCH_KEYS.values():
        server.behave(kind, behaviour)


def failed(circuit: Circuit, times: int = FAILED_CALLS_TO_OPEN) -> None:
    for _ in range(times):
        circuit.leave(circuit.enter(), Sign.DOWN)


def test_it_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    failed(circuit, FAILED_CALLS_TO_OPEN - 1)
    assert Admission.USUAL is circuit.enter()
    assert circuit.leave(Admission.USUAL, Sign.DOWN)
    assert circuit.is_open
    clock.seconds += SECONDS_OPEN - 0.1
    assert Admission.DOWN is circuit.enter()

    clock.seconds += 0.1

    assert [Admission.PROBE, Admission.DOWN, Admission.DOWN] == [circuit.enter() for _ in range(3)]


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    circuit = Circuit(Clock())
    failed(circuit, FAILED_CALLS_TO_OPEN - 1)
    circuit.leave(circuit.enter(), Sign.ALIVE)
    failed(circuit, FAILED_CALLS_TO_OPEN - 1)

    assert Admission.USUAL is circuit.enter()


def test_what_is_unclear_neither_opens_nor_closes_nor_saves() -> None:
    """A bad token must not keep a dead server in the books as a living one."""
    circuit = Circuit(Clock())
    for _ in range(FAILED_CALLS_TO_OPEN):
        assert not circuit.is_open
        circuit.leave(circuit.enter(), Sign.UNCLEAR)
        circuit.leave(circuit.enter(), Sign.DOWN)

    assert circuit.is_open


@pytest.mark.parametrize(
    ("sign", "is_open", "then"),
    [
        (Sign.ALIVE, False, Admission.USUAL),
        (Sign.DOWN, True, Admission.DOWN),
        (Sign.UNCLEAR, True, Admission.PROBE),
    ],
)
def test_the_probe_decides_what_comes_after_it(
    sign: Sign, then: Admission, *, is_open: bool
) -> None:
    clock = Clock()
    circuit = Circuit(clock)
    failed(circuit)
    clock.seconds += SECONDS_OPEN

    assert not circuit.leave(circuit.enter(), sign)
    assert is_open == circuit.is_open
    assert then is circuit.enter()


def test_a_probe_that_never_comes_back_is_followed_by_another() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    failed(circuit)
    clock.seconds += SECONDS_OPEN
    assert Admission.PROBE is circuit.enter()

    clock.seconds += SECONDS_OPEN

    assert Admission.PROBE is circuit.enter()


@pytest.mark.parametrize(
    ("sign", "then"),
    [
        (Sign.ALIVE, Admission.USUAL),
        (Sign.DOWN, Admission.DOWN),
        (Sign.UNCLEAR, Admission.DOWN),
    ],
)
def test_a_call_begun_before_it_opened_can_only_close_it(sign: Sign, then: Admission) -> None:
    circuit = Circuit(Clock())
    early = circuit.enter()
    failed(circuit)

    assert not circuit.leave(early, sign)
    assert then is circuit.enter()


@pytest.mark.parametrize(("asked", "given"), [(5.0, 5.0), (3600.0, LONGEST_WAIT_SECONDS)])
def test_a_server_that_asks_for_it_is_left_alone_for_a_while(asked: float, given: float) -> None:
    clock = Clock()
    circuit = Circuit(clock)
    circuit.leave(circuit.enter(), Sign.ALIVE, wait_seconds=asked)
    circuit.leave(Admission.USUAL, Sign.ALIVE, wait_seconds=1.0)
    clock.seconds += given - 0.1
    assert Admission.BUSY is circuit.enter()
    assert not circuit.is_open

    clock.seconds += 0.1

    assert Admission.USUAL is circuit.enter()


def test_many_threads_make_one_probe() -> None:
    clock = Clock()
    circuit = Circuit(clock)
    failed(circuit)
    clock.seconds += SECONDS_OPEN
    with ThreadPoolExecutor(16) as pool:
        admissions = list(pool.map(lambda _: circuit.enter(), range(200)))

    assert 1 == admissions.count(Admission.PROBE)
    assert 199 == admissions.count(Admission.DOWN)


def test_a_server_that_is_gone_costs_nothing_and_is_found_again(watched: Watched) -> None:
    with FixtureServer() as gone:
        port = int(gone.origin.rpartition(":")[2])
    for _ in range(FAILED_CALLS_TO_OPEN):
        assert {(SourceState.UNREADABLE, "unreachable")} == watched.read(gone.base_url)
    assert [gone.origin] == watched.reader.dead_servers()
    with FixtureServer(CHARTS, port=port) as back:
        assert DOWN == watched.read(back.base_url)
        assert () == back.requests
        watched.clock.seconds += SECONDS_OPEN
        assert ALL_READ == watched.read(back.base_url)
        assert ALL_READ == watched.read(back.base_url)

    assert [] == watched.reader.dead_servers()
    assert [True] == watched.opened
    asked = FAILED_CALLS_TO_OPEN * SOURCES
    assert ["unreachable"] * asked == watched.outcomes[:asked]
    assert [NOT_ASKED] * SOURCES == watched.outcomes[asked : asked + SOURCES]
    assert [READ] * 2 * SOURCES == watched.outcomes[asked + SOURCES :]


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(HUNG, id="hung"),
        pytest.param(Behaviour(fault=Fault.STALL, delay_seconds=0.05), id="hung in the body"),
        pytest.param(Behaviour(status=500), id="500"),
        pytest.param(Behaviour(status=502), id="502"),
        pytest.param(Behaviour(fault=Fault.RESET), id="reset"),
    ],
)
def test_a_server_that_fails_everything_is_left_alone(
    behaviour: Behaviour, watched: Watched
) -> None:
    with FixtureServer(CHARTS, behaviours=on_all(behaviour)) as server:
        for _ in range(FAILED_CALLS_TO_OPEN):
            assert DOWN != watched.read(server.base_url, seconds=SHORT_SECONDS)
        asked = len(server.requests)

        assert DOWN == watched.read(server.base_url)
        assert asked == len(server.requests)

        watched.clock.seconds += SECONDS_OPEN
        assert DOWN != watched.read(server.base_url, seconds=SHORT_SECONDS)
        assert DOWN == watched.read(server.base_url)


@pytest.mark.parametrize(
    "behaviour",
    [
        *(Behaviour(status=status) for status in (400, 401, 403, 404, 410, 429)),
        Behaviour(fault=Fault.HTML),
        Behaviour(fault=Fault.REDIRECT, target="http://127.0.0.1:9"),
        Behaviour(fault=Fault.GARBAGE),
        Behaviour(fault=Fault.CUT_OFF),
    ],
    ids=lambda behaviour: f"{behaviour.status} {behaviour.fault.value}",
)
def test_an_answer_that_is_of_no_use_is_no_sign_of_death(
    behaviour: Behaviour, watched: Watched
) -> None:
    with FixtureServer(CHARTS, behaviours=on_all(behaviour)) as server:
        for _ in range(FAILED_CALLS_TO_OPEN + 1):
            watched.read(server.base_url)
        set_all(server, BEHAVES)

        assert ALL_READ == watched.read(server.base_url)

    assert [] == watched.opened


def test_a_server_that_answers_one_source_lives(watched: Watched) -> None:
    fine = {"Device": BEHAVES}
    with FixtureServer(CHARTS, behaviours=on_all(Behaviour(status=500)) | fine) as server:
        for _ in range(FAILED_CALLS_TO_OPEN + 1):
            assert (SourceState.READ, "") in watched.read(server.base_url)

    assert [] == watched.opened


def test_lateness_proves_nothing_when_there_was_no_time(watched: Watched) -> None:
    with FixtureServer(CHARTS, behaviours=on_all(HUNG)) as server:
        for _ in range(FAILED_CALLS_TO_OPEN + 1):
            late = watched.read(server.base_url, seconds=SECONDS_TO_JUDGE / 2)
            assert {(SourceState.UNREADABLE, "timeout")} == late
        assert {(SourceState.UNREADABLE, "timeout")} == watched.read(server.base_url, seconds=0)
        set_all(server, BEHAVES)

        assert ALL_READ == watched.read(server.base_url)

    assert [] == watched.opened


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(status=401), id="a bad token"),
        pytest.param(Behaviour(status=500), id="a token that breaks the server"),
        pytest.param(Behaviour(status=429, retry_after="3600"), id="too many calls"),
        pytest.param(Behaviour(status=503, retry_after="3600"), id="busy for this client"),
    ],
)
def test_what_one_client_meets_is_nothing_to_another(
    behaviour: Behaviour, watched: Watched
) -> None:
    with FixtureServer(CHARTS, behaviours=on_all(behaviour)) as server:
        for _ in range(FAILED_CALLS_TO_OPEN + 1):
            watched.read(server.base_url, client_id="https://a.example")
        set_all(server, BEHAVES)

        assert ALL_READ == watched.read(server.base_url, client_id="https://b.example")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", ["20", "Thu, 31 Dec 2099 12:00:00 GMT"])
def test_a_server_that_wants_to_be_left_alone_is(
    status: int, retry_after: str, watched: Watched
) -> None:
    """RFC 9110, 10.2.3: bounded, so that nobody is shut out for a day."""
    busy = {"Condition": Behaviour(status=status, retry_after=retry_after, times=1)}
    with FixtureServer(CHARTS, behaviours=busy) as server:
        assert {(SourceState.UNREADABLE, str(status)), *ALL_READ} == watched.read(server.base_url)
        asked = len(server.requests)

        assert BUSY == watched.read(server.base_url)
        assert asked == len(server.requests)
        assert [] == watched.reader.dead_servers()
        watched.clock.seconds += LONGEST_WAIT_SECONDS
        assert ALL_READ == watched.read(server.base_url)


def test_nobody_is_asked_about_what_was_sent(watched: Watched) -> None:
    """A circuit that is open is no reason to doubt it either."""
    with FixtureServer() as gone:
        pass
    for _ in range(FAILED_CALLS_TO_OPEN):
        watched.read(gone.base_url)
    told = len(watched.outcomes)

    devices = watched.read(gone.base_url, prefetch=all_but("devices"))

    assert ALL_READ | DOWN == devices
    assert [NOT_ASKED] == watched.outcomes[told:]
    everything = dict.fromkeys(PREFETCH_KEYS)
    assert ALL_READ == watched.read(gone.base_url, prefetch=everything)
    assert 1 == len(watched.outcomes[told:])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "9" * 5000}, float("inf")),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "\u0667"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:05 GMT"}, None),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 12:00:05 GMT",
                "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
            },
            5.0,
        ),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 11:00:00 GMT",
                "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
            },
            0.0,
        ),
        (
            {
                "Retry-After": "Sat, 21 Nov 999999 12:00:05 GMT",
                "Date": "Sat, 21 Nov 2026 12:00:00 GMT",
            },
            None,
        ),
    ],
    ids=str,
)
def test_retry_after_is_read_in_both_forms(
    headers: Mapping[str, str], expected: float | None
) -> None:
    assert expected == wait_asked_for(headers)


def test_an_operator_sees_a_dead_server_and_a_clinician_an_info_card() -> None:
    with FixtureServer() as gone:
        pass
    to = client(
        Settings(client_auth=ClientAuth.OFF, fhir_servers=(gone.base_url,), time_budget_ms=10_000)
    )
    request = hook_request(prefetch={"patient": PATIENT, "conditions": bundle(BACK_PAIN)}) | {
        "fhirServer": gone.base_url,
        "fhirAuthorization": {"access_token": "t", "token_type": "Bearer"},
    }
    before = to.get("/health/ready")
    answers = [fire(to, request) for _ in range(FAILED_CALLS_TO_OPEN + 1)]
    after = to.get("/health/ready")
    (decision,) = decisions_of(answers[-1])

    assert gone.origin not in before.text
    assert 200 == after.status_code
    expected = f"FHIR server {gone.origin} does not answer; its sources are unreadable."
    assert expected in after.get_json()["warnings"]
    assert gone.origin not in to.get("/").text
    assert "Observation: server down" in str(decision["unreadable"])
    assert ("S4a", "info") == (decision["row"], decision["indicator"])
    metrics = to.get("/metrics").text
    assert "cds_fhir_circuit_opened_total 1.0" in metrics
    asked = (SOURCES - 2) * FAILED_CALLS_TO_OPEN
    assert f'cds_fhir_requests_total{{outcome="unreachable"}} {asked}.0' in metrics
    assert f'cds_fhir_requests_total{{outcome="not asked"}} {SOURCES - 2}.0' in metrics
    assert gone.origin not in metrics


def test_every_outcome_that_is_counted_is_of_the_closed_set(watched: Watched) -> None:
    odd = Behaviour(status=299)
    with FixtureServer(CHARTS, behaviours=on_all(odd)) as server:
        watched.read(server.base_url)

    assert ["other status"] * SOURCES == watched.outcomes
    assert "other status" in OUTCOMES
