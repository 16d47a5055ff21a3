"""The service in this process, asked again and again; counts, and a look at every log line."""

import io
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bundled import knowledge
from client_tokens import PUBLIC_URL, client_entry, ec_key, key_set, site_text
from http_service import NOW
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ, run_wsgi_app

from cds_service.app import create_app
from cds_service.observability import OUR_LOGGERS, JsonLines
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import load_site_file, parse_site_file
from fuzzing.odd_values import CANARY
from fuzzing.sent import Sent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status_code: int
    headers: Headers
    data: bytes

    @property
    def mimetype(self) -> str:
        """The media type without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0]


class Tally:
    """How many inputs were answered how, and how fast."""

    def __init__(
        self, say: Callable[[str], None] = lambda _: None, *, every_seconds: float = 10
    ) -> None:
        """`say` gets a line every so many seconds."""
        self.by_status: Counter[int] = Counter()
        self.by_engine: Counter[str] = Counter()
        self.engine = ""
        self._say = say
        self._every = every_seconds
        self._started = self._said = time.monotonic()

    @property
    def inputs(self) -> int:
        """All inputs that were answered."""
        return self.by_status.total()

    @property
    def server_errors(self) -> int:
        """Answers of 5xx."""
        return sum(n for status, n in self.by_status.items() if status >= 500)

    def count(self, status: int) -> None:
        """Count one answer."""
        self.by_status[status] += 1
        self.by_engine[self.engine] += 1
        now = time.monotonic()
        if now - self._said >= self._every:
            self._said = now
            self._say(self.line())

    def line(self) -> str:
        """Say how far it is."""
        seconds = time.monotonic() - self._started
        statuses = " ".join(f"{s}:{n}" for s, n in sorted(self.by_status.items()))
        return f"{self.inputs} inputs, {self.inputs / seconds:.0f}/s, {self.engine}: {statuses}"

    def counting(self, app: "WSGIApplication") -> "WSGIApplication":
        """Return the application with every answer counted."""

        def counted(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
            def noted(status: str, *rest: object) -> Callable[[bytes], object]:
                self.count(int(status.split(" ", 1)[0]))
                return start(status, *rest)  # type: ignore[arg-type]  # passed on as it came

            return app(environ, noted)

        return counted


class LogCheck(logging.Handler):
    """Fails if a log line is more than one line, no JSON object, or repeats what was sent."""

    def __init__(self) -> None:
        """Format as the service does."""
        super().__init__(logging.INFO)
        self.setFormatter(JsonLines())
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        """Look at every line of the service from now on."""
        logger = logging.getLogger(OUR_LOGGERS)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        logger = logging.getLogger(OUR_LOGGERS)
        logger.removeHandler(self)
        logger.setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line."""
        line = self.format(record)
        if len(line.splitlines()) != 1 or not isinstance(json.loads(line), dict):
            self.problems.append(f"not one JSON object on one line: {line[:200]!r}")
        if CANARY.lower() in line.lower():
            self.problems.append(f"the log repeats what was sent: {line[:200]!r}")


@cache
def app_of(site_file: Path | None) -> "WSGIApplication":
    """Return the application of a site, open to all; its clock stands at the day of the seeds."""
    return create_app(
        Settings(client_auth=ClientAuth.OFF),
        knowledge=knowledge(),
        clock=lambda: NOW,
        site=load_site_file(site_file),
        review="# Review",
    )


@cache
def closed_app(store: Path) -> "WSGIApplication":
    """Return an application that asks for client tokens, and keeps those it has seen in a file."""
    text = site_text(client_entry(jwks=key_set(ec_key())))
    return create_app(
        Settings(
            client_auth=ClientAuth.REQUIRED,
            public_url=PUBLIC_URL,
            database_url=f"sqlite:///{store}",
        ),
        knowledge=knowledge(),
        clock=lambda: NOW,
        site=parse_site_file(text, name="site.yaml"),
        review="# Review",
    )


def send(sent: Sent, tally: Tally) -> Answer:
    """Send one request to the application of its seed's site."""
    app = tally.counting(app_of(sent.seed.site_file))
    path = sent.path or f"/cds-services/{sent.seed.service}"
    return call(app, sent.method, path, sent.headers, sent.body)


def call(
    app: "WSGIApplication",
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
) -> Answer:
    """Hand a request on as gunicorn does: nothing of werkzeug's client reads it before."""
    environ = create_environ(method=method, base_url="http://cds.example/")
    environ |= {
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        plain = key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        environ[key if plain else f"HTTP_{key}"] = value
    parts, status, answered = run_wsgi_app(app, environ)
    return Answer(int(status.split(" ", 1)[0]), answered, b"".join(parts))
