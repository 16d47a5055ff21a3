"""The Argonaut PAMA extension where a site claims it: R-PAMA-01 to R-PAMA-09, on the real service.

That a service without a claim sends none is held by `test_conformance_cards.py`.
"""

import copy
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from answers import Exchange, objects, with_prefetch
from client_tokens import PUBLIC_URL, bearer, client_entry, site_text, token
from fixture_stories import stories
from flask.testing import FlaskClient
from http_service import (
    BACK_PAIN,
    KNEE_MRI,
    LUMBAR_MRI,
    NAPROXEN,
    NOW,
    ORDER_SELECT,
    ORDER_SIGN,
    body_of,
    bundle,
    client,
    decisions_of,
    fire,
    full_prefetch,
    hook_request,
)
from jsonschema import Draft202012Validator
from stores import Rows
from test_public_sandbox import REASON, STUDY, request_of

from cds_service.client_profiles import PamaClaim
from cds_service.errors import SettingsError
from cds_service.modes import Mode
from cds_service.pama_ratings import (
    AUC_APPLIED,
    CONSULT_ID,
    QCDSM_CONSULTED,
    RATING,
    RATING_SYSTEM,
)
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import load_site_file, parse_site_file
from cds_service.store.tables import DECISION

G_CODE = "G1234"
# What could not be recorded within the budget is not rated: busy machines get the time they need.
SETTINGS = Settings(client_auth=ClientAuth.OFF, time_budget_ms=30_000)
OPEN = f"pama: {{qcdsm: {G_CODE}, openClients: true}}"
CRITERIA = "https://criteria.example/low-back-pain"
SCHEMA = json.loads(Path(__file__).with_name("card_schema.json").read_text("utf-8"))
REQUIRED = {RATING, QCDSM_CONSULTED, CONSULT_ID}
OTHER_EXTENSION = {"url": "https://ehr.example/ward", "valueString": "4 West"}
EARLIER = [
    {
        "url": RATING,
        "valueCodeableConcept": {
            "coding": [{"system": RATING_SYSTEM, "code": "no-guidelines-apply"}]
        },
    },
    {"url": QCDSM_CONSULTED, "valueString": "G9999"},
    OTHER_EXTENSION,
    {"url": CONSULT_ID, "valueUri": "urn:uuid:2f0cb4a0-1c9b-4f5e-9f0e-0a8f4a2b7c11"},
    {"url": AUC_APPLIED, "valueUri": "https://criteria.example/of-another-service"},
]


def open_to(text: str = OPEN, **settings: Any) -> FlaskClient:  # noqa: ANN401 - settings of any type
    """Return the service with a site file, open to all."""
    return client(
        replace(SETTINGS, **settings),
        site=parse_site_file(text, name="site.yaml"),
    )


