"""What the clinical picture finds in a small chart: one patient, a few resources, one order."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bundled import knowledge
from charts import TODAY

from cds_service.chart.sources import Source, SourceState
from cds_service.decision import Decision
from cds_service.evaluate import evaluate
from cds_service.findings import Truth
from cds_service.protocol import DraftEntry, HookRequest

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CPT = "http://www.ama-assn.org/go/cpt"


def days_ago(days: int) -> str:
    """Return the ISO date `days` before the day of the tests."""
    return (TODAY - timedelta(days=days)).isoformat()


def code(system: str, value: str, text: str = "") -> dict[str, Any]:
    """Return a CodeableConcept with one coding."""
    concept: dict[str, Any] = {"coding": [{"system": system, "code": value}]}
    return {**concept, "text": text} if text else concept


def condition(system: str, value: str, status: str = "active", **more: object) -> dict[str, Any]:
    """Return a confirmed Condition."""
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"code": status}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": code(system, value),
        **more,
    }


def observation(system: str, value: str, when: str, **more: object) -> dict[str, Any]:
    """Return a final Observation."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": code(system, value),
        "effectiveDateTime": when,
        **more,
    }


def quantity(value: float, unit: str = "") -> dict[str, Any]:
    """Return a valueQuantity member."""
    return {"valueQuantity": {"value": value, **({"unit": unit, "code": unit} if unit else {})}}


def _source_of(resource: Mapping[str, Any]) -> str:
    """Return the type of the source: a use of a device comes along with the devices."""
    kind = str(resource["resourceType"])
    return {"DeviceUseStatement": "Device"}.get(kind, kind)


def decision(
    *resources: Mapping[str, Any],
    birth: str = "1980-05-01",
    sex: str = "female",
    unread: Mapping[str, str] | None = None,
    **order: object,
) -> Decision:
    """Return the decision on one lumbar MRI order without contrast, all sources readable."""
    draft = {
        "resourceType": "ServiceRequest",
        "id": "mri",
        "status": "draft",
        "intent": "order",
        "code": code(CPT, "72148"),
        **order,
    }
    request = HookRequest(
        service_id="lumbar-mri-order-select",
        hook="order-select",
        prefetch={},
        hook_instance="6f0d4b2e-6b5c-4c55-9d6f-0a2f3b1c7d11",
        patient_id="p",
        draft_orders=(DraftEntry(resource=draft, full_url="", position=0),),
    )
    patient = {"resourceType": "Patient", "id": "p", "birthDate": birth, "gender": sex}
    named = [{"id": f"r{place}", **r} for place, r in enumerate(resources)]
    sources = [
        Source(
            key=key,
            resource_type=kind,
            state=SourceState.UNREADABLE if kind in (unread or {}) else SourceState.READ,
            content=None
            if kind in (unread or {})
            else patient
            if kind == "Patient"
            else {
                "resourceType": "Bundle",
                "entry": [{"resource": r} for r in named if _source_of(r) == kind],
            },
            reason=(unread or {}).get(kind, ""),
        )
        for key, kind in knowledge().prefetch_types.items()
    ]
    outcome = evaluate(knowledge(), request, sources, today=TODAY, zone=ZoneInfo("UTC"))
    return outcome.judged[0]


def value_of(
    fact: str,
    *resources: Mapping[str, Any],
    birth: str = "1980-05-01",
    sex: str = "female",
    **order: object,
) -> Truth:
    """Return the value of one fact."""
    judged = decision(*resources, birth=birth, sex=sex, unread=None, **order)
    return judged.picture.findings[fact].value
