"""MedicationRequest, -Statement, -Dispense and -Administration as one kind of record.

Source: decision table §2.2; `ehr-integration.md` §5, quirks 37 and 51.
"""

from collections.abc import Mapping
from typing import TypeAlias

from cds_service.chart.resources import Desk, Entry
from cds_service.fhir import (
    Element,
    Resource,
    code_of,
    days_of,
    note_texts,
    number_of,
    object_of,
    objects,
    reference_of,
    shifted,
    text_of,
    texts_of,
)
from cds_service.fhir_dates import DateInterval
from cds_service.findings import Strength
from cds_service.records import Concept, Medication

MEDICATION_TYPES = (
    "MedicationRequest",
    "MedicationOrder",
    "MedicationStatement",
    "MedicationUsage",
    "MedicationDispense",
    "MedicationAdministration",
)
"""R4 names, with those of DSTU2 (`-Order`) and early R5 (`-Usage`)."""

_Status: TypeAlias = Mapping[str, Strength]
_STRONG, _POSSIBLE = Strength.STRONG, Strength.POSSIBLE
_ORDERED: _Status = {
    "active": _STRONG,
    "completed": _STRONG,
    "stopped": _STRONG,
    "on-hold": _STRONG,
    "": _POSSIBLE,
}
_STATED: _Status = {**_ORDERED, "recorded": _STRONG, "intended": _POSSIBLE}
_DISPENSED: _Status = {"completed": _STRONG, "active": _STRONG, "stopped": _STRONG, "": _POSSIBLE}
_GIVEN: _Status = {**_DISPENSED, "in-progress": _STRONG}
_USABLE: Mapping[str, _Status] = {
    "MedicationRequest": _ORDERED,
    "MedicationOrder": _ORDERED,
    "MedicationStatement": _STATED,
    "MedicationUsage": _STATED,
    "MedicationDispense": _DISPENSED,
    "MedicationAdministration": _GIVEN,
}
_NOT_TAKEN = frozenset({"not-taken", "not-done", "declined"})
_ONLY_THOUGHT_OF = frozenset({"proposal", "plan", "option"})
_STARTS: Mapping[str, tuple[Element, ...]] = {
    "MedicationRequest": (("authoredOn", ""),),
    "MedicationOrder": (("dateWritten", ""),),
    "MedicationDispense": (("whenHandedOver", ""), ("whenPrepared", "")),
}
_TAKEN: tuple[Element, ...] = (
    ("effectiveDateTime", ""),
    ("effectivePeriod", "start"),
    ("effectiveTimeDateTime", ""),
    ("effectiveTimePeriod", "start"),
    ("occurenceDateTime", ""),
    ("occurencePeriod", "start"),
)


def read_medication(entry: Entry, desk: Desk) -> Medication | None:
    """Return a medication that was ordered, stated, dispensed, given, or stated as not taken."""
    raw = entry.resource
    status = code_of(raw.get("status"))
    not_taken = status in _NOT_TAKEN or raw.get("taken") == "n" or raw.get("wasNotTaken") is True
    strength = Strength.STRONG if not_taken else _USABLE[entry.kind].get(status)
    is_only_plan = code_of(raw.get("intent")) in _ONLY_THOUGHT_OF
    if strength is None or is_only_plan or raw.get("doNotPerform") is True:
        return None
    medication = _medication(raw, desk)
    concept = _concept(raw, medication, desk)
    if not concept.label:
        return None
    start = _start(entry, desk)
    supply = _supply_days(raw)
    dosages = [d for k in ("dosageInstruction", "dosage") for d in objects(raw.get(k))]
    reasons = (*objects(raw.get("reasonCode")), *objects(raw.get("reason")))
    return Medication(
        ref=entry.ref,
        concept=concept,
        notes=note_texts(raw.get("note")),
        kind=entry.kind,
        status=status,
        strength=strength,
        not_taken=not_taken,
        start=start,
        end=_end(raw, start, supply, dosages, desk),
        supply_days=supply,
        route=_route(dosages, medication, desk),
        dosage_text=" ".join(
            texts_of((d.get("text") or d.get("patientInstruction")) for d in dosages)
        ),
        reasons=desk.concepts(list(reasons), raw.get("reasonCodeableConcept")),
        reason_refs=tuple(sorted(desk.targets(raw.get("reasonReference"), raw.get("reason")))),
    )


