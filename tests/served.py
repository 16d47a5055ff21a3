"""The service as a process of its own with real workers, on a free port of loopback."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

START = """
import os
import sys
from datetime import datetime

from cds_service.app import utc_now
from cds_service.serving import ServingOptions, serve
from cds_service.settings import Settings
from cds_service.topics import Topic, load_topics

moment = sys.argv[1]
settings = Settings.from_environ(os.environ)
serve(
    settings,
    load=lambda: [
        Topic(knowledge=each)
        for each in load_topics(settings.hooks_path, require_approval=settings.require_approval)
    ],
    options=ServingOptions(bind="127.0.0.1:0", workers=2, threads=4),
    clock=(lambda: datetime.fromisoformat(moment)) if moment else utc_now,
)
"""
SECONDS_TO_START = 30


class Served:
    """One running server and the log lines it has written so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Begin to read the log of a process."""
        self.process = process
        self.lines: list[str] = []
        self.port = 0
        self._has_ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self.port}"

    def messages(self) -> list[dict[str, object]]:
        """Return all log lines as objects; fails if one is no JSON."""
        return [json.loads(line) for line in list(self.lines)]

    def wait_for(self, message: str, *, count: int = 1) -> dict[str, object]:
        """Return the line with this message once it has been written so many times."""
        with self._news:
            found = self._news.wait_for(
                lambda: len(self._with(message)) >= count or self._has_ended,
                SECONDS_TO_START,
            )
        lines = self._with(message)
        assert found, f"no {message!r} in: {self.lines}"
        assert len(lines) >= count, f"ended without {message!r}: {self.lines}"
        return lines[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask the server to stop, wait for it, and return its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.process.wait(timeout=15)
        self._reader.join(timeout=5)
        return code

    def _with(self, message: str) -> list[dict[str, object]]:
        found = []
        for line in list(self.lines):
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if fields["message"] == message:
                found.append(fields)
        return found

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


@contextmanager
def served(settings: Mapping[str, str], *, day: str = "") -> Iterator[Served]:
    """Start the server with these settings; stop it at the end, whatever happened.

    Its clock stands at noon of `day` (ISO date, UTC), or goes where there is none. Unless the
    settings name a place, its state is a folder that goes with it.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state:
        # Tests send as fast as they can; those that are about limits set one.
        yield from _served({"XDG_STATE_HOME": state, "CDS_RATE_LIMIT": "off", **settings}, day)


def _served(settings: Mapping[str, str], day: str) -> Iterator[Served]:
    environ = {n: v for n, v in os.environ.items() if not n.startswith("CDS_")}
    process = subprocess.Popen(
        [sys.executable, "-c", START, f"{day}T12:00:00+00:00" if day else ""],
        env={**environ, **settings},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    server = Served(process)
    try:
        server.port = urlsplit(str(server.wait_for("serving")["address"])).port or 0
        yield server
    finally:
        server.stop()
        assert process.stderr is not None
        process.stderr.close()
