"""The circuit breaker of one FHIR server: a dead server is left alone, so that it costs nothing.

It counts calls, not requests: one call asks for up to ten sources at once, and a server that
answers one of them lives, however many of the others it fails.
"""

import threading
from collections.abc import Callable
from enum import StrEnum

FAILED_CALLS_TO_OPEN = 3
"""In a row, with no answered call between."""
SECONDS_OPEN = 10.0
"""Then one call tries the server again, and every so often another as long as it stays dead."""
LONGEST_WAIT_SECONDS = 30.0
"""However long a server asks to be left alone."""


class Sign(StrEnum):
    """What one call learned of the server."""

    ALIVE = "alive"
    """It gave FHIR data."""
    DOWN = "down"
    UNCLEAR = "unclear"
    """Neither: it refused the token or the question, or was given too little time."""


class Admission(StrEnum):
    """Whether a call may ask the server; the refusals are reasons why a source is unreadable."""

    USUAL = "usual"
    PROBE = "probe"
    """The one call that tries whether the server is back."""
    DOWN = "server down"
    BUSY = "server busy"
    """It asked to be left alone for a while (Retry-After)."""

    @property
    def may_ask(self) -> bool:
        """The call may go on."""
        return self in {Admission.USUAL, Admission.PROBE}


class Circuit:
    """Closed while all is well; used by all threads of a process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failed_calls = 0
        self._probe_at: float | None = None
        """When the server may be tried again; None while the circuit is closed."""
        self._busy_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """The server did not answer when it was last asked."""
        with self._lock:
            return self._probe_at is not None

    def enter(self) -> Admission:
        """Begin a call. One that is let in is to be followed by `leave`."""
        with self._lock:
            now = self._monotonic()
            if now < self._busy_until:
                return Admission.BUSY
            if self._probe_at is None:
                return Admission.USUAL
            if now < self._probe_at:
                return Admission.DOWN
            # Moved before the outcome is known: nobody joins this probe, and should it never
            # come back the next one need not wait for it.
            self._probe_at = now + SECONDS_OPEN
            return Admission.PROBE

    def leave(self, admission: Admission, sign: Sign, *, wait_seconds: float = 0.0) -> bool:
        """End a call that was let in; tell whether the circuit has just opened.

        `wait_seconds` is how long the server asked to be left alone.
        """
        with self._lock:
            now = self._monotonic()
            if wait_seconds > 0:
                wait = min(wait_seconds, LONGEST_WAIT_SECONDS)
                self._busy_until = max(self._busy_until, now + wait)
            is_probe = admission is Admission.PROBE
            match sign:
                case Sign.ALIVE:
                    self._failed_calls = 0
                    self._probe_at = None
                case Sign.DOWN if self._probe_at is None:
                    self._failed_calls += 1
                    if self._failed_calls >= FAILED_CALLS_TO_OPEN:
                        self._probe_at = now + SECONDS_OPEN
                        return True
                case Sign.DOWN if is_probe:
                    self._probe_at = now + SECONDS_OPEN
                case Sign.UNCLEAR if is_probe and self._probe_at is not None:
                    # A bad token proves nothing: the next call is the probe.
                    self._probe_at = now
                case _:
                    # Left over from before the circuit opened.
                    pass
            return False
