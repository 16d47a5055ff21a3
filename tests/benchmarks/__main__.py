"""`make bench`: measures the service next to what Python could do at best, and writes it down."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
from own_servers import OwnServer
from rich.console import Console

from benchmarks.calls import Weather, measure_calls
from benchmarks.databases import own_postgresql
from benchmarks.goals import goals
from benchmarks.growth import measure_growth
from benchmarks.hook_calls import usual_calls
from benchmarks.machine import about
from benchmarks.memory import measure_memory
from benchmarks.plots import write_plots
from benchmarks.processes import require_machine
from benchmarks.reading import measure_reading
from benchmarks.replicas import measure_replicas
from benchmarks.report import PAGE, show, write_page
from benchmarks.results import BenchmarkFailed, Results, read_results, write_results
from benchmarks.start import measure_starts

PARTS = ("calls", "growth", "reading", "replicas", "start", "memory")
_WITH_POSTGRESQL = frozenset({"calls", "replicas"})

_WIDTH_ELSEWHERE = 140

_HELP = """Measure the service next to the least that any answer costs in Python.

\b
calls     CPU, latency and memory: bare WSGI, bare Flask, the service (SQLite, JWT, PostgreSQL)
growth    CPU of a call against chart, orders, series, instances and texts
reading   a call without prefetch, at a FHIR server that takes 100 ms a page
replicas  calls per second with 1 and 2 workers
start     from the start of the process to the first answer
memory    of one worker over many mixed calls

Every answer that is sampled must be a 200 with the expected row, and so must every decision in the
record; else the run ends with exit code 1. Leave the machine alone meanwhile.

\b
make bench                                          all of it, about an hour
make bench ARGS='--quick'                           a rough look, some minutes
make bench ARGS='--only calls --rounds 7'           one part
make bench ARGS='--report a.json --report b.json'   write PERFORMANCE.md from two runs
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long each part takes."""

    rounds: int
    seconds: int
    seconds_to_try: int
    repeats: int
    readings: int
    starts: int
    memory_calls: int


FULL = Lengths(
    rounds=5,
    seconds=8,
    seconds_to_try=4,
    repeats=7,
    readings=15,
    starts=7,
    memory_calls=100_000,
)
QUICK = Lengths(
    rounds=2,
    seconds=3,
    seconds_to_try=1,
    repeats=1,
    readings=3,
    starts=1,
    memory_calls=500,
)


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Short rounds: figures are rough.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="This part; may be repeated.")
@click.option(
    "--rounds", type=click.IntRange(1), help=f"Of `calls` and `replicas` [{FULL.rounds}]."
)
@click.option("--seconds", type=click.IntRange(1), help=f"Of one round [{FULL.seconds}].")
@click.option(
    "--memory-calls", type=click.IntRange(1), help=f"Of `memory` [{FULL.memory_calls:,}]."
)
@click.option("--seed", default=0, show_default=True, help="Of the charts.")
@click.option("--no-postgresql", is_flag=True, help="Leave PostgreSQL out.")
@click.option(
    "--out",
    default="bench-results",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for results.json and the plots.",
)
@click.option("--enforce", is_flag=True, help="Exit code 1 also when a target is missed.")
@click.option(
    "--report",
    "reported",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing; write these results into PERFORMANCE.md.",
)
def main(  # noqa: PLR0913  # each is an option
    *,
    quick: bool,
    only: tuple[str, ...],
    rounds: int | None,
    seconds: int | None,
    memory_calls: int | None,
    seed: int,
    no_postgresql: bool,
    out: Path,
    enforce: bool,
    reported: tuple[Path, ...],
) -> None:
    """Run; the help text is `_HELP`."""
    # As Ctrl-C: else the servers would be left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lengths = QUICK if quick else FULL
    lengths = replace(
        lengths,
        rounds=rounds or lengths.rounds,
        seconds=seconds or lengths.seconds,
        memory_calls=memory_calls or lengths.memory_calls,
    )
    try:
        if reported:
            runs = [read_results(file) for file in reported]
            write_page(runs)
            write_plots(runs[-1], PAGE.parent)
            click.echo(f"{PAGE} holds the figures of {len(runs)} run(s), the plots are of the last")
            return
        require_machine()
        out.mkdir(parents=True, exist_ok=True)
        parts = _measure(only or PARTS, lengths, seed, is_quick=quick, with_pg=not no_postgresql)
        for results in parts:
            # After each part: what a later one breaks is not lost.
            write_results(results, out / "results.json")
            plots = write_plots(results, out)
    except BenchmarkFailed as failed:
        click.echo(f"The benchmark failed: {failed}", err=True)
        sys.exit(1)
    # A file or a log has no width of its own.
    show(results, Console(width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE))
    click.echo(f"Written: {', '.join(map(str, (out / 'results.json', *plots)))}")
    missed = [one for one in goals(results) if not one.is_reached]
    click.echo(f"{len(missed)} of {len(goals(results))} targets missed")
    sys.exit(1 if enforce and missed else 0)


def _measure(
    parts: tuple[str, ...], lengths: Lengths, seed: int, *, is_quick: bool, with_pg: bool
) -> Iterator[Results]:
    """Run the parts one after the other; yield all results so far after each."""
    today = datetime.now(UTC).date()
    calls = usual_calls(today, seed)
    uses_postgresql = with_pg and not _WITH_POSTGRESQL.isdisjoint(parts)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        postgresql = stack.enter_context(own_postgresql()) if uses_postgresql else None
        results = Results(about=_about(lengths, seed, postgresql, is_quick=is_quick))
        say = _sayer()
        if "calls" in parts:
            weather = Weather(
                rounds=lengths.rounds,
                seconds=lengths.seconds,
                seconds_to_try=lengths.seconds_to_try,
            )
            tried, rounds = measure_calls(calls, weather, folder, say, postgresql=postgresql)
            results = replace(results, tried=tried, rounds=rounds)
            yield results
        if "growth" in parts:
            found = measure_growth(today, folder, say, repeats=lengths.repeats)
            results = replace(results, growth=found)
            yield results
        if "reading" in parts:
            read = measure_reading(today, folder, say, times=lengths.readings)
            results = replace(results, reading=read)
            yield results
        if "replicas" in parts:
            replicas = measure_replicas(
                calls["medium"],
                folder,
                say,
                rounds=lengths.rounds,
                seconds=lengths.seconds,
                postgresql=postgresql,
            )
            results = replace(results, replicas=replicas)
            yield results
        if "start" in parts:
            starts = measure_starts(calls["small"], folder, say, times=lengths.starts)
            results = replace(results, starts=starts)
            yield results
        if "memory" in parts:
            memory = measure_memory(
                calls, folder, say, total=lengths.memory_calls, seconds=lengths.seconds
            )
            results = replace(results, memory=memory)
            yield results


def _about(
    lengths: Lengths, seed: int, postgresql: OwnServer | None, *, is_quick: bool
) -> dict[str, str]:
    return about(
        postgresql,
        run="quick, figures are rough" if is_quick else "full",
        rounds=f"{lengths.rounds} of {lengths.seconds} s for each target and request",
        seed=str(seed),
    )


def _sayer() -> Callable[[str], None]:
    began = datetime.now(UTC)

    def say(words: str) -> None:
        click.echo(f"{(datetime.now(UTC) - began).seconds:5d} s  {words}")

    return say


if __name__ == "__main__":
    main()
