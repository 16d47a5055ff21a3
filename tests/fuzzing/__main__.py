"""The long run: `python -m fuzzing --inputs 100000` (see `make fuzz`)."""

import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import partial
from itertools import cycle
from pathlib import Path

import click

from fuzzing.engines import STRATEGIES, profile, run
from fuzzing.from_document import run_document
from fuzzing.harness import LogCheck, Tally
from fuzzing.tokens import run_tokens

_ROUND = 500
_MOST_FAILURES = 20
_SHARES: Mapping[str, int] = {
    "structure": 5,
    "bytes": 3,
    "headers": 2,
    "additions": 3,
    "document": 1,
    "tokens": 1,
}
"""Rounds of each engine in turn."""
_OPERATIONS = 8
"""Of the document, with valid and invalid data: they share a round."""


@click.command()
@click.option("--inputs", default=100_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="The same seed sends the same inputs.")
@click.option("--engine", type=click.Choice(sorted(_SHARES)), help="This one only.")
def main(*, inputs: int, seed: int, engine: str | None) -> None:
    """Send so many inputs, say how far it is, and count the answers by status.

    Exit code 1 if an answer was a server error or broke a promise.
    """
    tally = Tally(click.echo)
    failures = 0
    with tempfile.TemporaryDirectory() as folder, LogCheck() as log:
        runs = {name: partial(run, name, profile(_ROUND)) for name in STRATEGIES} | {
            "document": partial(
                run_document, profile(_ROUND // _OPERATIONS), store=Path(folder, "document.sqlite3")
            ),
            "tokens": partial(run_tokens, profile(_ROUND), store=Path(folder, "tokens.sqlite3")),
        }
        rounds = [engine] if engine else [e for e, share in _SHARES.items() for _ in range(share)]
        for number, name in enumerate(cycle(rounds)):
            if tally.inputs >= inputs or failures >= _MOST_FAILURES:
                break
            start = seed * 1_000_003 + number
            try:
                runs[name](tally, log, start=start)
            except Exception:  # noqa: BLE001  # whatever broke is reported, and the run goes on
                failures += 1
                click.echo(f"--- {name}, start {start}:\n{traceback.format_exc(limit=-3)}")
    click.echo(tally.line())
    click.echo(f"by engine: {dict(tally.by_engine)}")
    click.echo(f"{tally.server_errors} server errors, {failures} broken promises")
    sys.exit(1 if failures or tally.server_errors else 0)


if __name__ == "__main__":
    main()
