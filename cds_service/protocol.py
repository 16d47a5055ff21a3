"""The CDS Hooks wire: what is asked, and the frame of every answer.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/, read tolerantly (3.0 ballot input, and what
real clients send). Requirement ids (R-XXX-nn) are those of the tests.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cds_service import strict_json
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.fhir import resource_ref
from cds_service.json_schemas import Schema, is_array, is_object

DECISIONS_EXTENSION = "org.lumbar-mri-cds.decisions"
MODE_EXTENSION = "org.lumbar-mri-cds.mode"
SYSTEM_ACTIONS = "systemActions"
"""Name of a member of CDS Hooks 2.0, and of the extension that the PAMA guide of 2019 has for the
same list: clients written to the guide read only that one (R-PAMA-01, R-EXT-02)."""
ERROR_SYSTEM = "https://lumbar-mri-cds.example/fhir/CodeSystem/error"

_ENVELOPE = Schema("hook-request")
_CONTEXTS: Mapping[str, Schema] = {
    "order-select": Schema("order-select-context"),
    "order-sign": Schema("order-sign-context"),
}

_ISSUE_TYPES: Mapping[int, str] = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    412: "incomplete",
    413: "too-long",
    415: "not-supported",
    429: "throttled",
    503: "transient",
}
"""HTTP status → code of FHIR R4 `issue-type`."""

MOST_DRAFTS = 1_000
"""Entries of `draftOrders`; a large admission order set has about 200."""
_MAY_BE_EMPTY = frozenset({"cards", "services"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirAuthorization:
    """The token for the EHR's FHIR server: for this call only, never stored, logged or echoed."""

    access_token: str = field(repr=False)
    scope: str = ""
    """As sent: some EHRs write names with blanks here, so it is never a reason to refuse."""
    patient: str = ""
    """Bare id that a patient-level token is limited to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftEntry:
    """One resource of `context.draftOrders`, as sent."""

    resource: Mapping[str, object]
    full_url: str = ""
    position: int = 0
    """Place in the Bundle, from 0."""

    @property
    def ref(self) -> str:
        """`Type/id`, or `Type/?` when it has no id."""
        return resource_ref(self.resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRequest:
    """One firing of order-select or order-sign."""

    service_id: str
    hook: str
    hook_instance: str
    """A UUID by the specification; any text is taken (R-CALL-16), so never log it unchecked."""
    patient_id: str
    """Bare id of the patient in context."""
    user_id: str = ""
    encounter_id: str = ""
    selections: tuple[str, ...] | None = None
    draft_orders: tuple[DraftEntry, ...]
    prefetch: Mapping[str, object]
    """Only the keys that were sent; null is kept as None: asked, and nothing there."""
    fhir_server: str | None = None
    """Base URL without a trailing slash, not yet checked against any allow-list."""
    fhir_authorization: FhirAuthorization | None = None


def parse_request(body: bytes, *, service_hook: str, service_id: str = "") -> HookRequest:
    """Return the request in `body` for a service that answers `service_hook`.

    Raises MalformedRequest (no JSON, a member missing or of a wrong type, another hook) or
    TooLarge. Source: R-CALL-02 to R-CALL-09, R-CALL-13, R-CTX-01, R-CTX-02.
    """
    message = strict_json.loads(body)
    _refuse(_ENVELOPE.problem(message))
    envelope = _object(message)
    if envelope["hook"] != service_hook:
        msg = f'hook must be "{service_hook}", the only hook that this service id answers.'
        raise MalformedRequest(msg)
    context = _object(envelope["context"])
    _refuse(_CONTEXTS[service_hook].problem(context, at="context"))
    selections = context.get("selections") if service_hook == "order-select" else None
    return HookRequest(
        service_id=service_id,
        hook=service_hook,
        hook_instance=_text(envelope["hookInstance"]),
        patient_id=_bare_id(_text(context["patientId"])),
        user_id=_text(context.get("userId")),
        encounter_id=_bare_id(_text(context.get("encounterId"))),
        selections=tuple(map(_text, selections)) if is_array(selections) else None,
        draft_orders=_drafts(_object(context["draftOrders"]), body),
        prefetch=_object(envelope.get("prefetch")),
        fhir_server=_base_url(_text(envelope.get("fhirServer"))),
        fhir_authorization=_fhir_authorization(_object(envelope.get("fhirAuthorization"))),
    )


def drafts_in_question(request: HookRequest) -> tuple[DraftEntry, ...]:
    """Return the drafts that the answer is about; the others are background (R-CTX-04).

    order-sign: all. order-select: the selected ones, matched on type and id or on fullUrl; when
    nothing is selected, or nothing that is in the Bundle, all, because a client that gets
    selections wrong must not silence the advice. A reference that stands twice counts once, as
    it stands last.
    """
    drafts = request.draft_orders
    if request.selections:
        names = frozenset(request.selections) - {""}
        refs = frozenset(map(_local_reference, names))
        drafts = tuple(d for d in drafts if d.ref in refs or d.full_url in names) or drafts
    newest = {d.ref: d.position for d in drafts if not d.ref.endswith("/?")}
    return tuple(d for d in drafts if newest.get(d.ref, d.position) == d.position)


def hook_answer(
    cards: Sequence[Mapping[str, object]],
    decisions: Sequence[Mapping[str, object]] = (),
    *,
    mode: str = "",
    system_actions: Sequence[Mapping[str, object]] = (),
) -> dict[str, object]:
    """Return the body of a 200 answer: cards, decisions, and the mode unless it is plain `live`.

    System actions stand in both places where clients look for them.
    """
    actions = list(system_actions)
    return _object(
        strip_empty(
            {
                "cards": list(cards),
                SYSTEM_ACTIONS: actions,
                "extension": {
                    DECISIONS_EXTENSION: list(decisions),
                    MODE_EXTENSION: mode,
                    SYSTEM_ACTIONS: actions,
                },
            }
        )
    )


def operation_outcome(status: int, code: str, diagnostics: str) -> dict[str, object]:
    """Return the body of an error answer (R-RESP-04); `code` is stable, the text is for people."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": _ISSUE_TYPES.get(status, "exception"),
                "details": {"coding": [{"system": ERROR_SYSTEM, "code": code}]},
                "diagnostics": diagnostics,
            }
        ],
    }


