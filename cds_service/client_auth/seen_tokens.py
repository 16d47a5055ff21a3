"""Tokens seen before: each `jti` of a client counts once, over all workers and replicas (R-SEC-10).

Two stores. Redis where CDS_REDIS_URL is set: one `SET … NX PX`, which is atomic. Otherwise the
database: one INSERT into a table whose key is (client, token), so that of two workers with the
same token exactly one succeeds. Neither keeps a `jti` itself, only its SHA-256.
"""

import hashlib
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from cds_service.errors import SettingsError
from cds_service.settings import Settings

SECONDS_KEPT_LONGER = 300
"""After a token has ended: clocks of replicas may differ by so much before a replay gets in."""
SECONDS_LEFT_ALONE = 0.5
"""After a failure; in between, calls are refused at once."""

_SECONDS_TO_ANSWER = 1
_SECONDS_BETWEEN_PURGES = 300
_PREFIX = "cds:seen:"
_KINDS = frozenset({"sqlite", "postgresql"})
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class StoreDown(Exception):
    """The store does not answer; the text names the kind of fault and no address."""


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


class RedisSeenTokens:
    """In Redis, which forgets by itself. It must not evict keys (`maxmemory-policy noeviction`)."""

    kind = "redis"

    def __init__(self, url: str) -> None:
        """Connect when first needed."""
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
        name = f"{_PREFIX}{_digest(client_id)}:{_digest(jti)}"
        try:
            return bool(self._redis.set(name, b"1", nx=True, px=int(seconds * 1000)))
        except redis.RedisError as error:
            raise StoreDown(type(error).__name__) from None

    def check(self) -> None:
        """Raise StoreDown unless Redis answers."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise StoreDown(type(error).__name__) from None


# Migrations by Alembic come with the record of decisions; until then the one table that there is
# is made when it is missing.
_METADATA = sa.MetaData()
SEEN_TOKEN = sa.Table(
    "seen_token",
    _METADATA,
    sa.Column("client", sa.String(64), primary_key=True, comment="SHA-256 of the client's id"),
    sa.Column("token", sa.String(64), primary_key=True, comment="SHA-256 of the jti"),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)


class SqlSeenTokens:
    """In a database. Connects when first needed, so that it may come up after the service."""

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        """`url` is any of SQLAlchemy; the folder of an SQLite file is made if it is missing."""
        given = sa.make_url(url)
        self._url = given.set(drivername=_DRIVERS.get(given.drivername, given.drivername))
        self.kind = self._url.get_backend_name()
        in_memory = self.kind == "sqlite" and self._url.database in (None, "", ":memory:")
        if self.kind not in _KINDS or in_memory:
            # A memory of one process would let a replay in at the next worker.
            raise sa.exc.ArgumentError(self.kind)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._has_table = False
        self._purge_at = monotonic()
        self._engine = sa.create_engine(
            self._url,
            # A connection that the server has closed is noticed before it is used.
            pool_pre_ping=True,
            pool_size=8,
            **_engine_options(self.kind),
        )
        # Close pooled connections with the store, and not whenever each is collected.
        weakref.finalize(self, self._engine.dispose)
        if self.kind == "sqlite":
            sa.event.listen(self._engine, "connect", _set_up_sqlite)

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time."""
        row = {
            "client": _digest(client_id),
            "token": _digest(jti),
            "expires_at": expires_at + SECONDS_KEPT_LONGER,
        }
        try:
            self._require_table()
            with self._engine.begin() as connection:
                connection.execute(sa.insert(SEEN_TOKEN), row)
        except IntegrityError:
            return False
        except (SQLAlchemyError, OSError) as error:
            self._has_table = False
            raise StoreDown(type(error).__name__) from None
        self._purge_now_and_then(now)
        return True

    def check(self) -> None:
        """Raise StoreDown unless the table can be read."""
        try:
            self._require_table()
            with self._engine.connect() as connection:
                connection.execute(sa.select(SEEN_TOKEN.c.client).limit(1))
        except (SQLAlchemyError, OSError) as error:
            self._has_table = False
            raise StoreDown(type(error).__name__) from None

    def purge(self, now: float) -> int:
        """Forget what expired before `now`; return how many there were."""
        with self._engine.begin() as connection:
            gone = connection.execute(sa.delete(SEEN_TOKEN).where(SEEN_TOKEN.c.expires_at < now))
        return gone.rowcount

    def _require_table(self) -> None:
        if self._has_table:
            return
        if self.kind == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # No lock: workers start together anyway, and another one may make it in between.
        with suppress(DBAPIError):
            _METADATA.create_all(self._engine)
        self._has_table = sa.inspect(self._engine).has_table(SEEN_TOKEN.name)

    def _purge_now_and_then(self, now: float) -> None:
        with self._lock:
            if self._monotonic() < self._purge_at:
                return
            self._purge_at = self._monotonic() + _SECONDS_BETWEEN_PURGES
        # What is not forgotten now is forgotten later; the call must not suffer from it.
        with suppress(SQLAlchemyError):
            self.purge(now)


class FailingFast:
    """A store that, once it has failed, is left alone for a moment: calls do not queue for it."""

    def __init__(self, store: SeenTokens, *, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back."""
        self._store = store
        self._monotonic = monotonic
        self._try_again_at = monotonic()

    @property
    def kind(self) -> str:
        """That of the store."""
        return self._store.kind

    def is_new(self, client_id: str, jti: str, *, expires_at: int, now: float) -> bool:
        """Return True the first time."""
        with self._watched():
            return self._store.is_new(client_id, jti, expires_at=expires_at, now=now)

    def check(self) -> None:
        """Raise StoreDown unless the store answers."""
        with self._watched():
            self._store.check()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self._monotonic() < self._try_again_at:
            raise StoreDown("it has just failed")
        try:
            yield
        except StoreDown:
            self._try_again_at = self._monotonic() + SECONDS_LEFT_ALONE
            raise


def store_for(settings: Settings, *, monotonic: Callable[[], float]) -> SeenTokens:
    """Return the store that the settings name; it connects when first needed.

    Raises SettingsError when a URL cannot be used. The text never repeats it: passwords.
    """
    try:
        if settings.redis_url is not None:
            return FailingFast(RedisSeenTokens(settings.redis_url), monotonic=monotonic)
    except ValueError:
        raise SettingsError("CDS_REDIS_URL: must be redis://, rediss:// or unix://") from None
    try:
        store = SqlSeenTokens(settings.store_url, monotonic=monotonic)
        return FailingFast(store, monotonic=monotonic)
    except (SQLAlchemyError, ValueError, ImportError):
        raise SettingsError(
            "CDS_DATABASE_URL: must be sqlite:///path or postgresql://user@host/database"
        ) from None


def _engine_options(kind: str) -> dict[str, object]:
    if kind == "sqlite":
        return {"connect_args": {"timeout": _SECONDS_TO_ANSWER}, "pool_timeout": _SECONDS_TO_ANSWER}
    if kind == "postgresql":
        return {
            "connect_args": {
                "connect_timeout": 2 * _SECONDS_TO_ANSWER,
                "options": f"-c statement_timeout={_SECONDS_TO_ANSWER * 1000}",
            },
            "pool_timeout": _SECONDS_TO_ANSWER,
        }
    return {}


def _set_up_sqlite(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    """Let several processes read and write: with a log beside the file nobody waits long."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _digest(text: str) -> str:
    # A lone surrogate, which JSON can spell, is no UTF-8; it must not end in an error.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
