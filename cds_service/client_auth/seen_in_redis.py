"""Tokens seen before, in Redis."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cds_service.client_auth.seen_tokens import SECONDS_KEPT_LONGER, digest
from cds_service.store.rest import Rest, StoreDown

_SECONDS_TO_ANSWER = 1
_PREFIX = "cds:seen:"


class RedisSeenTokens:
    """In Redis, which forgets by itself. It must not evict keys (`maxmemory-policy noeviction`)."""

    kind = "redis"

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        """Connect when first needed. Raises ValueError if this is no URL of a Redis."""
        self._rest = Rest(monotonic)
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_SECONDS_TO_ANSWER,
            socket_connect_timeout=_SECONDS_TO_ANSWER,
            # One more try: a pooled connection may be one that the server has closed. None after
            # a time-out: the first try may have counted, and the second would look like a replay.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time."""
        seconds = expires_at + SECONDS_KEPT_LONGER - now
        name = f"{_PREFIX}{digest(client_id)}:{digest(jti)}"
        with self._watched():
            return bool(self._redis.set(name, b"1", nx=True, px=int(seconds * 1000)))

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        with self._watched():
            self._redis.ping()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with self._rest.watched(_SECONDS_TO_ANSWER):
            try:
                yield
            except redis.RedisError as error:
                raise StoreDown(type(error).__name__) from None
