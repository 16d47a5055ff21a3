"""The commands of the operators' pages: blocks marked with `<!-- run: name -->`.

A number in parentheses, `<!-- run: name (1) -->`, is the exit code of the last command.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^<!-- (?P<mark>[^\n]*) -->\n```sh\n(?P<code>.*?)^```$|^```sh\n(?P<bare>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_RUN = re.compile(r"run: (?P<name>[a-z0-9-]+)(?: \((?P<status>\d)\))?")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of commands."""

    page: str
    code: str
    name: str = ""
    """Empty: the rehearsal does not run it."""
    reason: str = ""
    """Why it does not."""
    status: int = 0


def blocks(folder: Path) -> list[Block]:
    """Return all blocks of shell commands of the pages in a folder."""
    found = []
    for page in sorted(folder.glob("*.md")):
        for match in _BLOCK.finditer(page.read_text("utf-8")):
            if match["bare"] is not None:
                found.append(Block(page.name, match["bare"]))
            elif run := _RUN.fullmatch(match["mark"]):
                status = int(run["status"] or 0)
                found.append(Block(page.name, match["code"], run["name"], status=status))
            else:
                found.append(Block(page.name, match["code"], reason=match["mark"]))
    return found
