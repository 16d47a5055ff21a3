"""CDS Hooks 2.0: what every card, suggestion, action and link of the service must be.

Each test reads all answers to the stories of `fhir_fixtures/`, so every base row is covered.
Not bound: R-ACT-08, R-ACT-09 (no system actions are sent here; `test_pama.py` has those that are
sent where a site asks for them), R-LINK-05 (no link launches itself),
R-SUG-05 (`actionSelectionBehavior` is never sent): the closed schema proves all of it.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import Exchange, exchanges, objects
from http_service import LUMBAR_MRI, body_of, client, fire, hook_request
from jsonschema import Draft202012Validator

SCHEMA = json.loads(Path(__file__).with_name("card_schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def empties(value: object, path: str = "$") -> Iterator[str]:
    """Yield the path of every null and empty value but an empty `cards`."""
    if value is None or value in ("", [], {}):
        if not path.endswith(".cards"):
            yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from empties(member, f"{path}.{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from empties(member, f"{path}[{index}]")


def all_actions() -> list[tuple[Exchange, dict[str, object]]]:
    return [(e, a) for e in exchanges() for a in e.actions]


def test_the_answers_hold_cards_suggestions_and_actions_to_look_at() -> None:
    indicators = {c["indicator"] for e in exchanges() for c in e.cards}

    assert {"info", "warning", "critical"} == indicators
    assert {"create", "update"} <= {a["type"] for _, a in all_actions()}


def test_every_answer_meets_the_closed_schema() -> None:
    """R-RESP-01, R-RESP-02, R-RESP-06, R-CARD-01 to R-CARD-13, R-SUG-01, R-SUG-02, R-SUG-04,
    R-SUG-05, R-ACT-01 to R-ACT-03, R-ACT-05, R-ACT-06, R-ACT-08, R-LINK-01 to R-LINK-05, R-COD-01,
    R-EXT-01, R-EXT-02, R-GEN-03.
    """  # noqa: D205  # a list of ids
    problems = [
        f"{e.name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for e in exchanges()
        for error in VALIDATOR.iter_errors(e.answer)
    ]

    assert [] == problems


def test_nothing_sent_is_null_or_empty() -> None:
    """R-GEN-02."""
    assert [] == [f"{e.name}: {path}" for e in exchanges() for path in empties(e.answer)]


def test_uuids_are_unique_within_an_answer_and_over_all_calls() -> None:
    """R-CARD-01, R-SUG-02. Variants of one story share a hookInstance, so they share uuids."""
    owners: dict[object, set[object]] = {}
    for exchange in exchanges():
        uuids = [c["uuid"] for c in (*exchange.cards, *exchange.suggestions)]
        for uuid in uuids:
            owners.setdefault(uuid, set()).add(exchange.request["hookInstance"])

        assert len(uuids) == len(set(uuids)), exchange.name

    assert {1} == {len(calls) for calls in owners.values()}


def test_a_new_hook_instance_gives_new_uuids() -> None:
    """R-CARD-01."""
    first = body_of(fire(client(), hook_request()))
    second = body_of(
        fire(
            client(),
            {**hook_request(), "hookInstance": "0b9c1c9e-6f0e-4f3b-9a57-2f6c3e0d7a11"},
        )
    )
    uuids = [{c["uuid"] for c in objects(answer["cards"])} for answer in (first, second)]

    assert uuids[0]
    assert uuids[0].isdisjoint(uuids[1])


def test_more_than_one_recommended_suggestion_only_where_any_may_be_chosen() -> None:
    """R-SUG-03, R-CARD-11."""
    for exchange in exchanges():
        for card in exchange.cards:
            recommended = [s for s in objects(card.get("suggestions")) if s.get("isRecommended")]

            assert len(recommended) <= 1 or card["selectionBehavior"] == "any"


_TAGS = re.compile(
    r"<\s*/?\s*(?:script|iframe|style|title|textarea|xmp|noembed|noframes|plaintext|img|a|div)",
    re.IGNORECASE,
)
_LIVE_LINK = re.compile(r"\]\(\s*(?:javascript|data|vbscript):", re.IGNORECASE)


def test_details_hold_no_html_and_no_live_script_links() -> None:
    """R-CARD-04, R-CARD-05."""
    for exchange in exchanges():
        for card in exchange.cards:
            text = str(card.get("detail", ""))

            assert not _TAGS.search(text), exchange.name
            assert not _LIVE_LINK.search(text), exchange.name
            assert not text.lstrip().startswith(("{", "<"))


HOSTILE = (
    "<script>alert(1)</script> [x](javascript:alert(1)) ![i](https://evil.example/p.png) "
    "<img src=x onerror=alert(1)> back pain \u202e\x07"
)


def test_hostile_chart_text_is_never_live_in_a_card() -> None:
    """R-CARD-05: in the order, in its reason, in a condition."""
    request = hook_request(
        {**LUMBAR_MRI, "reasonCode": [{"text": HOSTILE}], "note": [{"text": HOSTILE}]}
    )
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    condition = copy.deepcopy(prefetch["conditions"])
    condition["entry"][0]["resource"]["code"] = {"text": HOSTILE}
    prefetch["conditions"] = condition
    cards = objects(body_of(fire(client(), request))["cards"])
    shown = " ".join(f"{c['summary']} {c.get('detail', '')}" for c in cards)

    assert cards
    assert not _TAGS.search(shown)
    assert not re.search(r"(?<!\\)\]\(\s*javascript:", shown)
    assert not re.search(r"(?<!\\)!\[", shown)
    assert "\u202e" not in shown
    assert "\x07" not in shown


def test_an_update_carries_the_whole_draft_with_its_id() -> None:
    """R-ACT-04, R-ACT-07: every element the draft had is still there."""
    updates = [(e, a["resource"]) for e, a in all_actions() if a["type"] == "update"]

    assert updates
    for exchange, resource in updates:
        assert isinstance(resource, dict)
        draft = exchange.drafts[f"{resource['resourceType']}/{resource['id']}"]
        assert set(draft) <= set(resource), exchange.name
        unchanged = {n for n in draft if draft[n] == resource[n]}
        assert set(draft) - unchanged <= {
            "code",
            "priority",
            "reasonCode",
            "orderDetail",
            "note",
            "occurrenceDateTime",
        }, exchange.name


def test_a_delete_names_a_draft_of_this_call() -> None:
    """R-ACT-05, R-ACT-07."""
    deletes = [(e, a["resourceId"]) for e, a in all_actions() if a["type"] == "delete"]

    assert deletes
    assert [] == [f"{e.name}: {r}" for e, r in deletes if r not in e.drafts]


def test_proposed_orders_are_drafts_for_the_patient_in_context() -> None:
    """R-ACT-10."""
    for exchange, action in all_actions():
        resource = action.get("resource")
        if action["type"] != "create" or not isinstance(resource, dict):
            continue
        context = exchange.request["context"]
        assert isinstance(context, dict)
        patient = str(context["patientId"]).rpartition("/")[2]

        subject = resource["subject"]
        assert isinstance(subject, dict)

        assert f"/Patient/{patient}".endswith(f"/{subject['reference']}") or str(
            subject["reference"]
        ).endswith(f"/Patient/{patient}"), exchange.name
        if resource["resourceType"] in {"ServiceRequest", "MedicationRequest"}:
            assert "draft" == resource["status"]


def test_links_are_https_without_patient_data() -> None:
    """R-LINK-06, R-CARD-08."""
    for exchange in exchanges():
        context = exchange.request["context"]
        assert isinstance(context, dict)
        patient = str(context["patientId"]).rpartition("/")[2]
        for card in exchange.cards:
            source = card["source"]
            assert isinstance(source, dict)
            urls = [link["url"] for link in objects(card.get("links"))] + [source.get("url")]

            assert all(str(u).startswith("https://") for u in urls if u), exchange.name
            assert all(patient not in str(u) for u in urls)


def test_no_answer_claims_a_pama_rating() -> None:
    """R-PAMA-01 to R-PAMA-09 bind only a service that claims them; here no site does."""
    assert not [e.name for e in exchanges() if "pama-rating" in json.dumps(e.answer)]


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_source_topics_are_short_static_words(hook: str) -> None:
    """R-CARD-10, and Epic ties overrides to `source.topic.code` (ehr-integration §4.15)."""
    topics = [
        str(card["source"]["topic"]["code"])  # type: ignore[index]  # the schema test has checked it
        for e in exchanges()
        if e.request["hook"] == hook
        for card in e.cards
    ]

    assert topics
    assert [] == [t for t in topics if not re.fullmatch(r"[A-Za-z0-9]{1,100}", t)]
