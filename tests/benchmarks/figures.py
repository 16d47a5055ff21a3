"""What follows from the measured rounds: medians, ratios to the limit, slopes. Pure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.results import GrowthPoint, MemorySample, Replicas, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One target under one request: medians over the rounds."""

    target: str
    request: str
    cpu_ms: float
    least_cpu_ms: float
    most_cpu_ms: float
    ratio: float
    """Processor time as a multiple of the limit's in the same round."""
    least_ratio: float
    most_ratio: float
    calls_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    peak_mb: float
    """The highest of all rounds."""
    database_cpu_ms: float


def summaries(rounds: Iterable[Round], *, limit: str) -> list[Summary]:
    """Return one summary for each target and request, in the order of the first round.

    Ratios are formed within a round: what slows the machine for a while slows both.
    """
    by_key: dict[tuple[str, str], list[Round]] = defaultdict(list)
    of_limit: dict[tuple[int, str], float] = {}
    for one in rounds:
        by_key[one.request, one.target].append(one)
        if one.target == limit:
            of_limit[one.number, one.request] = one.cpu_ms
    return [
        _summary(target, request, several, of_limit)
        for (request, target), several in by_key.items()
    ]


def _summary(
    target: str,
    request: str,
    several: Sequence[Round],
    of_limit: Mapping[tuple[int, str], float],
) -> Summary:
    ratios = [one.cpu_ms / of_limit[one.number, request] for one in several]
    costs = [one.cpu_ms for one in several]
    return Summary(
        target=target,
        request=request,
        cpu_ms=statistics.median(costs),
        least_cpu_ms=min(costs),
        most_cpu_ms=max(costs),
        ratio=statistics.median(ratios),
        least_ratio=min(ratios),
        most_ratio=max(ratios),
        calls_per_second=statistics.median(one.calls_per_second for one in several),
        p50_ms=statistics.median(one.p50_ms for one in several),
        p95_ms=statistics.median(one.p95_ms for one in several),
        p99_ms=statistics.median(one.p99_ms for one in several),
        peak_mb=max(one.peak_mb for one in several),
        database_cpu_ms=statistics.median(one.database_cpu_ms for one in several),
    )


def added_ms(rounds: Iterable[Round], *, by: str, to: str) -> dict[str, float]:
    """Return how much more a target costs than another a call, by request (ms, of one round)."""
    costs = {(one.target, one.request, one.number): one.cpu_ms for one in rounds}
    differences: dict[str, list[float]] = defaultdict(list)
    for (target, request, number), cost in costs.items():
        if target == by and (to, request, number) in costs:
            differences[request].append(cost - costs[to, request, number])
    return {request: statistics.median(each) for request, each in differences.items()}


def slope(points: Sequence[GrowthPoint]) -> float:
    """Return the power of the size with which the cost grows: 1 is linear, 2 is quadratic.

    Least squares of the logarithms over the upper half of the sizes: below, the cost of any
    call hides the growth. NaN with fewer than two sizes.
    """
    ranked = sorted(points, key=lambda point: point.size)
    upper = ranked[len(ranked) // 2 :] if len(ranked) > 3 else ranked
    if len(upper) < 2:
        return math.nan
    sizes = [math.log(point.size) for point in upper]
    costs = [math.log(point.cpu_ms) for point in upper]
    return statistics.linear_regression(sizes, costs).slope


def curves(points: Iterable[GrowthPoint]) -> dict[str, list[GrowthPoint]]:
    """Return the points of each axis."""
    by_axis: dict[str, list[GrowthPoint]] = defaultdict(list)
    for point in points:
        by_axis[point.axis].append(point)
    return dict(by_axis)


def gains(replicas: Iterable[Replicas]) -> dict[str, dict[int, float]]:
    """Return the median of calls per second by database and number of workers."""
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in replicas:
        rates[one.database, one.workers].append(one.calls_per_second)
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for (database, workers), several in rates.items():
        found[database][workers] = statistics.median(several)
    return dict(found)


def after(samples: Sequence[MemorySample], calls: float) -> MemorySample:
    """Return the first sample after so many calls; the last one if there were fewer."""
    return next((one for one in samples if one.calls >= calls), samples[-1])


def growth_mb(samples: Sequence[MemorySample]) -> float:
    """Return by how much the memory grew after the first tenth of the calls (MiB)."""
    return samples[-1].resident_mb - after(samples, samples[-1].calls / 10).resident_mb
