"""What all tests share: no traffic beyond loopback (see pyproject.toml), no silent skips in CI."""

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

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
