"""`cds-service try`: an order for a patient of any open FHIR server, and what the service says."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from cds_service.command_errors import reports_errors
from cds_service.command_inputs import as_date, chosen_knowledge, today_in
from cds_service.decision import Decision
from cds_service.errors import CdsError, SettingsError
from cds_service.evaluation import Evaluation
from cds_service.orders import ImagingProtocol, Priority
from cds_service.outgoing import trusting
from cds_service.prefetch.reader import FhirReader
from cds_service.settings import Settings
from cds_service.site_file import load_site_file
from cds_service.strict_json import dumps, dumps_readable
from cds_service.terminal import terminal
from cds_service.timeline.contents import timeline_of
from cds_service.timeline.words import timeline_text
from cds_service.timeline_files import write_timelines
from cds_service.trial.open_server import MOST_LISTED, OpenServer
from cds_service.trial.orders import TrialOrder
from cds_service.trial.run import Trial, Trier, print_table, print_trial, summary_lines
from cds_service.trial.services import InProcess, Running

_FIRST_FEW = 5
_STOPPED = 1
_ORDERS = ("without", "with", "without-and-with")


@click.command(
    "try",
    epilog="Examples: cds-service try --fhir-server https://r4.smarthealthit.org; "
    "cds-service try --fhir-server https://hapi.fhir.org/baseR4 --all-patients 50; "
    "cds-service try --fhir-server http://127.0.0.1:8103/fhir/R4 --patient 123 "
    '--reason "low back pain, 8 weeks of PT" --timeline out.svg',
)
@click.option("--fhir-server", help="FHIR R4 base URL; else the first of CDS_FHIR_SERVERS.")
@click.option("--patient", help="Id; left out, the server's first patient.")
@click.option(
    "--order",
    type=click.Choice(_ORDERS),
    default="without",
    show_default=True,
    help="Contrast of the lumbar MRI.",
)
@click.option("--reason", default="", help="The clinician's words on the order.")
@click.option(
    "--priority",
    type=click.Choice([priority.value for priority in Priority]),
    default="routine",
    show_default=True,
)
@click.option(
    "--hook",
    type=click.Choice(["order-select", "order-sign"]),
    default="order-select",
    show_default=True,
)
@click.option("--service", help="Base URL of a running service; else in this process.")
@click.option(
    "--all-patients",
    type=click.IntRange(1, MOST_LISTED),
    metavar="N",
    help="The first N patients, one line each.",
)
@click.option(
    "--timeline",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw what the decision rests on, by date, into this SVG file.",
)
@click.option("--json", "as_json", is_flag=True, help="The answer as an EHR gets it; or the table.")
@click.option(
    "--time-budget-ms",
    type=click.IntRange(100, 300_000),
    default=20_000,
    show_default=True,
    help="For reading one patient: public sandboxes are slow.",
)
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day of the call (today).")
@reports_errors
def try_command(  # noqa: PLR0913  # each is an option
    *,
    fhir_server: str | None,
    patient: str | None,
    order: str,
    reason: str,
    priority: str,
    hook: str,
    service: str | None,
    all_patients: int | None,
    timeline: Path | None,
    as_json: bool,
    time_budget_ms: int,
    as_of: datetime | None,
) -> None:
    """Read a patient from an open FHIR R4 server, order a lumbar MRI, print what the service says.

    Reads as an EHR fills prefetch: by the service's own published templates, without a token,
    nothing written. The server must be https, or on this machine.
    """
    if all_patients and (patient or timeline):
        message = "--all-patients prints a table: leave out --patient and --timeline"
        raise SettingsError(message)
    if service and as_of:
        message = "--as-of is for the service in this process: leave out --service"
        raise SettingsError(message)
    settings = Settings.from_environ(os.environ)
    url = fhir_server or next(iter(settings.fhir_servers), None)
    if url is None:
        message = "name a FHIR server with --fhir-server URL (or CDS_FHIR_SERVERS)"
        raise SettingsError(message)
    reader = FhirReader(tls=trusting(settings.private_roots))
    try:
        # First what fails soonest: the knowledge takes two seconds to load.
        server = OpenServer(url, reader, seconds=time_budget_ms / 1000)
        names = _patients(server, patient, all_patients)
        evaluation = Evaluation(
            knowledge=chosen_knowledge(settings),
            site=load_site_file(settings.site_file),
            today=as_date(as_of) or today_in(settings),
            zone=settings.time_zone,
            reader=reader,
        )
        trier = Trier(
            server=server,
            service=Running(service) if service else InProcess(evaluation=evaluation),
            knowledge=evaluation.knowledge,
            order=TrialOrder(
                protocol=ImagingProtocol(order), priority=priority, reason=reason, hook=hook
            ),
        )
        if all_patients:
            sys.exit(try_all(trier, names, as_json=as_json))
        try_one(trier, evaluation, names[0], timeline, as_json=as_json)
    finally:
        reader.close()


def try_one(
    trier: Trier,
    evaluation: Evaluation,
    patient_id: str,
    timeline: Path | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Try one patient and print what comes of it. Raises SettingsError where there is no advice."""
    trial = trier.run(patient_id)
    if as_json:
        if trial.answer.error:
            raise SettingsError(trial.answer.error)
        click.echo(dumps_readable(dict(trial.answer.body)))
    console = terminal()
    if not as_json:
        print_trial(console, trial, trier.server)
    decisions = () if trial.answer.error else _decisions(evaluation, trial)
    for decision in decisions:
        if not as_json:
            console.print(
                "\n" + timeline_text(timeline_of(evaluation.knowledge, decision)),
                soft_wrap=True,
                markup=False,
            )
    if timeline is not None:
        for written in write_timelines(timeline, evaluation.knowledge, decisions):
            click.echo(f"{written} written", err=True)
    if trial.answer.error:
        raise SettingsError(f"no advice for Patient/{patient_id}: {trial.answer.error}")


