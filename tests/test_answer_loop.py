"""Applying a suggestion and firing again never returns the same suggestion (contract)."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from fixture_stories import Story, as_of, stories
from http_service import decisions_of, post, suggestions_of

_MOST_ROUNDS = 12


def _applied(request: dict[str, Any], suggestion: dict[str, Any]) -> dict[str, Any]:
    """Do what an EHR does when the clinician takes a suggestion."""
    after = copy.deepcopy(request)
    entries = after["context"]["draftOrders"]["entry"]
    for action in suggestion["actions"]:
        match action["type"]:
            case "create":
                entries.append({"resource": {"id": "created", **action["resource"]}})
            case "delete":
                entries[:] = [e for e in entries if _ref(e) != action["resourceId"]]
            case "update":
                ref = f"{action['resource']['resourceType']}/{action['resource']['id']}"
                for entry in entries:
                    if _ref(entry) == ref:
                        entry["resource"] = action["resource"]
    return after


def _ref(entry: dict[str, Any]) -> str:
    resource = entry.get("resource", {})
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def _actions(suggestion: Mapping[str, Any]) -> str:
    """What a suggestion would do to the orders, whatever its uuid and label."""
    return json.dumps(
        [
            {key: value for key, value in action.items() if key != "resource"}
            for action in suggestion["actions"]
        ]
    ) + str(suggestion["label"])


def _with_prefetch() -> list[Story]:
    return [s for s in stories() if "prefetch" in s.request and not s.based_on]


@pytest.mark.parametrize("story", _with_prefetch(), ids=lambda s: s.name)
def test_no_suggestion_comes_back_after_it_was_taken(story: Story) -> None:
    first = post(story.request, day=as_of(), site_file=story.site_file)

    for suggestion in suggestions_of(first):
        again = post(_applied(story.request, suggestion), day=as_of(), site_file=story.site_file)

        assert again.status_code == 200
        assert _actions(suggestion) not in {_actions(s) for s in suggestions_of(again)}


@pytest.mark.parametrize("story", _with_prefetch(), ids=lambda s: s.name)
def test_taking_the_first_suggestion_every_time_comes_to_an_end(story: Story) -> None:
    request: dict[str, Any] = story.request
    for _ in range(_MOST_ROUNDS):
        answer = post(request, day=as_of(), site_file=story.site_file)
        offered = list(suggestions_of(answer))
        if not offered:
            break
        request = _applied(request, offered[0])

    assert not offered


def test_an_update_leaves_everything_else_of_the_draft_as_it_was() -> None:
    for story in _with_prefetch():
        drafts = {_ref(e): e["resource"] for e in _entries(story)}
        for suggestion in suggestions_of(
            post(story.request, day=as_of(), site_file=story.site_file)
        ):
            for action in suggestion["actions"]:
                if action["type"] == "update":
                    _assert_one_element_changed(action["resource"], drafts)


def _entries(story: Story) -> list[dict[str, Any]]:
    request: Any = story.request
    entries: list[dict[str, Any]] = request["context"]["draftOrders"]["entry"]
    return entries


def _assert_one_element_changed(
    resource: dict[str, Any], drafts: dict[str, dict[str, Any]]
) -> None:
    draft = drafts[f"{resource['resourceType']}/{resource['id']}"]
    changed = {k for k in {*resource, *draft} if resource.get(k) != draft.get(k)}

    assert changed <= {"code", "reasonCode", "priority"} | {
        k for k in changed if k.startswith(("occurrence", "_"))
    }
    assert "id" not in changed
    if "reasonCode" in changed:
        assert draft.get("reasonCode", []) == resource["reasonCode"][:-1]


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("suspected-cauda-equina", "E1"),
        ("new-motor-deficit", "E2"),
        ("suspected-infection", "R1"),
        ("suspected-or-known-cancer", "R2"),
        ("recent-minor-trauma", "R6"),
        ("care-six-weeks", "S2"),
        ("care-elsewhere-six-weeks", "S2"),
    ],
)
def test_an_answer_is_read_back_as_evidence_of_today(code: str, row: str) -> None:
    story = next(s for s in stories() if s.name == "acute-back-pain-ten-days")
    request: Any = copy.deepcopy(story.request)
    order = request["context"]["draftOrders"]["entry"][0]["resource"]
    order.setdefault("reasonCode", []).append(
        {
            "coding": [
                {
                    "system": "https://lumbar-mri-cds.example/fhir/CodeSystem/indication",
                    "code": code,
                }
            ]
        }
    )

    decision = decisions_of(post(request, day=as_of()))[0]

    assert row == decision["row"]
    assert decision["provisional"] is True


@pytest.mark.parametrize(
    "number",
    ["1.50", "1.0", "1E+2", "0.1000000000000000055511151231257827", "12345678901234567890123"],
)
def test_an_update_keeps_every_number_of_the_draft_as_it_was_written(number: str) -> None:
    """R-ACT-04: FHIR decimals carry their precision."""
    story = next(s for s in stories() if s.name == "cauda-equina-suspected-in-order-text")
    request: Any = copy.deepcopy(story.request)
    draft = request["context"]["draftOrders"]["entry"][0]["resource"]
    draft["quantityQuantity"] = {"value": "NUMBER", "unit": "x"}
    body = json.dumps(request).replace('"NUMBER"', number).encode()

    answer = post(body, day=as_of())

    assert f'"quantityQuantity":{{"value":{number},"unit":"x"}}' in answer.text
