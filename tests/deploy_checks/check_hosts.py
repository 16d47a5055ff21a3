"""Units, IIS example and pages of `deploy/`: well formed, hardened, true."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from runpy import run_path

import pytest
from deploy_files import DEPLOY, KNOWN_SETTINGS, run, tool

from cds_service.settings import Settings

PAGES = sorted(DEPLOY.glob("*.md"))
HARDENED_ENOUGH = 1.5
"""Of 10, as `systemd-analyze security` counts exposure; a unit without any setting has 9.6."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a folder with the units and with what they start."""
    folder = tmp_path / "units"
    folder.mkdir()
    for file in (DEPLOY / "systemd").glob("lumbar-mri-cds*.*"):
        # verify looks for the program; here it is another that exists.
        text = re.sub(
            "^ExecStart=[^ ]+", "ExecStart=/bin/true", file.read_text(), flags=re.MULTILINE
        )
        name = file.name.replace("@.", "@8001.")
        (folder / name).write_text(text, "utf-8")
    return folder


def test_units_are_well_formed(units: Path) -> None:
    analyze = tool("systemd-analyze", comes_with="the Debian package systemd")
    said = run(analyze, "verify", *sorted(units.iterdir()))

    assert "" == said.strip()


@pytest.mark.parametrize("name", ["lumbar-mri-cds@8001.service", "lumbar-mri-cds-forget.service"])
def test_units_give_away_little(units: Path, name: str) -> None:
    analyze = tool("systemd-analyze", comes_with="the Debian package systemd")
    said = run(analyze, "security", "--offline=true", "--no-pager", units / name)
    exposure = re.search(r"exposure level for [^:]+: ([0-9.]+)", said)

    assert exposure is not None
    assert HARDENED_ENOUGH >= float(exposure[1])


def test_both_units_are_hardened_alike() -> None:
    def sandbox(name: str) -> list[str]:
        text = (DEPLOY / "systemd" / name).read_text("utf-8")
        return re.findall(
            r"^((?:Protect|Private|Restrict|System|Memory(?:Deny)|NoNew|Cap|Lock|IP).*)$",
            text,
            re.MULTILINE,
        )

    assert sandbox("lumbar-mri-cds@.service") == sandbox("lumbar-mri-cds-forget.service")


def test_iis_example_does_what_the_nginx_does() -> None:
    web = ET.fromstring((DEPLOY / "iis/web.config").read_text("utf-8"))  # noqa: S314  # ours
    passed, closed = web.findall(".//rewrite/rules/rule")
    pattern = str(passed.find("match").get("url"))  # type: ignore[union-attr]
    limits = web.find(".//requestLimits")
    assert limits is not None

    assert re.fullmatch(pattern, "cds/lumbar/cds-services/lumbar-mri-order-sign/feedback")
    assert not re.fullmatch(pattern, "cds/lumbar/metrics")
    assert "404" == closed.find("action").get("statusCode")  # type: ignore[union-attr]
    assert {"HTTP_X_CLIENT_SUBJECT", "HTTP_FORWARDED"} <= {
        str(each.get("name")) for each in passed.findall("serverVariables/set")
    }
    assert str(Settings().max_body_bytes) == limits.get("maxAllowedContentLength")


def test_nginx_takes_as_large_a_body_as_the_service() -> None:
    text = (DEPLOY / "nginx/lumbar-mri-cds.conf").read_text("utf-8")
    sizes = re.findall(r"client_(?:max_body|body_buffer)_size +(\d+)m;", text)

    assert [Settings().max_body_bytes] * 2 == [int(size) * 1024 * 1024 for size in sizes]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_name_no_setting_and_no_file_that_does_not_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    named = set(re.findall(r"\bCDS_[A-Z_]*[A-Z]\b", text))
    linked = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]

    assert set() == named - KNOWN_SETTINGS
    assert [] == [target for target in linked if not (page.parent / target).exists()]


def test_commands_of_the_pages_are_rehearsed_or_say_why_not() -> None:
    reader = run_path(str(DEPLOY / "rehearsal/pages.py"))
    found = reader["blocks"](DEPLOY)
    rehearsal = (DEPLOY / "rehearsal/rehearsal.py").read_text("utf-8")
    run_there = set(re.findall(r'rehearsal\.run\("([a-z-]+)"', rehearsal))
    # The bundle is made, and the rehearsal started, before there is one.
    outside = {"make check\ndeploy/bundle\n", "deploy/rehearsal/rehearse\n"}

    assert run_there == {block.name for block in found if block.name}
    assert outside == {block.code for block in found if not block.name and not block.reason}
    assert all(
        block.reason.startswith("not rehearsed: ")
        for block in found
        if not block.name and block.code not in outside
    )
