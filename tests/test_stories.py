"""Every story of `fhir_fixtures/`, fired as a real HTTP request at the real service.

The expectations were worked out by hand from the decision table; nothing here knows a rule.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from fixture_stories import Expected, JsonObject, Story, as_of, drafts_of, stories

from cds_service.fixture_server.server import FixtureServer
from cds_service.knowledge_loading.folders import find_folders
from cds_service.knowledge_loading.loader import load_knowledge

_EHR_PLACEHOLDER = "https://ehr.example/fhir"
_DECISIONS = "org.lumbar-mri-cds.decisions"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _service(fhir_server: str, site_file: Path | None) -> Iterator[str]:
    url = f"127.0.0.1:{_free_port()}"
    script = Path(__file__).parent / "story_service.py"
    process = subprocess.Popen(
        [sys.executable, str(script), url, as_of(), fhir_server, str(site_file or "")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                if requests.get(f"http://{url}/health/ready", timeout=2).ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield f"http://{url}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def ehr_port() -> int:
    return _free_port()


@pytest.fixture(scope="session")
def plain_service(ehr_port: int) -> Iterator[str]:
    with _service(f"http://127.0.0.1:{ehr_port}/fhir", None) as url:
        yield url


@pytest.fixture(scope="session")
def site_service(ehr_port: int) -> Iterator[str]:
    site_file = next(s.site_file for s in stories() if s.site_file)
    with _service(f"http://127.0.0.1:{ehr_port}/fhir", site_file) as url:
        yield url


@pytest.fixture(scope="session")
def numbers() -> Mapping[str, str]:
    """F-number by fact id."""
    knowledge = load_knowledge(find_folders()[0].folder)
    return {fact.id: fact.number for fact in knowledge.facts}


def _body(story: Story, ehr_port: int) -> str:
    """The request with the address of the FHIR server put in, wherever it stands."""
    return json.dumps(story.request).replace(_EHR_PLACEHOLDER, f"http://127.0.0.1:{ehr_port}/fhir")


def _answer(story: Story, url: str, ehr_port: int) -> dict[str, object]:
    body = _body(story, ehr_port)
    with FixtureServer([story.chart], port=ehr_port):
        answer = requests.post(
            f"{url}/cds-services/{story.service}",
            data=body.encode(),
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
    assert answer.status_code == 200, answer.text[:500]
    content: dict[str, object] = answer.json()
    return content


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_story_comes_out_as_worked_out_by_hand(
    story: Story, request: pytest.FixtureRequest, ehr_port: int, numbers: Mapping[str, str]
) -> None:
    name = "site_service" if story.site_file else "plain_service"
    answer = _answer(story, request.getfixturevalue(name), ehr_port)
    cards, decisions = _parts(answer)

    in_scope = [expected for expected in story.expected if expected.row != "G0"]
    assert len(in_scope) == len(decisions)
    for expected, decision in _paired(in_scope, decisions):
        said = {name: decision.get(name) for name in expected.members}
        assert dict(expected.members) == said
        assert not expected.left_out & decision.keys()
        missing = decision.get("missing", [])
        assert isinstance(missing, list)
        assert set(expected.missing_includes) <= {numbers[fact] for fact in missing}
    assert sum(expected.has_card for expected in in_scope) == len(cards)
    if len(in_scope) == 1 and cards:
        kinds = _suggestion_kinds(cards[0], json.loads(_body(story, ehr_port)))
        assert in_scope[0].suggestions_present <= kinds
        assert not in_scope[0].suggestions_absent & kinds


def _parts(
    answer: dict[str, object],
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    cards = answer["cards"]
    extension = answer.get("extension", {})
    assert isinstance(cards, list)
    assert isinstance(extension, dict)
    return cards, extension.get(_DECISIONS, [])


def _paired(
    expected: list[Expected], decisions: list[dict[str, object]]
) -> Iterator[tuple[Expected, dict[str, object]]]:
    by_order = {decision["order"]: decision for decision in decisions}
    for place, entry in enumerate(expected):
        yield entry, by_order[entry.order] if entry.order else decisions[place]


def _suggestion_kinds(card: dict[str, object], sent: JsonObject) -> set[str]:
    """Tell the kinds of §9 by what their action does, not by their words."""
    drafts = {f"{d['resourceType']}/{d.get('id')}": d for d in drafts_of(sent)}
    suggestions = card.get("suggestions", [])
    assert isinstance(suggestions, list)
    return {_kind(suggestion["actions"][0], drafts) for suggestion in suggestions}


def _kind(action: dict[str, object], drafts: Mapping[str, Mapping[str, object]]) -> str:
    if action["type"] == "delete":
        return "A1"
    if action["type"] == "create":
        return "A5"
    resource = action["resource"]
    assert isinstance(resource, dict)
    draft = drafts[f"{resource['resourceType']}/{resource['id']}"]
    changed = {name for name in resource if resource[name] != draft.get(name)}
    if changed == {"code"}:
        return "A3" if "MRI" in resource["code"]["text"] else "A2"
    kinds = {"priority": "A6", "occurrenceDateTime": "A7", "reasonCode": "A4"}
    return kinds[changed.pop()] if len(changed) == 1 else f"unknown: {changed}"
