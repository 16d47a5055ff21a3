"""Calls of a client counted in Redis, for all workers and replicas."""

from collections.abc import Callable

import redis
from limits.storage import RedisStorage

from cds_service.rates import Rate
from cds_service.store.in_redis import SharedRedis

_SECONDS_TO_ANSWER = 0.1
_PREFIX = "cds:rate"


class SharedCounters:
    """In Redis, for all workers and replicas; left alone for a moment after it has failed."""

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        """Connect when first needed. Raises ValueError if this is no URL of a Redis."""
        self._redis = SharedRedis(url, seconds=_SECONDS_TO_ANSWER, monotonic=monotonic)
        self._storage = RedisStorage(
            url, connection_pool=self._redis.connections, key_prefix=_PREFIX
        )

    def count(self, name: str, rate: Rate) -> float:
        """Do the same as `rate_limits.OwnCounters.count`. Raises StoreDown."""
        return self._redis.ask(lambda client: self._count(client, name, rate))

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        self._redis.check()

    def _count(self, client: redis.Redis, name: str, rate: Rate) -> float:
        if self._storage.incr(name, rate.seconds) <= rate.calls:
            return 0.0
        # The library's own answer is rounded to seconds, and too short by up to half of one.
        left = int(client.pttl(self._storage.prefixed_key(name)))
        return max(left, 1) / 1000
