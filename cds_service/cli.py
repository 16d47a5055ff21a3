"""The command line: `cds-service serve | demo | evaluate | knowledge check | compare | …`.

Exit codes: 0 ok, 1 the answer is "no" (a check failed), 2 usage or bad input. Errors go to
stderr in a line that says what to do.
"""

import os
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_service import __version__
from cds_service.command_errors import reports_errors
from cds_service.errors import SettingsError
from cds_service.evaluate import Outcome, evaluate
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.knowledge_loading.folders import FoundFolder, find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_loading.service import ApprovalState
from cds_service.protocol import hook_answer, parse_request
from cds_service.record_commands import record
from cds_service.settings import DESCRIPTIONS, Settings
from cds_service.site_file import SiteFile, load_site_file
from cds_service.strict_json import dumps, dumps_readable, loads

if TYPE_CHECKING:
    from cds_service.prefetch.reader import FhirReader

_TOPIC = "lumbar-mri"

_SETTINGS_HELP = "Settings (environment):\n\n\b\n" + "\n".join(
    f"{item.name:22} {item.default}" for item in DESCRIPTIONS
)


_HELP = """CDS Hooks service for lumbar-spine MRI orders.

\b
cds-service demo                         patients, orders and cards, on this machine
cds-service evaluate request.json        judge one hook request and print the card
CDS_CLIENT_AUTH=off cds-service serve    the service, on loopback, without client tokens
"""


@click.group(
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_SETTINGS_HELP,
)
@click.version_option(__version__, prog_name="cds-service")
def main() -> None:
    """Run `cds-service`; the help text is `_HELP`."""


