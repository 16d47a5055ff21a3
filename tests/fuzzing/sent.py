"""One request as it goes out."""

from dataclasses import dataclass
from typing import Any

from fuzzing.corpus import Seed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sent:
    """One request as it goes out."""

    seed: Seed
    body: bytes
    changes: tuple[str, ...]
    """What was done to the seed, in order."""
    method: str = "POST"
    path: str = ""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    only_added: bool = False
    """Nothing that stood in the seed was changed or taken away."""

    def __repr__(self) -> str:
        """Say what was done to which seed."""
        parts = [f"{self.method} {self.path[:200]!r} {self.headers!r:.400}", repr(self.seed)]
        return "\n    ".join((*parts, *self.changes))

    def _repr_pretty_(self, printer: Any, _is_cyclic: bool) -> None:  # noqa: ANN401, FBT001
        """Let hypothesis show the same."""
        printer.text(repr(self))
