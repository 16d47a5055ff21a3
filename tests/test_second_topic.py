"""A second imaging topic is a folder and no Python: found, checked, served beside the first."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from bundled import knowledge
from click.testing import CliRunner
from http_service import (
    BACK_PAIN,
    KNEE_MRI,
    LUMBAR_MRI,
    PATIENT,
    bundle,
    hook_request,
)
from served import Served, served

from cds_service.cli import main
from cds_service.errors import KnowledgeError, SettingsError
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.openapi.document import document
from cds_service.orders import ImagingProtocol
from cds_service.site_file import parse_site_file
from cds_service.topics import load_topics

HOOKS = Path(__file__).parent / "cervical_hooks"
FOLDER = HOOKS / "cervical-mri"
DAY = "2026-03-16"
TOPICS = ("lumbar-mri", "cervical-mri")
SELECT = "cervical-mri-order-select"
CERVICAL_MRI = {
    **LUMBAR_MRI,
    "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72141"}]},
    "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.2"}]}],
}
NECK_PAIN = {**BACK_PAIN, "code": CERVICAL_MRI["reasonCode"][0]}  # type: ignore[index]  # JSON
CORD = {
    **NECK_PAIN,
    "id": "cond-2",
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M50.00"}]},
}


def request_with(*conditions: object, draft: object = CERVICAL_MRI) -> dict[str, object]:
    """Return a call about a draft, for a patient with these diagnoses."""
    prefetch: dict[str, object] = {}
    for key, kind in load_knowledge(FOLDER).prefetch_types.items():
        prefetch[key] = dict(PATIENT) if kind == "Patient" else bundle()
    prefetch["conditions"] = bundle(*conditions)  # type: ignore[arg-type]  # JSON
    return hook_request(draft, prefetch=prefetch)  # type: ignore[arg-type]  # JSON


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a copy of the folder."""
    directory = tmp_path_factory.mktemp("hooks")
    shutil.copytree(FOLDER, directory / FOLDER.name)
    return directory


@pytest.fixture(scope="module")
def server(hooks: Path) -> Iterator[Served]:
    """Both topics, by real workers."""
    settings = {"CDS_CLIENT_AUTH": "off", "CDS_HOOKS_PATH": str(hooks)}
    with served(settings, day=DAY) as running:
        yield running


def call(server: Served, request: object, service: str = SELECT) -> dict[str, Any]:
    """Fire a hook over HTTP."""
    answer = requests.post(f"{server.url}/cds-services/{service}", json=request, timeout=10)
    assert 200 == answer.status_code
    body = answer.json()
    assert isinstance(body, dict)
    return body


def test_the_example_says_loudly_that_it_is_no_clinical_content() -> None:
    for path in FOLDER.rglob("*"):
        if path.suffix in {".yaml", ".json", ".md"}:
            text = path.read_text("utf-8").lower()
            assert "not clinical content" in text.replace("is not", "not").replace("*", ""), path


def test_knowledge_check_passes_and_says_what_cannot_be_proved_of_it() -> None:
    environ = {"CDS_HOOKS_PATH": str(HOOKS)}
    told = CliRunner().invoke(main, ["knowledge", "check", "--id", "cervical-mri"], env=environ)

    assert 0 == told.exit_code
    assert "5 of 5 cases end as they should." in told.stdout
    assert "With cord_signs true, on any evidence, nothing offers to cancel" in told.stdout
    assert "Under 18 nothing is rated" in told.stdout
    assert "Not proved, because this folder has no fact pregnant" in told.stdout


def test_the_review_page_speaks_of_its_own_exam() -> None:
    environ = {"CDS_HOOKS_PATH": str(HOOKS)}
    page = CliRunner().invoke(main, ["knowledge", "review", "--id", "cervical-mri"], env=environ)

    assert page.stdout.startswith("# Cervical spine MRI (TEACHING EXAMPLE")
    assert "lumbar" not in page.stdout.lower().replace("lumbar-mri-cds", "")


def test_its_hook_is_answered_over_http(server: Served) -> None:
    body = call(server, request_with(NECK_PAIN))
    (card,) = body["cards"]
    (decision,) = body["extension"]["org.lumbar-mri-cds.decisions"]

    assert card["summary"].startswith("Teaching example: neck pain < 6 weeks")
    assert "No earlier cervical MRI found here" in card["detail"]
    assert "lumbar" not in card["detail"].lower()
    assert ["C2", "warning", "cervical-mri"] == [
        decision["row"],
        decision["indicator"],
        decision["knowledge"]["id"],
    ]


def test_an_emergency_of_its_own_outranks(server: Served) -> None:
    (card,) = call(server, request_with(NECK_PAIN, CORD))["cards"]

    assert "cord signs" in card["summary"]
    assert ["Set priority urgent"] == [each["label"] for each in card["suggestions"]]


def test_each_topic_answers_for_its_own_orders_only(server: Served) -> None:
    assert [] == call(server, request_with(BACK_PAIN, draft=LUMBAR_MRI))["cards"]
    assert [] == call(server, request_with(BACK_PAIN, draft=KNEE_MRI))["cards"]
    neck = call(server, hook_request(CERVICAL_MRI), "lumbar-mri-order-select")
    back = call(server, hook_request(), "lumbar-mri-order-select")

    assert [] == neck["cards"]
    assert back["cards"]


