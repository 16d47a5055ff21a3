"""`cds-service evaluate`: one request file judged and printed, without the network."""

import os
import sys
from pathlib import Path

import click

from cds_service.command_errors import reports_errors
from cds_service.command_inputs import as_date, chosen_knowledge, today_in
from cds_service.evaluate import Outcome
from cds_service.evaluation import Evaluation
from cds_service.protocol import hook_answer
from cds_service.settings import Settings
from cds_service.site_file import load_site_file
from cds_service.strict_json import dumps_readable
from cds_service.timeline_files import write_timelines


@click.command(
    "evaluate",
    epilog="Examples: cds-service evaluate request.json --as-of 2026-03-16 --explain; "
    "cds-service evaluate request.json --timeline out.svg",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day of the call (today).")
@click.option("--explain", is_flag=True, help="Every rule that was tried, and every fact.")
@click.option("--json", "as_json", is_flag=True, help="The response body, as an EHR gets it.")
@click.option(
    "--timeline",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw what the decision rests on, by date, into this SVG file.",
)
@click.option("--timing", is_flag=True, help="Time of one call inside the process, median of 200.")
@reports_errors
def evaluate_command(
    *,
    file: str,
    as_of: "click.DateTime | None",
    explain: bool,
    as_json: bool,
    timeline: Path | None,
    timing: bool,
) -> None:
    """Judge one hook request (a JSON file, or - for standard input) and print card and row.

    Only what stands in the request's prefetch is read: no network is used.
    """
    from cds_service.prefetch.reader import FhirReader  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    knowledge = chosen_knowledge(settings)
    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    run = Evaluation(
        knowledge=knowledge,
        site=load_site_file(settings.site_file),
        today=as_date(as_of) or today_in(settings),
        zone=settings.time_zone,
        reader=FhirReader(),
    )
    outcome = run.outcome_of(body)
    if as_json:
        click.echo(dumps_readable(hook_answer(outcome.cards, outcome.decisions)))
    else:
        _print_outcome(outcome, is_explained=explain)
    if timeline is not None:
        for written in write_timelines(timeline, knowledge, outcome.judged):
            click.echo(f"{written} written", err=True)
    if timing:
        median = run.median_ms(body)
        click.echo(f"{median:.2f} ms for a call of {len(body) / 1024:.0f} KB", err=True)


def _print_outcome(outcome: Outcome, *, is_explained: bool) -> None:
    from cds_service.terminal import (  # noqa: PLC0415
        explain,
        print_card,
        print_decision,
        terminal,
    )

    console = terminal()
    if not outcome.judged:
        console.print("No lumbar MRI order in this request: no cards (row G0).")
    for card in outcome.cards:
        print_card(console, card)
    if outcome.judged and not outcome.cards:
        console.print("No card: the service has nothing to say about this order.")
    for decision, wire in zip(outcome.judged, outcome.decisions, strict=True):
        print_decision(console, wire)
        if is_explained:
            explain(console, decision)
