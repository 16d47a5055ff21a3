"""The disk beneath SQLite full, then freed, under load: cards go on, the loss is owned up to.

The disk is a small tmpfs in a mount namespace of the script's own (unshare), or, where that is
not allowed, a limit on the size of files of the server's processes.
Run it: .venv/bin/python tests/faults/disk_full.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from evidence import READY, Books, arguments, load, readiness, recovered, seen, shortfall, verdict
from kill_workers import workers_of
from served import Served, served

DAY = "2026-03-16"
INSIDE = "CDS_FAULTS_INSIDE"
_DISK_BYTES = 24 * 1024 * 1024
_MEGABYTE = 1024 * 1024

Switch = Callable[[Served, Path], None]


def fill_disk(_server: Served, folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        size = _MEGABYTE
        while size >= 1:
            try:
                ballast.write(b"x" * size)
            except OSError:
                size //= 2


def free_disk(_server: Served, folder: Path) -> None:
    """Take the ballast away."""
    (folder / "ballast").unlink()


def limit_files(server: Served, folder: Path) -> None:
    """Let no file of the store grow any more."""
    size = max(file.stat().st_size for file in folder.iterdir())
    _set_limit(server, size)


def unlimit_files(server: Served, _folder: Path) -> None:
    """Let files grow again."""
    _set_limit(server, resource.RLIM_INFINITY)


def _set_limit(server: Served, size: int) -> None:
    for pid in (server.process.pid, *workers_of(server)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def run(seconds: float, folder: Path, *, fill: Switch, free: Switch, how: str) -> None:
    """Fill it for a third of the time."""
    books = Books()
    store = f"sqlite:///{folder}/store.sqlite3"
    with served({"CDS_CLIENT_AUTH": "off", "CDS_DATABASE_URL": store}, day=DAY) as server:
        with load(server, books):
            time.sleep(seconds / 3)
            fill(server, folder)
            before = books.count("card 200")
            time.sleep(seconds / 3)
            cards_while_full = books.count("card 200") - before
            said = readiness(server)
            free(server, folder)
            back = recovered(server)
            time.sleep(seconds / 3)
        missing = shortfall(server, books, store)
    verdict(
        f"Disk full and freed under load ({how})",
        {
            **seen(books, server),
            "cards while it was full": cards_while_full,
            "missing": missing,
            "well again after (s)": back or "never",
        },
        {
            "no acknowledged feedback lost": missing.feedback == 0,
            "every card without its record is owned up to": missing.is_honest,
            "some were": missing.owned_up > 0,
            "clinicians got their cards": cards_while_full > 0,
            "readiness said so": READY in said,
            "hook calls: 200 and nothing else": books.count("card 200") == books.count("card"),
            "feedback: 200 or 503": books.count("feedback 200", "feedback 503")
            == books.count("feedback"),
            "recovers without a restart": back is not None,
        },
    )


def may_mount() -> bool:
    """Tell whether this user may have a mount namespace of its own."""
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


if __name__ == "__main__":
    chosen = arguments(str(__doc__), seconds=12)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        if INSIDE in os.environ:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", name], check=True
            )
            run(chosen.seconds, Path(name), fill=fill_disk, free=free_disk, how="tmpfs of 24 MiB")
        elif may_mount():
            os.execvpe(  # noqa: S606 - our own script, once more
                "unshare",
                ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv],
                {**os.environ, INSIDE: "1"},
            )
        else:
            run(
                chosen.seconds,
                Path(name),
                fill=limit_files,
                free=unlimit_files,
                how="limit on the size of files",
            )
