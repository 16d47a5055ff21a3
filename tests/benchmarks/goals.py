"""The targets of the issue, and whether a run reached them."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.figures import added_ms, after, curves, growth_mb, slope, summaries
from benchmarks.growth import UNITS
from benchmarks.results import Results
from benchmarks.targets import Name

RATIOS: Mapping[str, float] = {"small": 5.0, "medium": 1.8, "large": 1.2, "not ours": 0.9}
JWT_MS = 0.3
SLOPE = 1.1
"""Linear is 1; a tenth is for what the machine adds."""
CHAIN = 1.5
START_SECONDS = 1.5
MEMORY_MB = 150.0
MEMORY_CALLS = 10_000
FLAT_MB = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One bound, and what was measured."""

    says: str
    bound: float
    measured: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the bound holds; not if it could not be measured."""
        return self.measured <= self.bound


def goals(results: Results) -> list[Goal]:
    """Return the goals of all parts that were run."""
    return [
        *_of_calls(results),
        *_of_growth(results),
        *_of_reading(results),
        *_of_starts(results),
        *_of_memory(results),
    ]


def _of_calls(results: Results) -> Iterator[Goal]:
    found = {(one.target, one.request): one for one in summaries(results.rounds, limit=Name.LIMIT)}
    for request, bound in RATIOS.items():
        if summary := found.get((Name.SERVICE, request)):
            yield Goal(
                says=f"CPU a call, {request}", bound=bound, measured=summary.ratio, unit="x limit"
            )
    for request, more in added_ms(results.rounds, by=Name.JWT, to=Name.SERVICE).items():
        yield Goal(says=f"JWT adds, {request}", bound=JWT_MS, measured=more, unit="ms")


def _of_growth(results: Results) -> Iterator[Goal]:
    for axis, points in curves(results.growth).items():
        says = f"growth with {UNITS.get(axis, axis)}"
        yield Goal(says=says, bound=SLOPE, measured=slope(points), unit="power")


def _of_reading(results: Results) -> Iterator[Goal]:
    for one in results.reading:
        yield Goal(
            says=f"reading, longest chain of {one.pages} pages",
            bound=CHAIN,
            measured=one.ms / one.chain_ms,
            unit="x chain",
        )


def _of_starts(results: Results) -> Iterator[Goal]:
    usual = [one.seconds for one in results.starts if one.database == "there"]
    if usual:
        yield Goal(
            says="start to the first answer",
            bound=START_SECONDS,
            measured=statistics.median(usual),
            unit="s",
        )


def _of_memory(results: Results) -> Iterator[Goal]:
    if not results.memory:
        return
    sample = after(results.memory, MEMORY_CALLS)
    yield Goal(
        says=f"memory of a worker after {sample.calls:,} calls",
        bound=MEMORY_MB,
        measured=sample.resident_mb,
        unit="MB",
    )
    yield Goal(
        says=f"memory grows from a tenth of {results.memory[-1].calls:,} calls to the end",
        bound=FLAT_MB,
        measured=growth_mb(results.memory),
        unit="MB",
    )
