"""Part 5b: the memory of one worker over many mixed calls."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.hook_calls import HookCall
from benchmarks.load import plan, send
from benchmarks.processes import own_mb, resident_mb, settle
from benchmarks.results import MemorySample
from benchmarks.targets import service

MIX: Mapping[str, int] = {"small": 60, "not ours": 25, "medium": 14, "large": 1}
"""Of a hundred calls."""
_UNRECYCLED = ("-m", "benchmarks.unrecycled")


def measure_memory(
    calls: Mapping[str, HookCall],
    folder: Path,
    say: Callable[[str], None],
    *,
    total: int,
    seconds: int,
) -> tuple[MemorySample, ...]:
    """Return the memory of one worker during so many mixed calls.

    The worker is not replaced after 20,000 calls, as it is in production: growth would hide there.
    """
    with service("memory", folder, command=_UNRECYCLED) as target:
        target.wait_until_right(calls["small"])
        (worker,) = target.workers()
        samples = [_sample(worker, 0)]
        load_plan = plan(folder, mixed(calls))
        answered = 0
        while answered < total:
            answered += send(target.port, load_plan, seconds).calls
            for call in calls.values():
                target.sampler.check(call)
            settle(worker)
            samples.append(_sample(worker, answered))
            say(
                f"memory, {answered:,} of {total:,} calls: "
                f"{samples[-1].resident_mb:.0f} MB resident"
            )
    return tuple(samples)


def mixed(calls: Mapping[str, HookCall]) -> Sequence[HookCall]:
    """Return a hundred calls, each kind spread evenly over them."""
    places = sorted(
        ((number + 0.5) / count, name) for name, count in MIX.items() for number in range(count)
    )
    return [calls[name] for _, name in places]


def _sample(worker: int, calls: int) -> MemorySample:
    return MemorySample(calls=calls, resident_mb=resident_mb(worker), own_mb=own_mb(worker))
