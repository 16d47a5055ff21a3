"""What a site says of its clients: the form of their cards, their mode, and who is left out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bundled import knowledge
from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token
from flask.testing import FlaskClient
from http_service import (
    LUMBAR_MRI,
    ORDER_SELECT,
    body_of,
    client,
    decisions_of,
    fire,
    full_prefetch,
    hook_request,
)
from jsonschema import Draft202012Validator
from stores import Rows

from cds_service.cards.fitting import PREFERENCE_LIST_SYSTEM
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file
from cds_service.store.tables import DECISION, FEEDBACK

CARD_SCHEMA = Path(__file__).parent / "card_schema.json"
ROLE = "PractitionerRole/role-1"


def open_to(text: str, **settings: Any) -> FlaskClient:  # noqa: ANN401 - settings of any type
    """Return the service with a site file, open to all."""
    return client(
        Settings(client_auth=ClientAuth.OFF, **settings),
        site=parse_site_file(text, name="site.yaml"),
    )


def card_of(to: FlaskClient, request: object | None = None) -> dict[str, Any]:
    (card,) = fire(to, request or hook_request()).get_json()["cards"]
    return dict(card)


def types(card: Mapping[str, Any]) -> list[str]:
    return [action["type"] for s in card.get("suggestions", ()) for action in s["actions"]]


def without_suggestions(card: Mapping[str, Any]) -> dict[str, Any]:
    names = {"suggestions", "selectionBehavior", "overrideReasons"}
    return {name: value for name, value in card.items() if name not in names}


def test_the_standard_profile_has_every_suggestion() -> None:
    card = card_of(open_to("{}"))

    assert {"delete", "create", "update"} == set(types(card))
    assert "at-most-one" == card["selectionBehavior"]


def test_the_text_of_a_card_is_the_same_for_every_client() -> None:
    """R-CARD: the text alone is enough, so it may not depend on what else the client takes."""
    cards = [card_of(open_to(f"profile: {p}")) for p in ("standard", "epic", "text-only")]

    assert without_suggestions(cards[0]) == without_suggestions(cards[1])
    assert without_suggestions(cards[0]) == without_suggestions(cards[2])


def test_text_only_has_no_suggestion_and_keeps_the_reasons() -> None:
    card = card_of(open_to("profile: text-only"))

    assert not {"suggestions", "selectionBehavior"} & card.keys()
    assert len(knowledge().wording.override_reasons) == len(card["overrideReasons"])


def test_epic_is_offered_removal_and_what_its_preference_list_holds() -> None:
    """`ehr-integration.md` §1: one action a suggestion, `any`, order details are not taken over."""
    text = 'profile: epic\nsuggestions: {preferenceListCodes: {A5: "EAP-77"}}'
    card = card_of(open_to(text))

    assert ["delete", "create"] == sorted(types(card), reverse=True)
    assert "any" == card["selectionBehavior"]
    assert {1} == {len(s["actions"]) for s in card["suggestions"]}
    assert all(a["description"] for s in card["suggestions"] for a in s["actions"])
    (created,) = [
        a["resource"] for s in card["suggestions"] for a in s["actions"] if a["type"] == "create"
    ]
    assert [{"system": PREFERENCE_LIST_SYSTEM, "code": "EAP-77"}] == created["code"]["coding"]
    assert created["code"]["text"]


def test_epic_is_offered_no_order_that_its_preference_list_lacks() -> None:
    assert ["delete"] == types(card_of(open_to("profile: epic")))


def test_epic_gets_the_override_codes_that_the_site_mapped_and_no_other() -> None:
    mapped = card_of(open_to('profile: epic\noverrideCodes: {O1: "101", O4: "104"}'))
    unmapped = card_of(open_to("profile: epic"))

    assert ["101", "104"] == [reason["code"] for reason in mapped["overrideReasons"]]
    assert all(reason["system"] and reason["display"] for reason in mapped["overrideReasons"])
    assert "overrideReasons" not in unmapped


def test_a_mapped_override_code_comes_back_as_ours(database_url: str, rows: Rows) -> None:
    to = open_to('profile: epic\noverrideCodes: {O1: "101"}', database_url=database_url)
    report = {
        "card": card_of(to)["uuid"],
        "outcome": "overridden",
        "outcomeTimestamp": "2026-03-16T15:05:00Z",
        "overrideReasons": {"reason": {"code": "101"}},
    }
    to.post(f"{ORDER_SELECT}/feedback", json={"feedback": [report]})

    assert [["O1"]] == [row["override_codes"] for row in rows(FEEDBACK)]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [("[A1]", {"delete"}), ("[A5]", {"create"}), ("[A4]", {"update"}), ("[A8]", set())],
)
def test_a_site_chooses_the_kinds_of_suggestions(kinds: str, expected: set[str]) -> None:
    assert expected == set(types(card_of(open_to(f"suggestions: {{kinds: {kinds}}}"))))


@pytest.mark.parametrize("profile", ["standard", "epic", "text-only"])
def test_every_profile_gives_valid_cards(profile: str) -> None:
    text = f'profile: {profile}\nsuggestions: {{preferenceListCodes: {{A5: "1"}}}}'
    answer = fire(open_to(text), hook_request()).get_json()

    Draft202012Validator(json.loads(CARD_SCHEMA.read_text("utf-8"))).validate(answer)


@pytest.mark.parametrize(
    ("mode", "service_mode", "has_cards", "recorded"),
    [
        ("live", "live", True, ["live"]),
        ("silent", "live", False, ["silent"]),
        ("off", "live", False, []),
        ("live", "silent", False, ["silent"]),
        ("live", "off", False, []),
        ("silent", "off", False, []),
    ],
)
def test_of_two_modes_the_stricter_holds(
    mode: str,
    service_mode: str,
    *,
    has_cards: bool,
    recorded: list[str],
    tmp_path: Path,
    database_url: str,
    rows: Rows,
) -> None:
    """One client is silenced while others go on; no client escapes the kill switch."""
    switch = tmp_path / "switch"
    switch.write_text(service_mode)
    site = parse_site_file(site_text(client_entry(mode=mode)), name="site.yaml")
    settings = Settings(public_url=PUBLIC_URL, database_url=database_url, switch_file=switch)
    to = client(settings, site=site)
    answer = fire(to, hook_request(), headers=bearer(token()))

    assert has_cards == bool(answer.get_json()["cards"])
    assert recorded == [row["mode"] for row in rows(DECISION)]


def role(**members: object) -> dict[str, object]:
    return {"resourceType": "PractitionerRole", "id": "role-1", **members}


def encounter(**members: object) -> dict[str, object]:
    return {"resourceType": "Encounter", "id": "enc-1", **members}


SPECIALTY = {"specialty": [{"coding": [{"code": "207XS0117X", "display": "Spine Surgery"}]}]}
BY_ED = {"location": [{"location": {"reference": "Location/ed", "display": "Emergency"}}]}


def told(*resources: Mapping[str, object], **context: object) -> dict[str, object]:
    """Return a request whose prefetch holds these beside the chart, under keys of the site's."""
    extra = {f"-site-{n}": dict(resource) for n, resource in enumerate(resources)}
    request = hook_request(prefetch=full_prefetch() | extra)
    known = request["context"]
    assert isinstance(known, dict)
    known |= {"encounterId": "enc-1", **context}
    return request