def _medication(raw: Resource, desk: Desk) -> Resource:
    """Return the Medication referred to: contained, or another entry; never fetched (quirk 37)."""
    r5 = object_of(raw.get("medication"))
    reference = raw.get("medicationReference") or r5.get("reference") or r5
    target = reference_of(reference)
    if target.startswith("#"):
        contained = objects(raw.get("contained"))
        return next((c for c in contained if f"#{text_of(c.get('id'))}" == target), {})
    ref = desk.resources.addresses.resolved(reference)
    entries = desk.resources.by_ref("Medication")
    return entries[ref].resource if ref in entries else {}


def _concept(raw: Resource, medication: Resource, desk: Desk) -> Concept:
    """Read the code in the resource, of the Medication, of its ingredients, else the display."""
    own = desk.concept(raw.get("medicationCodeableConcept"))
    if not own.label:
        own = desk.concept(raw.get("medication"))
    if own.label:
        return own
    code = desk.concept(medication.get("code"))
    if code.is_recognised:
        return code
    ingredients = objects(medication.get("ingredient"))
    items = [i.get(k) for i in ingredients for k in ("itemCodeableConcept", "item")]
    known = next((c for c in desk.concepts(*items) if c.is_recognised), None)
    if known is not None:
        return known
    if code.label:
        return code
    references = (raw.get("medicationReference"), object_of(raw.get("medication")).get("reference"))
    display = next(iter(texts_of(object_of(r).get("display") for r in references)), "")
    return desk.concept(display)


def _start(entry: Entry, desk: Desk) -> DateInterval | None:
    raw = entry.resource
    when = desk.date(raw, _STARTS.get(entry.kind, _TAKEN))
    if when is None:
        asserted = desk.date(raw, (("dateAsserted", ""),))
        when = None if asserted is None else asserted.as_upper_bound()
    return when


def _supply_days(raw: Resource) -> int | None:
    """Return the days of one fill times one plus the repeats; a bare `daysSupply` is in days."""
    dispense = object_of(raw.get("dispenseRequest"))
    fill = days_of(dispense.get("expectedSupplyDuration"))
    if fill is None:
        return days_of(raw.get("daysSupply"), unit="d")
    repeats = number_of(dispense.get("numberOfRepeatsAllowed")) or 0
    return fill * (1 + max(int(repeats), 0))


def _end(
    raw: Resource,
    start: DateInterval | None,
    supply: int | None,
    dosages: list[Resource],
    desk: Desk,
) -> DateInterval | None:
    """Return the stated end, else start and supply, else the bounds of the timing (§2.2)."""
    dispense = object_of(raw.get("dispenseRequest"))
    stated = desk.date(dispense, (("validityPeriod", "end"),)) or desk.date(
        raw, (("effectivePeriod", "end"), ("effectiveTimePeriod", "end"))
    )
    if stated is not None:
        return stated
    if supply is not None:
        return shifted(start, supply)
    for dosage in dosages:
        repeat = object_of(object_of(dosage.get("timing")).get("repeat"))
        until = desk.date(repeat, (("boundsPeriod", "end"),))
        if until is not None:
            return until
        length = days_of(repeat.get("boundsDuration"))
        if length is not None:
            return shifted(start, length)
    return None


def _route(dosages: list[Resource], medication: Resource, desk: Desk) -> str:
    """Return the words of route and dose form, lower case: inhaled and topical are told by both."""
    concepts = desk.concepts(*(d.get("route") for d in dosages), medication.get("form"))
    return " ".join(texts_of(word for c in concepts for word in c.words)).lower()
