"""The hook calls that are sent: a body in two halves with room for a hookInstance between them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from benchmarks.patients import PAIN_DAYS, PATIENT_ID, ChartBuilder, Resource, searchset

ROW = "S4a"
"""Ten days of plain back pain, nothing else: too early for an MRI (decision table, S4a)."""
PATH = "/cds-services/lumbar-mri-order-select"

SMALL: Mapping[str, int] = {
    "conditions": 3,
    "observations": 4,
    "medicationRequests": 1,
    "allergies": 1,
}
MEDIUM: Mapping[str, int] = {
    "conditions": 15,
    "observations": 90,
    "imagingStudies": 4,
    "diagnosticReports": 10,
    "procedures": 8,
    "serviceRequests": 8,
    "medicationRequests": 10,
    "allergies": 3,
    "devices": 1,
}
LARGE: Mapping[str, int] = {"observations": 2_000, "imagingStudies": 50, "conditions": 100}

_INSTANCE = "00000000-0000-4000-8000-000000000000"
_CPT = "http://www.ama-assn.org/go/cpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """One request, to be sent any number of times, each time as a call of its own."""

    name: str
    before: bytes
    """Of the body, up to the hookInstance."""
    after: bytes
    entries: int
    """Resources in prefetch."""
    rows: tuple[str, ...]
    """Row of each decision that must come back; none where the order is not ours."""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.before) + len(_INSTANCE) + len(self.after)

    def body(self, hook_instance: str = _INSTANCE) -> bytes:
        """Return the whole body; an instance has 36 characters."""
        return self.before + hook_instance.encode() + self.after


def lumbar_mri(number: int = 1, note: str = "") -> Resource:
    """Return a draft MRI order, as an EHR sends it."""
    return {
        "resourceType": "ServiceRequest",
        "id": f"bench-draft-{number}",
        "status": "draft",
        "intent": "order",
        "priority": "routine",
        "code": _draft_code("IMG4021", "72148", "MRI LUMBAR SPINE WO CONTRAST"),
        "subject": {"reference": f"Patient/{PATIENT_ID}"},
        "requester": {"reference": "Practitioner/bench-doctor"},
        "reasonCode": [
            {
                "coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.50"}],
                "text": f"Low back pain for {PAIN_DAYS} days",
            }
        ],
        **({"note": [{"text": note}]} if note else {}),
    }


def blood_count() -> Resource:
    """Return a draft that is none of our business."""
    return {
        "resourceType": "ServiceRequest",
        "id": "bench-draft-cbc",
        "status": "draft",
        "intent": "order",
        "priority": "routine",
        "code": _draft_code("LAB294", "85025", "COMPLETE BLOOD COUNT W AUTO DIFF"),
        "subject": {"reference": f"Patient/{PATIENT_ID}"},
        "requester": {"reference": "Practitioner/bench-doctor"},
        "reasonCode": [{"text": "Fatigue"}],
    }


def hook_call(
    name: str,
    chart: Mapping[str, Sequence[Resource]] | None,
    drafts: Sequence[Resource],
    rows: Sequence[str],
    *,
    fhir_server: str = "",
) -> HookCall:
    """Return a call with this chart as prefetch; without one, with a FHIR server to read from."""
    message: dict[str, object] = {
        "hook": "order-select",
        "hookInstance": _INSTANCE,
        "context": {
            "userId": "Practitioner/bench-doctor",
            "patientId": PATIENT_ID,
            "encounterId": "bench-visit-today",
            "selections": [f"ServiceRequest/{draft['id']}" for draft in drafts],
            "draftOrders": {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": draft} for draft in drafts],
            },
        },
    }
    if chart is not None:
        message["prefetch"] = {
            key: resources[0] if key == "patient" else searchset(resources)
            for key, resources in chart.items()
        }
    if fhir_server:
        message["fhirServer"] = fhir_server
        message["fhirAuthorization"] = {
            "access_token": TOKEN_OF_THE_FHIR_SERVER,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "patient/*.read",
            "subject": "bench",
        }
    body = json.dumps(message, separators=(",", ":")).encode()
    before, _, after = body.partition(_INSTANCE.encode())
    entries = sum(map(len, chart.values())) if chart is not None else 0
    return HookCall(name=name, before=before, after=after, entries=entries, rows=tuple(rows))


TOKEN_OF_THE_FHIR_SERVER = "made-up-token-of-the-benchmark"


def usual_calls(today: date, seed: int = 0) -> dict[str, HookCall]:
    """Return the four calls of the issue, by name."""
    build = ChartBuilder(today, seed).chart
    medium = build(MEDIUM)
    calls = (
        hook_call("small", build(SMALL), [lumbar_mri()], [ROW]),
        hook_call("medium", medium, [lumbar_mri()], [ROW]),
        hook_call("large", build(LARGE), [lumbar_mri()], [ROW]),
        hook_call("not ours", medium, [blood_count()], []),
    )
    return {call.name: call for call in calls}


def _draft_code(local: str, cpt: str, words: str) -> dict[str, object]:
    return {
        "coding": [
            {"system": "urn:oid:1.2.840.114350.1.13.999.2.7.2.696580", "code": local},
            {"system": _CPT, "code": cpt, "display": words},
        ],
        "text": words,
    }
