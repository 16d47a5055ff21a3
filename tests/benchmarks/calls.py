"""Part 1: calls under load, every target in turn in each round, so that all share the weather."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from own_servers import OwnServer

from benchmarks.answers_held import write_tokens
from benchmarks.hook_calls import HookCall
from benchmarks.load import CONNECTIONS, Load, plan, send
from benchmarks.processes import (
    cpu_of_each,
    cpu_seconds,
    forget_peak,
    peak_mb,
    settle,
)
from benchmarks.results import BenchmarkFailed, Round, Tried
from benchmarks.targets import APPLICATIONS, WAYS, Bare, Name, Target, bare, service

Say = Callable[[str], None]

_SPARE_TOKENS = 1.5
_LEAST_TOKENS = 300
_WARMING_CALLS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How long and how often."""

    rounds: int
    seconds: int
    """Of one target under one request."""
    seconds_to_try: int
    """Of one way to run a bare application."""


def measure_calls(
    calls: Mapping[str, HookCall],
    weather: Weather,
    folder: Path,
    say: Say,
    *,
    postgresql: OwnServer | None,
) -> tuple[tuple[Tried, ...], tuple[Round, ...]]:
    """Return which way was the cheapest for the bare applications, and every round."""
    tried = tuple(_try_ways(calls, weather, folder, say))
    rounds: list[Round] = []
    with _all_targets(tried, folder, postgresql) as targets:
        for target in targets:
            target.wait_until_right(calls["small"])
            for call in calls.values():
                target.sampler.check(call, _WARMING_CALLS)
        per_second: dict[str, float] = {}
        for number in range(1, weather.rounds + 1):
            for call in calls.values():
                for target in targets:
                    tokens = _tokens(target, call, per_second, weather.seconds, folder)
                    one = run_round(number, target, call, weather.seconds, folder, tokens)
                    per_second[call.name] = one.calls_per_second
                    rounds.append(one)
                    say(
                        f"round {number} of {weather.rounds}, {call.name}, {target.name}: "
                        f"{one.cpu_ms:.2f} ms CPU a call, {one.calls_per_second:.0f} calls/s"
                    )
    return tried, tuple(rounds)


def _try_ways(
    calls: Mapping[str, HookCall], weather: Weather, folder: Path, say: Say
) -> Iterator[Tried]:
    """Run the bare applications in every way; the cheapest of each is chosen."""
    for name, application in APPLICATIONS.items():
        costs: dict[str, float] = {}
        for worker, threads in WAYS:
            how = Bare(application=application, worker=worker, threads=threads)
            with bare(name, how, folder) as target:
                target.wait_until_right(calls["small"])
                each = [
                    run_round(0, target, call, weather.seconds_to_try, folder).cpu_ms
                    for call in calls.values()
                ]
            costs[how.says] = statistics.geometric_mean(each)
            say(f"{name} with {how.says}: {costs[how.says]:.2f} ms CPU a call")
        cheapest = min(costs, key=costs.__getitem__)
        for says, cost in costs.items():
            yield Tried(target=name, worker=says, cpu_ms=cost, is_chosen=says == cheapest)


@contextmanager
def _all_targets(
    tried: Sequence[Tried], folder: Path, postgresql: OwnServer | None
) -> Iterator[list[Target]]:
    with ExitStack() as stack:
        targets = []
        chosen = {one.target: one.worker for one in tried if one.is_chosen}
        for name, application in APPLICATIONS.items():
            ways = [Bare(application=application, worker=w, threads=t) for w, t in WAYS]
            how = next(way for way in ways if way.says == chosen[name])
            targets.append(stack.enter_context(bare(name, how, folder)))
        targets.append(stack.enter_context(service(Name.SERVICE, folder)))
        targets.append(stack.enter_context(service(Name.JWT, folder, needs_token=True)))
        if postgresql is not None:
            named = service(Name.POSTGRESQL, folder, postgresql=postgresql)
            targets.append(stack.enter_context(named))
        yield targets


def _tokens(
    target: Target, call: HookCall, per_second: Mapping[str, float], seconds: int, folder: Path
) -> Path | None:
    """Sign more tokens than the target before it has answered calls; None where none is needed."""
    if not target.needs_token:
        return None
    count = math.ceil(per_second[call.name] * seconds * _SPARE_TOKENS)
    file = folder / "tokens"
    write_tokens(file, max(count, _LEAST_TOKENS))
    return file


def run_round(  # one row of the table of all rounds
    number: int,
    target: Target,
    call: HookCall,
    seconds: int,
    folder: Path,
    tokens: Path | None = None,
) -> Round:
    """Load one target with one request; check answers before and after, and what was recorded."""
    while True:
        target.sampler.check(call)
        workers = target.workers()
        settle(*workers)
        for worker in workers:
            forget_peak(worker)
        last = target.record.last() if target.record else 0
        database = cpu_of_each(target.database.pids() if target.database else ())
        spent = cpu_seconds(*workers)
        load = send(target.port, plan(folder, [call]), seconds, tokens=tokens)
        if target.workers() == workers:
            break
        # gunicorn replaces a worker after its 20,000 calls: then the round is run again.
        time.sleep(1)
        if tokens is not None:
            write_tokens(tokens, len(tokens.read_text("ascii").splitlines()))
    settle(*workers)
    cpu = cpu_seconds(*workers) - spent
    after = cpu_of_each(target.database.pids() if target.database else ())
    database_cpu = sum(cpu_now - database.get(pid, 0.0) for pid, cpu_now in after.items())
    judged = _judged(target, call, load, last)
    peak = max(map(peak_mb, workers))
    target.sampler.check(call)
    return Round(
        number=number,
        target=target.name,
        request=call.name,
        calls=load.calls,
        seconds=load.seconds,
        cpu_ms=cpu * 1000 / judged,
        database_cpu_ms=database_cpu * 1000 / judged,
        p50_ms=load.p50_ms,
        p95_ms=load.p95_ms,
        p99_ms=load.p99_ms,
        peak_mb=peak,
    )


def _judged(target: Target, call: HookCall, load: Load, last: int) -> int:
    """Return how many calls the worker has worked on: those under way at the end count, too.

    Raises BenchmarkFailed if the record holds another number of decisions, or another row.
    """
    if target.record is None:
        return load.calls
    rows = target.record.rows_since(last)
    if not call.rows:
        if rows:
            message = f"{target.name}: recorded {dict(rows)} for the call `{call.name}`"
            raise BenchmarkFailed(message)
        return load.calls
    (row,) = call.rows
    judged = rows[row]
    if set(rows) != {row} or not load.calls <= judged <= load.calls + CONNECTIONS:
        message = (
            f"{target.name}: {load.calls} calls `{call.name}` were answered and {dict(rows)} "
            f"recorded, not row {row} of each"
        )
        raise BenchmarkFailed(message)
    return judged
