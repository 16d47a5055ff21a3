"""The test EHR behind its page: calls as an EHR makes them, reasons, Markdown, and the frame."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bundled import knowledge
from fixture_stories import FIXTURES
from flask.testing import FlaskClient
from http_service import client, decisions_of, error_code, state_of_tests

from cds_service.app import create_app
from cds_service.demo_stories import DemoStory, load_stories, marked, write_stories, written_stories
from cds_service.fixture_server.server import FixtureServer
from cds_service.prefetch.reader import FhirReader
from cds_service.rates import UNLIMITED
from cds_service.settings import ClientAuth, Settings
from cds_service.test_ehr.calls import TestEhrServers
from cds_service.test_ehr.markdown_tree import markdown_tree
from cds_service.test_ehr.pages import TestEhr

STORIES = load_stories(FIXTURES, datetime.now(UTC).date())
EARLY = "acute-back-pain-ten-days"


ELSEWHERE = {
    "resourceType": "Patient",
    "id": "elsewhere-patient",
    "birthDate": "1980-05-01",
    "name": [{"family": "Elsewhere", "given": ["Ann", "B"]}],
}


@pytest.fixture(scope="module")
def further_server() -> Iterator[FixtureServer]:
    """Return another FHIR server, as `cds-service demo --fhir-server` names one."""
    with FixtureServer([ELSEWHERE]) as server:
        yield server


@pytest.fixture(scope="module")
def ehr(further_server: FixtureServer) -> Iterator[FlaskClient]:
    """Return a client of the service as the demo runs it, its FHIR server beside it."""
    with FixtureServer([story.chart for story in STORIES]) as server:
        bases = (server.base_url, further_server.base_url)
        settings = Settings(
            client_auth=ClientAuth.OFF,
            fhir_servers=bases,
            rate_limit=UNLIMITED,
            time_budget_ms=10_000,  # what is judged here, not how fast
            state_directory=state_of_tests(),
        )
        reader = FhirReader()
        page = TestEhr(
            stories=STORIES,
            servers=TestEhrServers(bases=bases, reader=reader),
            today=datetime.now(UTC).date(),
        )
        app = create_app(settings, knowledge=knowledge())
        page.install(app)
        yield app.test_client()
        reader.close()


def test_the_page_may_load_and_ask_nothing_from_elsewhere(ehr: FlaskClient) -> None:
    answer = ehr.get("/")

    assert 200 == answer.status_code
    policy = answer.headers["Content-Security-Policy"]
    directives = dict(one.strip().split(" ", 1) for one in policy.split(";"))
    assert "'none'" == directives["default-src"]
    assert "'self'" == directives["script-src"] == directives["style-src"]
    assert "'none'" == directives["frame-ancestors"] == directives["base-uri"]
    assert "'script'" == directives["require-trusted-types-for"]
    assert "://" not in answer.text.replace("http://127.0.0.1", "")
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


def test_the_service_itself_has_no_test_ehr_whatever_its_settings() -> None:
    usual = client()

    assert "Test EHR" not in usual.get("/").text
    assert 404 == usual.get("/test-ehr/call").status_code
    assert 404 == usual.get("/test-ehr/static/page.js").status_code


@pytest.mark.parametrize("story", marked(STORIES), ids=lambda story: story.name)
@pytest.mark.parametrize("chart", ["prefetch", "fhir"])
def test_a_story_comes_out_the_same_however_its_chart_is_sent(
    ehr: FlaskClient, story: DemoStory, chart: str
) -> None:
    call = ehr.get(f"/test-ehr/call?story={story.name}&chart={chart}").get_json()["call"]

    assert (chart == "prefetch") == ("prefetch" in call)
    answer = ehr.post(f"/cds-services/{story.service_id}", json=call)
    assert story.is_met_by(decisions_of(answer)), decisions_of(answer)


@pytest.mark.parametrize("story", marked(STORIES), ids=lambda story: story.name)
def test_every_row_before_the_one_that_holds_has_a_reason(
    ehr: FlaskClient, story: DemoStory
) -> None:
    call = ehr.get(f"/test-ehr/call?story={story.name}").get_json()["call"]
    decisions = decisions_of(ehr.post(f"/cds-services/{story.service_id}", json=call))

    explained = ehr.post(f"/test-ehr/explanations/{story.service_id}", json=call).get_json()

    assert len(decisions) == len(explained["orders"])
    for decision, order in zip(decisions, explained["orders"], strict=True):
        assert decision["order"] == order["order"]
        *earlier, last = order["tables"][0]["steps"]
        assert decision["row"] == last["row"]
        assert last["held"]
        assert all(step["unmet"] and not step["held"] for step in earlier)
        held = {s["row"] for t in order["tables"][1:] for s in t.get("steps", ()) if s["held"]}
        named = [decision.get("overlay"), decision.get("protocolRow"), *_list(decision, "safety")]
        assert set(filter(None, named)) == held
        facts = {fact["fact"] for fact in order["facts"]}
        assert {entry["fact"] for entry in _list(decision, "evidence")} <= facts


def _list(decision: Mapping[str, object], member: str) -> list[Any]:
    """Return a member of a decision that is left out when it is empty."""
    value = decision.get(member, [])
    assert isinstance(value, list)
    return value


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("story=nobody-tells-this", "no story"),
        ("patient=nobody", "no patient"),
        ("patient=../Patient/fairweather-patient", "no patient"),
        ("patient=fairweather-patient&server=http://127.0.0.1:1/fhir", "not one of the test EHR"),
        ("patient=x&server=http://169.254.169.254/latest", "not one of the test EHR"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_words(
    ehr: FlaskClient, query: str, words: str
) -> None:
    answer = ehr.get(f"/test-ehr/call?{query}")

    assert 400 == answer.status_code
    assert "malformed" in error_code(answer)
    assert words in json.loads(answer.data)["issue"][0]["diagnostics"]


def test_a_patient_without_a_story_gets_a_plain_order(ehr: FlaskClient) -> None:
    answer = ehr.get("/test-ehr/call?patient=fairweather-patient").get_json()

    (entry,) = answer["call"]["context"]["draftOrders"]["entry"]
    assert "72148" == entry["resource"]["code"]["coding"][0]["code"]
    assert "Fairweather" in answer["patient"]
    decided = ehr.post(
        "/cds-services/lumbar-mri-order-sign",
        json={**answer["call"], "hook": "order-sign", "hookInstance": "of-the-page"},
    )
    assert ["E2"] == [decision["row"] for decision in decisions_of(decided)]


def test_patients_of_a_further_fhir_server_are_offered_and_judged(
    ehr: FlaskClient, further_server: FixtureServer
) -> None:
    base = further_server.base_url
    page = ehr.get(f"/?server={base}").text
    answer = ehr.get(f"/test-ehr/call?server={base}&patient=elsewhere-patient&chart=fhir")

    assert '<option value="elsewhere-patient">Elsewhere, Ann, B</option>' in page
    call = answer.get_json()["call"]
    assert base == call["fhirServer"]
    decided = ehr.post(
        "/cds-services/lumbar-mri-order-select",
        json={**call, "hook": "order-select", "hookInstance": "of-the-page"},
    )
    (decision,) = decisions_of(decided)
    assert "unreadable" not in decision


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_a_name_that_leads_here_from_elsewhere_is_refused(ehr: FlaskClient, host: str) -> None:
    for path in ("/", "/test-ehr/call", "/cds-services"):
        assert 400 == ehr.get(path, headers={"Host": host}).status_code


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        (
            "a **b** c",
            [{"tag": "p", "children": ["a ", {"tag": "strong", "children": ["b"]}, " c"]}],
        ),
        ("<b onclick=x>", [{"tag": "p", "children": ["<b onclick=x>"]}]),
        ("<script>x</script>", [{"tag": "p", "children": ["<script>x</script>"]}]),
        ("- a", [{"tag": "ul", "children": [{"tag": "li", "children": ["a"]}]}]),
        ("# a", [{"tag": "h4", "children": ["a"]}]),
        (
            "[a](https://b.example/c)",
            [
                {
                    "tag": "p",
                    "children": [{"tag": "a", "href": "https://b.example/c", "children": ["a"]}],
                }
            ],
        ),
        ("[a](javascript:b)", [{"tag": "p", "children": ["[a](javascript:b)"]}]),
        ("[a](/b)", [{"tag": "p", "children": [{"tag": "span", "children": ["a", " (/b)"]}]}]),
        ("![a](https://b.example/c)", [{"tag": "p", "children": ["a"]}]),
        ("", []),
    ],
)
def test_markdown_becomes_allowed_elements_and_text(text: str, tree: object) -> None:
    assert tree == markdown_tree(text)


def test_no_card_loses_a_word_as_a_tree(ehr: FlaskClient) -> None:
    for story in marked(STORIES):
        call = ehr.get(f"/test-ehr/call?story={story.name}").get_json()["call"]
        cards = ehr.post(f"/cds-services/{story.service_id}", json=call).get_json()["cards"]
        details = [card["detail"] for card in cards]
        trees = ehr.post("/test-ehr/markdown", json={"texts": details}).get_json()["trees"]

        for detail, tree in zip(details, trees, strict=True):
            shown = "".join(_words(tree)).split()
            assert set(_letters(detail)) <= set(_letters(" ".join(shown)))


def _words(tree: list[object]) -> Iterator[str]:
    for node in tree:
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield " "
            yield from _words(node["children"])
            yield f" {node.get('href', '')} "


def _letters(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def test_stories_reach_the_other_process_whole(tmp_path: Path) -> None:
    file = tmp_path / "stories.json"
    write_stories(file, STORIES)

    assert STORIES == written_stories(file)
