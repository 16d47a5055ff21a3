"""What all fault scripts share: a service under load, and the books that are kept of its answers.

Every answer is noted as the client sees it, and at the end held against the database: a card that
was received has its row unless the service has owned up to it, and acknowledged feedback is there.
"""

import argparse
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from http_service import ORDER_SELECT, hook_request
from served import Served

from cds_service.store.tables import CARD, FEEDBACK

AT = "2026-03-16T15:05:00Z"
READY = "cards leave without their record"
SECONDS_TO_RECOVER = 15

Headers = Callable[[], Mapping[str, str]]


@dataclass(slots=True)
class Books:
    """What the clients of a service have seen."""

    answers: Counter[str] = field(default_factory=Counter)
    """`card 200`, `feedback 503`, `card broken off` …"""
    cards: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    """Cards about which feedback was answered 200."""
    slowest: float = 0.0
    """Seconds of the slowest answer to a hook call."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str) -> None:
        """Count one answer."""
        with self.lock:
            self.answers[what] += 1

    def count(self, *parts: str) -> int:
        """Return how many answers begin so."""
        return sum(n for what, n in self.answers.items() if what.startswith(parts))


@contextmanager
def load(
    server: Served, books: Books, *, headers: Headers = dict, threads: int = 4
) -> Iterator[None]:
    """Fire hooks and send feedback on every card, from several threads, while inside."""
    stop = threading.Event()
    _request()  # reads the knowledge, once, before the clock counts
    readiness(server)  # waits for the first worker

    def work() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                _one_order(server, books, session, headers)

    crew = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for each in crew:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in crew:
            each.join(timeout=30)


def _one_order(server: Served, books: Books, session: requests.Session, headers: Headers) -> None:
    started = time.monotonic()
    answer = _post(books, session, server.url + ORDER_SELECT, _request(), headers, "card")
    with books.lock:
        books.slowest = max(books.slowest, time.monotonic() - started)
    if answer is None or answer.status_code != 200:
        time.sleep(0.02)
        return
    for card in answer.json()["cards"]:
        with books.lock:
            books.cards.add(card["uuid"])
        report = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": AT}
        address = f"{server.url}{ORDER_SELECT}/feedback"
        sent = _post(books, session, address, {"feedback": [report]}, headers, "feedback")
        if sent is not None and sent.status_code == 200:
            with books.lock:
                books.acknowledged.add(card["uuid"])


def _request() -> dict[str, object]:
    return {**hook_request(), "hookInstance": str(uuid.uuid4())}


def _post(
    books: Books,
    session: requests.Session,
    url: str,
    body: object,
    headers: Headers,
    what: str,
) -> requests.Response | None:
    try:
        answer = session.post(url, json=body, headers=dict(headers()), timeout=20)
    except requests.RequestException:
        books.note(f"{what} broken off")
        return None
    books.note(f"{what} {answer.status_code}")
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """What the database lacks of what clients have seen."""

    cards: int
    feedback: int
    owned_up: int
    """Orders that the service itself counted as answered without their record."""

    @property
    def is_honest(self) -> bool:
        """Nothing acknowledged is lost, and every missing card was owned up to."""
        return self.feedback == 0 and self.cards <= self.owned_up


def shortfall(server: Served, books: Books, database_url: str) -> Shortfall:
    """Hold the books against the database."""
    engine = sa.create_engine(
        database_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        cards = set(connection.scalars(sa.select(CARD.c.card)))
        reports = set(connection.scalars(sa.select(FEEDBACK.c.card)))
    return Shortfall(
        cards=len(books.cards - cards),
        feedback=len(books.acknowledged - reports),
        owned_up=int(metric(server, "cds_decisions_unrecorded_total")),
    )


def metric(server: Served, name: str) -> float:
    """Return the sum of a metric over its labels and all workers."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
    )


def readiness(server: Served) -> str:
    """Return what readiness says, as text."""
    return requests.get(f"{server.url}/health/ready", timeout=10).text


def recovered(server: Served, *, headers: Headers = dict) -> float | None:
    """Return the seconds until calls are answered and recorded again; None if they never are."""
    started = time.monotonic()
    while time.monotonic() - started < SECONDS_TO_RECOVER:
        before = metric(server, "cds_decisions_unrecorded_total")
        probe = Books()
        with requests.Session() as session:
            for _ in range(4):  # both workers are to be well again
                _one_order(server, probe, session, headers)
        is_well = probe.answers == {"card 200": 4, "feedback 200": 4}
        unrecorded = metric(server, "cds_decisions_unrecorded_total") - before
        if is_well and not unrecorded and READY not in readiness(server):
            return time.monotonic() - started
        time.sleep(0.1)
    return None


def arguments(about: str, *, seconds: float) -> argparse.Namespace:
    """Read the command line of a script."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"of load ({seconds:g} without it)"
    )
    return parser.parse_args()


def verdict(title: str, facts: Mapping[str, object], checks: Mapping[str, bool]) -> None:
    """Print what was seen and whether it is as it must be; end with exit code 1 if it is not."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in facts.items():
        table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
    for name, is_met in checks.items():
        table.add_row(name, "yes" if is_met else "NO")
    Console(width=110).print(table)
    if not all(checks.values()):
        sys.exit(1)


def seen(books: Books, server: Served) -> dict[str, object]:
    """Return the books in short, for the table."""
    durations = [
        float(str(line["duration_ms"]))
        for line in server.messages()
        if line["message"] == "hook call"
    ]
    return {
        "answers": ", ".join(f"{n} × {what}" for what, n in sorted(books.answers.items())),
        "cards received": len(books.cards),
        "feedback acknowledged": len(books.acknowledged),
        "slowest hook answer (s)": books.slowest,
        "slowest by the service's clock (ms)": max(durations, default=0.0),
    }
