"""The CDS Hooks Sandbox of HL7's community as a client: what its source sends, screen by screen.

Source: cds-hooks/sandbox at 3b7e255: `pama.jsx`, `service-exchange.js`, `card-list.jsx`. Its own
run against the demo is described in the README.
"""

import copy
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
import requests
from fixture_stories import FIXTURES
from http_service import ORDER_SELECT, client, decisions_of, full_prefetch, suggestions_of

from cds_service.fixture_server.server import FixtureServer
from cds_service.settings import ClientAuth, Settings

ORIGIN = "http://localhost:8080"
SETTINGS = Settings(client_auth=ClientAuth.OFF, cors_origins=(ORIGIN,))
HEADERS = {
    "Origin": ORIGIN,
    "Accept": "application/json",
    # Always sent, signed by a key that everybody has.
    "Authorization": "Bearer eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJzYW5kYm94In0.c2ln",
}
STUDY = {
    "system": "http://www.ama-assn.org/go/cpt",
    "code": "72148",
    "display": "Magnetic resonance (eg, proton) imaging, spinal canal and contents, lumbar; "
    "without contrast material",
}
REASON = {"system": "http://snomed.info/sct", "code": "279039007", "display": "Low back pain"}


def request_of(
    study: Mapping[str, str], reasons: list[Mapping[str, str]], **members: object
) -> dict[str, Any]:
    """Return what the PAMA screen sends; JSON leaves out what JavaScript has not defined."""
    text = {"text": study["display"]} if study else {}
    order = {
        "resourceType": "ServiceRequest",
        "id": "example-request-id",
        "status": "draft",
        "intent": "plan",
        "code": {"coding": [study], **text},
        "subject": {"reference": "Patient/pat-1"},
        "reasonCode": [{"coding": [one], "text": one["display"]} for one in reasons],
    }
    return {
        "hookInstance": str(uuid.uuid4()),
        "hook": "order-select",
        "fhirServer": "https://launch.smarthealthit.org/v/r2/fhir",
        "context": {
            "patientId": "pat-1",
            "userId": "Practitioner/COREPRACTITIONER1",
            "selections": ["ServiceRequest/example-request-id"],
            "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": order}]},
        },
        **members,
    }


@pytest.mark.parametrize("members", [{}, {"prefetch": full_prefetch()}], ids=["bare", "prefetch"])
def test_the_request_on_load_has_an_empty_code_and_gets_no_card(members: object) -> None:
    assert isinstance(members, dict)
    answer = client(SETTINGS).post(
        ORDER_SELECT, json=request_of({}, [], **members), headers=HEADERS
    )

    assert (200, {"cards": []}) == (answer.status_code, answer.get_json())
    assert ORIGIN == answer.headers["Access-Control-Allow-Origin"]


def test_a_study_and_a_reason_on_the_pama_screen_get_a_card() -> None:
    sent = request_of(STUDY, [REASON], prefetch=full_prefetch())
    answer = client(SETTINGS).post(ORDER_SELECT, json=sent, headers=HEADERS)

    assert ["S4a"] == [decision["row"] for decision in decisions_of(answer)]
    assert all(card["uuid"] for card in answer.get_json()["cards"])
    assert ORIGIN == answer.headers["Access-Control-Allow-Origin"]


def test_keys_that_the_sandbox_could_not_fill_are_survived() -> None:
    """It drops a key whose search failed, without a word."""
    filled = full_prefetch()
    kept = {key: filled[key] for key in ("patient", "conditions")}
    sent = request_of(STUDY, [REASON], prefetch=kept)

    answer = client(SETTINGS).post(ORDER_SELECT, json=sent, headers=HEADERS)

    assert 200 == answer.status_code
    assert ["S4a"] == [decision["row"] for decision in decisions_of(answer)]


def test_a_suggestion_is_taken_and_a_card_dismissed_with_its_feedback() -> None:
    to = client(SETTINGS)
    sent = request_of(STUDY, [REASON], prefetch=full_prefetch())
    answer = to.post(ORDER_SELECT, json=sent, headers=HEADERS)
    card = answer.get_json()["cards"][0]
    taken = next(s for s in suggestions_of(answer) if s["actions"][0]["type"] == "update")
    when = "2026-03-16T15:00:00.123Z"
    accepted = {"acceptedSuggestions": [{"id": taken["uuid"]}], "outcomeTimestamp": when}
    reason = {"code": card["overrideReasons"][0]["code"]}
    dismissed = {"overrideReason": {"reason": reason}, "outcomeTimestamp": when}
    entries = [
        {"card": card["uuid"], "outcome": "accepted", **accepted},
        {"card": card["uuid"], "outcome": "overridden", **dismissed},
    ]
    for entry in entries:
        kept = to.post(f"{ORDER_SELECT}/feedback", json={"feedback": [entry]}, headers=HEADERS)

        (counts,) = kept.get_json()["extension"].values()
        assert {"received": 1, "new": 1, "unknownCards": 0} == counts
        assert ORIGIN == kept.headers["Access-Control-Allow-Origin"]

    again = copy.deepcopy(sent)
    (resource,) = [action["resource"] for action in taken["actions"]]
    again["context"]["draftOrders"]["entry"] = [{"resource": resource}]
    after = to.post(ORDER_SELECT, json=again, headers=HEADERS)
    assert taken["label"] not in [s["label"] for s in suggestions_of(after)]


@pytest.mark.parametrize("path", ["metadata", "Patient", "Patient/fairweather-patient"])
def test_a_browser_may_read_the_fhir_server_of_the_demo(path: str) -> None:
    """The sandbox looks at these three before it shows anything."""
    with FixtureServer(FIXTURES) as server:
        answer = requests.get(f"{server.base_url}/{path}", headers={"Origin": ORIGIN}, timeout=5)
        before = requests.options(
            f"{server.base_url}/{path}",
            headers={"Origin": ORIGIN, "Access-Control-Request-Headers": "authorization"},
            timeout=5,
        )

        assert answer.ok
        assert "*" == answer.headers["Access-Control-Allow-Origin"]
        assert "authorization" in before.headers["Access-Control-Allow-Headers"].lower()
