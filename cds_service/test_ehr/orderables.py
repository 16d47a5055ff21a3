"""What a clinician can choose in this EHR: exams, priorities, coded reasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from cds_service.value_sets import CPT, ICD_10_CM, LOINC

PRIORITIES = ("routine", "urgent", "asap", "stat")
"""FHIR R4 `request-priority`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orderable:
    """One line of the order catalogue, or of the list of reasons."""

    id: str
    """Stands in links: never changes."""
    label: str
    codings: tuple[tuple[str, str], ...]
    """(system, code); none for an order or a reason in words only."""

    @property
    def concept(self) -> dict[str, object]:
        """The CodeableConcept that is ordered."""
        codings = [
            {"system": system, "code": code, "display": self.label} for system, code in self.codings
        ]
        return {**({"coding": codings} if codings else {}), "text": self.label}


ORDERABLES = (
    Orderable(
        id="without",
        label="MRI lumbar spine without contrast",
        codings=((CPT, "72148"), (LOINC, "30679-5")),
    ),
    Orderable(
        id="with",
        label="MRI lumbar spine with contrast",
        codings=((CPT, "72149"), (LOINC, "30678-7")),
    ),
    Orderable(
        id="without-and-with",
        label="MRI lumbar spine without and with contrast",
        codings=((CPT, "72158"), (LOINC, "24967-2")),
    ),
    Orderable(
        id="unspecified",
        label="MRI lumbar spine, contrast not stated",
        codings=((LOINC, "24968-0"),),
    ),
    Orderable(
        id="multiregion",
        label="MRI cervical, thoracic and lumbar spine",
        codings=((LOINC, "42698-1"),),
    ),
    Orderable(id="words", label="MRI lumbar spine", codings=()),
    Orderable(id="knee", label="MRI knee without contrast", codings=((CPT, "73721"),)),
)

REASONS = (
    Orderable(id="low-back-pain", label="Low back pain", codings=((ICD_10_CM, "M54.50"),)),
    Orderable(id="radiculopathy", label="Radiculopathy, lumbar", codings=((ICD_10_CM, "M54.16"),)),
    Orderable(id="stenosis", label="Spinal stenosis, lumbar", codings=((ICD_10_CM, "M48.061"),)),
    Orderable(id="cauda-equina", label="Cauda equina syndrome", codings=((ICD_10_CM, "G83.4"),)),
    Orderable(id="foot-drop", label="Foot drop, left", codings=((ICD_10_CM, "M21.372"),)),
    Orderable(id="metastasis", label="Metastasis of bone", codings=((ICD_10_CM, "C79.51"),)),
    Orderable(id="discitis", label="Discitis, lumbar", codings=((ICD_10_CM, "M46.46"),)),
)


def new_order(patient_id: str, orderable: Orderable, *, today: date) -> Mapping[str, object]:
    """Return a fresh draft of an order."""
    return {
        "resourceType": "ServiceRequest",
        "id": "test-ehr-draft-1",
        "status": "draft",
        "intent": "order",
        "priority": "routine",
        "code": orderable.concept,
        "subject": {"reference": f"Patient/{patient_id}"},
        "authoredOn": today.isoformat(),
    }
