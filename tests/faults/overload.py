"""Far more calls than can be judged, and clients that are slow on purpose: what others notice.

Floods by anybody, by one registered client, by strangers with forged tokens and by slow clients;
and the Redis that counts calls, killed and started again. Throughout, somebody else calls as usual
and a probe asks for health. Run it: .venv/bin/python tests/faults/overload.py
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from evidence import arguments, readiness, verdict
from kill_workers import workers_of
from rich.console import Console
from rich.table import Table

from client_tokens import PUBLIC_URL, client_entry, ec_key, key_set, rsa_key, site_text, token  # isort: skip
from http_service import KNEE_MRI, ORDER_SELECT, hook_request
from own_servers import own_redis
from served import Served, served
from slow_clients import KINDS, slow_clients
from traffic import Answers, http_call, http_get, quantile, send

OPEN = {"CDS_CLIENT_AUTH": "off"}
GREEDY = "https://greedy-ehr.example"
MODEST = "https://modest-ehr.example"
SECONDS_OF_BUDGET = 1.5
SECONDS_OF_SLACK = 1.5
"""For a busy machine, on which the senders themselves have to wait for their turn."""
PER_SECOND = 1000.0
"""Of a flood; few machines can send more beside what they serve."""
SLOW_CLIENTS = 100
"""Of each kind."""

_LIVE = [http_get("/health/live")]
_JUDGED = json.dumps(hook_request()).encode()
_NOT_OURS = json.dumps(hook_request(KNEE_MRI)).encode()
_MOST_GROWTH = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What some streams of calls at the same time had for answers."""

    name: str
    streams: Mapping[str, Answers]

    @property
    def flood(self) -> Answers:
        """The answers to those who send too much."""
        return self.streams.get("flood", Answers(()))

    @property
    def others(self) -> list[Answers]:
        """The answers to those who send as usual."""
        return [answers for who, answers in self.streams.items() if who != "flood"]


def memory_of_workers(server: Served) -> int:
    """Return the resident pages of all workers; those that they share count each time."""
    return sum(
        int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) for pid in workers_of(server)
    )


def calls_of(issuer: str, count: float, body: bytes) -> list[bytes]:
    """Return calls of a registered client, each with a token of its own."""
    now = int(time.time())
    key = ec_key() if issuer == GREEDY else rsa_key()
    tokens = (token(key, iss=issuer, iat=now, exp=now + 300) for _ in range(math.ceil(count)))
    return [http_call(ORDER_SELECT, body, f"Authorization: Bearer {each}") for each in tokens]


def forged(call: bytes) -> bytes:
    """Return the call with a signature that is of the right length and wrong."""
    head, end, body = call.partition(b"\r\n\r\n")
    signed, dot, signature = head.rpartition(b".")
    return signed + dot + signature[::-1] + end + body


@contextmanager
def two_clients(folder: Path) -> Iterator[Served]:
    """Serve two registered clients: one with a low limit, and one with the usual one."""
    site = folder / "site.yaml"
    site.write_text(
        site_text(
            client_entry(issuer=GREEDY, jwks=key_set(ec_key()), rateLimit="50 per second"),
            client_entry(issuer=MODEST, jwks=key_set(rsa_key()), rateLimit="100 per second"),
        ),
        "utf-8",
    )
    with served({"CDS_PUBLIC_URL": PUBLIC_URL, "CDS_SITE_FILE": str(site)}) as server:
        yield server


def usual(name: str, server: Served, calls: list[bytes], seconds: float) -> Scenario:
    """Call as usual, while a probe asks for health."""
    return Scenario(
        name=name,
        streams=_all(
            {
                "somebody else": send(server.port, calls, per_second=5, seconds=seconds),
                "health": send(server.port, _LIVE, per_second=5, seconds=seconds),
            }
        ),
    )


def beside_flood(
    name: str, server: Served, flood: list[bytes], calls: list[bytes], seconds: float
) -> Scenario:
    """Send a flood at the same time."""
    waiting = send(server.port, flood, per_second=PER_SECOND, seconds=seconds)
    others = usual(name, server, calls, seconds)
    return Scenario(name=name, streams={"flood": waiting(), **others.streams})


def _all(waiting: Mapping[str, Callable[[], Answers]]) -> dict[str, Answers]:
    return {who: answers() for who, answers in waiting.items()}


def floods_with_tokens(seconds: float, folder: Path) -> list[Scenario]:
    """Flood in the name of one client, with its tokens and with forged ones."""
    flood = calls_of(GREEDY, PER_SECOND * seconds, _NOT_OURS)
    forgery = [forged(call) for call in flood[:99]]
    calls = calls_of(MODEST, 5 * seconds, _JUDGED)
    more = calls_of(MODEST, 5 * seconds, _JUDGED)
    with two_clients(folder) as server:
        return [
            beside_flood("one client", server, flood, calls, seconds),
            beside_flood("forged tokens", server, forgery, more, seconds),
        ]


