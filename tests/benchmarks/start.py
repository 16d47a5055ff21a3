"""Part 5a: from the start of the process to the first right answer to a hook call."""

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.databases import sqlite_url
from benchmarks.hook_calls import HookCall
from benchmarks.results import Start
from benchmarks.targets import service

_PAUSE_TO_ASK = 0.005


def measure_starts(
    call: HookCall, folder: Path, say: Callable[[str], None], *, times: int
) -> tuple[Start, ...]:
    """Return how long it takes until the first hook call is answered, each time a new process."""
    measured = []
    for number in range(times):
        there = folder / f"start-{number}"
        there.mkdir()
        # The same file twice: the first start makes it.
        settings = {"CDS_DATABASE_URL": sqlite_url(there)}
        for database in ("new", "there"):
            began = time.monotonic()
            with service("start", folder, settings=settings) as target:
                target.wait_until_right(call, pause=_PAUSE_TO_ASK)
                measured.append(Start(database=database, seconds=time.monotonic() - began))
            say(f"start, database {database}: {measured[-1].seconds:.2f} s to the first answer")
    return tuple(measured)
