"""Every story of `fhir_fixtures/`, fired as a real HTTP request at the real service.

The expectations were worked out by hand from the decision table; nothing here knows a rule.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import requests
from bundled import knowledge
from fixture_stories import Expected, JsonObject, Story, as_of, drafts_of, stories
from served import served

from cds_service.fixture_server.server import FixtureServer

_EHR_PLACEHOLDER = "https://ehr.example/fhir"
_DECISIONS = "org.lumbar-mri-cds.decisions"
_ALARMS = frozenset({"warning", "critical"})

Answer: TypeAlias = dict[str, object]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def _service(ehr_port: int, site_file: Path | None) -> Iterator[str]:
    settings = {
        "CDS_CLIENT_AUTH": "off",
        "CDS_FHIR_SERVERS": f"http://127.0.0.1:{ehr_port}/fhir",
        "CDS_SITE_FILE": str(site_file or ""),
    }
    with served(settings, day=as_of()) as server:
        yield server.url


@pytest.fixture(scope="session")
def ehr_port() -> int:
    return _free_port()


@pytest.fixture(scope="session")
def plain_service(ehr_port: int) -> Iterator[str]:
    with _service(ehr_port, None) as url:
        yield url


@pytest.fixture(scope="session")
def site_service(ehr_port: int) -> Iterator[str]:
    site_file = next(s.site_file for s in stories() if s.site_file)
    with _service(ehr_port, site_file) as url:
        yield url


@pytest.fixture(scope="session")
def numbers() -> Mapping[str, str]:
    """F-number by fact id."""
    return {fact.id: fact.number for fact in knowledge().facts}


def _body(story: Story, ehr_port: int) -> str:
    """The request with the address of the FHIR server put in, wherever it stands."""
    return json.dumps(story.request).replace(_EHR_PLACEHOLDER, f"http://127.0.0.1:{ehr_port}/fhir")


def _answer(story: Story, url: str, ehr_port: int) -> Answer:
    body = _body(story, ehr_port)
    with FixtureServer([story.chart], port=ehr_port):
        answer = requests.post(
            f"{url}/cds-services/{story.service}",
            data=body.encode(),
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
    assert answer.status_code == 200, answer.text[:500]
    content: Answer = answer.json()
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
        if expected.safety is not None:
            assert list(expected.safety) == _safety_rows(decision)
        if expected.prior_dates is not None:
            assert list(expected.prior_dates) == _prior_dates(decision)
    own, safety = _by_topic(cards)
    assert sum(expected.has_card for expected in in_scope) == len(own)
    sent = json.loads(_body(story, ehr_port))
    if len(in_scope) == 1:
        _assert_cards(in_scope[0], own, safety, sent)


def _assert_cards(
    expected: Expected, own: list[Answer], safety: list[Answer], sent: JsonObject
) -> None:
    for card in own:
        kinds = _suggestion_kinds(card, sent)
        assert expected.suggestions_present <= kinds
        assert not expected.suggestions_absent & kinds
        assert expected.topic in {"", _topic(card)}
    if expected.safety_card:
        said = [str(card["indicator"]) for card in safety]
        assert said == ([] if expected.safety_card == "none" else [expected.safety_card])
    kinds = {kind for card in safety for kind in _suggestion_kinds(card, sent)}
    assert expected.safety_suggestions_present <= kinds
    assert not expected.safety_suggestions_absent & kinds


QUIET = [story for story in stories() if story.is_quiet]


@pytest.mark.parametrize("story", QUIET, ids=lambda story: story.name)
def test_a_quiet_story_alarms_nobody(
    story: Story, request: pytest.FixtureRequest, ehr_port: int
) -> None:
    name = "site_service" if story.site_file else "plain_service"
    cards, _ = _parts(_answer(story, request.getfixturevalue(name), ehr_port))
    own, safety = _by_topic(cards)
    sent = json.loads(_body(story, ehr_port))
    asked_for = {str(e.members.get("indicator")) for e in story.expected}
    asked_for_safety = {e.safety_card for e in story.expected}
    cancels_asked_for = any("A1" in e.suggestions_present for e in story.expected)

    assert [] == [c["summary"] for c in own if c["indicator"] in _ALARMS - asked_for]
    assert [] == [c["summary"] for c in safety if c["indicator"] in _ALARMS - asked_for_safety]
    assert cancels_asked_for or [] == [
        c["summary"] for c in cards if "A1" in _suggestion_kinds(c, sent)
    ]


def test_at_least_twenty_five_stories_must_stay_quiet() -> None:
    """Most of them ask for no alarm at all."""
    exempt = [s for s in QUIET if any(e.members.get("indicator") in _ALARMS for e in s.expected)]

    assert 25 <= len(QUIET) - len(exempt)


def _by_topic(cards: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    """Return the appropriateness cards and the safety card."""
    safety = [card for card in cards if _topic(card).startswith("SF")]
    assert len(safety) <= 1
    return [card for card in cards if card not in safety], safety


def _topic(card: Answer) -> str:
    source = card["source"]
    assert isinstance(source, dict)
    return str(source.get("topic", {}).get("code", ""))


def _safety_rows(decision: Answer) -> list[str]:
    rows = decision.get("safety", [])
    assert isinstance(rows, list)
    return sorted(rows)


def _prior_dates(decision: Answer) -> list[str]:
    listed = decision.get("priorImaging", [])
    assert isinstance(listed, list)
    return [exam["date"] for exam in listed if "date" in exam]


def _parts(answer: Answer) -> tuple[list[Answer], list[Answer]]:
    cards = answer["cards"]
    extension = answer.get("extension", {})
    assert isinstance(cards, list)
    assert isinstance(extension, dict)
    return cards, extension.get(_DECISIONS, [])


def _paired(expected: list[Expected], decisions: list[Answer]) -> Iterator[tuple[Expected, Answer]]:
    by_order = {decision["order"]: decision for decision in decisions}
    for place, entry in enumerate(expected):
        yield entry, by_order[entry.order] if entry.order else decisions[place]


def _suggestion_kinds(card: Answer, sent: JsonObject) -> set[str]:
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
