"""What the rehearsal sees of the service from outside: waited for, and held to what should be."""

import json
import time
import urllib.request
from collections.abc import Callable

from ehr import Answer, Ehr

_CALLS_IN_A_ROW = 30
"""Enough that each of four workers has had some, but for one chance in a thousand."""


class Differs(Exception):
    """Something is not as it should be."""


def call(ehr: Ehr, days: int) -> Answer:
    """Call, and insist on an answer."""
    answer = ehr.call(days)
    expect(200, answer.status, f"status of a call ({answer.body or answer.fault})")
    return answer


def wait_for_answer(
    ehr: Ehr, is_it: Callable[[Answer], bool], *, within: float
) -> tuple[float, Answer]:
    """Call until an answer is the one; return after how many seconds, and the answer."""
    began = time.monotonic()
    while True:
        answer = call(ehr, 10)
        seconds = time.monotonic() - began
        if is_it(answer):
            return seconds, answer
        hold(seconds < within, f"the answer changes within {within} s")


def wait_until_all_say(status: int, ehr: Ehr) -> None:
    """Wait until every worker has read the site file again: many calls in a row, one answer."""
    in_a_row = 0

    def is_so() -> bool:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if ehr.call(10).status == status else 0
        return in_a_row == _CALLS_IN_A_ROW

    wait_until(is_so, 60)


def readiness(port: int) -> dict[str, dict[str, str]]:
    """Return the body of /health/ready of one replica."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def wait_until_ready(port: int) -> None:
    """Wait until a replica is back."""

    def is_ready() -> bool:
        try:
            return bool(readiness(port))
        except OSError:
            return False

    wait_until(is_ready, 30)


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    """Wait, and raise Differs when it does not come."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise Differs(f"not within {seconds:g} s")
        time.sleep(0.1)


def hold(is_so: bool, what: str) -> None:  # noqa: FBT001  # a statement
    """Raise Differs if something does not hold."""
    if not is_so:
        raise Differs(f"does not hold: {what}")


def expect(expected: object, actual: object, what: str) -> None:
    """Raise Differs, in a sentence, if `actual` is not what was expected."""
    if expected != actual:
        raise Differs(f"{what}: expected {expected!r}, got {actual!r}")
