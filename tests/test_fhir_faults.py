"""Every fault of a FHIR server against the whole service: answered in time, and never harder.

Each chart would be an emergency, or is softened, by what one source holds; the rest of it is ten
days of back pain, which alone is a warning with "cancel this MRI". A fault on that source, or on
all of them, must not bring that warning out. Source: decision table §5, "Unreadable brake".
"""

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import repeat

import pytest
from bundled import knowledge
from certificates import self_signed, server_side
from fhir_faults import FAULTS, READ, NamedFault
from flask.testing import FlaskClient
from http_service import (
    BACK_PAIN,
    PATIENT,
    body_of,
    bundle,
    client,
    decisions_of,
    fire,
    hook_request,
)
from werkzeug.test import TestResponse

from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.server import OUTCOMES
from cds_service.settings import ClientAuth, Settings

pytestmark = pytest.mark.xdist_group("timed")

TYPES = tuple(knowledge().prefetch_types.values())
FAST_MS = 10_000
"""Generous: these faults are known at once, and a busy machine must not turn them into others."""
SLOW_MS = 2_000
SLACK_SECONDS = 3
"""For judging, which has its share of the budget, and for a busy machine."""
TOKEN = "canary-token-9b2e"

SUBJECT = {"reference": "Patient/pat-1"}
CPT = "http://www.ama-assn.org/go/cpt"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
CARRIERS: Mapping[str, Mapping[str, object]] = {
    "Patient": {**PATIENT, "birthDate": "1950-07-02"},
    "Condition": {
        **BACK_PAIN,
        "id": "cauda-equina",
        "code": {"coding": [{"system": ICD, "code": "G83.4"}]},
        "onsetDateTime": "2026-03-14",
    },
    "Observation": {
        "resourceType": "Observation",
        "id": "residual",
        "status": "final",
        "code": {"text": "Post-void residual"},
        "subject": SUBJECT,
        "effectiveDateTime": "2026-03-15",
        "valueQuantity": {"value": 450, "unit": "mL", "code": "mL"},
    },
    "Procedure": {
        "resourceType": "Procedure",
        "id": "discectomy",
        "status": "completed",
        "code": {"coding": [{"system": CPT, "code": "63030"}]},
        "subject": SUBJECT,
        "performedDateTime": "2025-11-20",
    },
    "ImagingStudy": {
        "resourceType": "ImagingStudy",
        "id": "earlier-mri",
        "status": "available",
        "subject": SUBJECT,
        "started": "2026-02-20",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
        "description": "MRI lumbar spine without contrast",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a fault strikes, and the chart that it must not harden."""

    name: str
    row: str
    """Without a fault."""
    failing: tuple[str, ...]
    chart: tuple[Mapping[str, object], ...]
    prefetch: Mapping[str, object] = field(default_factory=dict)


ONE_SOURCE = tuple(
    Target(name=kind, row=row, failing=(kind,), chart=(*base, CARRIERS[kind]))
    for kind, row, base in (
        ("Patient", "R6s", (BACK_PAIN,)),
        ("Condition", "E1", (PATIENT, BACK_PAIN)),
        ("Observation", "E1", (PATIENT, BACK_PAIN)),
        ("Procedure", "P1", (PATIENT, BACK_PAIN)),
        ("ImagingStudy", "S4a", (PATIENT, BACK_PAIN)),
    )
)
EVERY = Target(
    name="every source",
    row="E1",
    failing=TYPES,
    chart=(PATIENT, BACK_PAIN, CARRIERS["Condition"], CARRIERS["Observation"]),
)
REST = Target(
    name="all that was not sent",
    row="E1",
    failing=TYPES,
    chart=(PATIENT, BACK_PAIN, CARRIERS["Observation"]),
    prefetch={"patient": PATIENT, "conditions": bundle(BACK_PAIN)},
)
TARGETS = (*ONE_SOURCE, EVERY, REST)
NOT_SENT = frozenset(TYPES) - {"Patient", "Condition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One call and how long it took."""

    response: TestResponse
    seconds: float

    @property
    def decision(self) -> dict[str, object]:
        """The only one."""
        (decision,) = decisions_of(self.response)
        return decision

    @property
    def cards(self) -> list[dict[str, object]]:
        """All cards."""
        cards = body_of(self.response)["cards"]
        assert isinstance(cards, list)
        return cards

    @property
    def alarms(self) -> set[tuple[str, str]]:
        """Row and indicator of each card that is more than information."""
        found = set()
        for card in self.cards:
            source = card["source"]
            assert isinstance(source, dict)
            if card["indicator"] != "info":
                found.add((source["topic"]["code"], str(card["indicator"])))
        return found

    @property
    def deletes(self) -> bool:
        """It is suggested to cancel an order."""
        return '"type":"delete"' in self.response.text

    @property
    def unreadable(self) -> dict[str, str]:
        """Why each source could not be read."""
        sources = self.decision.get("unreadable", [])
        assert isinstance(sources, list)
        return dict(source.split(": ", 1) for source in sources)


def service(*servers: str, milliseconds: int) -> FlaskClient:
    return client(
        Settings(client_auth=ClientAuth.OFF, fhir_servers=servers, time_budget_ms=milliseconds)
    )


def call(to: FlaskClient, fhir_server: str, target: Target) -> Answered:
    request = hook_request(prefetch=target.prefetch) | {
        "fhirServer": fhir_server,
        "fhirAuthorization": {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300},
    }
    began = time.monotonic()
    response = fire(to, request)
    return Answered(response=response, seconds=time.monotonic() - began)


@cache
def without_fault(name: str) -> Answered:
    target = next(target for target in TARGETS if target.name == name)
    with FixtureServer(target.chart) as server:
        return call(service(server.base_url, milliseconds=FAST_MS), server.base_url, target)


@contextmanager
def failing(target: Target, behaviour: Behaviour) -> Iterator[tuple[str, FixtureServer]]:
    """Run a server with a fault and one that nobody may ask; give the base URL of the first."""
    with FixtureServer(target.chart) as tripwire, FixtureServer(target.chart) as server:
        elsewhere = behaviour.fault is Fault.FOREIGN_NEXT
        aimed = replace(behaviour, target=tripwire.origin if elsewhere else server.origin)
        for kind in target.failing:
            server.behave(kind, aimed)
        yield server.base_url, tripwire


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_without_a_fault_everything_is_read(target: Target) -> None:
    answer = without_fault(target.name)

    assert target.row == answer.decision["row"]
    assert {} == answer.unreadable


def test_the_rest_of_each_chart_alone_is_a_warning_with_cancel() -> None:
    alone = replace(EVERY, chart=(PATIENT, BACK_PAIN))
    with FixtureServer(alone.chart) as server:
        answer = call(service(server.base_url, milliseconds=FAST_MS), server.base_url, alone)

    assert {("S4a", "warning")} == answer.alarms
    assert answer.deletes


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_survived_in_time_and_only_softens(fault: NamedFault) -> None:
    """R-FHIR-07, R-PRE-12: on one source after the other, and on all of them."""
    milliseconds = SLOW_MS if fault.is_slow else FAST_MS
    with ExitStack() as stack:
        running = [stack.enter_context(failing(target, fault.behaviour)) for target in TARGETS]
        to = service(*(url for url, _ in running), milliseconds=milliseconds)
        pool = stack.enter_context(ThreadPoolExecutor(len(TARGETS)))
        urls = [url for url, _ in running]
        answers = list(pool.map(call, repeat(to), urls, TARGETS))

        assert [] == [r for _, tripwire in running for r in tripwire.requests]

    counted = re.findall(r'cds_fhir_requests_total{outcome="(.*)"}', to.get("/metrics").text)
    assert set() < set(counted) <= OUTCOMES
    for target, answer in zip(TARGETS, answers, strict=True):
        assert milliseconds / 1000 + SLACK_SECONDS > answer.seconds
        _check(fault, target, answer)


def _check(fault: NamedFault, target: Target, answer: Answered) -> None:
    reference = without_fault(target.name)
    struck = set(target.failing) - ({"Patient"} if fault.of_searches else set())
    if fault.reason == READ or not struck:
        assert body_of(reference.response) == body_of(answer.response)
        return
    if target is EVERY and not fault.of_searches:
        assert 412 == answer.response.status_code
        return
    assert 200 == answer.response.status_code
    if target is REST:
        struck &= NOT_SENT
    if fault.name == Fault.OTHER_PATIENT:
        # A source that holds nothing holds nothing of others.
        struck &= {str(resource["resourceType"]) for resource in target.chart}
    assert dict.fromkeys(struck, fault.reason).items() <= answer.unreadable.items()
    _check_softer(reference, answer)
    if fault.keeps_content:
        assert reference.decision["row"] == answer.decision["row"]


def _check_softer(reference: Answered, answer: Answered) -> None:
    """No alarm that was not there, nothing cancelled, no quiet row without its reservation."""
    assert answer.alarms <= reference.alarms
    assert not answer.deletes
    if str(answer.decision["row"]).startswith("S"):
        assert answer.decision["provisional"]
        assert "info" == answer.decision["indicator"]


@contextmanager
def nobody_listens() -> Iterator[str]:
    with FixtureServer() as gone:
        pass
    yield gone.base_url


@contextmanager
def no_tls_behind_https() -> Iterator[str]:
    with FixtureServer(EVERY.chart) as server:
        yield server.base_url.replace("http:", "https:")
        assert () == server.requests


@contextmanager
def unknown_authority() -> Iterator[str]:
    with FixtureServer(EVERY.chart, tls=server_side(self_signed())) as server:
        yield server.base_url
        assert () == server.requests


@contextmanager
def nobody_accepts() -> Iterator[str]:
    """The queue of connections that wait is full: the handshake of TCP is never finished."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (nobody_listens, "unreachable"),
        (nobody_accepts, "timeout"),
        (no_tls_behind_https, "TLS"),
        (unknown_authority, "TLS"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_server_that_cannot_be_spoken_to_is_survived_and_only_softens(
    server: Callable[[], AbstractContextManager[str]], reason: str
) -> None:
    with server() as url:
        to = service(url, milliseconds=SLOW_MS if reason == "timeout" else FAST_MS)
        nothing = call(to, url, EVERY)
        rest = call(to, url, REST)

    assert 412 == nothing.response.status_code
    assert 200 == rest.response.status_code
    assert dict.fromkeys(NOT_SENT, reason) == rest.unreadable
    _check_softer(without_fault(REST.name), rest)
    assert SLOW_MS / 1000 + SLACK_SECONDS > max(nothing.seconds, rest.seconds)
