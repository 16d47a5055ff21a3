"""Key sets of clients over real HTTP: rotation, outages, limits, and addresses never asked."""

import gzip
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from certificates import Certified, authority, issued, server_side
from client_tokens import (
    ISSUER,
    PUBLIC_URL,
    KeyServer,
    SigningKey,
    bearer,
    claims,
    client_entry,
    ec_key,
    header,
    key_set,
    rsa_key,
    signed,
    site_text,
    token,
)
from cryptography.hazmat.primitives.asymmetric import ec
from http_service import NOW, client, fire, hook_request

from cds_service.client_auth.key_sets import (
    MAX_SET_BYTES,
    SECONDS_BELIEVED,
    SECONDS_BETWEEN_FETCHES,
    SECONDS_KEPT,
    SECONDS_TO_FETCH,
    TOO_OLD,
    KeySets,
)
from cds_service.client_auth.tokens import token_in
from cds_service.errors import NotAuthenticated
from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.json_web_keys import MAX_KEYS, UnusableKeySet, VerificationKey, read_key_set
from cds_service.outgoing import trusting
from cds_service.registered_clients import RegisteredClient
from cds_service.settings import Settings
from cds_service.site_file import parse_site_file

pytestmark = pytest.mark.xdist_group("timed")


@dataclass(slots=True)
class Clock:
    """A clock that a test moves; by it goes the time of day as well."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the time that it shows."""
        return self.seconds

    def now(self) -> datetime:
        """Return the time of day."""
        return NOW + timedelta(seconds=self.seconds)


