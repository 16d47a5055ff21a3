"""The demo as `make demo` runs it, but on a free port: service, test EHR and FHIR server."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from fixture_stories import FIXTURES

from cds_service.demo import running_service
from cds_service.demo_stories import DemoStory, load_stories
from cds_service.fixture_server.server import FixtureServer


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """Where it runs, and whom it knows."""

    url: str
    fhir_base: str
    stories: tuple[DemoStory, ...]


@contextmanager
def running_demo() -> Iterator[RunningDemo]:
    """Start everything; stop it at the end, whatever happened."""
    today = datetime.now(UTC).date()
    stories = load_stories(FIXTURES, today)
    with (
        FixtureServer([story.chart for story in stories]) as ehr,
        running_service(_free_port(), stories, today, [ehr.base_url], os.environ) as url,
    ):
        yield RunningDemo(url, ehr.base_url, stories)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
