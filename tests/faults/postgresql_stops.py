"""PostgreSQL killed, started, frozen and thawed under load: cards go on, the loss is owned up to.

Starts a PostgreSQL of its own. Run it: .venv/bin/python tests/faults/postgresql_stops.py
"""

import time

from evidence import READY, Books, arguments, load, readiness, recovered, seen, shortfall, verdict
from own_servers import own_postgresql
from served import served

DAY = "2026-03-16"


def run(seconds: float) -> None:
    """Kill and freeze it, each for a quarter of the time."""
    books = Books()
    with own_postgresql() as database:
        settings = {"CDS_CLIENT_AUTH": "off", "CDS_DATABASE_URL": database.url}
        with served(settings, day=DAY) as server:
            with load(server, books):
                time.sleep(seconds / 4)
                database.kill()
                cards_before = books.count("card 200")
                time.sleep(seconds / 4)
                said = readiness(server)
                cards_while_down = books.count("card 200") - cards_before
                database.start()
                back = recovered(server)
                database.freeze()
                cards_before = books.count("card 200")
                time.sleep(seconds / 4)
                cards_while_frozen = books.count("card 200") - cards_before
                database.thaw()
                back_again = recovered(server)
                time.sleep(seconds / 4)
            missing = shortfall(server, books, database.url)
    verdict(
        "PostgreSQL killed and started, frozen and thawed, under load",
        {
            **seen(books, server),
            "cards while it was down": cards_while_down,
            "cards while it was frozen": cards_while_frozen,
            "missing": missing,
            "well again after kill, after freeze (s)": (back, back_again),
        },
        {
            "no acknowledged feedback lost": missing.feedback == 0,
            "every card without its record is owned up to": missing.is_honest,
            "some were": missing.owned_up > 0,
            "clinicians got their cards": min(cards_while_down, cards_while_frozen) > 0,
            "readiness said so": READY in said,
            "hook calls: 200 and nothing else": books.count("card 200") == books.count("card"),
            "feedback: 200 or 503": books.count("feedback 200", "feedback 503")
            == books.count("feedback"),
            "recovers without a restart": back is not None and back_again is not None,
        },
    )


if __name__ == "__main__":
    run(arguments(str(__doc__), seconds=16).seconds)
