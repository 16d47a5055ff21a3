"""A call reads the servers registered for its client, and its token goes to those alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from client_tokens import PUBLIC_URL, bearer, client_entry, ec_key, key_set, site_text, token
from fhir_calls import CHARTS, TOKEN, all_but, bundle, read_all, request_to, sources_of
from flask.testing import FlaskClient
from http_service import BACK_PAIN, PATIENT, client, decisions_of, fire, hook_request

from cds_service.chart.sources import SourceState
from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.reader import FhirReader
from cds_service.settings import Settings
from cds_service.site_file import parse_site_file

pytestmark = pytest.mark.xdist_group("timed")

A, B = "https://a.example", "https://b.example"
PASS = "canary-fhir-token-77aa"
CHART = [PATIENT, BACK_PAIN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A service with two clients, each with a FHIR server of its own."""

    to: FlaskClient
    servers: Mapping[str, FixtureServer]

    def call(self, issuer: str, fhir_server: str) -> dict[str, object]:
        """Fire a hook as one client, naming a server; return the decision."""
        request = hook_request(prefetch={"patient": PATIENT, "conditions": None}) | {
            "fhirServer": fhir_server,
            "fhirAuthorization": {"access_token": PASS, "token_type": "Bearer"},
        }
        key = ec_key(issuer)
        answer = fire(self.to, request, headers=bearer(token(key, iss=issuer)))
        assert 200 == answer.status_code
        (decision,) = decisions_of(answer)
        return decision


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with FixtureServer(CHART) as ehr_a, FixtureServer(CHART) as ehr_b:
        entries = [
            client_entry(issuer=name, jwks=key_set(ec_key(name)), fhirServers=[ehr.base_url])
            for name, ehr in ((A, ehr_a), (B, ehr_b))
        ]
        settings = Settings(public_url=PUBLIC_URL, state_directory=tmp_path, time_budget_ms=10_000)
        to = client(settings, site=parse_site_file(site_text(*entries), name="site.yaml"))
        yield Site(to=to, servers={A: ehr_a, B: ehr_b})


@pytest.fixture
def reader() -> Iterator[FhirReader]:
    reader = FhirReader()
    yield reader
    reader.close()


def test_each_client_reads_its_own_server_with_the_token_of_the_call(site: Site) -> None:
    """R-FHIR-06: that the tests below read nothing is no accident."""
    for issuer, server in site.servers.items():
        decision = site.call(issuer, server.base_url)

        assert "unreadable" not in decision
        assert {f"Bearer {PASS}"} == {r.headers["authorization"] for r in server.requests}


@pytest.mark.parametrize(("issuer", "other"), [(A, B), (B, A)], ids=["A names B's", "B names A's"])
def test_a_client_that_names_the_server_of_another_reads_nothing(
    site: Site, issuer: str, other: str
) -> None:
    """R-FHIR-06."""
    site.call(other, site.servers[other].base_url)
    before = len(site.servers[other].requests)

    decision = site.call(issuer, site.servers[other].base_url)

    assert "Observation: not sent" in json.dumps(decision["unreadable"])
    assert before == len(site.servers[other].requests)
    assert () == site.servers[issuer].requests


@pytest.mark.parametrize(
    "form",
    [
        "http://localhost:{port}/fhir",
        "http://2130706433:{port}/fhir",
        "http://0x7f000001:{port}/fhir",
        "http://0177.0.0.1:{port}/fhir",
        "http://127.1:{port}/fhir",
        "http://127.0.0.1.:{port}/fhir",
        "http://[::ffff:127.0.0.1]:{port}/fhir",
        "http://[::1]:{port}/fhir",
        "http://127.0.0.1@127.0.0.1:{port}/fhir",
        "http://user:pw@127.0.0.1:{port}/fhir",
        "http://\uff11\uff12\uff17.0.0.1:{port}/fhir",
        "http://127\u30020.0.1:{port}/fhir",
        "http://127.0.0.1:{port}/fhir/../fhir",
        "http://127.0.0.1:{port}//fhir",
        "http://127.0.0.1:{port}/FHIR",
        "http://127.0.0.1:{port}/%66hir",
        "http://127.0.0.1:{port}/fhir;x",
        "http://127.0.0.1:{port}",
        "https://127.0.0.1:{port}/fhir",
    ],
)
def test_another_form_of_the_own_server_is_not_that_server(site: Site, form: str) -> None:
    """R-FHIR-05: two parsers could lead to two places, so only the registered spelling counts."""
    port = site.servers[A].origin.rpartition(":")[2]

    decision = site.call(A, form.format(port=port))

    assert "Observation: not sent" in json.dumps(decision["unreadable"])
    assert [(), ()] == [server.requests for server in site.servers.values()]


