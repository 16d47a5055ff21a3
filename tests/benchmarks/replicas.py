"""Part 4: calls per second with one and two workers on both cores, the record kept."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from own_servers import OwnServer

from benchmarks.hook_calls import HookCall
from benchmarks.load import plan, send
from benchmarks.processes import BOTH_CORES, settle
from benchmarks.results import Replicas
from benchmarks.targets import service

_CONNECTIONS = 16
"""More than workers: each of them takes whatever it gets hold of first."""


def measure_replicas(  # what to load, how long, where, and who hears of it
    call: HookCall,
    folder: Path,
    say: Callable[[str], None],
    *,
    rounds: int,
    seconds: int,
    postgresql: OwnServer | None,
) -> tuple[Replicas, ...]:
    """Return calls per second with one and two workers on both cores, the load beside them."""
    measured: list[Replicas] = []
    databases = {"SQLite": None} | ({"PostgreSQL": postgresql} if postgresql else {})
    with ExitStack() as stack:
        running = []
        for database, server in databases.items():
            for workers in (1, 2):
                made = service(
                    f"{workers} workers, {database}",
                    folder,
                    postgresql=server,
                    workers=workers,
                    cores=BOTH_CORES,
                )
                running.append((database, workers, stack.enter_context(made)))
        for _, _, target in running:
            target.wait_until_right(call)
            target.sampler.check(call, 10)
        load_plan = plan(folder, [call])
        for number in range(1, rounds + 1):
            for database, workers, target in running:
                load = send(
                    target.port,
                    load_plan,
                    seconds,
                    connections=_CONNECTIONS,
                    core=None,
                )
                target.sampler.check(call)
                settle(*target.workers())
                measured.append(
                    Replicas(
                        number=number,
                        database=database,
                        workers=workers,
                        calls_per_second=load.calls / load.seconds,
                        p95_ms=load.p95_ms,
                    )
                )
                say(f"{target.name}: {measured[-1].calls_per_second:.0f} calls/s")
    return tuple(measured)
