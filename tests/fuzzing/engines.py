"""The engines: hypothesis on real requests, and on client tokens; each example is one input."""

from collections.abc import Callable, Mapping

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzzing.additions import only_added_to
from fuzzing.harness import LogCheck, Tally, send
from fuzzing.oracle import check
from fuzzing.sent import Sent
from fuzzing.structure import changed_in_structure
from fuzzing.wire import changed_in_bytes, changed_in_headers

STRATEGIES: Mapping[str, Callable[[], st.SearchStrategy[Sent]]] = {
    "structure": changed_in_structure,
    "bytes": changed_in_bytes,
    "headers": changed_in_headers,
    "additions": only_added_to,
}


def profile(examples: int, *, is_short: bool = False) -> settings:
    """Return the settings of a run; a short one makes the same examples every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=is_short,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def run(engine: str, chosen: settings, tally: Tally, log: LogCheck, *, start: int = 0) -> None:
    """Send the examples of one strategy; raises what the first broken promise raised."""
    tally.engine = engine

    @seed(start)
    @chosen
    @given(STRATEGIES[engine]())
    def each(sent: Sent) -> None:
        answer = send(sent, tally)
        check(sent, answer)
        assert not log.problems, log.problems.pop()

    each()