@pytest.mark.parametrize(
    "request_told",
    [
        pytest.param(told(role(**SPECIALTY)), id="role of the user"),
        pytest.param(told(role(specialty=[{"text": "SPINE surgery "}])), id="by text"),
        pytest.param(
            told(
                role(practitioner={"reference": "Practitioner/p1"}, **SPECIALTY),
                userId="Practitioner/p1",
            ),
            id="role of the user's practitioner",
        ),
        pytest.param(
            told({"resourceType": "Bundle", "entry": [{"resource": role(**SPECIALTY)}]}),
            id="in a Bundle",
        ),
        pytest.param(told(encounter(**BY_ED)), id="department of the encounter"),
        pytest.param(told(encounter(serviceType={"text": "emergency"})), id="its service"),
        pytest.param(told(role(location=[{"display": "Emergency"}])), id="department of the role"),
    ],
)
def test_whom_the_site_leaves_out_is_shown_nothing_and_recorded(
    request_told: dict[str, object], database_url: str, rows: Rows
) -> None:
    text = "leaveOut: {specialties: [Spine surgery], departments: [Emergency]}"
    to = open_to(text, database_url=database_url)
    answer = fire(to, request_told)

    assert [] == answer.get_json()["cards"]
    assert 1 == len(decisions_of(answer))
    assert ["left-out"] == [row["mode"] for row in rows(DECISION)]


@pytest.mark.parametrize(
    "request_told",
    [
        pytest.param(told(), id="nothing is said"),
        pytest.param(told(role(specialty=[{"text": "Family medicine"}])), id="another specialty"),
        pytest.param(told({**role(**SPECIALTY), "id": "role-2"}), id="somebody else's role"),
        pytest.param(told({**encounter(**BY_ED), "id": "enc-2"}), id="another encounter"),
        pytest.param(told(encounter(**BY_ED), encounterId=""), id="no encounter in context"),
        pytest.param(
            told({"resourceType": "Condition", "id": "role-1", **SPECIALTY}), id="another type"
        ),
    ],
)
def test_whom_the_site_does_not_leave_out_is_shown_the_card(
    request_told: dict[str, object],
) -> None:
    text = "leaveOut: {specialties: [Spine surgery], departments: [Emergency]}"

    assert 1 == len(fire(open_to(text), request_told).get_json()["cards"])


def test_a_contained_role_of_the_requester_counts() -> None:
    order = {
        **LUMBAR_MRI,
        "contained": [role(**SPECIALTY)],
        "requester": {"reference": "#role-1"},
    }
    to = open_to("leaveOut: {specialties: [207XS0117X]}")

    assert [] == fire(to, hook_request(order)).get_json()["cards"]


def test_without_a_list_nobody_is_left_out() -> None:
    answer = fire(open_to("{}"), told(role(**SPECIALTY), encounter(**BY_ED)))

    assert 1 == len(body_of(answer)["cards"])  # type: ignore[arg-type]  # JSON


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://cds.example/lumbar", "https://cds.example/lumbar/knowledge/lumbar-mri"),
        ("http://cds.example", knowledge().wording.source_url),
        (None, knowledge().wording.source_url),
    ],
)
def test_the_source_of_a_card_is_the_page_with_its_rules(
    public_url: str | None, expected: str
) -> None:
    """R-LINK-06: only by https; 520(o)(1)(E) asks that the basis can be reviewed."""
    assert expected == card_of(open_to("{}", public_url=public_url))["source"]["url"]
