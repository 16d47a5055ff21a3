"""Faults of the machine, as scripts that anybody can run; here each runs for a few seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("timed")

FAULTS = Path(__file__).parent / "faults"


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ("kill_workers", 4),
        ("postgresql_stops", 6),
        ("redis_stops", 4),
        ("disk_full", 5),
        ("overload", 2),
    ],
)
def test_nothing_acknowledged_is_lost_and_the_service_recovers(script: str, seconds: int) -> None:
    """Penetration checklist 7 and 12; Argonaut R-availability."""
    ran = subprocess.run(
        [sys.executable, str(FAULTS / f"{script}.py"), "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert 0 == ran.returncode, ran.stdout + ran.stderr
