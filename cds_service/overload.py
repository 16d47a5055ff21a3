"""Calls that cannot be answered within their time budget are refused at once.

A refusal costs some microseconds and lets the client go on without advice; a late answer costs
the full work, and nobody waits for it any more.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cds_service import strict_json
from cds_service.error_translation import translate
from cds_service.errors import Overloaded
from cds_service.observability import Metrics
from cds_service.protocol import operation_outcome
from cds_service.senders import network_of
from cds_service.settings import Settings

ARRIVAL = "cds_service.arrival"
"""Key of the `Arrival` in the WSGI environment; no header can have this name."""
SHARE_FOR_WAITING = 0.5
"""Of the time budget of a call; the other half is for reading and judging."""
SECONDS_TO_STAY_AWAY = 1
"""`Retry-After` of a call that was refused: by then the line is another one."""

_WEIGHT_OF_LATEST = 1 / 16
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request came to the thread that answers it."""

    ready_at: float
    """`time.perf_counter()` at which it was complete and the waiting began."""


def arrival_of(environ: Mapping[str, object], *, now: float) -> Arrival:
    """Return how a request came here; under a server that does not say, just `now`."""
    arrival = environ.get(ARRIVAL)
    return arrival if isinstance(arrival, Arrival) else Arrival(now)


def longest_wait_seconds(settings: Settings) -> float:
    """Return how long a call may wait for a thread."""
    return settings.time_budget_ms / 1000 * SHARE_FOR_WAITING


def overloaded() -> Overloaded:
    """Return the error to raise for a call that waited for too long."""
    return Overloaded(
        "The service is overloaded; the call was not looked at.", retry_after=SECONDS_TO_STAY_AWAY
    )


class WaitingLines(Generic[T]):
    """The calls of one process that wait for a thread: a line for each client, served in turn.

    So a client that sends far too much waits longer itself, and the others hardly do. For use by
    one thread only.
    """

    def __init__(self, *, threads: int, longest_wait: float) -> None:
        """`longest_wait` is in seconds."""
        self._threads = threads
        self._idle = threads
        self._longest_wait = longest_wait
        self._lines: dict[str, deque[T]] = {}
        """None of them empty; the first one is next."""
        self._waiting = 0
        self._mean_seconds = 0.0

    def are_too_long(self, name: str, *, waited: float) -> bool:
        """Tell whether a call of this line would wait for longer than it may, if it entered.

        `waited` is for how long it has waited already; the rest goes by recent calls.
        """
        own = len(self._lines.get(name, ()))
        other_lines = len(self._lines) - (name in self._lines)
        before = own + min(self._waiting - own, (own + 1) * other_lines)
        return waited + before * self._mean_seconds / self._threads > self._longest_wait

    def enter(self, name: str, call: T) -> None:
        """Put a call at the end of a line."""
        self._lines.setdefault(name, deque()).append(call)
        self._waiting += 1

    def next(self) -> T | None:
        """Return the call whose turn it is, for an idle thread; None if there is either not."""
        if not self._idle or not self._lines:
            return None
        name = next(iter(self._lines))
        line = self._lines.pop(name)
        call = line.popleft()
        if line:
            self._lines[name] = line
        self._idle -= 1
        self._waiting -= 1
        return call

    def leave(self, seconds: float) -> None:
        """Note that a thread is idle again, which one call kept busy for so long."""
        self._idle += 1
        self._mean_seconds += (seconds - self._mean_seconds) * _WEIGHT_OF_LATEST


class Door:
    """Says in which line a call waits, and refuses calls: no thread, no parser, no framework."""

    def __init__(
        self, settings: Settings, metrics: Metrics, *, client_named_in: Callable[[str], str]
    ) -> None:
        """Write the answers once: one for each browser origin, and one for all others.

        `client_named_in` returns the id of the client that an Authorization header names, proved
        or not, or nothing.
        """
        self.longest_wait = longest_wait_seconds(settings)
        self._client_named_in = client_named_in
        self._metrics = metrics
        self._answers = {
            origin.encode(): _answer(origin, may_vary=True) for origin in settings.cors_origins
        }
        self._usual = _answer("", may_vary=bool(settings.cors_origins))

    def line_of(self, authorization: str, sender: str) -> str:
        """Return the name of the line in which a call waits.

        A stranger may name a client and make its line longer, but no other.
        """
        return self._client_named_in(authorization) or f"at {network_of(sender)}"

    def refuse(self, service_id: str, *, is_feedback: bool, origin: bytes) -> bytes:
        """Count one refused call and return all that is to be sent; then hang up."""
        failure = translate(overloaded())
        if service_id and not is_feedback:
            self._metrics.count_call(service_id, failure.status, 0.0)
        self._metrics.count_refused(failure.status, failure.code)
        self._metrics.count_shed()
        return self._answers.get(origin, self._usual)


def _answer(origin: str, *, may_vary: bool) -> bytes:
    """Return the answer as `routes.py` would write it; a test holds the two together."""
    failure = translate(overloaded())
    body = strict_json.dumps(operation_outcome(failure.status, failure.code, failure.text))
    headers = {
        "Connection": "close",
        "Content-Type": "application/fhir+json",
        "Content-Length": str(len(body)),
        **failure.headers,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Origin" if may_vary else "",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After" if origin else "",
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    head = "\r\n".join([f"HTTP/1.1 {failure.status} Service Unavailable", *lines, "", ""])
    return head.encode() + body
