"""What must hold of every answer, whatever was sent.

Source: contract, "HTTP" and "The decision, machine-readable"; R-GEN-01, R-GEN-02, R-CTX-03,
R-CTX-13, R-LINK-06, R-ROB-02 to R-ROB-07; proof 2 of the design for emergencies.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from fuzzing.corpus import EMERGENCY_ROWS
from fuzzing.harness import Answer
from fuzzing.odd_values import CANARY
from fuzzing.sent import Sent

CODES: Mapping[int, frozenset[str]] = {
    400: frozenset({"malformed-request"}),
    401: frozenset({"not-authenticated"}),
    403: frozenset({"not-allowed"}),
    404: frozenset({"unknown-service", "not-found"}),
    405: frozenset({"method-not-allowed"}),
    412: frozenset({"evidence-unavailable"}),
    413: frozenset({"too-large"}),
    415: frozenset({"unsupported-media-type"}),
    429: frozenset({"too-many-requests"}),
}
"""Refusals of the contract, with the stable codes of each. No server error is among them."""
LONGEST_ERROR = 800
LONGEST_DETAIL = 10_000
LONGEST_LABEL = 120
LONGEST_DESCRIPTION = 400
LONGEST_REFERENCE = 600
LONGEST_DECISION = 60_000
"""Bytes of one decision object, or of one card without the drafts in its suggestions."""

_JSON = frozenset({"application/json", "application/fhir+json"})
_PAGES = frozenset({"text/html", "text/plain"})
_SCHEMA = json.loads(Path(__file__).parents[1].joinpath("card_schema.json").read_text("utf-8"))
_VALIDATOR = Draft202012Validator(_SCHEMA)
_DECISIONS = "org.lumbar-mri-cds.decisions"


def check(sent: Sent, answer: Answer) -> None:
    """Raise AssertionError with the reason if the answer breaks a promise."""
    status = answer.status_code
    assert CANARY not in str(answer.headers), "a header repeats what was sent"
    if status != 200:
        check_refusal(answer)
    elif answer.mimetype not in _PAGES and sent.method != "HEAD":
        body = strict_json(answer.data)
        assert answer.mimetype == "application/json", answer.mimetype
        if isinstance(body, dict) and "cards" in body:
            check_advice(sent, body)


def check_refusal(answer: Answer) -> None:
    """Check an answer that is not 200: a status and code of the contract, and nothing sent."""
    status, data = answer.status_code, answer.data
    assert status in CODES, f"status {status}: {data[:300]!r}"
    assert len(data) <= LONGEST_ERROR, f"{len(data)} bytes for {status}"
    assert CANARY.encode() not in data, "an error repeats what was sent"
    assert b"Traceback" not in data
    assert answer.mimetype == "application/fhir+json", answer.mimetype
    if not data:
        return  # HEAD
    outcome: Any = strict_json(data)
    (issue,) = outcome["issue"]
    (coding,) = issue["details"]["coding"]
    assert outcome["resourceType"] == "OperationOutcome"
    assert coding["code"] in CODES[status], f"{coding['code']} for {status}"


def check_advice(sent: Sent, body: dict[str, Any]) -> None:
    """Check the answer to a hook call that was read."""
    if problem := next(iter(_VALIDATOR.iter_errors(body)), None):
        place = "/".join(map(str, problem.absolute_path))
        raise AssertionError(f"{place}: {problem.message[:300]}")
    assert not (found := list(empty_places(body))), f"null or empty: {found[:5]}"
    request = json.loads(sent.body.removeprefix(b"\xef\xbb\xbf"))
    drafts = _drafts(request)
    for card in body["cards"]:
        _check_card(card, drafts, _bare(request["context"]["patientId"]))
    for decision in body.get("extension", {}).get(_DECISIONS, []):
        assert decision["order"] in drafts, "a decision on what is no draft"
        size = len(json.dumps(decision))
        assert size <= LONGEST_DECISION, f"a decision of {size} bytes"
    if sent.only_added:
        check_emergency(sent, body)


def check_emergency(sent: Sent, body: dict[str, Any]) -> None:
    """Check that an emergency with more in it is an emergency still, and nothing delays it."""
    decisions = {d["order"]: d for d in body["extension"][_DECISIONS]}
    before = decisions_before(sent)
    for order in sent.seed.emergencies:
        decision, was = decisions[order], before[order]
        assert decision["row"] in EMERGENCY_ROWS, f"{order} is {decision['row']} now"
        assert "overlay" not in decision, f"{order} has {decision.get('overlay')} now"
        assert decision["rating"] == was["rating"], f"{order} is rated {decision['rating']} now"
    deletes = [a for card in body["cards"] for a in _actions(card) if a["type"] == "delete"]
    assert not deletes, f"an offer to cancel: {deletes[0]['resourceId']}"


def decisions_before(sent: Sent) -> dict[str, dict[str, Any]]:
    """Return the decisions on the seed by order."""
    return {str(d["order"]): dict(d) for d in sent.seed.decisions}


def _check_card(card: dict[str, Any], drafts: Mapping[str, dict[str, Any]], patient: str) -> None:
    assert len(card["detail"]) <= LONGEST_DETAIL, f"a detail of {len(card['detail'])}"
    for link in card.get("links", []):
        assert link["url"].startswith("https://"), f"link {link['url'][:60]!r}"
        assert len(link["url"]) <= LONGEST_REFERENCE
        assert len(link["label"]) <= LONGEST_LABEL
    for suggestion in card.get("suggestions", []):
        assert len(suggestion["label"]) <= LONGEST_LABEL
    for action in _actions(card):
        assert len(action["description"]) <= LONGEST_DESCRIPTION, len(action["description"])
        match action["type"]:
            case "delete":
                assert action["resourceId"] in drafts, "a cancel of what is no draft"
            case "update":
                resource = action["resource"]
                ref = f"{resource['resourceType'].strip()}/{_id_of(resource)}"
                assert ref in drafts, "an update of what is no draft"
                assert _is_of(drafts[ref], patient), "an update of another patient's order"
            case _:
                subject = action["resource"]["subject"]["reference"]
                assert _bare(subject) == patient, "a new order for another patient"


def _is_of(draft: Mapping[str, Any], patient: str) -> bool:
    """Whether a draft names this patient, or nobody by a reference."""
    subject = draft.get("subject")
    subjects = subject if isinstance(subject, list) else [subject]
    sent = [s.get("reference") if isinstance(s, dict) else s for s in subjects]
    named = [s.strip() for s in sent if isinstance(s, str) and s.strip()]
    return all(_bare(s.removeprefix("urn:uuid:").rstrip("/")) == patient for s in named)


def _actions(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [a for s in card.get("suggestions", []) for a in s.get("actions", [])]


def _drafts(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the drafts by `Type/id`, spelled as the service spells it."""
    entries = request["context"]["draftOrders"].get("entry") or []
    drafts = [e["resource"] for e in entries if isinstance(e, dict) and e.get("resource")]
    return {f"{d['resourceType'].strip()}/{_id_of(d)}": d for d in drafts}


