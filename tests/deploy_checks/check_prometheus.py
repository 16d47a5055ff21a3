"""Alerts and dashboard of `deploy/prometheus`: they parse, fire, and name metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from http_service import client

FOLDER = Path(__file__).parent.parent.parent / "deploy/prometheus"
TESTS = sorted(FOLDER.glob("*_test.yaml"))
OPERATIONS = FOLDER.parent / "operations.md"


def promtool(*arguments: str, folder: Path = FOLDER) -> None:
    """Run promtool; fail with what it says."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool; on Debian: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    shown = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    return [panel for panel in shown if panel["type"] != "row"]


def expressions() -> list[str]:
    """Return every expression of alerts and dashboard."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + asked


def metric_names() -> set[str]:
    """Return the samples of /metrics by name; of a histogram, all three."""
    text = client().get("/metrics").text
    found = set()
    for name, kind in re.findall(r"^# TYPE (cds_\w+) (\w+)$", text, re.MULTILINE):
        endings = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        # When a series began: only one process alone says so, several workers do not.
        found |= {name + ending for ending in endings if not name.endswith("_created")}
    return found


def test_alerts_and_scraping_are_well_formed() -> None:
    promtool("check", "rules", "alerts.yaml")
    promtool("check", "config", "scrape.yaml")


def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", *(path.name for path in TESTS))


def test_each_alert_is_tested() -> None:
    tested = "".join(path.read_text("utf-8") for path in TESTS)

    assert [] == [r["alert"] for r in rules() if "alert" in r and r["alert"] not in tested]


def test_the_page_for_who_is_on_call_says_what_to_do_about_each_alert() -> None:
    rows = re.findall(r"^\| `(Cds\w+)`", OPERATIONS.read_text("utf-8"), re.MULTILINE)

    assert [rule["alert"] for rule in rules() if "alert" in rule] == rows


def test_each_metric_that_is_asked_for_exists() -> None:
    named = {name for text in expressions() for name in re.findall(r"\bcds_\w+", text)}

    assert set() == named - metric_names()


def test_each_metric_of_the_service_is_watched() -> None:
    watched = " ".join(expressions())
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metric_names()}

    assert set() == {name for name in families if name not in watched}


def test_what_the_dashboard_asks_can_be_asked(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    filled = [text.replace("$__rate_interval", "5m") for text in asked]
    wrapped = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(filled)]
    # JSON is YAML.
    file = tmp_path / "dashboard.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": wrapped}]}), "utf-8")

    promtool("check", "rules", str(file), folder=tmp_path)


def test_panels_have_places_of_their_own() -> None:
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len(panels()) == len({panel["id"] for panel in panels()})