@main.command(epilog="Example: CDS_CLIENT_AUTH=off cds-service serve --bind 127.0.0.1:8000")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="host:port or unix:path")
@click.option("--port", type=click.IntRange(0, 65535), help="Port on 127.0.0.1, instead of --bind.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1, 64))
@reports_errors
def serve(*, bind: str, port: int | None, workers: int, threads: int) -> None:
    """Run the service under gunicorn until it is told to stop (SIGTERM, Ctrl-C)."""
    from cds_service.knowledge_review.page import review_page  # noqa: PLC0415
    from cds_service.serving import ServingOptions  # noqa: PLC0415
    from cds_service.serving import serve as run_server  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    address = bind if port is None else f"127.0.0.1:{port}"
    options = ServingOptions(bind=address, workers=workers, threads=threads)

    def load() -> tuple[Knowledge, str]:
        loaded = _knowledge(settings)
        return loaded, review_page(loaded)

    run_server(settings, load=load, options=options)


@main.command(epilog="Example: cds-service demo --once")
@click.option("--once", is_flag=True, help="Stop after the cards are printed.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the service (8000, or a free one)."
)
@click.option(
    "--fixtures",
    default="fhir_fixtures",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder with stories.yaml.",
)
@reports_errors
def demo(*, once: bool, port: int | None, fixtures: Path) -> None:
    """Start the service and a FHIR server, order MRIs for synthetic patients, print the cards."""
    from cds_service.demo import run_demo  # noqa: PLC0415
    from cds_service.terminal import terminal  # noqa: PLC0415

    as_expected = run_demo(
        terminal(),
        folder=fixtures,
        today=_today(Settings.from_environ({})),
        port=port,
        is_once=once,
        environ=os.environ,
    )
    sys.exit(0 if as_expected else 1)


@main.command(
    "evaluate",
    epilog="Example: cds-service evaluate request.json --as-of 2026-03-16 --explain",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day of the call (today).")
@click.option("--explain", is_flag=True, help="Every rule that was tried, and every fact.")
@click.option("--json", "as_json", is_flag=True, help="The response body, as an EHR gets it.")
@click.option("--timing", is_flag=True, help="Time of one call inside the process, median of 200.")
@reports_errors
def evaluate_command(
    *, file: str, as_of: "click.DateTime | None", explain: bool, as_json: bool, timing: bool
) -> None:
    """Judge one hook request (a JSON file, or - for standard input) and print card and row.

    Only what stands in the request's prefetch is read: no network is used.
    """
    from cds_service.prefetch.reader import FhirReader  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    knowledge = _knowledge(settings)
    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    run = _Evaluation(
        reader=FhirReader(),
        settings=settings,
        knowledge=knowledge,
        service=_service_for(body, knowledge),
        site=load_site_file(settings.site_file),
        today=_as_date(as_of) or _today(settings),
        body=body,
    )
    outcome = run.once()
    if as_json:
        click.echo(dumps_readable(run.wire(outcome)))
    else:
        _print_outcome(outcome, is_explained=explain)
    if timing:
        click.echo(
            f"{run.median_ms():.2f} ms for a call of {len(run.body) / 1024:.0f} KB", err=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """One request file and everything it is judged with."""

    settings: Settings
    knowledge: Knowledge
    service: ServiceDescription
    """The service that answers the request's hook."""
    site: SiteFile
    today: date
    body: bytes
    reader: "FhirReader"
    """Never called: no server is allowed here."""

    def once(self) -> Outcome:
        """Parse and judge, as the HTTP service does, without the network."""
        from cds_service.prefetch.reader import complete  # noqa: PLC0415

        request = parse_request(
            self.body, service_hook=self.service.hook, service_id=self.service.id
        )
        sources = complete(
            request,
            self.knowledge,
            allowed_servers=(),
            reader=self.reader,
            budget_seconds=1.0,
            monotonic=time.monotonic,
        )
        return evaluate(
            self.knowledge,
            request,
            sources,
            today=self.today,
            zone=self.settings.time_zone,
            site=self.site,
        )

    def wire(self, outcome: Outcome) -> dict[str, object]:
        """Return the body of the answer."""
        return hook_answer(outcome.cards, outcome.decisions)

    def median_ms(self) -> float:
        """Return the median time of a call in milliseconds, parse to answer."""
        times = []
        for _ in range(200):
            started = time.perf_counter()
            dumps(self.wire(self.once()))
            times.append((time.perf_counter() - started) * 1000)
        return sorted(times)[len(times) // 2]


def _service_for(body: bytes, knowledge: Knowledge) -> ServiceDescription:
    """Return the service that answers the hook which the body names."""
    content = loads(body)
    hook = content.get("hook") if isinstance(content, dict) else None
    for service in knowledge.services:
        if service.hook == hook:
            return service
    hooks = ", ".join(service.hook for service in knowledge.services)
    message = f"the request's hook is not one of {hooks}"
    raise SettingsError(message)


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


@main.command(epilog="Example: cds-service openapi --output openapi.json")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File, instead of stdout."
)
@reports_errors
def openapi(*, output: Path | None) -> None:
    """Print the OpenAPI 3.1 document (JSON) of everything that this service answers."""
    from cds_service.openapi.document import as_json, document  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    text = as_json(document(_knowledge(settings), public_url=settings.public_url))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror}"
        raise SettingsError(message) from None
    click.echo(f"{output} written", err=True)


main.add_command(record)


@main.group()
def knowledge() -> None:
    """Check, review, compare and copy the clinical knowledge."""


@knowledge.command(
    "check",
    epilog="Examples: cds-service knowledge check; cds-service knowledge check --no-proofs --json",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option(
    "--no-proofs", "is_quick", is_flag=True, help="Leave out the proofs over all combinations."
)
@reports_errors
def knowledge_check(*, as_json: bool, is_quick: bool) -> None:
    """Load the folder, run every case, prove what must hold of every combination of facts.

    Says what was checked; exit code 1 if anything fails. The proofs need z3-solver.
    """
    from cds_service.knowledge_proofs.checked import with_proofs  # noqa: PLC0415
    from cds_service.knowledge_review.check import check  # noqa: PLC0415

    loaded = _knowledge(Settings.from_environ(os.environ))
    report = with_proofs(check(loaded), loaded, is_wanted=not is_quick)
    click.echo(report.as_json() if as_json else report.as_text())
    sys.exit(0 if report.is_passed else 1)


@knowledge.command(
    "compare",
    epilog="Examples: cds-service knowledge compare lumbar-mri /srv/hooks/lumbar-mri; "
    "cds-service knowledge compare hooks-2026.1/lumbar-mri hooks/lumbar-mri --json",
)
@click.argument("old")
@click.argument("new")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@reports_errors
def knowledge_compare(*, old: str, new: str, as_json: bool) -> None:
    """Say what differs between two knowledge folders, and which answers change.

    OLD and NEW are paths of folders; a name without a slash is the bundled folder of that id.
    Where z3-solver is installed, every combination of facts is compared. Exit code 0 if nothing
    differs, 1 if something does.
    """
    from cds_service.knowledge_comparison.comparison import compare, knowledge_at  # noqa: PLC0415

    report = compare(knowledge_at(old), knowledge_at(new))
    click.echo(report.as_json() if as_json else report.as_text())
    sys.exit(0 if report.is_same else 1)


@knowledge.command("export", epilog="Example: cds-service knowledge export /srv/hooks")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--id", "topic", default=_TOPIC, show_default=True, help="The bundled folder.")
@reports_errors
def knowledge_export(*, directory: Path, topic: str) -> None:
    """Write a copy of the bundled knowledge into DIRECTORY, for a site to edit and sign.

    The copy is a draft, whatever the original was; an existing one is never overwritten.
    """
    from cds_service.knowledge_export import export, next_steps  # noqa: PLC0415

    click.echo(next_steps(export(topic, directory)))


@knowledge.command(
    "approve",
    epilog='Example: cds-service knowledge approve /srv/hooks/lumbar-mri --by "A. Doe, committee"',
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--by", required=True, help="Who approves: name and committee.")
@click.option("--on", type=click.DateTime(["%Y-%m-%d"]), help="The day of the approval (today).")
@click.option(
    "--no-proofs", "is_quick", is_flag=True, help="Leave out the proofs over all combinations."
)
@reports_errors
def knowledge_approve(
    *, folder: Path, by: str, on: "click.DateTime | None", is_quick: bool
) -> None:
    """Sign a site's knowledge folder as it is now; whatever changes later makes it unusable.

    The folder is checked first, as `knowledge check` does; what fails stays a draft.
    """
    from cds_service.knowledge_approval import Signature, approve  # noqa: PLC0415
    from cds_service.knowledge_proofs.checked import with_proofs  # noqa: PLC0415
    from cds_service.knowledge_review.check import check  # noqa: PLC0415

    def failures_of(loaded: Knowledge) -> tuple[str, ...]:
        report = with_proofs(check(loaded), loaded, is_wanted=not is_quick)
        return tuple(map(str, report.failures))

    signature = Signature(by=by, on=_as_date(on) or _today(Settings.from_environ({})))
    approved = approve(folder, signature, failures_of=failures_of)
    click.echo(
        f"{approved.id} {approved.version} approved by {approved.approval.by} on "
        f"{approved.approval.on}, {approved.digest}\n"
        f"Run the service with CDS_HOOKS_PATH={folder.resolve().parent}, or send SIGHUP to one "
        "that does."
    )


@knowledge.command("review", epilog="Example: cds-service knowledge review --write")
@click.option("--write", is_flag=True, help="Write REVIEW.md into the folder.")
@reports_errors
def knowledge_review(*, write: bool) -> None:
    """Print the page that a clinical committee reads and signs (Markdown)."""
    from cds_service.knowledge_review.page import review_page  # noqa: PLC0415

    found = _folder(Settings.from_environ(os.environ))
    page = review_page(load_knowledge(found.folder))
    if not write:
        click.echo(page, nl=False)
        return
    target = found.folder / "REVIEW.md"
    if not isinstance(target, Path):
        message = "this knowledge folder is inside an archive and cannot be written to"
        raise SettingsError(message)
    target.write_text(page, "utf-8")
    click.echo(f"{target} written", err=True)


def _folder(settings: Settings) -> FoundFolder:
    for found in find_folders(settings.hooks_path):
        if found.id == _TOPIC:
            return found
    message = f"no knowledge folder {_TOPIC} found; check CDS_HOOKS_PATH"
    raise SettingsError(message)


def _knowledge(settings: Settings) -> Knowledge:
    found = _folder(settings)
    loaded = load_knowledge(found.folder)
    if settings.require_approval and loaded.approval.state != ApprovalState.APPROVED:
        message = (
            f"the knowledge folder {found.directory}/{found.id} is in state "
            f"{loaded.approval.state} and CDS_REQUIRE_APPROVAL is true: approve it in its "
            "service.yaml, or name an approved copy in CDS_HOOKS_PATH"
        )
        raise SettingsError(message)
    return loaded


def _today(settings: Settings) -> date:
    from cds_service.app import utc_now  # noqa: PLC0415

    return utc_now().astimezone(settings.time_zone).date()


def _as_date(value: object) -> date | None:
    return date.fromisoformat(str(value)[:10]) if value is not None else None
