"""`cds-service try` against loopback servers that behave like the public sandboxes.

Source: `ehr-integration.md` §2 and §6: what each of them has, refuses and pages like.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from bundled import knowledge
from charts import TODAY
from click.testing import CliRunner, Result
from conftest import ROOT
from served import served

from cds_service.cli import main
from cds_service.errors import SettingsError
from cds_service.evaluation import Evaluation
from cds_service.fixture_server.behaviour import Behaviour, Fault
from cds_service.fixture_server.server import FixtureServer
from cds_service.knowledge import RATED_PROTOCOLS
from cds_service.orders import ImagingProtocol
from cds_service.prefetch.reader import FhirReader
from cds_service.site_file import NO_SITE_FILE
from cds_service.trial.open_server import OpenServer
from cds_service.trial.orders import TrialOrder
from cds_service.trial.run import Trier
from cds_service.trial.services import InProcess, Running
from cds_service.try_command import try_all, try_one

pytestmark = pytest.mark.xdist_group("timed")

FOLDER = ROOT / "fhir_fixtures"
ACUTE = "greenhalgh-patient"
NOBODY_LISTENS = "http://127.0.0.1:9/fhir"
PLAIN = TrialOrder()


@cache
def reader() -> FhirReader:
    """Return one reader for all tests; each server has an origin of its own."""
    return FhirReader()


@cache
def evaluation() -> Evaluation:
    """Return what the command builds, on the knowledge that is loaded once."""
    return Evaluation(
        knowledge=knowledge(),
        site=NO_SITE_FILE,
        today=TODAY,
        zone=ZoneInfo("UTC"),
        reader=reader(),
    )


def trier(server: FixtureServer, order: TrialOrder = PLAIN, seconds: float = 20.0) -> Trier:
    """Return what fires at the service in this process."""
    return Trier(
        server=OpenServer(server.base_url, reader(), seconds=seconds),
        service=InProcess(evaluation=evaluation()),
        knowledge=knowledge(),
        order=order,
    )


def run_try(server: FixtureServer | str, *arguments: str, **environ: str) -> Result:
    """Type the command on the day of the fixtures."""
    url = server if isinstance(server, str) else server.base_url
    typed = ["try", "--fhir-server", url, "--as-of", TODAY.isoformat(), *arguments]
    return CliRunner().invoke(main, typed, env=environ)


def medplum() -> FixtureServer:
    """400 to unknown parameters, pages with `_offset`."""
    return FixtureServer(FOLDER, strict=True, page_limit=20)


def hapi() -> FixtureServer:
    """400 to unknown parameters, cursors at the base (`_getpages`)."""
    return FixtureServer(FOLDER, strict=True, page_limit=3, pages_at_base=True)


def smart() -> FixtureServer:
    """The launcher's open endpoint: HAPI again, with larger pages."""
    return FixtureServer(FOLDER, strict=True, page_limit=50, pages_at_base=True)


def oracle() -> FixtureServer:
    """No ImagingStudy, 400 to parameters that it does not know, no list of all patients."""
    return FixtureServer(
        FOLDER,
        strict=True,
        refused_parameters=["_sort"],
        needed_parameters={
            "Patient": ["_id", "identifier", "name", "birthdate"],
            "Condition": ["patient"],
        },
        page_limit=10,
        behaviours={"ImagingStudy": Behaviour(status=404)},
    )


def epic() -> FixtureServer:
    """Ignores what it does not know, 403 without the scope, an outcome where nothing is there."""
    return FixtureServer(
        FOLDER,
        needed_parameters={"Observation": ["category", "code"]},
        behaviours={
            "ImagingStudy": Behaviour(status=403),
            "Device": Behaviour(fault=Fault.EPIC_EMPTY),
        },
    )


