"""The command line: `cds-service serve | demo | evaluate | try | knowledge check | …`.

Exit codes: 0 ok, 1 the answer is "no" (a check failed), 2 usage or bad input. Errors go to
stderr in a line that says what to do.
"""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import click

from cds_service import __version__
from cds_service.command_errors import reports_errors
from cds_service.command_inputs import as_date, chosen_knowledge, chosen_topics, today_in
from cds_service.errors import SettingsError
from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.names_in_folders import BUNDLED_TOPIC
from cds_service.settings import DESCRIPTIONS, Settings
from cds_service.strict_json import dumps_readable
from cds_service.topics import Topic, folder_of

_SETTINGS_HELP = "Settings (environment):\n\n\b\n" + "\n".join(
    f"{item.name:22} {item.default}" for item in DESCRIPTIONS
)


_HELP = """CDS Hooks service for lumbar-spine MRI orders.

\b
cds-service demo                         patients, orders and cards, on this machine
cds-service evaluate request.json        judge one hook request and print the card
cds-service try --fhir-server URL        the same for a patient of any open FHIR server
CDS_CLIENT_AUTH=off cds-service serve    the service, on loopback, without client tokens
"""


class _Commands(click.Group):
    """Some commands live in modules that take long to import, which `serve` need not wait for."""

    _ELSEWHERE: ClassVar[Mapping[str, tuple[str, str]]] = {
        "evaluate": ("cds_service.evaluate_command", "evaluate_command"),
        "record": ("cds_service.record_commands", "record"),
        "try": ("cds_service.try_command", "try_command"),
        "unmapped": ("cds_service.record_commands", "unmapped"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now."""
        if cmd_name not in self._ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name = self._ELSEWHERE[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101  # a test calls each by its name
        return command


@click.group(
    cls=_Commands,
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

    def load() -> list[Topic]:
        return [Topic(knowledge=each, review=review_page(each)) for each in chosen_topics(settings)]

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
    help="Folder with stories.yaml, for the FHIR server of the demo.",
)
@click.option(
    "--fhir-server", "servers", multiple=True, help="Base URL of a further one, for tests."
)
@reports_errors
def demo(*, once: bool, port: int | None, fixtures: Path, servers: tuple[str, ...]) -> None:
    """Order MRIs for synthetic patients, print the cards, and serve a test EHR for the browser."""
    from cds_service.demo import run_demo  # noqa: PLC0415
    from cds_service.terminal import terminal  # noqa: PLC0415

    # As Ctrl-C: else the service, a process of its own, would be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    as_expected = run_demo(
        terminal(),
        folder=fixtures,
        today=today_in(Settings.from_environ({})),
        port=port,
        is_once=once,
        fhir_servers=servers,
        environ=os.environ,
    )
    sys.exit(0 if as_expected else 1)


@main.command(
    "check-config",
    epilog="Example, as the service's user and with its settings: cds-service check-config",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@reports_errors
def check_config(*, as_json: bool) -> None:
    """Say whether the service would start with these settings, and reach what they name.

    Exit code 1 if something does not answer, 2 if settings, site file or knowledge are refused.
    """
    from cds_service.configuration_check import checked  # noqa: PLC0415

    found = checked(os.environ)
    if as_json:
        click.echo(dumps_readable([asdict(each) for each in found]))
    else:
        for each in found:
            click.echo(f"{'ok  ' if each.ok else 'FAIL'}  {each.what}: {each.says}")
    sys.exit(0 if all(each.ok for each in found) else 1)


@main.command(epilog="Example: cds-service openapi --output openapi.json")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File, instead of stdout."
)
@reports_errors
def openapi(*, output: Path | None) -> None:
    """Print the OpenAPI 3.1 document (JSON) of everything that this service answers."""
    from cds_service.openapi.document import as_json, document  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    text = as_json(document(*chosen_topics(settings), public_url=settings.public_url))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror}"
        raise SettingsError(message) from None
    click.echo(f"{output} written", err=True)


@main.group()
def knowledge() -> None:
    """Check, review, compare and copy the clinical knowledge."""


@knowledge.command(
    "check",
    epilog="Examples: cds-service knowledge check; cds-service knowledge check --no-proofs --json; "
    "CDS_HOOKS_PATH=/srv/hooks cds-service knowledge check --id cervical-mri",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option(
    "--no-proofs", "is_quick", is_flag=True, help="Leave out the proofs over all combinations."
)
@click.option("--id", "topic", default=BUNDLED_TOPIC, show_default=True, help="The topic.")
@reports_errors
def knowledge_check(*, as_json: bool, is_quick: bool, topic: str) -> None:
    """Load the folder, run every case, prove what must hold of every combination of facts.

    Says what was checked; exit code 1 if anything fails. The proofs need z3-solver.
    """
    from cds_service.knowledge_proofs.checked import with_proofs  # noqa: PLC0415
    from cds_service.knowledge_review.check import check  # noqa: PLC0415

    loaded = chosen_knowledge(Settings.from_environ(os.environ), topic)
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
@click.option("--id", "topic", default=BUNDLED_TOPIC, show_default=True, help="The bundled folder.")
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

    signature = Signature(by=by, on=as_date(on) or today_in(Settings.from_environ({})))
    approved = approve(folder, signature, failures_of=failures_of)
    click.echo(
        f"{approved.id} {approved.version} approved by {approved.approval.by} on "
        f"{approved.approval.on}, {approved.digest}\n"
        f"Run the service with CDS_HOOKS_PATH={folder.resolve().parent}, or send SIGHUP to one "
        "that does."
    )


@knowledge.command("review", epilog="Example: cds-service knowledge review --write")
@click.option("--write", is_flag=True, help="Write REVIEW.md into the folder.")
@click.option("--id", "topic", default=BUNDLED_TOPIC, show_default=True, help="The topic.")
@reports_errors
def knowledge_review(*, write: bool, topic: str) -> None:
    """Print the page that a clinical committee reads and signs (Markdown)."""
    from cds_service.knowledge_review.page import review_page  # noqa: PLC0415

    found = folder_of(topic, Settings.from_environ(os.environ).hooks_path)
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