def key_sets_of(clock: Clock, folder: Path, **more: ssl.SSLContext) -> KeySets:
    """Return key sets as a worker has them that has just started."""
    return KeySets(monotonic=clock, clock=clock.now, folder=folder / "key-sets", **more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(ec_key()) as running:
        yield running


@pytest.fixture
def key_sets(clock: Clock, tmp_path: Path) -> KeySets:
    return key_sets_of(clock, tmp_path)


def found(key_sets: KeySets, server: KeyServer, key: SigningKey) -> list[VerificationKey]:
    """Return the keys of the server's client that fit a token of this key."""
    registered = RegisteredClient(issuer=ISSUER, jku=server.url)
    return key_sets.keys_for(token_in(f"Bearer {token(key)}"), registered)


def reason(key_sets: KeySets, server: KeyServer, key: SigningKey) -> str:
    """Return why there is no key for a token."""
    with pytest.raises(NotAuthenticated) as caught:
        found(key_sets, server, key)
    return caught.value.reason


def test_a_client_with_a_key_address_is_let_in(server: KeyServer, tmp_path: Path) -> None:
    """R-SEC-03: end to end, over HTTP, with the registered `jku` in the header and without."""
    site = site_text(client_entry(jwks=..., jku=server.url))
    to = client(
        Settings(public_url=PUBLIC_URL, state_directory=tmp_path),
        site=parse_site_file(site, name="site.yaml"),
    )

    assert 200 == fire(to, hook_request(), headers=bearer(token())).status_code
    named = signed(header(jku=server.url), claims())
    assert 200 == fire(to, hook_request(), headers=bearer(named)).status_code
    assert ["/jwks.json"] == server.paths
    assert f'"client":"{ISSUER}","source":"jku","keys":1' in to.get("/health/ready").text


def test_a_foreign_key_address_is_never_asked(server: KeyServer, tmp_path: Path) -> None:
    """R-SEC-11: nor is a registered one that belongs to another client."""
    with KeyServer(ec_key()) as foreign:
        site = site_text(
            client_entry(jwks=..., jku=server.url),
            client_entry(issuer="https://second.example", jku=foreign.url),
        )
        to = client(
            Settings(public_url=PUBLIC_URL, state_directory=tmp_path),
            site=parse_site_file(site, name="site.yaml"),
        )
        for jku in (foreign.url, server.url + "/", server.url.replace("127.0.0.1", "localhost")):
            named = signed(header(jku=jku), claims())
            assert 401 == fire(to, hook_request(), headers=bearer(named)).status_code

        assert [] == foreign.paths
        assert [] == server.paths


def test_keys_in_the_site_file_are_used_and_the_address_beside_them_only_compared(
    server: KeyServer, tmp_path: Path
) -> None:
    """An EHR that always sends its `jku` can be used where it cannot be reached."""
    site = site_text(client_entry(jku=server.url))
    to = client(
        Settings(public_url=PUBLIC_URL, state_directory=tmp_path),
        site=parse_site_file(site, name="site.yaml"),
    )
    named = signed(header(jku=server.url), claims())

    assert 200 == fire(to, hook_request(), headers=bearer(named)).status_code
    assert [] == server.paths


def test_a_set_is_asked_for_once_and_again_when_it_is_old(
    key_sets: KeySets, server: KeyServer, clock: Clock
) -> None:
    for _ in range(3):
        assert found(key_sets, server, ec_key())
    clock.seconds += SECONDS_KEPT - 1
    assert found(key_sets, server, ec_key())
    assert 1 == len(server.paths)

    clock.seconds += 1
    assert found(key_sets, server, ec_key())
    assert 2 == len(server.paths)


def test_a_rotated_key_is_found_at_once_and_the_old_one_forgotten(
    key_sets: KeySets, server: KeyServer, clock: Clock
) -> None:
    assert found(key_sets, server, ec_key())
    clock.seconds += SECONDS_BETWEEN_FETCHES
    server.give(ec_key("new"))

    assert found(key_sets, server, ec_key("new"))
    assert "unknown-key" == reason(key_sets, server, ec_key())


def test_tokens_with_unknown_keys_make_one_request_a_minute(
    key_sets: KeySets, server: KeyServer, clock: Clock
) -> None:
    for name in ("a", "b", "c"):
        assert "unknown-key" == reason(key_sets, server, ec_key(name))
    assert 1 == len(server.paths)

    clock.seconds += SECONDS_BETWEEN_FETCHES
    for name in ("d", "e"):
        assert "unknown-key" == reason(key_sets, server, ec_key(name))
    assert 2 == len(server.paths)


def test_many_threads_make_one_request_and_all_get_the_key(
    key_sets: KeySets, server: KeyServer
) -> None:
    server.pause_seconds = 0.2
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: found(key_sets, server, ec_key()), range(16)))

    assert all(answers)
    assert 1 == len(server.paths)


def test_while_one_thread_asks_again_the_others_use_the_old_set(
    key_sets: KeySets, server: KeyServer, clock: Clock
) -> None:
    assert found(key_sets, server, ec_key())
    clock.seconds += SECONDS_KEPT
    server.pause_seconds = 0.5
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: found(key_sets, server, ec_key()), range(8)))

    assert all(answers)
    assert 2 == len(server.paths)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"", "answers 500"),
        (404, b"{}", "answers 404"),
        (302, b"", "answers 302"),
        (200, b"<html>", "not JSON"),
        (200, b"[]", "not a JWK Set"),
        (200, b'{"keys": 1}', "not a JWK Set"),
        (200, b'{"keys": []}', "no usable key"),
        (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "ec-1"}]}', "no usable key"),
        (200, b'{"keys": [], "keys": []}', "not JSON"),
        (200, json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(), "more than 32 keys"),
        (200, b" " * (MAX_SET_BYTES + 1), "bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_answer_leaves_the_last_good_set(
    key_sets: KeySets, server: KeyServer, clock: Clock, status: int, body: bytes, says: str
) -> None:
    assert found(key_sets, server, ec_key())
    clock.seconds += SECONDS_KEPT
    with KeyServer(ec_key("evil")) as elsewhere:
        server.status, server.body = status, body
        server.headers = {"Location": elsewhere.url}

        assert found(key_sets, server, ec_key())
        assert says in key_sets.problem(server.url)
        assert [] == elsewhere.paths

    server.status, server.headers = 200, {}
    server.give(ec_key("new"))
    clock.seconds += SECONDS_BETWEEN_FETCHES
    assert found(key_sets, server, ec_key("new"))
    assert "" == key_sets.problem(server.url)


