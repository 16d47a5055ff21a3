"""Processes on chosen cores: started, asked what they cost, stopped. Linux only (`/proc`)."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.results import BenchmarkFailed

WORKER_CORE, LOAD_CORE = 0, 1
BOTH_CORES = (WORKER_CORE, LOAD_CORE)
_USABLE = sorted(os.sched_getaffinity(0))
_CPUCLOCK_SCHED = 2
_SECONDS_TO_STOP = 15
_SECONDS_TO_SETTLE = 30.0


def require_machine() -> None:
    """Raise BenchmarkFailed unless there is what every part needs."""
    if len(_USABLE) < len(BOTH_CORES):
        message = "needs 2 cores, one for the worker and one for the load; there is one"
        raise BenchmarkFailed(message)
    if shutil.which("wrk") is None:
        message = "wrk is not installed, which sends the load: apt-get install wrk"
        raise BenchmarkFailed(message)


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Let this thread, and processes that it starts meanwhile, run on these cores only.

    Numbers count the cores that this process may use.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_USABLE[core] for core in cores})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log: Path, *, cores: Sequence[int]
) -> Iterator[int]:
    """Run a command while the block runs; its output goes to `log`. Yields its process id."""
    with log.open("wb") as output, on_cores(*cores):
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        yield process.pid
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> tuple[int, ...]:
    """Return the processes that a process has started and that are still there."""
    text = ""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return tuple(map(int, text.split()))


def cpu_seconds(*pids: int) -> float:
    """Return the processor time of processes so far, all threads, to the nanosecond."""
    # The clock of another process, as clock_getcpuclockid(3) names it.
    return sum(time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED) for pid in pids)


def cpu_of_each(pids: Sequence[int]) -> dict[int, float]:
    """Return the processor time of each process that is there."""
    spent = {}
    for pid in pids:
        with suppress(OSError):
            spent[pid] = cpu_seconds(pid)
    return spent


def settle(*pids: int) -> None:
    """Wait until processes do nothing any more: what was sent last is answered."""
    give_up = time.monotonic() + _SECONDS_TO_SETTLE
    spent = cpu_seconds(*pids)
    while time.monotonic() < give_up:
        time.sleep(0.1)
        before, spent = spent, cpu_seconds(*pids)
        if spent - before < 0.002:  # idle loops of servers take less
            return
    message = f"processes {pids} are still busy {_SECONDS_TO_SETTLE:.0f} s after the load ended"
    raise BenchmarkFailed(message)


def forget_peak(pid: int) -> None:
    """Begin anew to note the highest resident memory of a process."""
    with suppress(OSError):  # needs the right to write there; then the peak is of all rounds so far
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def peak_mb(pid: int) -> float:
    """Return the highest resident memory of a process (MiB)."""
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process (MiB)."""
    return _kib(Path(f"/proc/{pid}/status"), "VmRSS") / 1024


def own_mb(pid: int) -> float:
    """Return the proportional set size of a process (MiB)."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss") / 1024


def _kib(file: Path, name: str) -> int:
    for line in file.read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    message = f"{file} does not say {name}"
    raise BenchmarkFailed(message)
