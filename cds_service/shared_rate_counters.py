"""Calls of a client counted in Redis, for all workers and replicas."""

from collections.abc import Callable

import redis
from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

from cds_service.rates import Rate
from cds_service.store.rest import Rest, StoreDown

_SECONDS_TO_ANSWER = 0.1
_PREFIX = "cds:rate"


class SharedCounters:
    """In Redis, for all workers and replicas; left alone for a moment after it has failed."""

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        """Connect when first needed. Raises ValueError if this is no URL of a Redis."""
        self._rest = Rest(monotonic)
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_SECONDS_TO_ANSWER,
            socket_connect_timeout=_SECONDS_TO_ANSWER,
            # One more try: a pooled connection may be one that the server has closed.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._storage = RedisStorage(
            url, connection_pool=self._redis.connection_pool, key_prefix=_PREFIX
        )

    def count(self, name: str, rate: Rate) -> float:
        """Do the same as `rate_limits.OwnCounters.count`. Raises StoreDown."""
        return self._watched(lambda: self._count(name, rate))

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        self._watched(self._redis.ping)

    def _count(self, name: str, rate: Rate) -> float:
        if self._storage.incr(name, rate.seconds) <= rate.calls:
            return 0.0
        # The library's own answer is rounded to seconds, and too short by up to half of one.
        left = int(self._redis.pttl(self._storage.prefixed_key(name)))
        return max(left, 1) / 1000

    def _watched(self, ask: Callable[[], float]) -> float:
        with self._rest.watched(_SECONDS_TO_ANSWER):
            try:
                return ask()
            except redis.RedisError as error:
                raise StoreDown(type(error).__name__) from None
