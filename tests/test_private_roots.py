"""FHIR servers with certificates of a private CA, over real TLS on loopback (CDS_CA_FILE)."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Certified, authority, issued, server_side
from http_service import BACK_PAIN, PATIENT, client, decisions_of, fire, hook_request

from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.outgoing import Failure, NoAnswer, Peer, trusting
from cds_service.settings import Settings

pytestmark = pytest.mark.xdist_group("timed")

ROOT = authority("Hospital root")
ISSUING = authority("Hospital issuing CA", ROOT)
OTHER_ROOT = authority("Hospital root")
"""Of the same name, and another key."""
SERVER = issued(ROOT)
SECONDS = 20.0
BUDGET_MS = "10000"


@contextmanager
def ehr(shown: Certified, **more: object) -> Iterator[FixtureServer]:
    behaviours = {name: b for name, b in more.items() if isinstance(b, Behaviour)}
    with FixtureServer(
        [PATIENT, BACK_PAIN], tls=server_side(shown), behaviours=behaviours
    ) as server:
        yield server


def get(
    server: FixtureServer, tls: ssl.SSLContext, *, origin: str = "", times: int = 1
) -> list[bytes]:
    peer = Peer(origin or server.origin, tls=tls)
    try:
        return [
            peer.get("/fhir/Patient/pat-1", {}, seconds=SECONDS, most_bytes=1_000_000).body
            for _ in range(times)
        ]
    finally:
        peer.close()


@pytest.mark.parametrize(
    ("shown", "trusted"),
    [
        pytest.param(SERVER, ROOT.pem, id="the CA"),
        pytest.param(SERVER, authority("Another root").pem + ROOT.pem, id="two CAs in the file"),
        pytest.param(issued(ISSUING), ISSUING.pem, id="the issuing CA without its root"),
    ],
)
def test_a_server_of_a_trusted_private_ca_is_read(shown: Certified, trusted: str) -> None:
    with ehr(shown) as server:
        (body,) = get(server, trusting(trusted))

    assert b'"pat-1"' in body


@pytest.mark.parametrize(
    ("shown", "trusted"),
    [
        pytest.param(SERVER, "", id="no file"),
        pytest.param(SERVER, OTHER_ROOT.pem, id="a CA of the same name"),
        pytest.param(issued(ROOT, host="ehr.example"), ROOT.pem, id="another host name"),
        pytest.param(issued(ROOT, host="127.0.0.2"), ROOT.pem, id="another address"),
        pytest.param(issued(ROOT, days=(-9, -1)), ROOT.pem, id="expired"),
        pytest.param(issued(ROOT, days=(1, 9)), ROOT.pem, id="not yet valid"),
        pytest.param(issued(SERVER), ROOT.pem, id="issued by a server"),
    ],
)
def test_any_other_certificate_is_refused_before_anything_is_sent(
    shown: Certified, trusted: str
) -> None:
    with ehr(shown) as server:
        with pytest.raises(NoAnswer) as caught:
            get(server, trusting(trusted))

        assert () == server.requests

    assert Failure.TLS is caught.value.failure


def test_private_roots_are_trusted_beside_the_usual_ones() -> None:
    usual = len(trusting().get_ca_certs())

    assert 100 < usual
    assert usual + 1 == len(trusting(ROOT.pem).get_ca_certs())


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_adds_no_root(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "roots.pem"
    file.write_text(ROOT.pem, "ascii")
    monkeypatch.setenv(name, str(file))
    with ehr(SERVER) as server, pytest.raises(NoAnswer, match="TLS"):
        get(server, trusting())


def test_a_connection_is_used_again_unless_more_came_than_was_asked_for() -> None:
    """What TLS has unpacked in advance must not be taken for the answer to the next question."""
    # So long that the second answer does not fit into what is read at once.
    twice = Behaviour(fault=Fault.TWO_ANSWERS, pad_bytes=6000)
    with ehr(SERVER) as server:
        get(server, trusting(ROOT.pem), times=3)
        quiet = server.connections
    with ehr(SERVER, Patient=twice) as server:
        bodies = get(server, trusting(ROOT.pem), times=3)
        chatty = server.connections

    assert (1, 3) == (quiet, chatty)
    assert 1 == len(set(bodies))


@pytest.mark.parametrize(
    ("has_file", "unread"), [(True, False), (False, True)], ids=["with the file", "without"]
)
def test_a_call_reads_a_server_of_a_private_ca_if_the_site_says_so(
    tmp_path: Path, *, has_file: bool, unread: bool
) -> None:
    file = tmp_path / "roots.pem"
    file.write_text(ROOT.pem, "ascii")
    with ehr(SERVER) as server:
        environ: Mapping[str, str] = {
            "CDS_CLIENT_AUTH": "off",
            "CDS_FHIR_SERVERS": server.base_url,
            "CDS_TIME_BUDGET_MS": BUDGET_MS,
            "CDS_CA_FILE": str(file) if has_file else "",
        }
        request = hook_request(prefetch={"patient": PATIENT}) | {
            "fhirServer": server.base_url,
            "fhirAuthorization": {"access_token": "t", "token_type": "Bearer"},
        }
        answer = fire(client(Settings.from_environ(environ)), request)

    if unread:
        (decision,) = decisions_of(answer)
        assert "Condition: TLS" in str(decision["unreadable"])
        assert "info" == decision["indicator"]
    else:
        (decision,) = decisions_of(answer)
        assert "unreadable" not in decision
        assert "warning" == decision["indicator"]
