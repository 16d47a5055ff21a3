"""The database: SQLite or PostgreSQL by SQLAlchemy, within bounded time, back by itself.

It connects when first needed, so it may come up after the service, go away and come back. Each
piece of work runs on a thread of the database's own: a server that neither answers nor closes
the connection must not hold a call longer than the caller waits.
"""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cds_service.errors import SettingsError
from cds_service.store.rest import Rest, StoreDown, StoreLate
from cds_service.store.schema import bring_up_to_date

SECONDS_TO_ANSWER = 1.0
"""For a piece of work of one call."""

_T = TypeVar("_T")
_CONNECTIONS = 8
_KINDS = frozenset({"sqlite", "postgresql"})
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_READS = "cds_reads"


class AlreadyThere(Exception):
    """A row breaks a constraint: its key is taken."""


class Database:
    """One database as one process uses it; for all its threads. Make it after the fork."""

    def __init__(
        self, url: str, *, monotonic: Callable[[], float], seconds: float = SECONDS_TO_ANSWER
    ) -> None:
        """`seconds` is how long one piece of work may take.

        Raises SettingsError when the URL cannot be used. The text never repeats it: passwords.
        """
        try:
            given = sa.make_url(url)
            self._url = given.set(drivername=_DRIVERS.get(given.drivername, given.drivername))
            self.kind = self._url.get_backend_name()
            in_memory = self.kind == "sqlite" and self._url.database in (None, "", ":memory:")
            if self.kind not in _KINDS or in_memory:
                # A memory of one process would let a replay in at the next worker.
                raise sa.exc.ArgumentError(self.kind)
            self._engine = sa.create_engine(
                self._url,
                # A connection that the server has closed is noticed before it is used.
                pool_pre_ping=True,
                hide_parameters=True,
                pool_size=_CONNECTIONS,
                pool_timeout=seconds,
                connect_args=_connect_args(self.kind, seconds),
            )
        except (SQLAlchemyError, ValueError, ImportError):
            raise SettingsError(
                "CDS_DATABASE_URL: must be sqlite:///path or postgresql://user@host/database"
            ) from None
        if self.kind == "sqlite":
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._seconds = seconds
        self._rest = Rest(monotonic)
        self._is_current = False
        self._schema_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="store")
        # Close pooled connections with the database, and not whenever each is collected.
        weakref.finalize(self, _close, self._threads, self._engine)

    def run(
        self,
        work: Callable[[sa.Connection], _T],
        *,
        seconds: float | None = None,
        reads: bool = False,
    ) -> _T:
        """Do some work in one transaction and return what it returns, committed.

        With `reads` it takes no lock. Raises StoreDown when the database fails or is late (then
        the work may still be committed), and AlreadyThere where a key stands twice.
        """
        limit = self._seconds if seconds is None else min(seconds, self._seconds)
        with self._rest.watched(limit):
            future = self._threads.submit(self._in_transaction, work, reads)
            try:
                return future.result(timeout=limit)
            except IntegrityError:
                # The database is well, so it is not to be left alone.
                raise AlreadyThere from None
            except TimeoutError:
                future.cancel()
                raise (StoreDown if limit == self._seconds else StoreLate)("timeout") from None
            except (SQLAlchemyError, OSError) as error:
                self._is_current = False
                raise StoreDown(type(error).__name__) from None

    def prepare(self) -> None:
        """Bring the tables up to date in this thread, and leave no connection open.

        For a process that will fork. Raises StoreDown when the database fails.
        """
        try:
            self._bring_up_to_date()
        except (SQLAlchemyError, OSError) as error:
            raise StoreDown(type(error).__name__) from None
        finally:
            self._engine.dispose()

    def check(self) -> None:
        """Raise StoreDown unless the database has the tables and can be written to."""
        # A write that changes nothing: reading alone would not find a full disk or a standby.
        write = sa.text("UPDATE alembic_version SET version_num = version_num")
        self.run(lambda connection: connection.execute(write))

    def _in_transaction(self, work: Callable[[sa.Connection], _T], reads: bool) -> _T:  # noqa: FBT001
        if not self._is_current:
            self._bring_up_to_date()
        with self._engine.connect() as connection:
            chosen = connection.execution_options(**{_READS: reads})
            with chosen.begin():
                return work(chosen)

    def _bring_up_to_date(self) -> None:
        with self._schema_lock:
            if self._is_current:
                return
            if self.kind == "sqlite" and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._engine.begin() as connection:
                bring_up_to_date(connection)
            self._is_current = True


def _connect_args(kind: str, seconds: float) -> dict[str, object]:
    if kind == "sqlite":
        return {"timeout": seconds}
    return {
        "connect_timeout": max(2, int(seconds)),  # libpq takes no less
        "options": f"-c statement_timeout={int(seconds * 1000)}",
        # A network that swallows packets: the thread that waits is free again in ten seconds.
        "keepalives_idle": 4,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }


def _set_up_sqlite(connection: DBAPIConnection, _record: object) -> None:
    """Let several processes read and write: with a log beside the file nobody waits long."""
    # The driver begins no transactions of its own: `_begin_sqlite` does, with the lock it needs.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # What is acknowledged survives a power cut, too.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    # The lock at once: a reader that turns writer half-way would fail instead of waiting.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _close(threads: ThreadPoolExecutor, engine: sa.Engine) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    engine.dispose()


def insert_into(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say `ON CONFLICT`, which each of the two has in its dialect."""
    on_postgresql = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if on_postgresql else sqlite.insert(table)
