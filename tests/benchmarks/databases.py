"""Where the service keeps its record: SQLite in a folder, or a PostgreSQL of the benchmark's own.

What stands in the record after a round is the proof that every call was judged, and how.
"""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from own_servers import OwnServer

from benchmarks.processes import LOAD_CORE, free_port, on_cores
from benchmarks.results import BenchmarkFailed
from cds_service.store.tables import DECISION


class Record:
    """The decisions that a service has recorded."""

    def __init__(self, url: str) -> None:
        """`url` as the service has it; the tables need not be there yet."""
        made = sa.make_url(url)
        is_postgresql = made.get_backend_name() == "postgresql"
        self._engine = sa.create_engine(
            made.set(drivername="postgresql+psycopg") if is_postgresql else made,
            poolclass=sa.NullPool,
        )

    def last(self) -> int:
        """Return the highest id of a decision; 0 without any."""
        with self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.max(DECISION.c.id))).scalar() or 0

    def rows_since(self, last: int) -> Counter[str]:
        """Return how many decisions there are of each row, those up to `last` left out."""
        query = (
            sa.select(DECISION.c.base_row, sa.func.count())
            .where(DECISION.c.id > last)
            .group_by(DECISION.c.base_row)
        )
        with self._engine.connect() as connection:
            return Counter({str(row): int(count) for row, count in connection.execute(query)})


def sqlite_url(folder: Path) -> str:
    """Return the URL of a store in a folder."""
    return f"sqlite:///{folder / 'store.sqlite3'}"


@contextmanager
def own_postgresql() -> Iterator[OwnServer]:
    """Run a PostgreSQL as it is by default: what it acknowledges is on disk."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ["PATH"], *map(str, folders)])
    initdb, program = shutil.which("initdb", path=path), shutil.which("postgres", path=path)
    if initdb is None or program is None:
        message = (
            "PostgreSQL is not installed: apt-get install postgresql, or leave it out "
            "with --no-postgresql"
        )
        raise BenchmarkFailed(message)
    # It refuses to run as root, and Debian makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        if user:
            shutil.chown(name, user)
        data = f"{name}/data"
        subprocess.run(
            [initdb, "-D", data, "-U", "cds", "-A", "trust", "-E", "UTF8"],
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            check=True,
        )
        url = f"postgresql://cds@127.0.0.1:{port}/postgres"
        server = OwnServer(
            [program, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", name],
            user=user,
            check=lambda: psycopg.connect(url, connect_timeout=2).close(),
        )
        server.url = url
        with on_cores(LOAD_CORE):
            server.start()
        try:
            yield server
        finally:
            server.stop()
