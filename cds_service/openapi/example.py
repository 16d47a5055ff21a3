"""A hook request and a feedback that the service answers with 200: all synthetic.

Ten days of low back pain and nothing else on record, and an order for a lumbar MRI.
"""

from collections.abc import Mapping

from cds_service.knowledge import Knowledge

_PATIENT = "example-patient"
_SUBJECT = {"reference": f"Patient/{_PATIENT}"}
_BACK_PAIN = {
    "coding": [
        {
            "system": "http://hl7.org/fhir/sid/icd-10-cm",
            "code": "M54.50",
            "display": "Low back pain, unspecified",
        }
    ]
}
_RESOURCES: Mapping[str, Mapping[str, object]] = {
    "Patient": {
        "resourceType": "Patient",
        "id": _PATIENT,
        "gender": "female",
        "birthDate": "1986-07-02",
    },
    "Condition": {
        "resourceType": "Condition",
        "id": "example-back-pain",
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                    "code": "active",
                }
            ]
        },
        "code": _BACK_PAIN,
        "subject": _SUBJECT,
        "onsetDateTime": "2026-03-06",
    },
}
_DRAFT = {
    "resourceType": "ServiceRequest",
    "id": "example-draft",
    "status": "draft",
    "intent": "order",
    "priority": "routine",
    "code": {
        "coding": [
            {
                "system": "http://www.ama-assn.org/go/cpt",
                "code": "72148",
                "display": "MRI lumbar spine without contrast",
            }
        ]
    },
    "subject": _SUBJECT,
    "reasonCode": [_BACK_PAIN],
}
FEEDBACK: Mapping[str, object] = {
    "feedback": [
        {
            "card": "4e0a3a1e-8824-5f71-a3e5-0d9b7f1fb6b6",
            "outcome": "overridden",
            "outcomeTimestamp": "2026-03-16T09:30:00Z",
            "overrideReason": {
                "reason": {
                    "code": "O1",
                    "system": "https://lumbar-mri-cds.example/fhir/CodeSystem/override-reason",
                }
            },
        }
    ]
}


def hook_request(knowledge: Knowledge, hook: str) -> dict[str, object]:
    """Return a request of this hook with an answer to every prefetch key of the knowledge."""
    selections = {"selections": ["ServiceRequest/example-draft"]} if hook == "order-select" else {}
    return {
        "hook": hook,
        "hookInstance": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02",
        "context": {
            "userId": "Practitioner/example-doctor",
            "patientId": _PATIENT,
            **selections,
            "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": _DRAFT}]},
        },
        "prefetch": {key: _answer(kind) for key, kind in knowledge.prefetch_types.items()},
    }


def _answer(resource_type: str) -> Mapping[str, object]:
    """Return the Patient, or a search result."""
    found = _RESOURCES.get(resource_type)
    if resource_type == "Patient" and found is not None:
        return found
    entries = {"entry": [{"resource": found}]} if found is not None else {}
    return {"resourceType": "Bundle", "type": "searchset", **entries}
