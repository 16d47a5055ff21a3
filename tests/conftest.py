"""What all tests share: no traffic beyond loopback (see pyproject.toml), no silent skips in CI."""

import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
import sqlalchemy as sa
from own_servers import OwnServer, new_database, own_postgresql
from stores import Rows

from cds_service.store.database import Database

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

DRIVERS = {"postgresql": "postgresql+psycopg"}

_USUAL, _GIVES_WAY = 0, 10

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# Time per example says more of the machine's load than of the code.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips`, which CI passes: there, everything that a test may need is present."""
    parser.addoption(
        "--no-skips", action="store_true", help="a test that is skipped counts as failed"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skipped itself, where skips are not allowed."""
    report = yield
    return _without_skip(report, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skipped itself as a whole, where skips are not allowed."""
    report = yield
    return _without_skip(report, collector.config)


def _without_skip(report: Report, config: pytest.Config) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips is set: {report.longrepr}"
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that measure time go first: those beside them get what processor time is left.

    `xdist_group("timed")` keeps them on one worker, one after the other.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    is_timed = item.get_closest_marker("xdist_group") is not None
    with suppress(PermissionError):  # only root may go back to the usual priority
        os.setpriority(os.PRIO_PROCESS, 0, _USUAL if is_timed else _GIVES_WAY)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of third-party data beside the project; skip loudly if it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the third-party data in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[OwnServer]:
    """Return a PostgreSQL that no test stops."""
    with own_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database as `cds-service serve` leaves it before the first call."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "store.sqlite3")
        return f"sqlite:///{tmp_path}/store.sqlite3"
    server: OwnServer = request.getfixturevalue("postgresql_server")
    return new_database(server, like=request.getfixturevalue("postgresql_template"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with all tables: migrations run once, not in the first call of each test."""
    file = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    Database(f"sqlite:///{file}", monotonic=time.monotonic).prepare()
    return file


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: OwnServer) -> str:
    """Return the name of a database with all tables."""
    url = new_database(postgresql_server)
    Database(url, monotonic=time.monotonic).prepare()
    return url.rpartition("/")[2]


@pytest.fixture
def connected(database_url: str) -> Iterator[sa.Connection]:
    """Return a connection of the test's own to that database."""
    kind, _, rest = database_url.partition(":")
    engine = sa.create_engine(f"{DRIVERS.get(kind, kind)}:{rest}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def rows(connected: sa.Connection) -> Rows:
    """Return a function that reads a table as it is now."""

    def read(table: sa.Table) -> list[dict[str, object]]:
        connected.rollback()
        found = connected.execute(sa.select(table).order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]

    return read