@pytest.mark.parametrize("make", [medplum, hapi, smart])
def test_open_servers_are_read_whole_however_they_page(
    make: Callable[[], FixtureServer], capsys: pytest.CaptureFixture[str]
) -> None:
    with make() as server:
        try_one(trier(server), evaluation(), ACUTE)

    said = capsys.readouterr().out
    assert f"Patient/{ACUTE} of {server.base_url}: 10 sources read in " in said
    assert "Not read" not in said
    assert "row S4a, usually-not-appropriate, ACR variant 1" in said
    assert "Low back pain since 2026-03-06 (10 days)" in said.partition("Timeline:")[2]


def test_all_pages_of_a_source_reach_the_service() -> None:
    """Pages of three: a chart with more observations than that comes whole."""
    with hapi() as server:
        trial = trier(server).run(ACUTE)
        pages = [r for r in server.requests if "_getpages" in dict(r.query)]

    assert pages
    observations = trial.charted.prefetch["observations"]
    assert isinstance(observations, dict)
    assert len(observations["entry"]) > 3
    assert "link" not in observations
    assert not any("authorization" in request.headers for request in server.requests)


def test_a_server_without_imaging_studies_is_tried_and_it_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with oracle() as server:
        try_one(trier(server), evaluation(), ACUTE)

    said = capsys.readouterr().out
    assert "Not read: ImagingStudy (404)" in said
    assert "nothing found; not all was read" in said
    assert "No earlier lumbar MRI found here" not in said


def test_a_server_that_does_not_list_patients_asks_for_one() -> None:
    with oracle() as server:
        answer = run_try(server)

    assert answer.exit_code == 2
    assert answer.stderr == (
        f"Error: {server.base_url} does not list patients (400): name one with --patient\n"
    )


def test_missing_scopes_and_outcomes_in_bundles_are_told_from_nothing_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with epic() as server:
        try_one(trier(server), evaluation(), ACUTE)

    said = capsys.readouterr().out
    assert "Not read: Observation (400), ImagingStudy (403)\n" in said
    # Part of the record is unread, so the row is kept and the alarm is not.
    assert "INFO" in said
    assert "row S4a" in said


def test_without_a_patient_the_first_is_taken_and_named(tmp_path: Path) -> None:
    with medplum() as server:
        answer = run_try(server, "--timeline", str(tmp_path / "out.svg"))

    assert answer.exit_code == 0, answer.stderr
    assert "--patient not given: taking " in answer.stderr
    taken = answer.stderr.partition("taking ")[2].partition(";")[0].strip()
    assert f"Patient/{taken} of {server.base_url}" in answer.stdout
    assert (tmp_path / "out.svg").read_text("utf-8").startswith("<svg ")


@pytest.mark.parametrize("make", [medplum, hapi])
def test_all_patients_are_a_table_and_counts(
    make: Callable[[], FixtureServer], capsys: pytest.CaptureFixture[str]
) -> None:
    with make() as server:
        names = trier(server).server.patient_ids(7)
        assert try_all(trier(server), names, as_json=True) == 0

    told = json.loads(capsys.readouterr().out)
    assert len({row["patient"] for row in told["patients"]}) == 7
    assert {"row", "rating"} <= told["patients"][0].keys()
    assert told["summary"][0].startswith("7 patients, 7 judged: ")


def test_patients_that_cannot_be_read_or_judged_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with medplum() as server:
        names = trier(server).server.patient_ids(3)
        server.behave("Condition", Behaviour(status=500))
        try_all(trier(server), names)
        server.behave("Patient", Behaviour(status=404))
        try_all(trier(server), names)

    said = capsys.readouterr().out
    assert "3 patients, 3 judged: " in said
    assert "Not read, by patients: Condition (500) 3" in said
    assert "3 patients, 0 judged\n" in said
    assert "not judged: 412 evidence-unavailable" in said


@pytest.mark.parametrize("protocol", RATED_PROTOCOLS)
def test_each_protocol_is_ordered_by_a_code_that_the_service_knows(
    protocol: ImagingProtocol,
) -> None:
    with smart() as server:
        trial = trier(server, TrialOrder(protocol=protocol, hook="order-sign")).run(ACUTE)

    assert trial.decision["protocol"] == protocol.value


