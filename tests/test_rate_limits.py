"""Rate limits: who is counted, when and where; what is answered beyond; Redis that fails."""

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from client_tokens import (
    AUDIENCE,
    PUBLIC_URL,
    bearer,
    client_entry,
    ec_key,
    key_set,
    rsa_key,
    site_text,
    token,
)
from flask.testing import FlaskClient
from http_service import (
    KNEE_MRI,
    ORDER_SELECT,
    ORDER_SIGN,
    client,
    error_code,
    fire,
    hook_request,
)
from own_servers import OwnServer, own_redis
from werkzeug.test import TestResponse

from cds_service.errors import SettingsError
from cds_service.rate_limits import REDIS_DOWN, OwnCounters, rate_limits_for
from cds_service.rates import UNLIMITED, Rate, parse_rate
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file

pytestmark = pytest.mark.xdist_group("timed")

FEEDBACK = f"{ORDER_SELECT}/feedback"
ORIGIN = "https://sandbox.example"
OTHER = "https://other-ehr.example"
KNEE = hook_request(KNEE_MRI)
REPORT = {
    "feedback": [
        {
            "card": "4e0a3a1e-3a0d-4c9e-8f43-1f1f2c7b9c02",
            "outcome": "overridden",
            "outcomeTimestamp": "2026-03-16T15:05:00Z",
        }
    ]
}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[OwnServer]:
    with own_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def anybody(
    request: pytest.FixtureRequest, redis_server: OwnServer
) -> Callable[[Rate], FlaskClient]:
    """Return a maker of services that anybody may call so often; each counts afresh."""
    url = redis_server.url.removesuffix("0") + str(id(request) % 15)

    def make(rate: Rate) -> FlaskClient:
        return client(
            Settings(
                client_auth=ClientAuth.OFF,
                rate_limit=rate,
                redis_url=url if request.param == "redis" else None,
                cors_origins=(ORIGIN,),
            )
        )

    return make


def two_clients(**entry: object) -> FlaskClient:
    """Return a service with two clients: the first has what is given in its entry."""
    text = site_text(
        client_entry(jwks=key_set(ec_key()), **entry),
        client_entry(issuer=OTHER, jwks=key_set(rsa_key())),
    )
    settings = Settings(public_url=PUBLIC_URL, rate_limit=Rate(3, 60))
    return client(settings, site=parse_site_file(text, name="site.yaml"))


def knock(to: FlaskClient, times: int, sender: str = "192.0.2.1", **headers: str) -> list[int]:
    """Call so often from an address; return the statuses."""
    return [
        to.post(
            ORDER_SELECT, json=KNEE, headers=headers, environ_overrides={"REMOTE_ADDR": sender}
        ).status_code
        for _ in range(times)
    ]


def with_token(to: FlaskClient, compact: str = "", path: str = ORDER_SELECT) -> TestResponse:
    """Call with a token; a new one of the first client unless given."""
    request = REPORT if path.endswith("feedback") else KNEE
    return fire(to, request, path=path, headers=bearer(compact or token()))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100 per second", Rate(100, 1)),
        ("6000/minute", Rate(6000, 60)),
        ("5 per 2 minutes", Rate(5, 120)),
        ("1 PER DAY", Rate(1, 86_400)),
        ("off", UNLIMITED),
    ],
)
def test_a_rate_is_written_as_so_many_in_so_long(text: str, rate: Rate) -> None:
    assert rate == parse_rate(text)


