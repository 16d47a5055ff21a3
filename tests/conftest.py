"""What all tests share: no traffic beyond loopback (see pyproject.toml), no silent skips in CI."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
import sqlalchemy as sa
from own_servers import OwnServer, new_database, own_postgresql
from stores import Rows

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

DRIVERS = {"postgresql": "postgresql+psycopg"}

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
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite3"
    server: OwnServer = request.getfixturevalue("postgresql_server")
    return new_database(server)


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
