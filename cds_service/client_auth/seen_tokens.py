"""Tokens seen before: each `jti` of a client counts once, over all workers and replicas (R-SEC-10).

Two stores. Redis where CDS_REDIS_URL is set: one `SET … NX PX`, which is atomic. Otherwise the
database: one INSERT into a table whose key is (client, token), so that of two workers with the
same token exactly one succeeds. Neither keeps a `jti` itself, only its SHA-256.
"""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa

from cds_service.errors import SettingsError
from cds_service.settings import Settings
from cds_service.store.database import AlreadyThere, Database
from cds_service.store.rest import StoreDown
from cds_service.store.tables import SEEN_TOKEN

SECONDS_KEPT_LONGER = 300
"""After a token has ended: clocks of replicas may differ by so much before a replay gets in."""

_SECONDS_BETWEEN_PURGES = 300


class SeenTokens(Protocol):
    """A memory of tokens that all workers and replicas share."""

    @property
    def kind(self) -> str:
        """`redis`, `sqlite`, `postgresql`."""

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time, and False ever after. Raises StoreDown.

        Times are in seconds since 1970; the token is forgotten some time after `expires_at`.
        """

    def check(self) -> None:
        """Raise StoreDown unless the store answers."""


class SqlSeenTokens:
    """In the database; what has ended is forgotten now and then."""

    def __init__(self, database: Database, *, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back."""
        self.kind = database.kind
        self._database = database
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._purge_at = monotonic()

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time."""
        row = {
            "client": digest(client_id),
            "token": digest(jti),
            "expires_at": expires_at + SECONDS_KEPT_LONGER,
        }
        try:
            self._database.run(lambda c: c.execute(sa.insert(SEEN_TOKEN), row))
        except AlreadyThere:
            return False
        self._purge_now_and_then(now)
        return True

    def check(self) -> None:
        """Raise StoreDown unless the database answers."""
        self._database.check()

    def purge(self, now: float) -> int:
        """Forget what expired before `now`; return how many there were."""
        ended = sa.delete(SEEN_TOKEN).where(SEEN_TOKEN.c.expires_at < now)
        return self._database.run(lambda c: c.execute(ended).rowcount)

    def _purge_now_and_then(self, now: float) -> None:
        with self._lock:
            if self._monotonic() < self._purge_at:
                return
            self._purge_at = self._monotonic() + _SECONDS_BETWEEN_PURGES
        # What is not forgotten now is forgotten later; the call must not suffer from it.
        with suppress(StoreDown):
            self.purge(now)


def store_for(
    settings: Settings, database: Database, *, monotonic: Callable[[], float]
) -> SeenTokens:
    """Return the store that the settings name; it connects when first needed.

    Raises SettingsError when the Redis URL cannot be used. The text never repeats it: passwords.
    """
    if settings.redis_url is None:
        return SqlSeenTokens(database, monotonic=monotonic)
    # The client for Redis is slow to import: only where there is one.
    from cds_service.client_auth.seen_in_redis import RedisSeenTokens  # noqa: PLC0415

    try:
        return RedisSeenTokens(settings.redis_url, monotonic=monotonic)
    except ValueError:
        raise SettingsError("CDS_REDIS_URL: must be redis://, rediss:// or unix://") from None


def digest(text: str) -> str:
    """Return what is kept in place of a client's id or a `jti`."""
    # A lone surrogate, which JSON can spell, is no UTF-8; it must not end in an error.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
