"""Redis, which keeps the seen tokens, killed and started under load: 503 meanwhile, no replay.

Starts a Redis of its own. Run it: .venv/bin/python tests/faults/redis_stops.py
"""

import tempfile
import time
from pathlib import Path

import requests
from evidence import Books, arguments, load, readiness, recovered, seen, shortfall, verdict

from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token  # isort: skip
from http_service import ORDER_SELECT, hook_request
from own_servers import own_redis
from served import Served, served


def fresh() -> dict[str, str]:
    """Return the header of a token that has not been used."""
    now = int(time.time())
    return bearer(token(iat=now, exp=now + 300))


def times_let_in(server: Served, headers: dict[str, str]) -> int:
    """Return how often one token gets in, of four tries."""
    answers = [
        requests.post(server.url + ORDER_SELECT, json=hook_request(), headers=headers, timeout=20)
        for _ in range(4)
    ]
    return sum(answer.status_code == 200 for answer in answers)


def run(seconds: float, folder: Path) -> None:
    """Kill it for a third of the time."""
    books = Books()
    site_file = folder / "site.yaml"
    site_file.write_text(site_text(client_entry()), "utf-8")
    store = f"sqlite:///{folder}/store.sqlite3"
    with own_redis() as redis_server:
        settings = {
            "CDS_PUBLIC_URL": PUBLIC_URL,
            "CDS_SITE_FILE": str(site_file),
            "CDS_DATABASE_URL": store,
            "CDS_REDIS_URL": redis_server.url,
        }
        with served(settings) as server:
            with load(server, books, headers=fresh):
                time.sleep(seconds / 3)
                redis_server.kill()
                kept = fresh()
                time.sleep(seconds / 3)
                said = readiness(server)
                let_in_while_down = times_let_in(server, kept)
                redis_server.start()
                back = recovered(server, headers=fresh)
                let_in_after = times_let_in(server, kept)
                time.sleep(seconds / 3)
            missing = shortfall(server, books, store)
    verdict(
        "Redis killed and started under load",
        {**seen(books, server), "missing": missing, "well again after (s)": back or "never"},
        {
            "no acknowledged feedback lost": missing.feedback == 0,
            "no card without its record": missing.cards == 0 == missing.owned_up,
            "nobody got in while it was down": let_in_while_down == 0,
            "afterwards the same token got in once": let_in_after == 1,
            "readiness said so": "store of seen client tokens does not answer" in said,
            "answers: 200 or 503": books.count("card 200", "card 503", "feedback 200")
            + books.count("feedback 503")
            == books.count(""),
            "both were seen": min(books.count("card 200"), books.count("card 503")) > 0,
            "recovers without a restart": back is not None,
        },
    )


if __name__ == "__main__":
    chosen = arguments(str(__doc__), seconds=9)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        run(chosen.seconds, Path(name))
