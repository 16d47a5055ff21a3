"""Tokens seen before, in Redis."""

from collections.abc import Callable

from cds_service.client_auth.seen_tokens import SECONDS_KEPT_LONGER, digest
from cds_service.store.in_redis import SharedRedis

_SECONDS_TO_ANSWER = 1
_PREFIX = "cds:seen:"


class RedisSeenTokens:
    """In Redis, which forgets by itself. It must not evict keys (`maxmemory-policy noeviction`)."""

    kind = "redis"

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        """Connect when first needed. Raises ValueError if this is no URL of a Redis."""
        self._redis = SharedRedis(url, seconds=_SECONDS_TO_ANSWER, monotonic=monotonic)

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time."""
        milliseconds = int((expires_at + SECONDS_KEPT_LONGER - now) * 1000)
        name = f"{_PREFIX}{digest(client_id)}:{digest(jti)}"
        return bool(self._redis.ask(lambda r: r.set(name, b"1", nx=True, px=milliseconds)))

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        self._redis.check()
