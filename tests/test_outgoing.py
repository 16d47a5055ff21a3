"""HTTP to other servers, where FHIR and key sets do not come into it."""

import pytest

from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.outgoing import Failure, NoAnswer, Peer, trusting

pytestmark = pytest.mark.xdist_group("timed")

PATIENT = {"resourceType": "Patient", "id": "p1"}


def failure_of(peer: Peer, target: str = "/fhir/Patient/p1") -> Failure | None:
    try:
        peer.get(target, {}, seconds=20, most_bytes=1000)
    except NoAnswer as fault:
        return fault.failure
    finally:
        peer.close()
    return None


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "127.0.0.1:9"])
def test_a_host_that_there_cannot_be_is_unreachable(host: str) -> None:
    assert Failure.UNREACHABLE is failure_of(Peer(f"http://{host}", tls=trusting()))


@pytest.mark.parametrize("origin", ["https://ehr.example:99999", "http://[::1", "http://\u2028"])
def test_an_address_that_is_none_is_unreachable_from_the_start(origin: str) -> None:
    with pytest.raises(NoAnswer, match="unreachable"):
        Peer(origin, tls=trusting())


@pytest.mark.parametrize(
    "fault", [Fault.SHORT_LENGTH, Fault.TWO_ANSWERS, Fault.EARLY_HINTS, Fault.CUT_OFF]
)
def test_what_is_left_of_one_answer_is_not_taken_for_the_next(fault: Fault) -> None:
    """So long that what is left does not fit into what is read at once."""
    bad = Behaviour(fault=fault, pad_bytes=20_000, times=1)
    with FixtureServer([PATIENT], behaviours={"Patient": bad}) as server:
        peer = Peer(server.origin, tls=trusting())
        first = second = b""
        try:
            first = peer.get("/fhir/Patient/p1", {}, seconds=20, most_bytes=99_999).body
        except NoAnswer:
            pass
        finally:
            second = peer.get("/fhir/Patient/p1", {}, seconds=20, most_bytes=99_999).body
            peer.close()

    assert b'{"resourceType": "Patient", "id": "p1"}' == second
    assert first != second
