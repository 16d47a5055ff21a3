"""Workers killed with SIGKILL under load: nothing that was acknowledged is lost.

Run it: .venv/bin/python tests/faults/kill_workers.py --seconds 20
"""

import os
import signal
import tempfile
import time
from pathlib import Path

from evidence import Books, arguments, load, recovered, seen, shortfall, verdict
from served import Served, served

DAY = "2026-03-16"


def workers_of(server: Served) -> list[int]:
    """Return the process ids of the workers."""
    first = server.process.pid
    listed = Path(f"/proc/{first}/task/{first}/children").read_text("ascii")
    return [int(pid) for pid in listed.split()]


def run(seconds: float, url: str, settings: dict[str, str]) -> None:
    """Kill a worker every second, in turn."""
    books, killed = Books(), 0
    with served({"CDS_CLIENT_AUTH": "off", **settings}, day=DAY) as server:
        first = server.process.pid
        with load(server, books):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(1.0)
                workers = workers_of(server)
                os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
        back = recovered(server)
        missing = shortfall(server, books, url)
        verdict(
            f"{killed} workers killed under load ({url.partition(':')[0]})",
            {**seen(books, server), "missing": missing, "well again after (s)": back or "never"},
            {
                "no acknowledged feedback lost": missing.feedback == 0,
                "no card without its record": missing.cards == 0 == missing.owned_up,
                "calls were answered": books.count("card 200") > 0 and killed > 0,
                "no answer but 200, or none": books.count("card 200", "card broken")
                == books.count("card"),
                "recovers without a restart": back is not None
                and first == server.process.pid
                and server.process.poll() is None,
            },
        )


if __name__ == "__main__":
    chosen = arguments(str(__doc__), seconds=10)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state:
        store = f"sqlite:///{state}/store.sqlite3"
        run(chosen.seconds, store, {"CDS_DATABASE_URL": store})
