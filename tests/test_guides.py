"""The guides are true: every command in them runs, in a clone, in their order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "deploy" / "guides"
sys.path[:0] = [str(ROOT / "deploy" / folder) for folder in ("guides", "rehearsal")]

import reference  # noqa: E402  # beside the page that it writes
from pages import blocks  # noqa: E402  # the operators' pages are read so

SAID = {
    "first-card": "no red flags on record: MRI usually not appropriate",
    "own-card": "care first, then MRI",
    "check": "Passed.",
    "compare": "S4a-stenosis",
    "topic": "Passed.",
}
"""What a reader is promised to see."""


def clone(folder: Path) -> Path:
    """Return a folder that looks like a clone to the commands, and can be written into."""
    for name in ("fhir_fixtures", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return folder


@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md"])
def test_every_command_of_a_guide_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    folder = clone(tmp_path)
    place, path = str(folder), os.environ["PATH"]
    ran = []
    for block in blocks(GUIDES):
        if block.page != page or block.reason:
            continue
        assert block.name, f"{page}: a block that is neither run nor said why not:\n{block.code}"
        done = subprocess.run(
            ["bash", "-c", f"set -e\ncd '{place}'\n{block.code}echo \"@$PWD@$PATH\""],
            cwd=place,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert block.status == done.returncode, f"{block.name}: {done.stdout}{done.stderr}"
        assert SAID.get(block.name, "") in done.stdout, f"{block.name}: {done.stdout}"
        if done.returncode == 0:
            _, place, path = done.stdout.rstrip("\n").rsplit("@", 2)
        ran.append(block.name)

    assert len(ran) > 4


def test_what_is_not_run_says_why() -> None:
    assert all(block.name or block.reason for block in blocks(GUIDES))


def test_the_reference_is_what_the_software_says() -> None:
    kept = (GUIDES / "reference.md").read_text("utf-8")

    assert reference.page() == kept, "write it anew: python deploy/guides/reference.py"


def test_links_between_the_guides_lead_somewhere() -> None:
    for page in GUIDES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert target.startswith("https://") or (GUIDES / target).is_file(), target


def test_the_readme_leads_to_every_guide() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    assert all(f"deploy/guides/{page.name}" in readme for page in GUIDES.glob("*.md"))
