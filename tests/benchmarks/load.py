"""wrk with our Lua script: as many calls as one connection after another can take, for a time."""

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hook_calls import PATH, HookCall
from benchmarks.processes import LOAD_CORE, on_cores
from benchmarks.results import BenchmarkFailed

SCRIPT = Path(__file__).parent / "post.lua"
CONNECTIONS = 4
_RESULT = "RESULT "
_SECONDS_TO_ANSWER = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk counted."""

    calls: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Calls as files that the script reads, sent in turn."""

    names: Path


def plan(folder: Path, calls: Sequence[HookCall]) -> LoadPlan:
    """Write the halves of the calls to files of `folder`; a call may stand there several times."""
    lines = []
    for call in calls:
        stem = call.name.replace(" ", "-")
        before, after = folder / f"{stem}.before", folder / f"{stem}.after"
        before.write_bytes(call.before)
        after.write_bytes(call.after)
        lines.append(f"{before} {after}\n")
    names = folder / f"{'-'.join(sorted({call.name.replace(' ', '-') for call in calls}))}.plan"
    names.write_text("".join(lines), "utf-8")
    return LoadPlan(names=names)


def send(
    port: int,
    load_plan: LoadPlan,
    seconds: int,
    *,
    tokens: Path | None = None,
    connections: int = CONNECTIONS,
    core: int | None = LOAD_CORE,
) -> Load:
    """Send the calls of a plan. Raises BenchmarkFailed if one was not answered with success.

    Each has a hookInstance of its own, also among runs. `core` None takes any.
    """
    run = secrets.token_hex(4)
    arguments = [str(load_plan.names), PATH, run, str(tokens or "-")]
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={_SECONDS_TO_ANSWER}s"),
        *("-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", *arguments),
    ]
    if core is None:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    else:
        with on_cores(core):
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return _load(ended.stdout, ended.stderr)


def _load(output: str, errors: str) -> Load:
    lines = [line for line in output.splitlines() if line.startswith(_RESULT)]
    if not lines:
        message = f"wrk gave no result: {(errors or output).strip()[-500:]}"
        raise BenchmarkFailed(message)
    said = json.loads(lines[0].removeprefix(_RESULT))
    if said["without_token"]:
        message = f"tokens ran out: {said['without_token']} calls were sent without one"
        raise BenchmarkFailed(message)
    wrong = {name: said[name] for name in ("bad_status", "broken", "timeouts") if said[name]}
    if wrong or not said["calls"]:
        message = f"of {said['calls']} calls some were not answered with success: {wrong}"
        raise BenchmarkFailed(message)
    return Load(
        calls=said["calls"],
        seconds=said["microseconds"] / 1e6,
        p50_ms=said["p50"] / 1000,
        p95_ms=said["p95"] / 1000,
        p99_ms=said["p99"] / 1000,
    )