@pytest.mark.parametrize("text", ["", "100", "0 per second", "1/second;2/minute", "-1/day", "OFF"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="such as 100 per second or 6000/minute, or off"):
        parse_rate(text)


def test_calls_beyond_the_limit_are_told_when_to_come_again(
    anybody: Callable[[Rate], FlaskClient],
) -> None:
    to = anybody(Rate(3, 60))
    assert [200] * 3 == knock(to, 3, "192.0.2.2")
    answer = to.post(
        ORDER_SELECT,
        input_stream=io.BytesIO(b"{"),
        headers={"Origin": ORIGIN},
        environ_overrides={"REMOTE_ADDR": "192.0.2.2"},
    )
    metrics = to.get("/metrics").text

    assert 429 == answer.status_code
    assert "too-many-requests" == error_code(answer)
    assert "throttled" == json.loads(answer.get_data())["issue"][0]["code"]
    assert 55 <= int(answer.headers["Retry-After"]) <= 60
    assert ORIGIN == answer.headers["Access-Control-Allow-Origin"]
    assert "Retry-After" == answer.headers["Access-Control-Expose-Headers"]
    assert 'cds_requests_refused_total{code="too-many-requests",status="429"} 1.0' in metrics
    assert 'cds_client_refusals_total{reason="rate-limit"} 1.0' in metrics


@pytest.mark.parametrize("pause", [0.0, 0.35, 0.7])
def test_who_waits_as_told_is_answered_and_who_does_not_is_not(
    anybody: Callable[[Rate], FlaskClient], pause: float
) -> None:
    """With the clock of the machine; a window of two seconds, met at several moments."""
    to = anybody(Rate(2, 2))
    sender = f"192.0.2.{100 + int(pause * 100)}"
    assert [200, 200, 429] == knock(to, 3, sender)
    time.sleep(pause)
    refused = to.post(ORDER_SELECT, json=KNEE, environ_overrides={"REMOTE_ADDR": sender})
    seconds = int(refused.headers["Retry-After"])

    assert 1 <= seconds <= 2
    assert seconds - (2 - pause) < 1
    time.sleep(seconds)
    assert [200] == knock(to, 1, sender)


def test_each_sender_is_counted_by_itself_and_one_with_many_addresses_once(
    anybody: Callable[[Rate], FlaskClient],
) -> None:
    to = anybody(Rate(2, 60))

    assert [200, 200, 429] == knock(to, 3, "192.0.2.3")
    assert [200] == knock(to, 1, "192.0.2.4")
    assert [200, 200] == [*knock(to, 1, "2001:db8::1"), *knock(to, 1, "2001:db8::2")]
    assert [429, 200] == [*knock(to, 1, "2001:db8::3"), *knock(to, 1, "2001:db8:0:1::1")]


def test_nothing_that_a_call_says_makes_it_another_sender() -> None:
    to = client(Settings(client_auth=ClientAuth.OFF, rate_limit=Rate(1, 60)))
    sayings: tuple[Mapping[str, str], ...] = (
        {"X-Forwarded-For": "192.0.2.9"},
        {"Forwarded": "for=192.0.2.9"},
        {"X-Real-Ip": "192.0.2.9"},
        {"Authorization": f"Bearer {token()}"},
        {"Authorization": "Bearer x", "Cookie": "a=b", "User-Agent": "another"},
    )
    statuses = [knock(to, 1, **saying)[0] for saying in sayings]

    assert [200, 429, 429, 429, 429] == statuses
    assert (
        429
        == to.post(
            f"{ORDER_SIGN}?x=1", json=KNEE, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}
        ).status_code
    )


def test_hook_calls_and_feedback_have_counters_of_their_own() -> None:
    to = two_clients()

    assert [200, 200, 200, 429] == [with_token(to).status_code for _ in range(4)]
    assert [200, 200, 200, 429] == [with_token(to, path=FEEDBACK).status_code for _ in range(4)]


@pytest.mark.parametrize("path", ["/cds-services", "/health/live", "/health/ready", "/metrics"])
def test_nothing_but_calls_is_limited(path: str) -> None:
    to = client(Settings(client_auth=ClientAuth.OFF, rate_limit=Rate(1, 60)))

    assert [200] * 5 == [to.get(path).status_code for _ in range(5)]


def test_a_client_is_counted_over_all_services_and_beside_the_others() -> None:
    to = two_clients()
    of_other = [token(rsa_key(), iss=OTHER) for _ in range(3)]
    of_sign = token(aud=AUDIENCE.replace("order-select", "order-sign"))
    sign = {**hook_request(KNEE_MRI, hook="order-sign")}

    assert [200, 200] == [with_token(to).status_code for _ in range(2)]
    assert 200 == fire(to, sign, headers=bearer(of_sign)).status_code
    assert 429 == with_token(to).status_code
    assert [200] * 3 == [with_token(to, each).status_code for each in of_other]


@pytest.mark.parametrize(
    ("limit", "statuses"),
    [
        ("1 per minute", [200, 429, 429, 429, 429]),
        ("4/hour", [200] * 4 + [429]),
        ("off", [200] * 5),
    ],
)
def test_the_limit_of_an_entry_counts_instead(limit: str, statuses: list[int]) -> None:
    to = two_clients(rateLimit=limit)

    assert statuses == [with_token(to).status_code for _ in range(5)]