def test_a_gzip_bomb_is_given_up(key_sets: KeySets, server: KeyServer) -> None:
    server.body = gzip.compress(b" " * 50_000_000)
    server.headers = {"Content-Encoding": "gzip"}

    assert "no-keys" == reason(key_sets, server, ec_key())
    assert "bytes" in key_sets.problem(server.url)


@pytest.mark.parametrize(("pause", "trickles"), [(10.0, False), (0.0, True)])
def test_a_slow_address_is_given_up_in_time(
    tmp_path: Path, *, pause: float, trickles: bool
) -> None:
    """With the real clock: a call must not wait for it longer than its budget."""
    with KeyServer(ec_key()) as slow:
        slow.pause_seconds, slow.trickles = pause, trickles
        began = time.monotonic()
        key_sets = KeySets(monotonic=time.monotonic, clock=Clock().now, folder=tmp_path)

        assert "no-keys" == reason(key_sets, slow, ec_key())
        assert 5 > time.monotonic() - began


def test_an_address_that_is_down_from_the_start_is_asked_once_a_minute(
    key_sets: KeySets, clock: Clock
) -> None:
    with KeyServer(ec_key()) as gone:
        pass
    assert "no-keys" == reason(key_sets, gone, ec_key())
    assert "the address fails" in key_sets.problem(gone.url)
    clock.seconds += 1
    assert "no-keys" == reason(key_sets, gone, ec_key())


def test_a_worker_that_starts_in_an_outage_takes_the_last_good_set_from_disk(
    key_sets: KeySets, server: KeyServer, clock: Clock, tmp_path: Path
) -> None:
    assert found(key_sets, server, ec_key())
    server.status = 503
    fresh = key_sets_of(clock, tmp_path)

    assert found(fresh, server, ec_key())
    assert "answers 503" in fresh.problem(server.url)
    assert 1 == len(list((tmp_path / "key-sets").iterdir()))


def outage(server: KeyServer, clock: Clock, seconds: float) -> None:
    """Let the address fail from now on, and time go by."""
    server.status = 503
    clock.seconds += seconds


def test_the_last_good_set_is_believed_for_a_day_and_no_longer(
    key_sets: KeySets, server: KeyServer, clock: Clock
) -> None:
    """A key that was withdrawn by taking the address down must not be good for ever."""
    assert found(key_sets, server, ec_key())
    outage(server, clock, SECONDS_BELIEVED)
    assert found(key_sets, server, ec_key())
    assert "the address answers 503" == key_sets.problem(server.url)

    clock.seconds += 1
    assert "no-keys" == reason(key_sets, server, ec_key())
    assert f"the address answers 503; {TOO_OLD}" == key_sets.problem(server.url)
    assert (0, SECONDS_BELIEVED + 1) == (
        key_sets.count(server.url),
        key_sets.age_seconds(server.url),
    )

    server.status = 200
    clock.seconds += SECONDS_BETWEEN_FETCHES
    assert found(key_sets, server, ec_key())
    assert ("", 0) == (key_sets.problem(server.url), key_sets.age_seconds(server.url))


