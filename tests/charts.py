"""Charts for tests, read from resources as an EHR would send them."""

from datetime import date
from typing import TypeAlias
from zoneinfo import ZoneInfo

from bundled import knowledge

from cds_service.chart.reading import Source, SourceState, read_chart
from cds_service.fhir_dates import DateInterval, Precision
from cds_service.imaging_history.exams import ImagingHistory, imaging_history
from cds_service.records import Chart
from cds_service.terminology import Terminology

Json: TypeAlias = dict[str, object]

TODAY = date(2026, 3, 16)
ZONE = ZoneInfo("America/New_York")
PATIENT = "pat-1"
SUBJECT = {"reference": f"Patient/{PATIENT}"}

CPT = "http://www.ama-assn.org/go/cpt"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"


def terminology() -> Terminology:
    """Return the terminology of the bundled value sets."""
    return knowledge().terminology


def code(system: str, value: str, display: str = "") -> Json:
    """Return a CodeableConcept of one coding."""
    coding = {"system": system, "code": value}
    return {"coding": [coding | ({"display": display} if display else {})]}


def resource(resource_type: str, name: str, /, **elements: object) -> Json:
    """Return a resource about the patient; an element set to None is left out."""
    raw = {"resourceType": resource_type, "id": name, "subject": SUBJECT, **elements}
    return {key: value for key, value in raw.items() if value is not None}


def bundle(*resources: object, **elements: object) -> Json:
    """Return a searchset of the resources."""
    entries = [{"resource": one, "search": {"mode": "match"}} for one in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **elements}


def source(content: object, resource_type: str = "Condition", **elements: object) -> Source:
    """Return a source that was read."""
    state = elements.pop("state", SourceState.READ)
    assert isinstance(state, SourceState)
    more, reason = elements.pop("more", ()), elements.pop("reason", "")
    assert isinstance(more, tuple)
    assert isinstance(reason, str)
    return Source(
        key=resource_type.lower(),
        resource_type=resource_type,
        state=state,
        content=content,
        more=more,
        reason=reason,
    )


def chart_of(*resources: object) -> Chart:
    """Return the chart of the resources, each type in a search of its own."""
    by_type: dict[str, list[object]] = {"Condition": []}
    for one in resources:
        kind = one.get("resourceType") if isinstance(one, dict) else None
        by_type.setdefault(kind if isinstance(kind, str) else "Condition", []).append(one)
    return chart_from(*(source(bundle(*found), kind) for kind, found in by_type.items()))


def chart_from(
    *sources: Source,
    drafts: frozenset[str] = frozenset(),
    draft_identifiers: frozenset[str] = frozenset(),
    patient_id: str = PATIENT,
) -> Chart:
    """Return the chart of these sources."""
    return read_chart(
        sources,
        patient_id=patient_id,
        draft_refs=drafts,
        draft_identifiers=draft_identifiers,
        terminology=terminology().for_call(),
        zone=ZONE,
        today=TODAY,
    )


def history_of(*resources: object) -> ImagingHistory:
    """Return the imaging history of a chart that holds these resources."""
    return history_in(chart_of(*resources))


def history_in(chart: Chart) -> ImagingHistory:
    """Return the imaging history of a chart."""
    return imaging_history(
        chart, definition=knowledge().order, terminology=terminology().for_call(), today=TODAY
    )


def day(text: str, element: str = "onsetDateTime") -> DateInterval:
    """Return one day as an interval."""
    on = date.fromisoformat(text)
    return DateInterval(on, on, Precision.DAY, element)
