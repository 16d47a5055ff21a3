"""A store that has failed is left alone for a moment: calls do not queue up for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_LEFT_ALONE = 0.5
"""After a failure; in between, whoever needs the store is told at once that it is down."""


class StoreDown(Exception):
    """The store does not answer; the text names the kind of fault and no address."""


class StoreLate(StoreDown):
    """Not in time for a caller in a hurry: that says nothing of the store."""


class Rest:
    """Remembers that a store failed, and lets one caller at a time find out whether it is back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._has_failed = False
        self._again_at = 0.0

    @contextmanager
    def watched(self, seconds: float) -> Iterator[None]:
        """Use the store inside, for at most so many seconds. Raises StoreDown while it rests."""
        with self._lock:
            if self._has_failed:
                if self._monotonic() < self._again_at:
                    raise StoreDown("it has just failed")
                # This caller tries; the others are not to wait for the same silence.
                self._again_at = self._monotonic() + seconds + SECONDS_LEFT_ALONE
        try:
            yield
        except StoreLate:
            raise
        except StoreDown:
            with self._lock:
                self._has_failed = True
                self._again_at = self._monotonic() + SECONDS_LEFT_ALONE
            raise
        except Exception:
            self._has_answered()
            raise
        self._has_answered()

    def _has_answered(self) -> None:
        with self._lock:
            self._has_failed = False