def test_the_copy_on_disk_ages_from_the_moment_it_was_fetched(
    key_sets: KeySets, server: KeyServer, clock: Clock, tmp_path: Path
) -> None:
    assert found(key_sets, server, ec_key())
    outage(server, clock, SECONDS_BELIEVED - 3600)
    fresh = key_sets_of(clock, tmp_path)
    assert found(fresh, server, ec_key())
    assert SECONDS_BELIEVED - 3600 == fresh.age_seconds(server.url)

    clock.seconds += 3601
    assert "no-keys" == reason(fresh, server, ec_key())
    assert "no-keys" == reason(key_sets_of(clock, tmp_path), server, ec_key())


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param({"fetchedAt": 0, "keySet": ...}, id="of another century"),
        pytest.param({"fetchedAt": 4e9, "keySet": ...}, id="of the future"),
        pytest.param({"fetchedAt": "now", "keySet": ...}, id="time that is none"),
        pytest.param({"keySet": ...}, id="no time"),
        pytest.param({"fetchedAt": ..., "keySet": {"keys": []}}, id="no keys"),
        pytest.param(..., id="as an earlier release wrote it"),
        pytest.param([], id="an array"),
        pytest.param(None, id="null"),
    ],
)
def test_a_copy_on_disk_without_a_believable_time_is_not_used(
    key_sets: KeySets, server: KeyServer, clock: Clock, tmp_path: Path, copy: object
) -> None:
    assert found(key_sets, server, ec_key())
    (file,) = (tmp_path / "key-sets").iterdir()
    good = json.loads(file.read_text("utf-8"))
    changed: object = good["keySet"] if copy is ... else copy
    if isinstance(copy, dict):
        changed = {name: good[name] if value is ... else value for name, value in copy.items()}
    file.write_text(json.dumps(changed), "utf-8")
    outage(server, clock, 1)

    assert "no-keys" == reason(key_sets_of(clock, tmp_path), server, ec_key())


def test_a_younger_copy_of_another_worker_takes_the_place_of_an_older_set(
    key_sets: KeySets, server: KeyServer, clock: Clock, tmp_path: Path
) -> None:
    assert found(key_sets, server, ec_key())
    clock.seconds += SECONDS_KEPT
    server.give(ec_key("new"))
    assert found(key_sets_of(clock, tmp_path), server, ec_key("new"))

    outage(server, clock, 1)

    assert found(key_sets, server, ec_key("new"))
    assert 1 == key_sets.age_seconds(server.url)


def test_readiness_says_how_old_a_key_set_is(server: KeyServer, tmp_path: Path) -> None:
    site = site_text(
        client_entry(issuer="https://second.example"), client_entry(jwks=..., jku=server.url)
    )
    to = client(
        Settings(public_url=PUBLIC_URL, state_directory=tmp_path),
        site=parse_site_file(site, name="site.yaml"),
    )
    before = to.get("/health/ready").get_json()["keySets"]
    assert 200 == fire(to, hook_request(), headers=bearer(token())).status_code
    after = to.get("/health/ready").get_json()["keySets"]

    assert [None, None] == [state.get("ageSeconds") for state in before]
    assert [None, True] == [
        age if age is None else 0 <= age < 60 for age in (s.get("ageSeconds") for s in after)
    ]


def test_a_trickling_head_is_given_up_in_time(tmp_path: Path) -> None:
    """With the real clock: the limit is for the whole answer, not for each byte."""
    slow = Behaviour(fault=Fault.SLOW_HEADERS, delay_seconds=0.05)
    with FixtureServer(behaviours={"Condition": slow}) as server:
        key_sets = KeySets(monotonic=time.monotonic, clock=Clock().now, folder=tmp_path)
        jku = f"{server.base_url}/Condition"
        registered = RegisteredClient(issuer=ISSUER, jku=jku)
        began = time.monotonic()
        with pytest.raises(NotAuthenticated):
            key_sets.keys_for(token_in(f"Bearer {token()}"), registered)

        assert "the address fails: timeout" == key_sets.problem(jku)
        assert SECONDS_TO_FETCH + 4 > time.monotonic() - began


def test_an_address_that_names_no_port_there_could_be_is_a_problem_and_no_crash(
    key_sets: KeySets,
) -> None:
    jku = "https://ehr.example:99999/jwks.json"
    with pytest.raises(NotAuthenticated):
        key_sets.keys_for(token_in(f"Bearer {token()}"), RegisteredClient(issuer=ISSUER, jku=jku))

    assert "the address fails: unreachable" == key_sets.problem(jku)