def rated(answer: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the system actions, which must be the same in both places (R-PAMA-01)."""
    extension = answer.get("extension", {})
    assert isinstance(extension, dict)
    assert answer.get("systemActions") == extension.get("systemActions")
    assert answer.get("systemActions") != []
    return objects(answer.get("systemActions"))


def ours(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extensions of the guide by address; fails if one stands twice."""
    found = [e for e in resource.get("extension", []) if e["url"] in {*REQUIRED, AUC_APPLIED}]
    assert len(found) == len({extension["url"] for extension in found})
    return {extension["url"]: extension for extension in found}


def code_of(resource: Mapping[str, Any]) -> str:
    (coding,) = ours(resource)[RATING]["valueCodeableConcept"]["coding"]
    assert RATING_SYSTEM == coding["system"]
    return str(coding["code"])


def consult_of(resource: Mapping[str, Any]) -> str:
    handle = ours(resource)[CONSULT_ID]["valueUri"]
    assert str(handle).startswith("urn:uuid:")
    return str(uuid.UUID(handle.removeprefix("urn:uuid:")))


def without_ours(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as it is without the guide's extensions."""
    addresses = {*REQUIRED, AUC_APPLIED}
    kept = [e for e in resource.get("extension", []) if e["url"] not in addresses]
    rest = {name: value for name, value in resource.items() if name != "extension"}
    return rest | ({"extension": kept} if kept else {})


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Return the answers to all stories, rated."""
    return tuple(_exchanges())


def _exchanges() -> Iterator[Exchange]:
    for story in stories():
        # Variants of a story share a hookInstance; an EHR sends a new one with each call.
        instance = str(uuid.uuid5(uuid.NAMESPACE_OID, story.name))
        request = with_prefetch(story) | {"hookInstance": instance}
        answer = body_of(fire(_service_with(story.site_file), request))
        yield Exchange(name=story.name, request=request, answer=answer)


@cache
def _service_with(site_file: Path | None) -> FlaskClient:
    site = load_site_file(site_file)
    form = replace(site.form, pama=PamaClaim(qcdsm=G_CODE))
    return client(SETTINGS, site=replace(site, form=form))


def told_and_rated(exchange: Exchange) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield each decision with the rating that the order was given; None for none."""
    given = {f"ServiceRequest/{a['resource']['id']}": a for a in rated(exchange.answer)}
    extension = exchange.answer.get("extension", {})
    assert isinstance(extension, dict)
    for decision in extension.get("org.lumbar-mri-cds.decisions", []):
        action = given.pop(decision["order"], None)
        yield decision, code_of(action["resource"]) if action else None
    assert {} == given, "rated without a decision"


@cache
def by_story() -> Mapping[str, tuple[tuple[dict[str, Any], str | None], ...]]:
    return {exchange.name: tuple(told_and_rated(exchange)) for exchange in exchanges()}


def test_a_rated_order_comes_back_with_the_extensions_of_the_guide() -> None:
    """R-PAMA-01 to R-PAMA-04, R-ACT-08, R-RESP-02, R-EXT-02."""
    answer = fire(open_to(), hook_request()).get_json()
    (action,) = rated(answer)
    resource = action["resource"]

    assert "update" == action["type"]
    assert action["description"]
    assert REQUIRED == set(ours(resource))
    assert "not-appropriate" == code_of(resource)
    assert {"url": QCDSM_CONSULTED, "valueString": G_CODE} == ours(resource)[QCDSM_CONSULTED]
    assert consult_of(resource)
    assert LUMBAR_MRI == without_ours(resource)
    Draft202012Validator(SCHEMA).validate(answer)


def test_the_criteria_are_named_where_the_site_names_them() -> None:
    """R-PAMA-05."""
    text = f"pama: {{qcdsm: {G_CODE}, aucApplied: '{CRITERIA}', openClients: true}}"
    (action,) = rated(fire(open_to(text), hook_request()).get_json())

    assert {"url": AUC_APPLIED, "valueUri": CRITERIA} == ours(action["resource"])[AUC_APPLIED]


def test_every_answer_to_a_story_meets_the_closed_schema() -> None:
    """R-PAMA-01, R-RESP-02, R-EXT-02."""
    validator = Draft202012Validator(SCHEMA)

    assert [] == [
        f"{e.name}: {error.message[:200]}"
        for e in exchanges()
        for error in validator.iter_errors(e.answer)
    ]


def test_an_order_without_the_added_extensions_is_the_draft() -> None:
    """R-PAMA-06, R-ACT-09: in every story."""
    actions = [(e, a["resource"]) for e in exchanges() for a in rated(e.answer)]

    assert len(actions) > 100
    for exchange, resource in actions:
        draft = exchange.drafts[f"ServiceRequest/{resource['id']}"]
        assert draft == without_ours(resource), exchange.name
        assert REQUIRED == set(ours(resource)), exchange.name


@pytest.mark.parametrize("number", ["1.50", "1E+2", "12345678901234567890123"])
def test_numbers_come_back_as_they_were_written(number: str) -> None:
    """R-PAMA-06: FHIR decimals carry their precision."""
    draft = {**LUMBAR_MRI, "quantityQuantity": {"value": "NUMBER", "unit": "1"}}
    body = json.dumps(hook_request(draft)).replace('"NUMBER"', number)
    answer = open_to().post(ORDER_SELECT, data=body, content_type="application/json")

    assert 1 == len(rated(answer.get_json()))
    (top, _, _) = answer.text.partition('"extension":{"org.')
    assert f'"value":{number},' in top[top.index('"systemActions"') :]


def test_the_rating_follows_from_the_decision_in_every_story() -> None:
    """R-PAMA-02, R-PAMA-07."""
    seen = set()
    for name, pairs in by_story().items():
        for decision, code in pairs:
            unsure = decision["provisional"] or "unreadable" in decision
            match decision["rating"]:
                case "usually-appropriate" | "may-be-appropriate":
                    expected: str | None = "appropriate"
                case "not-covered":
                    expected = "no-criteria-apply"
                case "usually-not-appropriate" if decision["row"] in {"E1", "E2"}:
                    expected = "appropriate"
                case "usually-not-appropriate" if not unsure:
                    expected = "not-appropriate"
                case _:
                    expected = None
            seen.add(expected)

            assert expected == code, name

    assert {"appropriate", "not-appropriate", "no-criteria-apply", None} == seen


def test_an_emergency_is_always_rated_appropriate() -> None:
    """Whatever the contrast: the rating travels without the card that would explain it."""
    urgent = [
        (decision["protocol"], code)
        for pairs in by_story().values()
        for decision, code in pairs
        if decision["row"] in {"E1", "E2"}
    ]

    assert {"without", "with"} <= {protocol for protocol, _ in urgent}
    assert {"appropriate"} == {code for _, code in urgent}


@pytest.mark.parametrize(
    ("story", "row", "code"),
    [
        ("cauda-equina-suspected-contrast-only", "E1", "appropriate"),
        ("foot-drop-contrast-only", "E2", "appropriate"),
        ("six-weeks-of-care-and-surgery-planned", "S1", "appropriate"),
        ("acute-back-pain-ten-days", "S4a", "not-appropriate"),
        ("contrast-only-and-egfr-twenty-nine", "R3", "not-appropriate"),
        ("multiple-sclerosis-follow-up", "G2", "no-criteria-apply"),
        ("whole-spine-order", "G4", "no-criteria-apply"),
        ("foot-drop-onset-thirty-one-days-ago", "S4a", None),
        ("chronic-back-pain-no-care-on-record", "S4b", None),
        ("no-reason-anywhere", "G3", None),
        ("lumbar-mri-before-studies-unreadable", "S2", None),
    ],
)
def test_named_stories_are_rated_as_the_committee_would_read_it(
    story: str, row: str, code: str | None
) -> None:
    """R-PAMA-07: what is provisional is never `not-appropriate`; the card asks instead."""
    ((decision, given),) = by_story()[story]

    assert (row, code) == (decision["row"], given)


def test_a_source_that_was_not_read_leaves_no_order_not_appropriate() -> None:
    """R-PAMA-07: also where only the contrast is wrong, which no brake softens."""
    with_contrast = {
        **LUMBAR_MRI,
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72149"}]},
    }
    cancer = {
        **BACK_PAIN,
        "id": "cond-2",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "Z85.3"}]},
    }
    prefetch = full_prefetch() | {"conditions": bundle(BACK_PAIN, cancer)}
    whole = fire(open_to(), hook_request(with_contrast, prefetch=prefetch))
    del prefetch["observations"]
    in_part = fire(open_to(), hook_request(with_contrast, prefetch=prefetch))

    for answer in (whole, in_part):
        (decision,) = decisions_of(answer)
        assert ("R3", "usually-not-appropriate") == (decision["row"], decision["rating"])
        assert not decision["provisional"]
    assert ["not-appropriate"] == [code_of(a["resource"]) for a in rated(whole.get_json())]
    assert "unreadable" in decisions_of(in_part)[0]
    assert [] == rated(in_part.get_json())