def test_discovery_readiness_and_pages_name_both(server: Served) -> None:
    def get(path: str) -> requests.Response:
        return requests.get(server.url + path, timeout=10)

    catalogue = get("/cds-services").json()["services"]
    ready = get("/health/ready").json()

    assert {f"{topic}-order-{what}" for topic in TOPICS for what in ("select", "sign")} == {
        service["id"] for service in catalogue
    }
    assert knowledge().digest == ready["knowledge"]["digest"]
    assert ["cervical-mri"] == [each["id"] for each in ready["otherKnowledge"]]
    assert "Cervical spine MRI (TEACHING EXAMPLE" in get("/knowledge/cervical-mri").text
    assert 404 == get("/knowledge/thoracic-mri").status_code


def test_a_reload_takes_a_changed_folder_and_keeps_the_old_one_if_it_is_faulty(
    server: Served, hooks: Path
) -> None:
    file = hooks / FOLDER.name / "service.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("2026.1.0", "2026.2.0"), "utf-8")
    server.signal(signal.SIGHUP)
    server.wait_for("reloaded", count=2)
    versions = [m["knowledge"] for m in server.messages() if m["message"] == "reloaded"]
    file.write_text("id: [", "utf-8")
    server.signal(signal.SIGHUP)
    refused = server.wait_for("knowledge not reloaded")

    assert [knowledge().version, "2026.2.0"] == versions
    assert "cervical-mri/service.yaml" in str(refused["reason"])
    assert call(server, request_with(NECK_PAIN))["cards"]


def test_every_topic_must_be_approved_where_approval_is_required() -> None:
    with pytest.raises(SettingsError, match="state reference"):
        load_topics((HOOKS,), require_approval=True)


def test_two_topics_cannot_name_a_service_alike(tmp_path: Path) -> None:
    folder = tmp_path / "neck-mri"
    shutil.copytree(FOLDER, folder)
    file = folder / "service.yaml"
    file.write_text(file.read_text("utf-8").replace("id: cervical-mri\n", "id: neck-mri\n"))

    with pytest.raises(SettingsError, match="both name a service cervical-mri-order-select"):
        load_topics((tmp_path, HOOKS), require_approval=False)


def test_the_first_directory_that_has_a_topic_wins_whole(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER.name
    shutil.copytree(FOLDER, folder)
    file = folder / "service.yaml"
    file.write_text(file.read_text("utf-8").replace("2026.1.0", "2026.9.0"))

    loaded = load_topics((tmp_path, HOOKS), require_approval=False)

    assert [("lumbar-mri", knowledge().version), ("cervical-mri", "2026.9.0")] == [
        (each.id, each.version) for each in loaded
    ]


def test_the_document_tells_of_the_services_and_rows_of_both() -> None:
    told = document(knowledge(), load_knowledge(FOLDER))
    rows = told["components"]["schemas"]["hook-answer"]["$defs"]["decision"]["properties"]["row"]

    assert f"/cds-services/{SELECT}" in told["paths"]
    assert "/knowledge/cervical-mri" in told["paths"]
    assert {"E1", "C1"} <= set(rows["enum"])


def test_a_sites_codes_belong_to_one_topic() -> None:
    site = parse_site_file(
        "orderCodes:\n"
        "  - {system: urn:local, code: L1, protocol: without}\n"
        "  - {system: urn:local, code: N1, protocol: with, topic: cervical-mri}\n",
        name="site.yaml",
    )
    neck = site.for_topic("cervical-mri")

    assert {("urn:local", "L1"): ImagingProtocol.WITHOUT} == site.order_codes.by_code
    assert {("urn:local", "N1"): ImagingProtocol.WITH} == neck.order_codes.by_code
    assert {} == site.for_topic("knee-mri").order_codes.by_code
    assert {("urn:local", "L1"), ("urn:local", "N1")} == set(site.order_codes_of_all_topics.by_code)


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("facts.yaml", "  exam_name: Cervical MRI\n", "", "order.exam_name is missing"),
        ("cards.yaml", "  why: Why\n", "", "phrases: why is missing"),
        ("cards.yaml", "  A4.action: ", "  A4.act: ", "suggestion_labels: A4.action is missing"),
        ("cards.yaml", "{which} on record", "{weeks} weeks", "it needs conservative_days"),
        ("cards.yaml", "{which} on record", "{prior} on record", "it needs the fact prior_mri"),
        (
            "decision_tables/appropriateness.yaml",
            "{kind: A6, to: urgent}",
            "{kind: A7}",
            "A7 is offered: it needs the threshold",
        ),
        (
            "decision_tables/appropriateness.yaml",
            "{kind: A6, to: urgent}",
            "{kind: A5}",
            "suggested_codes: referral is missing",
        ),
        (
            "decision_tables/appropriateness.yaml",
            "{kind: A6, to: urgent}",
            "{kind: A2, to: mr-modality}",
            "they need the fact pregnant",
        ),
        (
            "decision_tables/ratings.yaml",
            "value_set: cervical-mri-with,",
            "value_set: mr-modality,",
            "no procedure has the value set cervical-mri-with (with)",
        ),
        (
            "facts.yaml",
            "{kind: order_reason, value_sets: [cord-signs]}",
            "{kind: observed_finding, value_sets: [cord-signs], within: cord_days}",
            "fact cord_signs reads Observation, and nothing asks for it",
        ),
    ],
)
def test_what_the_software_looks_up_by_name_must_be_there(
    tmp_path: Path, file: str, old: str, new: str, says: str
) -> None:
    folder = tmp_path / FOLDER.name
    shutil.copytree(FOLDER, folder)
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), "utf-8")

    with pytest.raises(KnowledgeError) as refused:
        load_knowledge(folder)

    assert any(says in problem for problem in refused.value.problems)
