"""How many calls a client may send; counted once it is known and before the body is read.

Each registered client has counters of its own, one for hook calls and one for feedback; with
CDS_CLIENT_AUTH=off it is each sender's address. A window begins with its first call.

With CDS_REDIS_URL all workers and replicas count together. Without it, and while Redis does not
answer, each worker counts for itself, so that the server lets through up to the limit times its
workers: connections stick to a worker, and a divided limit would refuse clients within theirs.
"""

import hashlib
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from cds_service.client_auth.gate import Credentials
from cds_service.errors import SettingsError, TooManyRequests
from cds_service.rates import UNLIMITED, Rate
from cds_service.registered_clients import RegisteredClient
from cds_service.senders import network_of
from cds_service.settings import Settings
from cds_service.store.rest import StoreDown

if TYPE_CHECKING:
    from cds_service.shared_rate_counters import SharedCounters

REDIS_DOWN = (
    "Redis does not answer: until it does, each worker counts the calls of a client for itself."
)

_REASON = "rate-limit"
_MOST_WINDOWS = 50_000
"""In memory; beyond, the oldest are forgotten."""


class OwnCounters:
    """In the memory of this process.

    Not those of the library: they start a thread every ten milliseconds, and two threads at the
    end of a window can trip over each other.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, name: str, rate: Rate) -> float:
        """Count one call and return 0; if the window is full, return the seconds until it ends."""
        now = self._monotonic()
        with self._lock:
            calls, ends_at = self._windows.get(name, (0, now))
            if ends_at <= now:
                # Put last, so that the first are the oldest.
                self._windows.pop(name, None)
                calls, ends_at = 0, now + rate.seconds
                if len(self._windows) >= _MOST_WINDOWS:
                    del self._windows[next(iter(self._windows))]
            if calls >= rate.calls:
                return ends_at - now
            self._windows[name] = calls + 1, ends_at
            return 0.0


class RateLimits:
    """All limits of one process; used by all its threads."""

    def __init__(
        self, usual: Rate, *, shared: "SharedCounters | None", monotonic: Callable[[], float]
    ) -> None:
        """`usual` is for clients whose entry says nothing; `monotonic` is in seconds."""
        self._usual = usual
        self._shared = shared
        self._own = OwnCounters(monotonic)
        self._monotonic = monotonic
        self._full_until: dict[str, float] = {}
        """Of registered clients only, which are few."""

    def count(self, client: RegisteredClient | None, credentials: Credentials) -> None:
        """Count one call of a client that is known. Raises TooManyRequests if it is one too many.

        `client` is None when nobody is asked who calls.
        """
        rate = self._rate_of(client)
        if rate == UNLIMITED:
            return
        name = _name_of(client, credentials, rate)
        seconds = self._count(name, rate)
        if not seconds:
            return
        if client is not None:
            self._full_until[name] = self._monotonic() + seconds
        raise _too_many(client, seconds)

    def refuse_exhausted(self, client: RegisteredClient, credentials: Credentials) -> None:
        """Raise TooManyRequests if this client has no call left.

        Nothing is counted, so it may be asked before the client has proved who it is: a client
        that sends far too much must not cost the service a signature check for each call.
        """
        name = _name_of(client, credentials, self._rate_of(client))
        seconds = self._full_until.get(name, 0.0) - self._monotonic()
        if seconds > 0:
            raise _too_many(client, seconds)

    def warnings(self) -> list[str]:
        """Return what an operator should know."""
        try:
            if self._shared is not None:
                self._shared.check()
        except StoreDown:
            return [REDIS_DOWN]
        return []

    def _rate_of(self, client: RegisteredClient | None) -> Rate:
        return self._usual if client is None or client.rate is None else client.rate

    def _count(self, name: str, rate: Rate) -> float:
        """Count where all count together; while that cannot be done, here."""
        try:
            if self._shared is not None:
                return self._shared.count(name, rate)
        except StoreDown:
            pass
        return self._own.count(name, rate)


def rate_limits_for(settings: Settings, *, monotonic: Callable[[], float]) -> RateLimits:
    """Return the limits that the settings name; Redis is connected to when first needed.

    Raises SettingsError when its URL cannot be used.
    """
    url, shared = settings.redis_url, None
    try:
        if url is not None:
            # The client for Redis is slow to import: only where there is one.
            from cds_service.shared_rate_counters import SharedCounters  # noqa: PLC0415

            shared = SharedCounters(url, monotonic=monotonic)
    except ValueError:
        raise SettingsError("CDS_REDIS_URL: must be redis://, rediss:// or unix://") from None
    return RateLimits(settings.rate_limit, shared=shared, monotonic=monotonic)


def _too_many(client: RegisteredClient | None, seconds: float) -> TooManyRequests:
    return TooManyRequests(
        "Too many calls; see Retry-After.",
        reason=_REASON,
        client=client.id if client else "",
        retry_after=math.ceil(seconds),
    )


def _name_of(client: RegisteredClient | None, credentials: Credentials, rate: Rate) -> str:
    """Return the name of a counter; nothing that a call says of itself is part of it."""
    who = network_of(credentials.sender) if client is None else f"client {client.id}"
    kind = "feedback" if credentials.is_feedback else "hook"
    digest = hashlib.sha256(who.encode()).hexdigest()
    return f"{kind}:{rate.calls}:{rate.seconds}:{digest}"