def test_an_earlier_rating_is_replaced_whole() -> None:
    """R-PAMA-09: the criteria of another service do not stay beside our rating."""
    request = hook_request({**LUMBAR_MRI, "extension": EARLIER})
    (action,) = rated(fire(open_to(), request).get_json())
    resource = action["resource"]

    assert REQUIRED == set(ours(resource))
    assert G_CODE == ours(resource)[QCDSM_CONSULTED]["valueString"]
    assert "not-appropriate" == code_of(resource)
    assert OTHER_EXTENSION == resource["extension"][0]
    assert without_ours({**LUMBAR_MRI, "extension": EARLIER}) == without_ours(resource)


def test_firing_again_with_the_rated_order_gives_one_new_rating() -> None:
    """R-PAMA-04, R-PAMA-09."""
    first = open_to()
    (before,) = rated(fire(first, hook_request()).get_json())
    later = client(
        SETTINGS,
        site=parse_site_file(OPEN, name="site.yaml"),
        now=NOW + timedelta(microseconds=1),
    )
    (after,) = rated(fire(later, hook_request(before["resource"])).get_json())

    assert LUMBAR_MRI == without_ours(after["resource"])
    assert REQUIRED == set(ours(after["resource"]))
    assert consult_of(before["resource"]) != consult_of(after["resource"])