def test_a_token_that_is_refused_costs_the_client_nothing() -> None:
    to = two_clients()
    good = token()
    for bad in (
        token(rsa_key()),
        token(aud="https://x.example"),
        token(exp=1),
        good[:-8] + "AAAAAAAA",
    ):
        assert [401] * 3 == [with_token(to, bad).status_code for _ in range(3)]
    assert 200 == with_token(to, good).status_code
    assert [401] * 3 == [with_token(to, good).status_code for _ in range(3)]

    assert [200, 200, 429] == [with_token(to).status_code for _ in range(3)]


def test_a_client_without_calls_left_costs_no_proof_and_loses_no_token() -> None:
    """So a flood of its tokens is cheap to refuse; each of them may be sent again later."""
    to = two_clients(rateLimit="1 per second")
    early = token()
    assert [200, 429, 429] == [
        with_token(to, each).status_code for each in (token(), token(), early)
    ]
    badly_signed = early[:-8] + "AAAAAAAA"
    assert 429 == with_token(to, badly_signed).status_code
    time.sleep(1.05)

    assert 401 == with_token(to, badly_signed).status_code
    assert 200 == with_token(to, early).status_code


def test_the_line_of_a_refused_call_names_the_client(caplog: pytest.LogCaptureFixture) -> None:
    to = two_clients(rateLimit="1 per minute")
    caplog.set_level("INFO", logger="cds_service")
    with_token(to)
    with_token(to)
    line = vars(caplog.records[-1])

    assert (429, "rate-limit", client_entry()["issuer"]) == (
        line["status"],
        line["reason"],
        line["client"],
    )


def test_all_workers_and_replicas_count_together_in_redis(redis_server: OwnServer) -> None:
    settings = Settings(
        client_auth=ClientAuth.OFF, rate_limit=Rate(4, 60), redis_url=redis_server.url
    )
    replicas = [client(settings), client(settings)]

    assert [200, 200, 200, 200, 429, 429] == [
        knock(replicas[n % 2], 1, "192.0.2.5")[0] for n in range(6)
    ]


def test_without_redis_calls_go_on_and_are_counted_by_each_worker(tmp_path: Path) -> None:
    """And with it again, without a restart."""
    with own_redis() as server:
        settings = Settings(
            client_auth=ClientAuth.OFF,
            rate_limit=Rate(2, 3600),
            redis_url=server.url,
            state_directory=tmp_path,
        )
        to = client(settings)
        assert [200, 200, 429] == knock(to, 3)
        assert REDIS_DOWN not in to.get("/health/ready").text
        server.kill()
        assert [200, 200, 429] == knock(to, 3)
        ready = to.get("/health/ready")
        server.start()
        time.sleep(1)

        assert REDIS_DOWN in ready.text
        assert 200 == ready.status_code
        assert REDIS_DOWN not in to.get("/health/ready").text
        assert [200, 200, 429] == knock(to, 3)


def test_a_redis_that_hangs_holds_up_one_call_for_a_moment_and_no_other(tmp_path: Path) -> None:
    with own_redis() as server:
        settings = Settings(
            client_auth=ClientAuth.OFF,
            rate_limit=Rate(1000, 60),
            redis_url=server.url,
            state_directory=tmp_path,
        )
        to = client(settings)
        knock(to, 1)
        server.freeze()
        took = []
        for _ in range(10):
            began = time.perf_counter()
            assert [200] == knock(to, 1)
            took.append(time.perf_counter() - began)
        server.thaw()

    assert 0.1 <= max(took) < 1.0
    assert 1 == sum(seconds >= 0.1 for seconds in took)


def test_a_url_that_is_none_of_redis_stops_start_up() -> None:
    with pytest.raises(SettingsError, match=r"^CDS_REDIS_URL: must be redis://"):
        rate_limits_for(Settings(redis_url="http://user:secret@x"), monotonic=time.monotonic)


def test_the_memory_of_a_worker_is_bounded() -> None:
    """Whoever has very many addresses makes the oldest windows be forgotten, and no more."""
    counters = OwnCounters(lambda: 0.0)
    rate = Rate(1, 86_400)
    assert 0 == counters.count("first", rate)
    assert 86_400 == counters.count("first", rate)
    for n in range(49_999):
        assert 0 == counters.count(f"address {n}", rate)

    assert 86_400 == counters.count("first", rate)
    assert 0 == counters.count("one more", rate)
    assert 0 == counters.count("first", rate)
