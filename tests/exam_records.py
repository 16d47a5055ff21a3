"""Records of a lumbar MRI as an EHR would send them: study, report, procedure, order."""

from charts import CPT, DICOM, LOINC, SNOMED, Json, code, resource

MR = {"system": DICOM, "code": "MR"}
CT = {"system": DICOM, "code": "CT"}
LUMBAR = {"system": SNOMED, "code": "122496007"}
RADIOLOGY = [code("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")]
WITHOUT = code(CPT, "72148")
WITHOUT_AND_WITH = code(CPT, "72158")
GENERIC = code(LOINC, "75490-3", "Radiology Reports")


def study(**elements: object) -> Json:
    """Return an ImagingStudy of a lumbar MRI, known by modality and series body site."""
    defaults = {
        "status": "available",
        "started": "2025-11-10T10:00:00-05:00",
        "modality": [MR],
        "series": [{"modality": MR, "bodySite": LUMBAR, "numberOfInstances": 20}],
    }
    return resource("ImagingStudy", "s1", **{**defaults, **elements})


def report(**elements: object) -> Json:
    """Return a DiagnosticReport of a lumbar MRI, known by its code."""
    defaults = {
        "status": "final",
        "category": RADIOLOGY,
        "code": WITHOUT,
        "effectiveDateTime": "2025-11-10",
        "issued": "2025-11-11T09:00:00-05:00",
        "conclusion": "L4-5 disc protrusion.",
    }
    return resource("DiagnosticReport", "r1", **{**defaults, **elements})


def procedure(**elements: object) -> Json:
    """Return a completed Procedure of a lumbar MRI."""
    defaults = {"status": "completed", "code": WITHOUT, "performedDateTime": "2025-11-10"}
    return resource("Procedure", "p1", **{**defaults, **elements})


def order(**elements: object) -> Json:
    """Return a completed order of a lumbar MRI."""
    defaults = {
        "status": "completed",
        "intent": "order",
        "code": WITHOUT,
        "authoredOn": "2025-11-01",
    }
    return resource("ServiceRequest", "o1", **{**defaults, **elements})