@pytest.mark.parametrize(
    "link",
    [
        "http://localhost:{port}/fhir/Condition",
        "http://2130706433:{port}/fhir/Condition",
        "http://[::ffff:127.0.0.1]:{port}/fhir/Condition",
        "http://127.0.0.1.:{port}/fhir/Condition",
        "http://user:pw@127.0.0.1:{port}/fhir/Condition",
        "//127.0.0.1:{port}/fhir/Condition",
        "http:\\\\127.0.0.1:{port}/fhir/Condition",
        "http://127.0.0.1:{port}\\@127.0.0.1:{own}/fhir/Condition",
        "http://127.0.0.1:{own}@127.0.0.1:{port}/fhir/Condition",
        "http://127.0.0.1:{own}\t.127.0.0.1:{port}/fhir",
        "http://127.0.0.1:0{port}/fhir/Condition",
        "ftp://127.0.0.1:{port}/fhir/Condition",
    ],
)
def test_a_next_link_in_any_disguise_leads_the_token_nowhere(reader: FhirReader, link: str) -> None:
    """R-FHIR-08."""
    with FixtureServer(CHARTS) as tripwire, FixtureServer(CHARTS) as own:
        ports = [server.origin.rpartition(":")[2] for server in (tripwire, own)]
        sent = bundle(next_url=link.format(port=ports[0], own=ports[1]))
        prefetch = {**all_but("conditions"), "conditions": sent}
        source = read_all(own, reader, prefetch=prefetch)["conditions"]

        assert () == tripwire.requests
        assert () == own.requests

    assert (SourceState.UNREADABLE, "incomplete") == (source.state, source.reason)


@pytest.mark.parametrize("fault", [Fault.REDIRECT, Fault.FOREIGN_NEXT, Fault.USER_NEXT])
def test_no_answer_leads_the_token_to_another_port_of_the_same_host(
    reader: FhirReader, fault: Fault
) -> None:
    """R-FHIR-08: a session that is used again later forgets nothing of this."""
    with FixtureServer(CHARTS) as tripwire, FixtureServer(CHARTS) as own:
        away = Behaviour(fault=fault, target=tripwire.origin, times=1)
        for kind in ("Patient", "Condition", "Observation"):
            own.behave(kind, away)
        read_all(own, reader)
        again = read_all(own, reader)

        assert () == tripwire.requests
        assert {f"Bearer {TOKEN}"} == {r.headers["authorization"] for r in own.requests}

    assert {SourceState.READ} == {source.state for source in again.values()}


def test_addresses_within_resources_are_never_asked(reader: FhirReader) -> None:
    """References, full URLs and attachments are data."""
    with FixtureServer(CHARTS) as tripwire:
        there = f"{tripwire.base_url}/Condition/1"
        report = {
            "resourceType": "DiagnosticReport",
            "id": "r1",
            "status": "final",
            "subject": {"reference": "Patient/p1"},
            "code": {"text": "MRI lumbar spine"},
            "basedOn": [{"reference": there}],
            "presentedForm": [{"url": there}],
            "meta": {"source": there},
        }
        with FixtureServer([report]) as own:
            request = request_to(own.base_url)
            source = sources_of(request, reader, own.base_url)["diagnosticReports"]

        assert SourceState.READ is source.state
        assert () == tripwire.requests
