"""One FHIR server, as one client calls it: connections, threads and circuit breaker of their own.

So neither a slow server nor the bad tokens of one client take anything from another. The access
token goes to the server's origin and nowhere else: not into logs, not into exceptions, not
through redirects or links (R-FHIR-02 to R-FHIR-08).
"""

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

from cds_service import strict_json
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.outgoing import Answer, Failure, NoAnswer, Peer
from cds_service.prefetch.addresses import ServerBase
from cds_service.prefetch.circuit import Admission, Circuit, Sign

logger = logging.getLogger(__name__)

MAX_PAGE_BYTES = 10 * 1024 * 1024
"""Decoded bytes of one answer."""
MOST_REQUESTS = 40
"""Requests under way to one server, over all calls of one client in one process."""

READ = "read"
NOT_ASKED = "not asked"
OUTCOMES = frozenset(
    {
        *(READ, NOT_ASKED, "redirect", "not JSON", *Failure),
        *("400", "401", "403", "404", "429", "500", "502", "503", "504", "other status"),
    }
)
"""What may become of a request: the values of a metric, so no server can add one."""

_WAIT_BEFORE_RETRY_SECONDS = 0.1
_PASSES_SOON = frozenset({"429", "502", "503", "504", Failure.RESET})
"""Worth one more try."""
_DOWN = frozenset({Failure.UNREACHABLE, Failure.TIMEOUT, Failure.RESET, Failure.TLS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Who is told what becomes of requests; nobody, unless it is given."""

    count_request: Callable[[str], None] = lambda _: None
    """Is given one of `OUTCOMES`."""
    count_opened: Callable[[], None] = lambda: None
    """A server was found dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The moment by which the call must be answered, on a clock that never goes back."""

    at: float
    monotonic: Callable[[], float]

    def seconds_left(self) -> float:
        """Return the seconds until then, zero or less when it has passed."""
        return self.at - self.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where this call may read, and with what."""

    base: ServerBase
    token: str = field(repr=False)
    """Empty for a server that is open to anybody."""


class ReadFailure(Exception):
    """One answer that could not be had; `reason` is `503`, `timeout`, `not JSON` …, never data."""

    def __init__(self, reason: str, *, wait_seconds: float | None = None) -> None:
        """Keep the reason, and for how long the server wants to be left alone, if it says so."""
        super().__init__(reason)
        self.reason = reason
        self.wait_seconds = wait_seconds


class FhirServer:
    """The server behind one origin.

    It holds no state of a call: the token is an argument and is forgotten with it (R-FHIR-03).
    """

    def __init__(
        self,
        origin: str,
        *,
        tls: ssl.SSLContext,
        tally: Tally,
        monotonic: Callable[[], float],
    ) -> None:
        """Connect to nothing yet; `origin` is on the client's allow-list."""
        self.origin = origin
        self._circuit = Circuit(monotonic)
        self._tally = tally
        self._peer = Peer(origin, tls=tls, most_connections=MOST_REQUESTS)
        self._threads = ThreadPoolExecutor(MOST_REQUESTS, thread_name_prefix="fhir")

    @property
    def is_dead(self) -> bool:
        """It did not answer when it was last asked."""
        return self._circuit.is_open

    def enter(self, sources: int) -> Admission:
        """Begin a call that lacks so many sources. One that may ask ends with `leave`."""
        admission = self._circuit.enter()
        if not admission.may_ask:
            for _ in range(sources):
                self._tally.count_request(NOT_ASKED)
        return admission

    def leave(self, admission: Admission, sign: Sign, *, wait_seconds: float) -> None:
        """End a call: what it learned of the server, and for how long that wants to be left."""
        if self._circuit.leave(admission, sign, wait_seconds=wait_seconds):
            self._tally.count_opened()
            logger.warning("FHIR server does not answer", extra={"address": self.origin})

    def submit(self, task: Callable[[], None]) -> Future[None]:
        """Run a task on one of the server's threads."""
        return self._threads.submit(task)

    def close(self) -> None:
        """Drop what has not started and close idle connections; running reads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._peer.close()

    def get(self, url: str, token: str, deadline: Deadline) -> object:
        """Return the JSON at `url`, which is on this origin; one retry where it helps.

        Raises ReadFailure.
        """
        try:
            return self._get_once(url, token, deadline)
        except ReadFailure as failure:
            pause = _pause_before_retry(failure)
            if pause is None or pause >= deadline.seconds_left():
                raise
        time.sleep(pause)
        return self._get_once(url, token, deadline)

    def _get_once(self, url: str, token: str, deadline: Deadline) -> object:
        seconds = deadline.seconds_left()
        if seconds <= 0:
            raise ReadFailure(Failure.TIMEOUT)
        try:
            value = self._json_at(url.removeprefix(self.origin), token, seconds)
        except ReadFailure as failure:
            reason = failure.reason
            self._tally.count_request(reason if reason in OUTCOMES else "other status")
            raise
        self._tally.count_request(READ)
        return value

    def _json_at(self, target: str, token: str, seconds: float) -> object:
        headers = {
            "Accept": "application/fhir+json",
            "Accept-Encoding": "gzip",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # A next link may have a query and no path.
        target = target if target.startswith("/") else f"/{target}"
        try:
            answer = self._peer.get(target, headers, seconds=seconds, most_bytes=MAX_PAGE_BYTES)
        except NoAnswer as fault:
            raise ReadFailure(fault.failure) from None
        _check_head(answer)
        try:
            return strict_json.loads(answer.body)
        except MalformedRequest:
            raise ReadFailure("not JSON") from None
        except TooLarge:
            raise ReadFailure(Failure.TOO_LARGE) from None


def says_down(reason: str) -> bool:
    """Tell whether a failure is one of the server: it does not answer, or only that it cannot."""
    return reason in _DOWN or (reason.isdecimal() and reason.startswith("5"))


def _check_head(answer: Answer) -> None:
    """Raise ReadFailure unless status and headers promise FHIR JSON."""
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        raise ReadFailure("redirect")
    if answer.status != HTTPStatus.OK:
        raise ReadFailure(str(answer.status), wait_seconds=wait_asked_for(answer.headers))
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type and "json" not in media_type:
        raise ReadFailure("not JSON")


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, None if it does not (RFC 9110, 10.2.3).

    A date is compared with the server's own, so that its clock and ours need not agree.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked)
    until, now = _moment(asked), _moment(headers.get("Date", ""))
    return None if until is None or now is None else max(until - now, 0.0)


def _moment(text: str) -> float | None:
    """Return an HTTP date in seconds, None if it is none."""
    parts = parsedate_tz(text)
    try:
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError):
        return None


def _pause_before_retry(failure: ReadFailure) -> float | None:
    """Return the seconds to wait before one more try, None if there should be none."""
    if failure.reason not in _PASSES_SOON:
        return None
    return _WAIT_BEFORE_RETRY_SECONDS if failure.wait_seconds is None else failure.wait_seconds