def _patients(server: OpenServer, patient: str | None, count: int | None) -> tuple[str, ...]:
    """Return whom to try; the first patient where nobody is named, and say who that is."""
    if count is not None:
        return server.patient_ids(count)
    if patient is not None:
        return (server.confirm(patient),)
    found = server.patient_ids(_FIRST_FEW)
    others = f"; others: {', '.join(found[1:])}" if found[1:] else ""
    click.echo(f"--patient not given: taking {found[0]}{others}", err=True)
    return found[:1]


def _decisions(evaluation: Evaluation, trial: Trial) -> Sequence[Decision]:
    """Judge the same request here: a running service sends no picture.

    Says so where its row is another one, because its knowledge or day is.
    """
    try:
        decisions = evaluation.outcome_of(dumps(dict(trial.request))).judged
    except CdsError:
        return ()
    rows = [decision.row for decision in decisions]
    theirs = [str(decision.get("row", "")) for decision in trial.answer.decisions]
    if rows != theirs:
        click.echo(
            f"The timeline is of the knowledge here, which decides {', '.join(rows) or 'G0'}; "
            f"the service decided {', '.join(theirs) or 'nothing'}.",
            err=True,
        )
    return decisions


def try_all(trier: Trier, names: Sequence[str], *, as_json: bool = False) -> int:
    """Try these patients and return the exit code; Ctrl-C ends it with what there is."""
    trials: list[Trial] = []
    is_stopped = False
    try:
        trials.extend(map(trier.run, _with_progress(names)))
    except KeyboardInterrupt:
        is_stopped = True
    if as_json:
        rows = [trial.as_row() for trial in trials]
        click.echo(dumps_readable({"patients": rows, "summary": list(summary_lines(trials))}))
    else:
        print_table(terminal(), trials)
    if is_stopped:
        click.echo(f"Stopped after {len(trials)} of {len(names)} patients.", err=True)
    return _STOPPED if is_stopped else 0


def _with_progress(names: Sequence[str]) -> Iterator[str]:
    """Yield each name, with a bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(names, description="Patients")
