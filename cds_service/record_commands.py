"""`cds-service record …` and `unmapped`: schema, exports, forgetting, and codes to map."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_service.command_errors import reports_errors
from cds_service.errors import SettingsError
from cds_service.settings import Settings
from cds_service.strict_json import dumps_readable

if TYPE_CHECKING:
    from cds_service.store.database import Database

_SECONDS_FOR_A_STEP = 3600.0
_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def record() -> None:
    """Decisions and feedback in the database (CDS_DATABASE_URL): export, forget, upgrade."""


@record.command(
    "export",
    epilog="Examples: cds-service record export feedback > feedback.csv; cds-service record export "
    "decisions --format ndjson --since 2026-03-01 --output march.ndjson",
)
@click.argument("what", type=click.Choice(["feedback", "decisions"]))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "ndjson"]),
    default="csv",
    show_default=True,
    help="A table with a header, or one JSON object a line.",
)
@click.option("--since", type=_DAY, help="First day (UTC).")
@click.option("--until", type=_DAY, help="First day that is left out (UTC).")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, instead of standard output.",
)
@reports_errors
def export_command(
    *,
    what: str,
    form: str,
    since: datetime | None,
    until: datetime | None,
    output: Path | None,
) -> None:
    """Write feedback (with the decision it is about) or decisions, oldest first.

    Neither holds anything of a patient. The service may run meanwhile.
    """
    from cds_service.record.export import Exported, ExportFormat, Period, export  # noqa: PLC0415

    period = Period(since=_start_of(since), until=_start_of(until))
    with _database() as database, click.open_file(str(output or "-"), "x" if output else "w") as to:
        count = export(
            database,
            Exported(what),
            ExportFormat(form),
            period,
            to=to,
            progress=lambda written: _tell(f"{written} written"),
        )
    _tell(f"{count} written", is_last=True)


@record.command("forget", epilog="Example: cds-service record forget --days 400")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    help="Keep so many days; CDS_RETENTION_DAYS where it is not given.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many rows would be deleted.")
@reports_errors
def forget_command(*, days: int | None, dry_run: bool) -> None:
    """Delete decisions, cards and feedback that are older than the site keeps them.

    A thousand rows at a time, so that calls go on; stopped half-way, it may be run again. Meant
    for a timer, once a day.
    """
    from cds_service.app import utc_now  # noqa: PLC0415
    from cds_service.record.retention import Forgotten, count_older, forget  # noqa: PLC0415

    kept = Settings.from_environ(os.environ).retention_days if days is None else days
    before = utc_now() - timedelta(days=kept)
    with _database() as database:
        if dry_run:
            gone = count_older(database, before)
        else:
            gone = Forgotten()
            for gone in forget(database, before):
                _tell(f"{gone.decisions} decisions, {gone.feedback} reports deleted")
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(
        f"{gone.decisions} decisions and {gone.feedback} feedback reports from before "
        f"{before:%Y-%m-%d} {verb}."
    )


@record.command("upgrade", epilog="Example: cds-service record upgrade")
@reports_errors
def upgrade_command() -> None:
    """Bring the tables of the database up to date.

    The service does so by itself when it starts. Run this before, where its database user may
    not change tables, with CDS_DATABASE_URL naming one that may.
    """
    from cds_service.store.schema import HEAD, revision_of  # noqa: PLC0415

    with _database() as database:
        found = database.run(revision_of, reads=True)
    if found == HEAD:
        click.echo(f"The tables are up to date: {found}.")
    else:
        click.echo(f"The tables are of a later version ({found}, not {HEAD}): left as they are.")


@click.command(
    "unmapped",
    epilog="Examples: cds-service unmapped --containing MR; cds-service unmapped --site-file, and "
    "paste what fits under `orderCodes`.",
)
@click.option("--containing", default="", help="Only codes whose title or code holds this text.")
@click.option("--site-file", "is_for_site", is_flag=True, help="As lines of a site file.")
@click.option("--json", "is_json", is_flag=True, help="As JSON, for scripts.")
@reports_errors
def unmapped(*, containing: str, is_for_site: bool, is_json: bool) -> None:
    """List order codes of the EHR that are neither standard nor in the site file.

    An order that carries only such a code is recognised by its title at best. Codes are listed
    once they have come for three patients; until then they may be somebody's name.
    """
    from cds_service.record.unmapped import read_unmapped  # noqa: PLC0415
    from cds_service.terminal import print_unmapped, terminal, unmapped_lines  # noqa: PLC0415

    with _database() as database:
        found = read_unmapped(database)
    sought = containing.casefold()
    found = [u for u in found if sought in u.title.casefold() or sought in u.code.casefold()]
    if is_json:
        click.echo(dumps_readable([asdict(each) for each in found]))
    elif not found:
        click.echo("No unmapped code" + (f" holds “{containing}”." if containing else "."))
    elif is_for_site:
        click.echo("\n".join(unmapped_lines(found)))
    else:
        print_unmapped(terminal(), found)


@contextmanager
def _database() -> Iterator["Database"]:
    """Open the database of the settings, patiently. What fails becomes a SettingsError."""
    from cds_service.store.database import Database  # noqa: PLC0415
    from cds_service.store.rest import StoreDown  # noqa: PLC0415

    settings = Settings.from_environ(os.environ)
    try:
        yield Database(settings.store_url, monotonic=time.monotonic, seconds=_SECONDS_FOR_A_STEP)
    except StoreDown as fault:
        message = f"the database cannot be used ({fault}); check CDS_DATABASE_URL and its rights"
        raise SettingsError(message) from None
    except FileExistsError:
        message = "--output: this file is there already; name a new one"
        raise SettingsError(message) from None
    except OSError as error:
        message = f"--output: {error.strerror}"
        raise SettingsError(message) from None


def _start_of(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _tell(progress: str, *, is_last: bool = False) -> None:
    """Say how far it is, on one line that is overwritten; only the end where nobody looks."""
    if sys.stderr.isatty():
        click.echo(f"\r{progress}", nl=is_last, err=True)
    elif is_last:
        click.echo(progress, err=True)
