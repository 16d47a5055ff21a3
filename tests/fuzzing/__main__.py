"""The long run: `python -m fuzzing --inputs 100000` (see `make fuzz`)."""

import logging
import sys
import traceback

import click

from fuzzing.engines import STRATEGIES, profile, run
from fuzzing.harness import LogCheck, Tally

_ROUND = 500
_MOST_FAILURES = 20
_SHARES = {"structure": 5, "bytes": 2, "headers": 2, "additions": 2}


@click.command()
@click.option("--inputs", default=100_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="The same seed sends the same inputs.")
@click.option("--engine", type=click.Choice(sorted(STRATEGIES)), help="This one only.")
def main(*, inputs: int, seed: int, engine: str | None) -> None:
    """Send so many inputs, say how far it is, and count the answers by status.

    Exit code 1 if an answer was a server error or broke a promise.
    """
    log = LogCheck()
    ours = logging.getLogger("cds_service")
    ours.handlers, ours.propagate = [log], False
    ours.setLevel(logging.INFO)
    tally = Tally(lambda line: click.echo(line))
    failures = 0
    turns = [engine] if engine else [e for e, share in _SHARES.items() for _ in range(share)]
    turn = 0
    while tally.inputs < inputs and failures < _MOST_FAILURES:
        name, start = turns[turn % len(turns)], seed * 1_000_003 + turn
        turn += 1
        try:
            run(name, profile(_ROUND, is_short=False), tally, log, start=start)
        except Exception:  # noqa: BLE001  # whatever broke is reported, and the run goes on
            failures += 1
            click.echo(f"--- {name}, start {start}:\n{traceback.format_exc(limit=-3)}")
    click.echo(tally.line())
    click.echo(f"by engine: {dict(tally.by_engine)}")
    click.echo(f"{tally.server_errors} server errors, {failures} broken promises")
    sys.exit(1 if failures or tally.server_errors else 0)


if __name__ == "__main__":
    main()
