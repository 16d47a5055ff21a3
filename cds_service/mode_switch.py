"""Live, silent or off: CDS_MODE, overridden by CDS_SWITCH_FILE without a restart.

The file is read at most once a second, so turning the service off takes effect within a second.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from cds_service.modes import Mode

logger = logging.getLogger(__name__)

CHECK_EVERY_SECONDS = 1.0
_LONGEST = 64


class ModeSwitch:
    """Says which mode is on now. Safe to share between threads: the worst is one read too many."""

    def __init__(
        self,
        configured: Mode,
        switch_file: Path | None,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the configured mode; `seconds` is a clock that never goes back."""
        self._configured = configured
        self._file = switch_file
        self._seconds = seconds
        self._mode = configured
        self._problem = ""
        self._next_check = float("-inf")

    def current(self) -> Mode:
        """Return the mode that is on now, not older than a second."""
        if self._file is not None and self._seconds() >= self._next_check:
            self._next_check = self._seconds() + CHECK_EVERY_SECONDS
            self._read(self._file)
        return self._mode

    @property
    def problem(self) -> str:
        """Return why the switch file is not followed, empty if it is or there is none."""
        return self._problem

    def _read(self, file: Path) -> None:
        before = self._mode, self._problem
        try:
            with file.open(encoding="utf-8", errors="replace") as text:
                word = text.read(_LONGEST).strip().lower()
        except FileNotFoundError:
            self._mode, self._problem = self._configured, ""
        except OSError:
            self._problem = "the switch file cannot be read; the last mode stays on"
        else:
            self._follow(word)
        if before != (self._mode, self._problem):
            logger.warning("mode", extra={"mode": self._mode.value, "reason": self._problem})

    def _follow(self, word: str) -> None:
        if word in set(Mode):
            self._mode, self._problem = Mode(word), ""
        else:
            # Half-written or misspelt: neither silence a service nor switch it on by guessing.
            self._problem = "the switch file holds none of live, silent, off; the last mode stays"
