"""Traffic for the fault scripts: calls at a given rate from processes of their own.

Run as a script it reads one job from its input, sends, and writes the answers: so neither the
test nor the service shares the time of the sender.
"""

import asyncio
import itertools
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

SECONDS_TO_ANSWER = 20.0
"""Longer than any answer may take; then the call counts as not answered."""

_MOST_AT_ONCE = 400
"""Calls that wait for their answer; beyond, the next one is sent later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one call."""

    seconds: float
    """From opening the connection, or from sending on an open one, to the last byte."""
    status: int
    """0 where no whole answer came."""
    retry_after: str


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers to one stream of calls, in the order in which they came."""

    all: tuple[Answer, ...]

    @property
    def by_status(self) -> Counter[int]:
        """How many there are of each status."""
        return Counter(answer.status for answer in self.all)

    def seconds(self, *statuses: int) -> list[float]:
        """Return how long the answers of these statuses took, sorted; of any without one named."""
        return sorted(a.seconds for a in self.all if not statuses or a.status in statuses)

    def share(self, status: int) -> float:
        """Return which share of all answers has this status."""
        return self.by_status[status] / max(len(self.all), 1)


def http_call(path: str, body: bytes, *headers: str) -> bytes:
    """Return a whole POST; each header is `Name: value`."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: cds.example",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def http_get(path: str) -> bytes:
    """Return a whole GET."""
    return f"GET {path} HTTP/1.1\r\nHost: cds.example\r\n\r\n".encode()


def quantile(ranked: Sequence[float], share: float) -> float:
    """Return the value below which this share of sorted values lies; NaN without any."""
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else math.nan


def send(
    port: int, requests: Sequence[bytes], *, per_second: float, seconds: float
) -> Callable[[], Answers]:
    """Begin to send the requests in turn, at this rate whatever the answers are.

    Connections to the port of loopback are kept open where the answer allows it. The function
    that is returned waits for the last answer.
    """
    sender = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    texts = [request.decode("latin-1") for request in requests]
    job = json.dumps([port, texts, per_second, seconds]).encode()
    assert sender.stdin is not None
    sender.stdin.write(job)
    sender.stdin.close()
    sender.stdin = None

    def answers() -> Answers:
        written, _ = sender.communicate()
        return Answers(tuple(Answer(*fields) for fields in json.loads(written)))

    return answers


class _Stream:
    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = itertools.cycle(requests)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._answers: list[Answer] = []

    async def run(self, per_second: float, seconds: float) -> Answers:
        began = time.perf_counter()
        under_way: set[asyncio.Task[None]] = set()
        for n in range(int(per_second * seconds)):
            if (wait := began + n / per_second - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            while len(under_way) >= _MOST_AT_ONCE:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._call())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
        for _, writer in self._idle:
            writer.close()
        return Answers(tuple(self._answers))

    async def _call(self) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                status, retry_after = await self._exchange()
        except (OSError, EOFError):  # a time-out is an OSError
            status, retry_after = 0, ""
        seconds = time.perf_counter() - began
        self._answers.append(Answer(seconds, status, retry_after))

    async def _exchange(self) -> tuple[int, str]:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        is_open = False
        try:
            writer.write(next(self._requests))
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            parts = (line.partition(": ") for line in lines)
            fields = {name.lower(): value for name, _, value in parts}
            await reader.readexactly(int(fields["content-length"]))
            is_open = fields.get("connection") != "close"
        finally:
            if is_open:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return int(first.split()[1]), fields.get("retry-after", "")


if __name__ == "__main__":
    to_port, to_send, rate, duration = json.load(sys.stdin)
    stream = _Stream(to_port, [text.encode("latin-1") for text in to_send])
    came = asyncio.run(stream.run(rate, duration))
    json.dump([astuple(answer) for answer in came.all], sys.stdout)