def test_reason_and_priority_are_those_of_the_clinician() -> None:
    with smart() as server:
        order = TrialOrder(reason="new saddle numbness and retention", priority="stat")
        trial = trier(server, order).run(ACUTE)

    assert trial.decision["row"] == "E1"


def test_a_running_service_is_fired_at_over_http() -> None:
    with smart() as server, served({"CDS_CLIENT_AUTH": "off"}) as service:
        typed = ["try", "--fhir-server", server.base_url, "--patient", ACUTE]
        answer = CliRunner().invoke(main, [*typed, "--service", service.url])

    assert answer.exit_code == 0, answer.stderr
    assert "ServiceRequest/try-draft: row " in answer.stdout


def test_an_address_without_the_service_is_said() -> None:
    with smart() as server, pytest.raises(SettingsError, match="check --service"):
        Running(server.base_url)
    with pytest.raises(SettingsError, match="check --service"):
        Running(NOBODY_LISTENS)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(fault=Fault.HTML), "answers, but not with FHIR R4 JSON (not JSON)"),
        (Behaviour(fault=Fault.OTHER_TYPE), "answers, but not with FHIR R4 JSON (not FHIR)"),
        (Behaviour(status=401), "wants an access token (401): only open servers can be tried"),
        (Behaviour(status=403), "wants an access token (403): only open servers can be tried"),
        (Behaviour(status=404), "has no Patient/greenhalgh-patient (404): check the id"),
        (Behaviour(status=500), "answers 500: try again later"),
        (Behaviour(fault=Fault.CLOSE), "gives no answer (reset): check the address"),
    ],
)
def test_a_server_that_cannot_be_tried_is_one_line(behaviour: Behaviour, said: str) -> None:
    with FixtureServer(FOLDER, behaviours={"Patient": behaviour}) as server:
        answer = run_try(server, "--patient", ACUTE)

    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"Error: {server.base_url} {said}")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (NOBODY_LISTENS, "gives no answer (unreachable)"),
        ("http://ehr.example/fhir", "is no FHIR base URL: https://host/path"),
        ("ehr.example", "is no FHIR base URL: https://host/path"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(url: str, said: str) -> None:
    answer = run_try(url)

    assert answer.exit_code == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_slow_source_is_left_out_when_the_budget_is_used_up() -> None:
    slow = {"Procedure": Behaviour(delay_seconds=60.0)}
    with FixtureServer(FOLDER, behaviours=slow) as server:
        trial = trier(server, seconds=4.0).run(ACUTE)

    assert trial.charted.unread == {"Procedure": "timeout"}
    assert trial.decision["unreadable"] == ["Procedure: not sent"]


def test_the_server_may_be_named_by_the_setting() -> None:
    typed = ["try", "--patient", "nobody"]
    with smart() as server:
        answer = CliRunner().invoke(main, typed, env={"CDS_FHIR_SERVERS": server.base_url})
    none = CliRunner().invoke(main, typed)

    assert f"{server.base_url} has no Patient/nobody (404)" in answer.stderr
    assert none.exit_code == 2
    assert "name a FHIR server with --fhir-server URL" in none.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--all-patients", "3", "--patient", ACUTE),
        ("--service", "http://127.0.0.1:1"),
        ("--patient", "a|b"),
        ("--patient", "../Observation"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_read(
    arguments: tuple[str, ...],
) -> None:
    with smart() as server:
        answer = run_try(server, *arguments)

    assert answer.exit_code == 2
    assert answer.stderr.count("\n") == 1
    assert server.requests == ()


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """A shell starts what runs in the background deaf to Ctrl+C, and so would our process be."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_prints_what_there_is() -> None:
    slow = {"Device": Behaviour(delay_seconds=0.4)}
    with FixtureServer(FOLDER, behaviours=slow) as server:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cds_service", "try", "--all-patients", "1000"),
                *("--fhir-server", server.base_url),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        give_up = time.monotonic() + 90
        while len(server.requests_for("Device")) < 3 and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert " judged: " in said
    assert "Stopped after " in errors
    assert "Traceback" not in errors
