"""What is measured: the two bare applications and the service, each one worker on one core."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psycopg
from client_tokens import PUBLIC_URL, client_entry, ec_key, key_set, site_text
from own_servers import OwnServer, new_database

from benchmarks.answers_held import Sampler
from benchmarks.databases import Record, sqlite_url
from benchmarks.hook_calls import HookCall
from benchmarks.processes import WORKER_CORE, children, free_port, is_alive, running
from benchmarks.results import BenchmarkFailed

ROOT = Path(__file__).parent.parent.parent
SECONDS_TO_START = 60.0
_SETTINGS: Mapping[str, str] = {
    "CDS_RATE_LIMIT": "off",
    # Four connections that never rest are more than an EHR's: no call shall be refused for it.
    "CDS_TIME_BUDGET_MS": "30000",
}


class Name(StrEnum):
    """The targets, as figures name them."""

    LIMIT = "limit"
    FLASK = "Flask"
    SERVICE = "service"
    JWT = "service, JWT"
    POSTGRESQL = "service, PostgreSQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """How gunicorn runs a bare application."""

    application: str
    worker: str
    threads: int

    @property
    def says(self) -> str:
        """Return worker class and threads in words."""
        return self.worker if self.worker == "sync" else f"{self.worker}, {self.threads} threads"


WAYS = (("sync", 1), ("gthread", 1), ("gthread", 4))
"""Worker classes of gunicorn that need nothing further; the cheapest is taken."""
APPLICATIONS: Mapping[Name, str] = {
    Name.LIMIT: "benchmarks.bare:limit",
    Name.FLASK: "benchmarks.bare:flask_app",
}


@dataclass(slots=True, kw_only=True)
class Target:
    """A running server."""

    name: str
    first_pid: int
    port: int
    log: Path
    record: Record | None = None
    """None: it keeps none."""
    needs_token: bool = False
    database: OwnServer | None = None
    """The PostgreSQL that it uses."""

    @property
    def sampler(self) -> Sampler:
        """What asks it for whole answers and holds them against what must come."""
        return Sampler(self.port, is_service=self.record is not None, needs_token=self.needs_token)

    def workers(self) -> tuple[int, ...]:
        """Return its worker processes."""
        return children(self.first_pid)

    def wait_until_right(self, call: HookCall, *, pause: float = 0.02) -> None:
        """Return once it answers a call, and as it must. Raises BenchmarkFailed otherwise."""
        give_up = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                self.sampler.check(call)
            except OSError as error:
                if not is_alive(self.first_pid) or time.monotonic() > give_up:
                    message = f"{self.name} does not start ({error}): {self.last_words()}"
                    raise BenchmarkFailed(message) from None
                time.sleep(pause)
            else:
                return

    def last_words(self) -> str:
        """Return the end of what it has written."""
        return self.log.read_text("utf-8", "replace")[-800:].strip()


def environ(settings: Mapping[str, str] | None = None, **others: str) -> dict[str, str]:
    """Return the environment of a server: ours, but no settings of the service but these."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("CDS_")}
    return {
        **usual,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        **(settings or {}),
        **others,
    }


@contextmanager
def bare(name: str, how: Bare, folder: Path) -> Iterator[Target]:
    """Run a bare application."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1"),
        *("--worker-class", how.worker, "--threads", str(how.threads), "--keep-alive", "30"),
        *("--no-control-socket", how.application),
    ]
    log = folder / f"{name}-{how.worker}-{how.threads}.log"
    with running(command, environ(), log, cores=[WORKER_CORE]) as pid:
        yield Target(name=name, first_pid=pid, port=port, log=log)


@contextmanager
def service(  # noqa: PLR0913  # each is a separate way in which services differ
    name: str,
    folder: Path,
    *,
    postgresql: OwnServer | None = None,
    needs_token: bool = False,
    workers: int = 1,
    cores: Sequence[int] = (WORKER_CORE,),
    settings: Mapping[str, str] | None = None,
    command: Sequence[str] = ("-m", "cds_service"),
) -> Iterator[Target]:
    """Run the service by its command, as a user does, with a database of its own."""
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
        url = new_database(postgresql) if postgresql else sqlite_url(Path(own))
        chosen = {"CDS_CLIENT_AUTH": "off", "CDS_DATABASE_URL": url, **_SETTINGS}
        if needs_token:
            site = Path(own, "site.yaml")
            site.write_text(site_text(client_entry(jwks=key_set(ec_key()))), "utf-8")
            chosen |= {
                "CDS_CLIENT_AUTH": "required",
                "CDS_PUBLIC_URL": PUBLIC_URL,
                "CDS_SITE_FILE": str(site),
            }
        port = free_port()
        # fmt: off
        arguments = [
            sys.executable, *command, "serve", "--port", str(port), "--workers", str(workers)
        ]
        # fmt: on
        log = Path(own, "service.log")
        chosen |= settings or {}
        url = chosen["CDS_DATABASE_URL"]
        with running(arguments, environ(chosen, XDG_STATE_HOME=own), log, cores=cores) as pid:
            yield Target(
                name=name,
                first_pid=pid,
                port=port,
                log=log,
                record=Record(url),
                needs_token=needs_token,
                database=postgresql,
            )


def version_of_postgresql(server: OwnServer) -> str:
    """Return the version of a running PostgreSQL."""
    with psycopg.connect(server.url) as connection:
        return str(connection.info.parameter_status("server_version"))


def version_of_wrk() -> str:
    """Return what wrk says of itself."""
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    return " ".join(said.stdout.split()[:3])