def strip_empty(value: object) -> object:
    """Return a copy without null, "", [] and {} (R-GEN-02); `cards` and `services` may be empty.

    One exception: FHIR pads an array of primitives and its `_` twin with null so that their
    places agree; taking those out would move values.
    """
    if is_object(value):
        kept: dict[str, object] = {}
        for name, member in value.items():
            if is_array(member) and _has_primitive_twin(name, value):
                kept[name] = member
                continue
            small = strip_empty(member)
            if not _is_empty(small) or (small == [] and name in _MAY_BE_EMPTY):
                kept[name] = small
        return kept
    if is_array(value):
        return [small for small in map(strip_empty, value) if not _is_empty(small)]
    return value


def _has_primitive_twin(name: str, members: Mapping[str, object]) -> bool:
    twin = name[1:] if name.startswith("_") else f"_{name}"
    return is_array(members.get(twin))


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def _drafts(bundle: Mapping[str, object], body: bytes) -> tuple[DraftEntry, ...]:
    """Return the drafts; if one holds a decimal, with all numbers as they were written (R-ACT-04).

    Orders seldom hold one, so the second reading of the body is seldom paid for.
    """
    drafts = _draft_entries(bundle)
    if not any(_holds_decimal(draft.resource) for draft in drafts):
        return drafts
    exact = _object(_object(strict_json.loads_exactly(body)).get("context"))
    return _draft_entries(_object(exact.get("draftOrders")))


def _holds_decimal(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_decimal, value.values()))
    if isinstance(value, list):
        return any(map(_holds_decimal, value))
    return isinstance(value, float)


def _draft_entries(bundle: Mapping[str, object]) -> tuple[DraftEntry, ...]:
    """Keep the entries that hold a resource; the schema has checked the frame (R-CTX-08)."""
    entries = bundle.get("entry")
    if not is_array(entries):
        return ()
    if len(entries) > MOST_DRAFTS:
        raise TooLarge(f"context.draftOrders holds more than {MOST_DRAFTS} entries.")
    found = []
    for position, entry in enumerate(entries):
        if is_object(entry) and is_object(resource := entry.get("resource")):
            found.append(
                DraftEntry(
                    resource=resource, full_url=_text(entry.get("fullUrl")), position=position
                )
            )
    return tuple(found)


def _fhir_authorization(sent: Mapping[str, object]) -> FhirAuthorization | None:
    """Return what can be used as a Bearer token, else None; a wrong shape was refused before."""
    if not sent or _text(sent.get("token_type")).lower() not in ("bearer", ""):
        return None
    return FhirAuthorization(
        access_token=_text(sent["access_token"]),
        scope=_text(sent.get("scope")),
        patient=_bare_id(_text(sent.get("patient"))),
    )


def _base_url(sent: str) -> str | None:
    """Return an http(s) base URL; anything else cannot be called: as if absent (R-FHIR-06)."""
    url = sent.strip().rstrip("/")
    return url if url.lower().startswith(("https://", "http://")) else None


def _bare_id(sent: str) -> str:
    """Return `x` of `x`, `Patient/x`, `https://host/fhir/Patient/x` and `Patient/x/_history/1`."""
    return sent.strip().partition("/_history/")[0].rpartition("/")[2]


def _local_reference(sent: str) -> str:
    """Return `Type/id` of a relative, absolute or versioned reference."""
    return "/".join(sent.strip().partition("/_history/")[0].split("/")[-2:])


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise MalformedRequest(problem)


def _text(value: object) -> str:
    """Return a string; null, absent or of another type is no text."""
    return value if isinstance(value, str) else ""


def _object(value: object) -> dict[str, object]:
    """Return an object; null and absent are an empty one."""
    return value if is_object(value) else {}


def uuid_in(sent: str) -> str | None:
    """Return a UUID in lower case; None for any other text, which may be a name or a number."""
    lower = sent.lower()
    return lower if _UUID.fullmatch(lower) else None
