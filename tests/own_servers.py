"""PostgreSQL and Redis as processes of the test's own, on free ports: they can be stopped."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis

SECONDS_TO_START = 30


class OwnServer:
    """One server process, which may be stopped and started again on the same port and data."""

    def __init__(self, command: list[str], *, user: str | None, check: Callable[[], None]) -> None:
        """`check` raises while the server does not answer."""
        self._command = command
        self._user = user
        self._check = check
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                return self._check()
            except (psycopg.OperationalError, redis.RedisError):
                assert time.monotonic() < give_up, f"does not start: {self._command}"
                time.sleep(0.05)

    def kill(self) -> None:
        """Stop as a crash does; what was acknowledged must survive where data are kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop answering, with all connections open: every process of the server stands still."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal_all(signal.SIGCONT)

    def pids(self) -> tuple[int, ...]:
        """Return all processes of the server, the first one first."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return (self._process.pid, *map(int, listed.read_text("ascii").split()))

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):  # a background worker that has just ended
                os.kill(pid, number)

    def stop(self) -> None:
        """Stop in an orderly way."""
        if self._process is not None:
            self._process.send_signal(2)
            self._process.wait(timeout=SECONDS_TO_START)
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str, *folders: Path) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)]))
    if found is None:
        pytest.skip(f"needs {name}; on Debian: apt-get install postgresql redis-server")
    return found


@contextmanager
def own_redis() -> Iterator[OwnServer]:
    """Run a Redis that keeps nothing on disk; skip loudly where it is not installed."""
    program, port = _program("redis-server"), _free_port()
    url = f"redis://127.0.0.1:{port}/0"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def check() -> None:
        with redis.Redis.from_url(url) as connection:
            connection.ping()

    server = OwnServer([program, *options], user=None, check=check)
    server.url = url
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def own_postgresql() -> Iterator[OwnServer]:
    """Run a PostgreSQL with an empty database; skip loudly where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb, program = _program("initdb", *folders), _program("postgres", *folders)
    # It refuses to run as root, and Debian makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    port = _free_port()
    url = f"postgresql://cds@127.0.0.1:{port}/postgres"

    def check() -> None:
        psycopg.connect(url, connect_timeout=2).close()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        data = str(folder / "data")
        subprocess.run(
            [initdb, "-D", data, "-U", "cds", "-A", "trust", "--no-sync", "-E", "UTF8"],
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            check=True,
        )
        # What the kernel holds survives a kill; a power cut is not what is tried here.
        fast = ["-c", "fsync=off"]
        options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", name, *fast]
        server = OwnServer([program, *options], user=user, check=check)
        server.url = url
        server.start()
        try:
            yield server
        finally:
            server.stop()


def new_database(server: OwnServer, *, like: str = "template1") -> str:
    """Return the URL of a new database of a PostgreSQL: empty, or a copy of the one named."""
    name = f"cds_{uuid.uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}".encode())
    return server.url.rpartition("/")[0] + f"/{name}"
