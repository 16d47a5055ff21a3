"""What a run measures: flat records, written as JSON and read back for reports."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar


class BenchmarkFailed(Exception):
    """The benchmark is not valid: a wrong answer, a program that is missing, a server that ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One way to run a bare application under gunicorn."""

    target: str
    worker: str
    """Worker class and threads."""
    cpu_ms: float
    """A call, geometric mean over the requests."""
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One target under one request for some seconds."""

    number: int
    target: str
    request: str
    calls: int
    seconds: float
    cpu_ms: float
    """Of the worker, a call: its own processor time, system calls included."""
    database_cpu_ms: float
    """Of PostgreSQL, a call; 0 elsewhere."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    peak_mb: float
    """Highest resident memory of the worker in this round (MiB)."""

    @property
    def calls_per_second(self) -> float:
        """Answers that came in time, each second."""
        return self.calls / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPoint:
    """What a call costs at one size."""

    axis: str
    size: int
    cpu_ms: float
    """Median of the repeats."""
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A call without prefetch: the service reads a slow FHIR server."""

    observations: int
    pages: int
    """Of the longest chain: each can be asked for only when the one before it is there."""
    chain_ms: float
    """How long the server alone takes for that chain."""
    ms: float
    """Median of the calls."""
    slowest_ms: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """One round of some workers on all cores."""

    number: int
    database: str
    workers: int
    calls_per_second: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From the start of the process to the first right answer to a hook call."""

    database: str
    """`new`: the tables are made, too; `there`: they are there."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample:
    """One worker after so many calls."""

    calls: int
    resident_mb: float
    own_mb: float
    """Proportional set size: pages that it shares with the first process count half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. A part that was not run is empty."""

    about: Mapping[str, str]
    """Machine, versions, commit, options: a name and a text."""
    tried: tuple[Tried, ...] = ()
    rounds: tuple[Round, ...] = ()
    growth: tuple[GrowthPoint, ...] = ()
    reading: tuple[Reading, ...] = ()
    replicas: tuple[Replicas, ...] = ()
    starts: tuple[Start, ...] = ()
    memory: tuple[MemorySample, ...] = ()


_T = TypeVar("_T")
_KINDS: Mapping[str, type[Any]] = {
    "tried": Tried,
    "rounds": Round,
    "growth": GrowthPoint,
    "reading": Reading,
    "replicas": Replicas,
    "starts": Start,
    "memory": MemorySample,
}


def write_results(results: Results, file: Path) -> None:
    """Write them as JSON that `read_results` reads."""
    file.write_text(json.dumps(asdict(results), indent=1) + "\n", "utf-8")


def read_results(file: Path) -> Results:
    """Return what a run has written. Raises BenchmarkFailed if the file holds something else."""
    try:
        raw = json.loads(file.read_text("utf-8"))
        parts = {name: _records(kind, raw[name]) for name, kind in _KINDS.items()}
        return Results(about=dict(raw["about"]), **parts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"{file} holds no results of this benchmark ({error!r})"
        raise BenchmarkFailed(message) from None


def _records(kind: type[_T], raw: list[dict[str, Any]]) -> tuple[_T, ...]:
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]  # all kinds are dataclasses
    return tuple(kind(**{name: one[name] for name in names}) for one in raw)
