"""Errors on the command line: a line on stderr that says what to do, and exit code 2."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from cds_service.errors import CdsError, KnowledgeError

_BAD_INPUT = 2
_P = ParamSpec("_P")


def reports_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Turn the errors raised on purpose into text on stderr and exit code 2."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KnowledgeError as error:
            click.echo("The knowledge folder cannot be used:", err=True)
            for problem in error.problems:
                click.echo(f"  {problem}", err=True)
            sys.exit(_BAD_INPUT)
        except CdsError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(_BAD_INPUT)

    return run
