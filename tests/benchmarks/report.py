"""The figures as tables: for a terminal, and between two markers of `PERFORMANCE.md`."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import after, curves, gains, growth_mb, slope, summaries
from benchmarks.goals import goals
from benchmarks.growth import UNITS
from benchmarks.results import BenchmarkFailed, Results
from benchmarks.targets import Name

PAGE = Path(__file__).parent / "PERFORMANCE.md"
BEGIN = "<!-- figures: written by `python -m benchmarks --report` -->"
END = "<!-- end of figures -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table; all cells are text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def sheets(results: Results) -> list[Sheet]:
    """Return the tables of all parts that were run; first what ran where, last the targets."""
    made = (
        _about(results),
        _tried(results),
        _calls(results),
        _growth(results),
        _reading(results),
        _replicas(results),
        _starts(results),
        _memory(results),
        _goals(results),
    )
    return [sheet for sheet in made if sheet.rows]


def show(results: Results, console: Console) -> None:
    """Print all tables."""
    for sheet in sheets(results):
        table = Table(title=sheet.title, title_justify="left")
        for name in sheet.head:
            table.add_column(name, overflow="fold")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def write_page(runs: Sequence[Results], page: Path = PAGE) -> None:
    """Replace what stands between the markers by the tables of these runs."""
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after_it = rest.partition(END)
    if not begin or not end:
        message = f"{page} lacks the lines {BEGIN!r} and {END!r}"
        raise BenchmarkFailed(message)
    parts = [part for results in runs for part in _markdown(results)]
    page.write_text("\n".join([before + BEGIN, "", *parts, END + after_it]), "utf-8")


def _markdown(results: Results) -> Iterator[str]:
    yield "### Run of " + ", ".join(
        results.about.get(each, "") for each in ("when", "commit", "run")
    )
    yield ""
    for sheet in sheets(results):
        yield f"**{sheet.title}**"
        yield ""
        yield _line(sheet.head)
        yield _line(["---"] * len(sheet.head))
        for row in sheet.rows:
            yield _line(row)
        yield ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _about(results: Results) -> Sheet:
    return Sheet(title="Where and what", head=("", ""), rows=list(results.about.items()))


def _tried(results: Results) -> Sheet:
    rows = [
        (one.target, one.worker, f"{one.cpu_ms:.2f}", "taken" if one.is_chosen else "")
        for one in results.tried
    ]
    head = ("bare application", "worker of gunicorn", "CPU ms a call, geometric mean", "")
    return Sheet(
        title="Which worker is the cheapest for the bare applications", head=head, rows=rows
    )


def _calls(results: Results) -> Sheet:
    rows = [
        (
            one.request,
            one.target,
            f"{one.cpu_ms:.2f} ({one.least_cpu_ms:.2f}–{one.most_cpu_ms:.2f})",
            f"{one.ratio:.2f} ({one.least_ratio:.2f}–{one.most_ratio:.2f})",
            f"{one.calls_per_second:.0f}",
            f"{one.p50_ms:.1f} / {one.p95_ms:.1f} / {one.p99_ms:.1f}",
            f"{one.peak_mb:.0f}",
            f"{one.database_cpu_ms:.2f}" if one.target == Name.POSTGRESQL else "",
        )
        for one in summaries(results.rounds, limit=Name.LIMIT)
    ]
    head = (
        *("request", "target", "CPU ms a call", "x limit", "calls/s", "p50 / p95 / p99 ms"),
        *("peak MB", "PostgreSQL's CPU ms"),
    )
    return Sheet(title="Calls: medians of the rounds (least–most)", head=head, rows=rows)


def _growth(results: Results) -> Sheet:
    rows = [
        (
            UNITS.get(axis, axis),
            f"{points[0].size:,}: {points[0].cpu_ms:.1f} ms",
            f"{points[-1].size:,}: {points[-1].cpu_ms:.1f} ms",
            f"{slope(points):.2f}",
        )
        for axis, points in curves(results.growth).items()
    ]
    head = ("what grows", "least", "most", "power, upper half")
    return Sheet(title="Growth: CPU of a call (1 is linear)", head=head, rows=rows)


def _reading(results: Results) -> Sheet:
    rows = [
        (
            f"{one.pages}",
            f"{one.chain_ms:.0f}",
            f"{one.ms:.0f}",
            f"{one.slowest_ms:.0f}",
            f"{one.ms / one.chain_ms:.2f}",
        )
        for one in results.reading
    ]
    head = ("pages of the longest chain", "chain ms", "call ms, median", "slowest", "x chain")
    return Sheet(title="Reading a FHIR server that takes 100 ms a page of 50", head=head, rows=rows)


def _replicas(results: Results) -> Sheet:
    rows = [
        (database, f"{rates[1]:.0f}", f"{rates[2]:.0f}", f"{rates[2] / rates[1]:.2f}")
        for database, rates in gains(results.replicas).items()
    ]
    head = ("record in", "calls/s, 1 worker", "calls/s, 2 workers", "gain")
    return Sheet(
        title="Workers on 2 cores, medium request, the load beside them", head=head, rows=rows
    )


def _starts(results: Results) -> Sheet:
    by_database: dict[str, list[float]] = {}
    for one in results.starts:
        by_database.setdefault(one.database, []).append(one.seconds)
    rows = [
        (database, f"{statistics.median(each):.2f}", f"{min(each):.2f}–{max(each):.2f}")
        for database, each in by_database.items()
    ]
    head = ("database", "seconds, median", "least–most")
    return Sheet(title="Start of the process to the first right answer", head=head, rows=rows)


def _memory(results: Results) -> Sheet:
    if not results.memory:
        return Sheet(title="", head=(), rows=())
    last = results.memory[-1]
    samples = [after(results.memory, last.calls * share) for share in (0, 0.1, 0.5, 1)]
    chosen = {one.calls: one for one in samples}
    rows = [
        (f"{one.calls:,}", f"{one.resident_mb:.0f}", f"{one.own_mb:.0f}") for one in chosen.values()
    ]
    title = f"Memory of one worker, mixed calls ({growth_mb(results.memory):+.1f} MB after a tenth)"
    return Sheet(title=title, head=("calls", "resident MB", "proportional MB"), rows=rows)


def _goals(results: Results) -> Sheet:
    rows = [
        (
            one.says,
            f"<= {one.bound:g} {one.unit}",
            f"{one.measured:.2f}",
            "yes" if one.is_reached else "NO",
        )
        for one in goals(results)
    ]
    return Sheet(title="Targets", head=("", "target", "measured", "reached"), rows=rows)
