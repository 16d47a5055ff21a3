"""The order that a clinician would have selected, and the hook request of an EHR."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from cds_service.errors import SettingsError
from cds_service.knowledge import Knowledge
from cds_service.orders import ImagingProtocol
from cds_service.value_sets import CPT

_DRAFT = "try-draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """What is ordered, and when the hook fires."""

    protocol: ImagingProtocol = ImagingProtocol.WITHOUT
    priority: str = "routine"
    reason: str = ""
    hook: str = "order-select"


def request_body(
    knowledge: Knowledge, order: TrialOrder, patient_id: str, prefetch: Mapping[str, object]
) -> dict[str, object]:
    """Return the hook request, a new call each time."""
    draft: dict[str, object] = {
        "resourceType": "ServiceRequest",
        "id": _DRAFT,
        "status": "draft",
        "intent": "order",
        "priority": order.priority,
        "code": {"coding": [_coding(knowledge, order.protocol)]},
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    if order.reason:
        draft["reasonCode"] = [{"text": order.reason}]
    context: dict[str, object] = {
        "userId": "Practitioner/try",
        "patientId": patient_id,
        "draftOrders": {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": draft}],
        },
    }
    if order.hook == "order-select":
        context["selections"] = [f"ServiceRequest/{_DRAFT}"]
    return {
        "hook": order.hook,
        "hookInstance": str(uuid4()),
        "context": context,
        "prefetch": dict(prefetch),
    }


def _coding(knowledge: Knowledge, protocol: ImagingProtocol) -> dict[str, str]:
    """Return the CPT code of a protocol, from the knowledge's own value sets."""
    (set_id,) = (name for name, kind in knowledge.order.contrast_sets if kind is protocol)
    for coding in knowledge.value_sets.concepts(set_id):
        if coding.system == CPT:
            return {"system": coding.system, "code": coding.code, "display": coding.display}
    message = f"the value set {set_id} names no CPT code to order from"
    raise SettingsError(message)
