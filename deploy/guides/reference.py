"""Writes `reference.md`: settings, commands, facts. Run `python deploy/guides/reference.py`.

A test holds that the page is what this writes.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from cds_service.cli import main
from cds_service.knowledge import Knowledge
from cds_service.knowledge_loading.folders import bundled
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_review.words import table
from cds_service.names_in_folders import BUNDLED_TOPIC
from cds_service.settings import DESCRIPTIONS

PAGE = Path(__file__).parent / "reference.md"


def page() -> str:
    """Return the page."""
    knowledge = load_knowledge(bundled() / BUNDLED_TOPIC)
    parts = (_head(), _settings(), _commands(), _facts(knowledge))
    return "\n".join(line for part in parts for line in part)


def _head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Made by `python deploy/guides/reference.py`; change the software, not this page."
    yield ""


def _settings() -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield "From the environment. An unknown name that starts with `CDS_` stops start-up."
    yield ""
    yield from table(
        ("name", "default", "meaning"), ((f"`{d.name}`", d.default, d.says) for d in DESCRIPTIONS)
    )
    yield ""


def _children(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield name and command of each command of a group; some are imported now."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if (command := group.get_command(context, name)) is not None:
            yield name, command


def _commands() -> Iterator[str]:
    yield "## Commands"
    yield ""
    yield 'Exit codes: 0 ok, 1 the answer is "no", 2 usage or bad input. `--help` has examples.'
    for name, command in _leaves(main, "cds-service"):
        yield ""
        yield f"### `{name}`"
        yield ""
        yield (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
        options = [option for option in command.params if isinstance(option, click.Option)]
        told = [option for option in options if option.help]
        if told:
            yield ""
            yield from table(
                ("option", "meaning"),
                ((f"`{', '.join(option.opts)}`", option.help or "") for option in told),
            )
    yield ""


def _leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for child, inner in _children(command):
            yield from _leaves(inner, f"{name} {child}")
    else:
        yield name, command


def _facts(knowledge: Knowledge) -> Iterator[str]:
    yield f"## Facts of `{knowledge.id}`"
    yield ""
    yield "How each is read from a record: the page at `/knowledge/lumbar-mri`."
    yield ""
    yield from table(
        ("fact", "number", "says", "kind"),
        (
            (
                f"`{fact.id}`",
                fact.number,
                fact.says,
                "red flag" if fact.is_red_flag else "part of others" if fact.is_internal else "",
            )
            for fact in knowledge.facts
        ),
    )
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
