"""The chart of one patient, from what the client sent and its FHIR server answered.

Reading never fails: what cannot be read is left out or named in `Chart.unreadable`, and one
unreadable element or entry never costs the rest. Source: decision table §2.2 and §2.3.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import TypeVar
from zoneinfo import ZoneInfo

from cds_service.chart.clinical import (
    encounter_dates,
    read_allergy,
    read_appointment,
    read_condition,
    read_device,
    read_device_use,
    read_encounter,
    read_patient,
)
from cds_service.chart.imaging import (
    read_diagnostic_report,
    read_document_reference,
    read_imaging_study,
    read_procedure,
    read_service_request,
)
from cds_service.chart.medications import MEDICATION_TYPES, read_medication
from cds_service.chart.observations import parts_of, read_observation
from cds_service.chart.resources import ORDER_TYPES, Desk, Drafts, Entry, select
from cds_service.chart.sources import OTHER_PATIENT, Source, SourceState, read_sources
from cds_service.records import Chart
from cds_service.terminology import Terminology

__all__ = ["Source", "SourceState", "read_chart"]

_Record = TypeVar("_Record")


def read_chart(
    sources: Iterable[Source],
    *,
    patient_id: str,
    draft_refs: frozenset[str],
    draft_identifiers: frozenset[str],
    terminology: Terminology,
    zone: ZoneInfo,
    today: date,
) -> Chart:
    """Return everything that may be read of the patient, and the sources that could not be.

    `draft_refs` (`ServiceRequest/draft-1`) and `draft_identifiers` (`system|value`) name the
    orders of this hook, which are not part of the chart even if a search returns them.
    """
    sources = tuple(sources)
    sent = read_sources(sources)
    drafts = Drafts(refs=draft_refs, identifiers=draft_identifiers)
    resources = select(sent.rows, patient_id, drafts)
    desk = Desk(terminology=terminology, zone=zone, today=today, resources=resources)
    patient = None if resources.patient is None else read_patient(resources.patient, desk)
    desk = replace(
        desk,
        birth=None if patient is None else patient.birth,
        encounter_dates=dict(encounter_dates(resources, desk)),
    )

    def records(read: Callable[[Entry, Desk], _Record | None], *kinds: str) -> tuple[_Record, ...]:
        found = (read(entry, desk) for entry in resources.of(*kinds))
        return tuple(record for record in found if record is not None)

    observations = records(read_observation, "Observation")
    # A search that finds only other patients was not of this one: that is not "nothing there".
    asked_for = {source.resource_type for source in sources if not source.is_extra}
    of_others = dict.fromkeys(sorted(resources.of_others_only & asked_for), OTHER_PATIENT)
    return Chart(
        patient=patient,
        conditions=records(read_condition, "Condition"),
        observations=(*observations, *chain.from_iterable(map(parts_of, observations))),
        procedures=records(read_procedure, "Procedure"),
        service_requests=records(read_service_request, *sorted(ORDER_TYPES)),
        medications=records(read_medication, *MEDICATION_TYPES),
        allergies=records(read_allergy, "AllergyIntolerance"),
        devices=records(read_device, "Device")
        + records(read_device_use, "DeviceUseStatement", "DeviceUsage"),
        imaging_studies=records(read_imaging_study, "ImagingStudy"),
        diagnostic_reports=records(read_diagnostic_report, "DiagnosticReport"),
        encounters=records(read_encounter, "Encounter"),
        appointments=records(read_appointment, "Appointment"),
        documents=records(read_document_reference, "DocumentReference"),
        unreadable={**sent.unreadable, **of_others},
        addresses=resources.addresses.by_url,
        foreign=resources.foreign,
    )