def test_consult_ids_are_unique_over_orders_services_and_calls() -> None:
    """R-PAMA-04."""
    of_stories = [consult_of(a["resource"]) for e in exchanges() for a in rated(e.answer)]
    two = hook_request(LUMBAR_MRI, {**LUMBAR_MRI, "id": "draft-2"})
    together = [consult_of(a["resource"]) for a in rated(fire(open_to(), two).get_json())]
    signing = fire(open_to(), hook_request(hook="order-sign"), path=ORDER_SIGN).get_json()
    ids = [*of_stories, *together, *(consult_of(a["resource"]) for a in rated(signing))]

    assert 2 == len(together)
    assert len(set(ids)) == len(ids)


def test_a_consultation_is_found_in_the_record(database_url: str, rows: Rows) -> None:
    """R-PAMA-04: the handle in the order names the row; orders that were not rated have none."""
    no_reason = {k: v for k, v in LUMBAR_MRI.items() if k != "reasonCode"}
    unrated = {**no_reason, "id": "draft-2", "resourceType": "ProcedureRequest"}
    to = open_to(database_url=database_url)
    (action,) = rated(fire(to, hook_request(LUMBAR_MRI, unrated)).get_json())

    assert [consult_of(action["resource"]), None] == [row["consult_id"] for row in rows(DECISION)]


def test_what_could_not_be_recorded_is_not_claimed(tmp_path: Path) -> None:
    """A handle that leads nowhere is no handle; the clinician gets the card all the same."""
    (tmp_path / "state").write_text("a file where the folder should be")
    answer = fire(open_to(state_directory=tmp_path / "state"), hook_request()).get_json()

    assert 1 == len(answer["cards"])
    assert [] == rated(answer)


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.OFF])
def test_a_mode_in_which_nothing_is_shown_rates_nothing(mode: Mode) -> None:
    answer = fire(open_to(mode=mode), hook_request()).get_json()

    assert [] == answer["cards"]
    assert [] == rated(answer)


def test_an_order_of_whom_the_site_leaves_out_is_not_rated(database_url: str, rows: Rows) -> None:
    role = {"resourceType": "PractitionerRole", "id": "role-1", "specialty": [{"text": "Spine"}]}
    order = {**LUMBAR_MRI, "contained": [role], "requester": {"reference": "#role-1"}}
    text = f"{OPEN}\nleaveOut: {{specialties: [Spine]}}"
    answer = fire(open_to(text, database_url=database_url), hook_request(order)).get_json()

    assert [] == rated(answer)
    assert [("left-out", None)] == [(row["mode"], row["consult_id"]) for row in rows(DECISION)]


def test_other_orders_of_the_basket_are_not_rated() -> None:
    answer = fire(open_to(), hook_request(KNEE_MRI, LUMBAR_MRI, NAPROXEN)).get_json()
    nothing = fire(open_to(), hook_request(KNEE_MRI, NAPROXEN)).get_json()

    assert [LUMBAR_MRI["id"]] == [action["resource"]["id"] for action in rated(answer)]
    assert {"cards": []} == nothing


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"id": None}, id="no id"),
        pytest.param({"extension": {"url": "x"}}, id="extension is no list"),
        pytest.param({"extension": "x"}, id="extension is text"),
        pytest.param({"resourceType": "ProcedureRequest"}, id="of an older FHIR"),
    ],
)
def test_an_order_that_cannot_be_updated_is_left_out(change: Mapping[str, object]) -> None:
    """R-PAMA-01, R-PAMA-06: judged and answered as ever."""
    draft = {**LUMBAR_MRI, **change}
    request = hook_request(draft, selections=[])
    answer = fire(open_to(), request)

    assert 1 == len(decisions_of(answer))
    assert [] == rated(answer.get_json())


def test_odd_entries_among_the_extensions_are_survived() -> None:
    """R-ROB-06: they stay as they are, but for what may not be sent (R-GEN-02)."""
    odd: list[object] = [{"url": {"a": "b"}}, "text", 7, {"valueString": "no url"}, None, {}]
    request = hook_request({**LUMBAR_MRI, "extension": odd})
    (action,) = rated(fire(open_to(), request).get_json())

    assert odd[:4] == action["resource"]["extension"][:4]
    assert 7 == len(action["resource"]["extension"])


