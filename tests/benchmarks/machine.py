"""What a run ran on: the machine, the versions, the commit."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from own_servers import OwnServer

from benchmarks.targets import ROOT, version_of_postgresql, version_of_wrk

_PACKAGES = ("gunicorn", "flask", "orjson", "SQLAlchemy", "psycopg", "PyJWT", "cryptography")


def about(postgresql: OwnServer | None, **options: str) -> dict[str, str]:
    """Return a name and a text for each thing that a reader of the figures must know."""
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before the run": " ".join(f"{each:.2f}" for each in os.getloadavg()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "databases": ", ".join(_databases(postgresql)),
        "load": version_of_wrk(),
        **options,
    }


def _databases(postgresql: OwnServer | None) -> Iterator[str]:
    yield f"SQLite {sqlite3.sqlite_version}"
    if postgresql is not None:
        yield f"PostgreSQL {version_of_postgresql(postgresql)}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "not a git checkout"