def _id_of(draft: Mapping[str, Any]) -> str:
    sent = draft.get("id")
    bare = sent.strip() if isinstance(sent, str) else ""
    return bare if is_referable(bare) else "?"


def is_referable(logical_id: str) -> bool:
    """Whether an id can stand in a reference without being read as anything else."""
    return (
        0 < len(logical_id) <= 300
        and logical_id.isascii()
        and logical_id.isprintable()
        and (not set(logical_id) & set(' "#&/<>?[\\]`|'))
    )


def _bare(reference: str) -> str:
    return reference.strip().partition("/_history/")[0].rpartition("/")[2]


def empty_places(value: object, path: str = "$", *, is_padded: bool = False) -> Iterator[str]:
    """Yield the path of each null and empty value (R-GEN-02).

    Left out: empty `cards`, and the padding of an array of FHIR primitives that has a twin.
    """
    if value is None or value in ("", [], {}):
        if path != "$.cards" and not is_padded:
            yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            twin = value.get(name[1:] if name.startswith("_") else f"_{name}")
            pads = isinstance(member, list) and isinstance(twin, list)
            yield from empty_places(member, f"{path}.{name}", is_padded=pads)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from empty_places(member, f"{path}[{index}]", is_padded=is_padded)


def strict_json(data: bytes) -> object:
    """Return the value, read by a reader of its own: no NaN, no name twice, UTF-8 (R-GEN-05)."""
    return json.loads(
        data.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_without_repetition
    )


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    assert len(members) == len(pairs), "a member name twice"
    return members