ROOT = authority("Hospital root")


@pytest.mark.parametrize(
    ("shown", "trusted", "is_read"),
    [
        pytest.param(issued(ROOT), ROOT.pem, True, id="private CA, in the file"),
        pytest.param(issued(ROOT), "", False, id="private CA, no file"),
        pytest.param(issued(ROOT), authority("Hospital root").pem, False, id="same name only"),
        pytest.param(issued(ROOT, host="ehr.example"), ROOT.pem, False, id="another host"),
        pytest.param(issued(ROOT, days=(-9, -1)), ROOT.pem, False, id="expired"),
    ],
)
def test_a_key_address_with_a_private_ca_needs_the_file(
    clock: Clock, tmp_path: Path, shown: Certified, trusted: str, *, is_read: bool
) -> None:
    key_sets = key_sets_of(clock, tmp_path, tls=trusting(trusted))
    with KeyServer(ec_key(), tls=server_side(shown)) as server:
        if is_read:
            assert found(key_sets, server, ec_key())
        else:
            assert "no-keys" == reason(key_sets, server, ec_key())
            assert "the address fails: TLS" == key_sets.problem(server.url)
            assert [] == server.paths


def test_a_key_without_a_name_serves_in_a_set_of_one() -> None:
    unnamed = {name: value for name, value in ec_key().jwk.items() if name != "kid"}
    alone = read_key_set({"keys": [unnamed]})
    registered = RegisteredClient(issuer=ISSUER, keys=alone)
    key_sets = key_sets_of(Clock(), Path("unused"))

    assert alone == tuple(key_sets.keys_for(token_in(f"Bearer {token()}"), registered))
    two = RegisteredClient(issuer=ISSUER, keys=(*alone, *read_key_set(key_set(rsa_key()))))
    with pytest.raises(NotAuthenticated):
        key_sets.keys_for(token_in(f"Bearer {token()}"), two)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use": "enc"}, "not for verifying"),
        ({"key_ops": ["sign"]}, "not for verifying"),
        ({"key_ops": "verify"}, "not for verifying"),
        ({"d": "AAAA"}, "private"),
        ({"kid": 7}, "not text"),
        ({"alg": "RS384"}, "must fit"),
        ({"alg": "none"}, "must fit"),
        ({"crv": "secp256k1"}, "must fit"),
        ({"crv": "P-256"}, "cannot be read"),
        ({"x": "AAAA"}, "cannot be read"),
        ({"x": 7}, "cannot be read"),
        ({"kty": "OKP"}, "must fit"),
        ({"kty": "oct"}, "must fit"),
    ],
    ids=str,
)
def test_a_key_that_is_not_for_this_is_skipped_in_a_fetched_set_and_named_in_ours(
    changes: dict[str, object], says: str
) -> None:
    odd = {**ec_key().jwk, **changes}

    assert ["rsa-1"] == [k.kid for k in read_key_set({"keys": [odd, rsa_key().jwk]})]
    with pytest.raises(UnusableKeySet, match=says):
        read_key_set({"keys": [odd, rsa_key().jwk]}, is_ours=True)


def test_a_short_rsa_key_is_refused() -> None:
    with pytest.raises(UnusableKeySet, match="2048 to 8192 bits"):
        read_key_set(key_set(rsa_key("short", 1024)), is_ours=True)


def test_each_key_of_the_site_file_needs_a_name_of_its_own() -> None:
    with pytest.raises(UnusableKeySet, match="`kid` of its own"):
        read_key_set(key_set(ec_key(), ec_key()), is_ours=True)


def test_each_curve_has_its_own_algorithm() -> None:
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
    keys = [SigningKey(str(c.key_size), "", ec.generate_private_key(c)) for c in curves]

    assert [{"ES256"}, {"ES384"}, {"ES512"}] == [k.algorithms for k in read_key_set(key_set(*keys))]
