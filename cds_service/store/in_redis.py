"""Redis, as the stores use it that several workers and replicas share."""

from collections.abc import Callable
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cds_service.store.rest import Rest, StoreDown

_T = TypeVar("_T")


class SharedRedis:
    """One Redis as one process uses it: within bounded time, left alone after it has failed."""

    def __init__(self, url: str, *, seconds: float, monotonic: Callable[[], float]) -> None:
        """Connect when first needed; an answer may take `seconds`.

        `monotonic` is a clock in seconds that never goes back. Raises ValueError if this is no
        URL of a Redis.
        """
        self._seconds = seconds
        self._rest = Rest(monotonic)
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            # One more try: a pooled connection may be one that the server has closed. None after
            # a time-out: the first try may have counted, and the second would count again.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )

    @property
    def connections(self) -> redis.ConnectionPool:
        """Its connections, for a library that brings commands of its own."""
        return self._client.connection_pool

    def ask(self, question: Callable[[redis.Redis], _T]) -> _T:
        """Return what `question` returns. Raises StoreDown."""
        with self._rest.watched(self._seconds):
            try:
                return question(self._client)
            except redis.RedisError as error:
                raise StoreDown(type(error).__name__) from None

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        self.ask(lambda client: client.ping())
