"""Part 3: a call without prefetch, at a FHIR server that takes 100 ms for each answer."""

import statistics
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from benchmarks.hook_calls import (
    MEDIUM,
    ROW,
    TOKEN_OF_THE_FHIR_SERVER,
    hook_call,
    lumbar_mri,
)
from benchmarks.patients import ChartBuilder
from benchmarks.processes import WORKER_CORE
from benchmarks.results import Reading
from benchmarks.targets import service
from cds_service.fixture_server.behaviour import Behaviour
from cds_service.fixture_server.server import FixtureServer

DELAY_SECONDS = 0.1
PAGE = 50
OBSERVATIONS = (40, 200, 500)
"""One page, four, ten: the longest chain, because all other lists are shorter."""


def measure_reading(
    today: date, folder: Path, say: Callable[[str], None], *, times: int
) -> tuple[Reading, ...]:
    """Return how long calls take next to the longest chain of pages."""
    return tuple(_read(today, folder, say, times, count) for count in OBSERVATIONS)


def _read(
    today: date, folder: Path, say: Callable[[str], None], times: int, observations: int
) -> Reading:
    counts: Mapping[str, int] = {**MEDIUM, "observations": observations}
    chart = ChartBuilder(today).chart(counts)
    resources = [each for of_key in chart.values() for each in of_key]
    slow = {str(each["resourceType"]): Behaviour(delay_seconds=DELAY_SECONDS) for each in resources}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": each} for each in resources]}
    pages = max(-(-len(of_key) // PAGE) for of_key in chart.values())
    with FixtureServer(
        [bundle], page_limit=PAGE, token=TOKEN_OF_THE_FHIR_SERVER, behaviours=slow
    ) as server:
        call = hook_call("reading", None, [lumbar_mri()], [ROW], fhir_server=server.base_url)
        settings = {"CDS_FHIR_SERVERS": server.base_url, "CDS_TIME_BUDGET_MS": "10000"}
        # The server is a process on the other core: this one.
        with service("reading", folder, cores=[WORKER_CORE], settings=settings) as target:
            target.wait_until_right(call)
            seconds = target.sampler.check(call, times)
    chain = pages * DELAY_SECONDS
    reading = Reading(
        observations=observations,
        pages=pages,
        chain_ms=chain * 1000,
        ms=statistics.median(seconds) * 1000,
        slowest_ms=max(seconds) * 1000,
        calls=len(seconds),
    )
    say(f"reading, {pages} pages: {reading.ms:.0f} ms a call, the chain {reading.chain_ms:.0f} ms")
    return reading
