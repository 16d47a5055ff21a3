"""The service with the test EHR at `/`, in a process that `cds-service demo` starts.

The only place that mounts the test EHR. It takes no setting from the environment, asks no client
for a token and listens on loopback only; `cds-service serve` cannot be told to do this.
"""

from datetime import date, datetime
from pathlib import Path

import click

from cds_service.command_errors import reports_errors
from cds_service.demo_stories import written_stories
from cds_service.fixture_server.exchange import LOOPBACK
from cds_service.knowledge_review.page import review_page
from cds_service.prefetch.reader import FhirReader
from cds_service.serving import ServingOptions, serve
from cds_service.settings import ClientAuth, Settings
from cds_service.test_ehr.calls import TestEhrServers
from cds_service.test_ehr.pages import TestEhr
from cds_service.topics import Topic, load_topics

_TIME_BUDGET_MS = 5000
"""More than usual: the machine on which somebody looks at a demo may be busy."""
_SANDBOX_ORIGINS = ("http://localhost:8080", "https://sandbox.cds-hooks.org")
"""The CDS Hooks Sandbox of HL7's community: run from its source, and hosted."""


@click.command()
@click.option("--port", required=True, type=click.IntRange(0, 65535), help="On 127.0.0.1.")
@click.option("--state", required=True, type=click.Path(path_type=Path), help="For the record.")
@click.option(
    "--stories", required=True, type=click.Path(path_type=Path), help="As `write_stories` writes."
)
@click.option("--today", required=True, type=click.DateTime(["%Y-%m-%d"]))
@click.option("--fhir-server", "bases", required=True, multiple=True, help="The own one first.")
@reports_errors
def main(*, port: int, state: Path, stories: Path, today: datetime, bases: tuple[str, ...]) -> None:
    """Serve the demo; started by `cds-service demo`, not by people."""
    day: date = today.date()

    def load() -> list[Topic]:
        bundled = load_topics((), require_approval=False)
        return [Topic(knowledge=each, review=review_page(each)) for each in bundled]

    settings = Settings(
        client_auth=ClientAuth.OFF,
        fhir_servers=bases,
        state_directory=state,
        cors_origins=_SANDBOX_ORIGINS,
        time_budget_ms=_TIME_BUDGET_MS,
    )
    test_ehr = TestEhr(
        stories=written_stories(stories),
        servers=TestEhrServers(bases=bases, reader=FhirReader()),
        today=day,
    )
    serve(
        settings,
        load=load,
        options=ServingOptions(bind=f"{LOOPBACK}:{port}"),
        extend=test_ehr.install,
    )