def floods_by_anybody(seconds: float) -> tuple[list[Scenario], float]:
    """Flood without tokens; return also by which share the memory of the workers grew."""
    calls = [http_call(ORDER_SELECT, _JUDGED)]
    with served(OPEN) as server:
        # So that both workers have read all that they read only once.
        send(server.port, calls, per_second=50, seconds=max(seconds / 4, 1))()
        before = memory_of_workers(server)
        flood = send(server.port, calls, per_second=PER_SECOND, seconds=seconds)
        health = send(server.port, _LIVE, per_second=5, seconds=seconds)
        during = Scenario(name="anybody", streams=_all({"flood": flood, "health": health}))
        growth = memory_of_workers(server) / before - 1
        after = usual("at once after", server, calls, 1)
        with ExitStack() as stack:
            for kind in KINDS.values():
                stack.enter_context(slow_clients(server.port, kind, SLOW_CLIENTS))
            time.sleep(1)
            name = f"{SLOW_CLIENTS} of each slow kind"
            slow = usual(name, server, calls, seconds)
    return [during, after, slow], growth


def flood_without_redis(seconds: float) -> tuple[Scenario, bool]:
    """Kill the Redis that counts calls, and start it; return also whether readiness said so."""
    calls = [http_call(ORDER_SELECT, _NOT_OURS)]
    with own_redis() as redis_server:
        limits = {"CDS_RATE_LIMIT": "20 per second", "CDS_REDIS_URL": redis_server.url}
        with served({**OPEN, **limits}) as server:
            flood = send(server.port, calls, per_second=100, seconds=seconds + 2)
            health = send(server.port, _LIVE, per_second=5, seconds=seconds + 2)
            time.sleep(seconds / 3)
            redis_server.kill()
            time.sleep(seconds / 3)
            is_said = "Redis does not answer" in readiness(server)
            redis_server.start()
            streams = _all({"flood": flood, "health": health})
            is_over = "Redis" not in readiness(server)
    return Scenario(name="Redis killed, started", streams=streams), is_said and is_over


def table_of(scenarios: list[Scenario]) -> Table:
    """Return one row for each stream: answers by status, and milliseconds."""
    table = Table(title="What came back", title_justify="left")
    for heading in ("scenario", "who", "200", "401", "429", "503", "none"):
        table.add_column(heading, justify="left" if heading in ("scenario", "who") else "right")
    for heading in ("200: p50", "p99", "max ms", "others: p50", "p99 ms"):
        table.add_column(heading, justify="right")
    for scenario in scenarios:
        for who, answers in scenario.streams.items():
            ok, others = answers.seconds(200), answers.seconds(401, 429, 503)
            times = [(ok, 0.5), (ok, 0.99), (ok, 1.0), (others, 0.5), (others, 0.99)]
            table.add_row(
                scenario.name,
                who,
                *(str(answers.by_status[status]) for status in (200, 401, 429, 503, 0)),
                *(_milliseconds(quantile(ranked, share)) for ranked, share in times),
            )
    return table


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.0f}"


def run(seconds: float, folder: Path) -> None:
    """Run all scenarios, and print what came back and whether it is as it must be."""
    with_tokens = floods_with_tokens(seconds, folder)
    by_anybody, growth = floods_by_anybody(seconds)
    without_redis, is_said = flood_without_redis(seconds)
    scenarios = [*with_tokens, *by_anybody, without_redis]
    Console(width=130).print(table_of(scenarios))
    everything = [answers for each in scenarios for answers in each.streams.values()]
    statuses = {status for answers in everything for status in answers.by_status}
    latest = max(max(answers.seconds(200), default=0.0) for answers in everything)
    flooding_client, forger = (scenario.flood.by_status for scenario in with_tokens)
    verdict(
        "Overload",
        {"latest 200 (s)": latest, "growth of memory": f"{growth:+.0%}"},
        {
            "every answer is 200, 429 or 503 (401 to forged tokens)": statuses
            <= {200, 401, 429, 503},
            "no 200 later than budget and slack": latest < SECONDS_OF_BUDGET + SECONDS_OF_SLACK,
            "others are served throughout": all(
                answers.share(200) > 0.9 for each in scenarios for answers in each.others
            ),
            "the client that sends too much is told so": flooding_client[429] > 0,
            "nobody gets in with a forged token": forger[200] == 0,
            "what cannot be answered in time is refused": by_anybody[0].flood.by_status[503] > 0,
            "memory stays flat": growth < _MOST_GROWTH,
            "without Redis the limit still holds, nothing fails": set(without_redis.flood.by_status)
            == {200, 429},
            "readiness said so, and that it was over": is_said,
        },
    )


if __name__ == "__main__":
    chosen = arguments(str(__doc__), seconds=10)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        run(chosen.seconds, Path(name))
