"""Where the files of `deploy/` are, and the programs that check them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cds_service.settings import DESCRIPTIONS

DEPLOY = Path(__file__).parent.parent / "deploy"
KNOWN_SETTINGS = frozenset(each.name for each in DESCRIPTIONS)


def tool(name: str, *, comes_with: str = "") -> str:
    """Return a program beside this Python or on the path; skip loudly where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, of {comes_with or 'the development packages'}")
    return found


def run(*command: str | Path, cwd: Path = DEPLOY) -> str:
    """Run a program; fail with what it says."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr
