"""Whole answers, asked for one by one and held against what must come back.

wrk counts statuses only; reading each answer in it would slow the load down.
"""

import http.client
import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from client_tokens import token

from benchmarks.bare import ENTRIES
from benchmarks.hook_calls import PATH, HookCall
from benchmarks.results import BenchmarkFailed
from cds_service.protocol import DECISIONS_EXTENSION

OK = 200
_SECONDS = 60.0
_TOKEN_SECONDS = 300
"""The longest that a client token may last (`client_auth/`)."""


class Sampler:
    """Sends single calls to one server and checks each answer in full."""

    def __init__(self, port: int, *, is_service: bool, needs_token: bool) -> None:
        """`is_service`: decisions must come back; else the number of entries."""
        self._port = port
        self._is_service = is_service
        self._needs_token = needs_token

    def check(self, call: HookCall, times: int = 1) -> list[float]:
        """Send a call so many times on one connection; return how long each took (seconds).

        Raises BenchmarkFailed if an answer is not 200 with the expected rows, OSError if nobody
        answers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        try:
            return [self._checked(connection, call) for _ in range(times)]
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def _checked(self, connection: http.client.HTTPConnection, call: HookCall) -> float:
        headers = {"Content-Type": "application/json"}
        if self._needs_token:
            (one,) = new_tokens(1)
            headers["Authorization"] = f"Bearer {one}"
        body = call.body(str(uuid.uuid4()))
        began = time.perf_counter()
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - began
        problem = self._problem(call, answer.status, content)
        if problem:
            message = f"a wrong answer to the call `{call.name}` at port {self._port}: {problem}"
            raise BenchmarkFailed(message)
        return seconds

    def _problem(self, call: HookCall, status: int, content: bytes) -> str:
        if status != OK:
            return f"status {status}, {content[:300]!r}"
        answer = json.loads(content)
        if self._is_service:
            return problem_of_service(call, answer)
        entries = answer["extension"][ENTRIES]
        return "" if entries == call.entries else f"{entries} entries for {call.entries}"


def problem_of_service(call: HookCall, answer: dict[str, Any]) -> str:
    """Return what is wrong with an answer of the service; empty where nothing is."""
    decisions = answer.get("extension", {}).get(DECISIONS_EXTENSION, [])
    rows = tuple(decision["row"] for decision in decisions)
    if rows != call.rows:
        return f"rows {rows} for {call.rows}"
    unread = [decision["unreadable"] for decision in decisions if "unreadable" in decision]
    if unread:
        return f"unreadable: {unread}"
    cards = len(answer["cards"])
    return "" if cards == len(call.rows) else f"{cards} cards for {len(call.rows)} orders"


def new_tokens(count: int) -> Iterable[str]:
    """Yield tokens of the registered client, signed with ES384, each good for one call."""
    now = int(time.time())
    for _ in range(count):
        yield token(iat=now, exp=now + _TOKEN_SECONDS)


def write_tokens(file: Path, count: int) -> None:
    """Write new tokens, one a line."""
    file.write_text("".join(f"{each}\n" for each in new_tokens(count)), "ascii")