def test_without_extensions_null_counts_as_absent() -> None:
    request = hook_request({**LUMBAR_MRI, "extension": None})
    (action,) = rated(fire(open_to(), request).get_json())

    assert LUMBAR_MRI == without_ours(action["resource"])


def test_no_suggestion_carries_a_rating_of_its_own() -> None:
    """R-PAMA-08: they may. An order that a suggestion changed is judged when the hook fires again;
    until then it has what the draft had, which is of that draft.
    """  # noqa: D205  # a list of ids
    drafts: list[Mapping[str, object]] = [LUMBAR_MRI, {**LUMBAR_MRI, "extension": EARLIER}]
    for draft in drafts:
        answer = fire(open_to(), hook_request(draft)).get_json()
        written = [
            action["resource"]
            for card in answer["cards"]
            for suggestion in card["suggestions"]
            for action in suggestion["actions"]
            if action["type"] == "update"
        ]

        assert written
        assert all(resource.get("extension") == draft.get("extension") for resource in written)


@pytest.mark.parametrize("wants", [True, False])
def test_a_registered_client_is_rated_if_its_entry_says_so(
    *, wants: bool, database_url: str, rows: Rows
) -> None:
    """`openClients` is for calls of nobody; a known client needs its own word."""
    entry = client_entry(**({"pamaExtension": True} if wants else {}))
    text = site_text(entry, pama={"qcdsm": G_CODE, "openClients": True})
    to = client(
        Settings(public_url=PUBLIC_URL, database_url=database_url, time_budget_ms=30_000),
        site=parse_site_file(text, name="site.yaml"),
    )
    answer = fire(to, hook_request(), headers=bearer(token())).get_json()

    assert int(wants) == len(rated(answer))
    assert [wants] == [row["consult_id"] is not None for row in rows(DECISION)]


@pytest.mark.parametrize(
    "text", ["{}", f"pama: {{qcdsm: {G_CODE}}}", f"pama: {{qcdsm: {G_CODE}, openClients: false}}"]
)
def test_nothing_is_claimed_unless_the_site_switches_it_on(text: str) -> None:
    """R-PAMA-01 to R-PAMA-09 bind only a service that claims them."""
    answer = fire(open_to(text), hook_request())

    assert "pama" not in answer.text
    assert "systemActions" not in answer.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "clients:\n- issuer: a\n  pamaExtension: true",
            "site.yaml:3: clients.a.pamaExtension: needs `pama: {qcdsm: …}`",
        ),
        ("pama: {openClients: true}", "site.yaml:1: pama.qcdsm is missing"),
        ("pama:\n  qcdsm: 1234", "site.yaml:2: pama.qcdsm must be the G-code that CMS gave"),
        ("pama: {qcdsm: G12345}", "pama.qcdsm must be the G-code"),
        ("pama: {qcdsm: G1234, aucApplied: ACR 2021}", "pama.aucApplied must be a URI"),
        ("pama: {qcdsm: G1234, openClients: yes}", "pama.openClients must be true or false"),
        ("pama: {qcdsm: G1234, on: true}", "unknown keys: on; known: qcdsm, aucApplied"),
        ("clients: [{issuer: a, pamaExtension: 1}]", "pamaExtension must be true or false"),
    ],
)
def test_a_claim_without_a_g_code_is_refused_with_line_and_key(text: str, says: str) -> None:
    """R-PAMA-03: a service without a G-code cannot truthfully name one."""
    with pytest.raises(SettingsError) as caught:
        parse_site_file(text, name="site.yaml")

    assert says in str(caught.value)


def test_a_client_that_wants_no_rating_needs_no_g_code() -> None:
    site = parse_site_file("clients: [{issuer: a, pamaExtension: false}]", name="site.yaml")

    assert site.form_for(site.clients[0]).pama is None


def test_the_public_sandbox_finds_the_rating_of_its_order() -> None:
    """R-PAMA-01: `onSystemActions` reads `extension.systemActions` and nothing else."""
    sent = request_of(STUDY, [REASON], prefetch=hook_request()["prefetch"])
    draft = copy.deepcopy(sent["context"]["draftOrders"]["entry"][0]["resource"])
    answer = fire(open_to(cors_origins=("http://localhost:8080",)), sent).get_json()
    (update,) = answer["extension"]["systemActions"]

    assert ("update", "example-request-id") == (update["type"], update["resource"]["id"])
    assert "not-appropriate" == code_of(update["resource"])
    assert draft == without_ours(update["resource"])
