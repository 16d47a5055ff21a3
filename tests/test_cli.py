"""The command line as a user meets it: output, exit codes, errors in one line."""

import json
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result
from conftest import ROOT
from fixture_stories import FIXTURES, as_of
from http_service import decisions_of, post

from cds_service.cli import main
from cds_service.date_shift import shift_dates
from cds_service.demo_stories import load_stories, marked

REQUEST = FIXTURES / "requests/lumbar-mri/acute-back-pain-ten-days.order-select.json"


def _run(*arguments: str, stdin: str = "", **environ: str) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin, env=environ)


def test_help_shows_examples_and_every_setting() -> None:
    answer = _run("--help")

    assert answer.exit_code == 0
    assert "cds-service evaluate request.json        judge one hook request" in answer.stdout
    assert "CDS_TIME_BUDGET_MS" in answer.stdout


def test_evaluate_prints_the_card_and_the_row() -> None:
    answer = _run("evaluate", str(REQUEST), "--as-of", as_of())

    assert answer.exit_code == 0
    assert "WARNING" in answer.stdout
    assert "row S4a, usually-not-appropriate, ACR variant 1" in answer.stdout


def test_explain_says_why_each_earlier_row_did_not_match() -> None:
    answer = _run("evaluate", str(REQUEST), "--as-of", as_of(), "--explain")

    assert re.search(r"^E1 +cauda_equina is unknown, needs true", answer.stdout, re.MULTILINE)
    assert re.search(r"^S4a +holds", answer.stdout, re.MULTILINE)
    assert "episode_duration F12" in answer.stdout


def test_the_day_of_the_call_decides() -> None:
    """The same request six weeks later is another question."""
    answer = _run("evaluate", str(REQUEST), "--as-of", "2026-05-01", "--json")

    assert "S4b" == json.loads(answer.stdout)["extension"]["org.lumbar-mri-cds.decisions"][0]["row"]


def test_the_timeline_is_drawn_into_the_file_that_is_named(tmp_path: Path) -> None:
    target = tmp_path / "out.svg"

    answer = _run("evaluate", str(REQUEST), "--as-of", as_of(), "--timeline", str(target))

    assert answer.exit_code == 0
    assert f"{target} written" in answer.stderr
    assert target.read_text("utf-8").startswith("<svg ")
    assert "Low back pain since 2026-03-06 (10 days)" in target.read_text("utf-8")


def test_each_order_has_a_timeline_of_its_own(tmp_path: Path) -> None:
    request = json.loads(REQUEST.read_text("utf-8"))
    (first,) = request["context"]["draftOrders"]["entry"]
    second = {"resource": {**first["resource"], "id": "another", "priority": "stat"}}
    request["context"]["draftOrders"]["entry"] = [first, second]
    request["context"].pop("selections")
    target = tmp_path / "out.svg"

    answer = _run(
        *("evaluate", "-", "--as-of", as_of(), "--timeline", str(target)),
        stdin=json.dumps(request),
    )

    assert answer.exit_code == 0, answer.stderr
    assert ["out-2.svg", "out.svg"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_timeline_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "out.svg"

    answer = _run("evaluate", str(REQUEST), "--as-of", as_of(), "--timeline", str(target))

    assert answer.exit_code == 2
    assert f"Error: {target} cannot be written: No such file or directory\n" == answer.stderr


def test_a_request_may_come_by_standard_input() -> None:
    answer = _run("evaluate", "-", "--as-of", as_of(), "--json", stdin=REQUEST.read_text("utf-8"))

    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["cards"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "The body is not JSON"),
        ('{"hook": "patient-view"}', "hook is not one of order-select, order-sign"),
        ('{"hook": "order-select"}', "hookInstance"),
    ],
)
def test_bad_input_gets_one_line_on_stderr_and_exit_code_2(text: str, says: str) -> None:
    answer = _run("evaluate", "-", stdin=text)

    assert answer.exit_code == 2
    assert says in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_an_unknown_setting_stops_everything_and_is_named() -> None:
    answer = _run("serve", "--port", "0", CDS_CLIENT_AUHT="off")

    assert answer.exit_code == 2
    assert "CDS_CLIENT_AUHT: no such setting; did you mean CDS_CLIENT_AUTH?" in answer.stderr


def test_knowledge_that_is_not_approved_is_refused_where_the_site_asks_for_approval() -> None:
    answer = _run("serve", "--port", "0", CDS_REQUIRE_APPROVAL="true")

    assert answer.exit_code == 2
    assert "is in state reference" in answer.stderr


def test_knowledge_check_passes_and_says_what_it_did_not_prove() -> None:
    answer = _run("knowledge", "check")

    assert answer.exit_code == 0
    assert answer.stdout.rstrip().endswith("Passed.")
    assert "Not proved here" in answer.stdout


def test_knowledge_review_prints_the_page_that_is_kept() -> None:
    answer = _run("knowledge", "review")

    assert (ROOT / "hooks/lumbar-mri/REVIEW.md").read_text("utf-8") == answer.stdout


def test_demo_without_its_patients_says_what_to_do(tmp_path: Path) -> None:
    answer = _run("demo", "--once", "--fixtures", str(tmp_path))

    assert answer.exit_code == 2
    assert "--fixtures" in answer.stderr


def test_demo_takes_only_fhir_servers_that_the_service_would_read() -> None:
    answer = _run("demo", "--once", "--fhir-server", "http://ehr.example/fhir")

    assert answer.exit_code == 2
    assert "--fhir-server http://ehr.example/fhir: must be an https address" in answer.stderr


def test_demo_judges_its_patients_of_today_and_leaves_no_service_behind() -> None:
    command = [sys.executable, "-u", "-m", "cds_service", "demo"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        said = ""
        while "Test EHR: " not in said and (line := demo.stdout.readline()):
            said += line
        url = said.rpartition("Test EHR: ")[2].split()[0]
        assert requests.get(f"{url}health/ready", timeout=20).ok
        demo.terminate()
        said += demo.stdout.read()

    assert demo.returncode == 0, said[-2000:]
    assert "15 orders judged, 15 with the rows that were worked out by hand." in said
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}health/ready", timeout=20)


@pytest.mark.parametrize(
    ("value", "shifted"),
    [
        ({"birthDate": "1956-03-16"}, {"birthDate": "1956-03-26"}),
        ({"onsetDateTime": "2026-02-25T10:00:00Z"}, {"onsetDateTime": "2026-03-07T10:00:00Z"}),
        ({"onsetDateTime": "2026-02"}, {"onsetDateTime": "2026-02"}),
        ({"onsetDateTime": "2025"}, {"onsetDateTime": "2025"}),
        ({"text": "2025"}, {"text": "2025"}),
        ({"code": "2026-99-99"}, {"code": "2026-99-99"}),
        ([{"start": "2026-03-01"}, 3, None], [{"start": "2026-03-11"}, 3, None]),
    ],
    ids=str,
)
def test_dates_of_the_demo_move_together(value: object, shifted: object) -> None:
    assert shifted == shift_dates(value, 10)


@pytest.mark.parametrize("start", ["2026-11-21", "2027-02-25", "2028-02-20", "2028-12-28"])
def test_demo_comes_out_the_same_on_any_day(start: str) -> None:
    first = date.fromisoformat(start)
    for day in (first + timedelta(days=n) for n in range(0, 15, 2)):
        for story in marked(load_stories(FIXTURES, day)):
            if "prefetch" not in story.request:
                continue
            answer = post(story.request, day=day.isoformat())

            assert story.is_met_by(decisions_of(answer)), (day, story.name)
