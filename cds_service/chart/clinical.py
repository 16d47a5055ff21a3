"""Patient, Condition, AllergyIntolerance, Device, Encounter and Appointment as records.

Source: decision table §2.2 and §2.3; `ehr-integration.md` §5, quirks 9–11, 21–26, 49.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from cds_service.chart.resources import Desk, Entry, Resources
from cds_service.fhir import (
    Element,
    Resource,
    code_of,
    codes_of,
    date_in_words,
    note_texts,
    object_of,
    objects,
    resource_ref,
    text_of,
    texts_of,
    years_of,
)
from cds_service.fhir_dates import DateInterval, Precision, add_months, within_days
from cds_service.findings import Strength
from cds_service.records import (
    NO_CONCEPT,
    Allergy,
    Appointment,
    Concept,
    Condition,
    Currency,
    Device,
    Encounter,
    Patient,
    Verification,
)

ENCOUNTER_DIAGNOSIS_DAYS = 90
"""A confirmed encounter diagnosis without clinicalStatus counts as current so long (§2.2)."""

_ASSERTED_DATE = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
_CURRENT = frozenset({"active", "recurrence", "relapse"})
_PAST = frozenset({"inactive", "remission", "resolved"})
_UNCONFIRMED = frozenset({"unconfirmed", "provisional", "differential", "unknown"})
_ONSET: tuple[Element, ...] = (("onsetDateTime", ""), ("onsetPeriod", "start"))
_RECORDED: tuple[Element, ...] = (
    ("assertedDate", ""),
    ("recordedDate", ""),
    ("dateRecorded", ""),
)
_ABATED: tuple[Element, ...] = (("abatementDateTime", ""), ("abatementPeriod", "end"))
_NO_ALLERGY = frozenset({"inactive", "resolved"})
_USED = frozenset({"active", "on-hold", ""})
"""A use that is on hold says nothing of an implant being out."""
_USE_ENDED = frozenset({"completed", "stopped"})
_SAFETY_URL = re.compile(r"safety|\bmri?\b", re.IGNORECASE)
_CRITICALITY = {"crith": "high", "critl": "low", "critu": "unable-to-assess"}
_NO_APPOINTMENT = frozenset({"cancelled", "noshow", "entered-in-error"})
_NO_ENCOUNTER = frozenset({"cancelled", "planned"})
_BEGINNING: tuple[Element, ...] = (("period", "start"), ("actualPeriod", "start"))
_END: tuple[Element, ...] = (("period", "end"), ("actualPeriod", "end"))


def read_patient(resource: Resource, desk: Desk) -> Patient:
    """Return the patient; a birth date that is masked or impossible is None (quirk 11)."""
    organization = object_of(resource.get("managingOrganization"))
    return Patient(
        ref=resource_ref(resource),
        birth=desk.past_date(resource, (("birthDate", ""),)),
        sex=code_of(resource.get("gender")),
        is_deceased=resource.get("deceasedBoolean") is True
        or bool(text_of(resource.get("deceasedDateTime"))),
        organization=next(iter(desk.targets(organization)), ""),
    )


def read_condition(entry: Entry, desk: Desk) -> Condition | None:
    """Return a Condition, or None if it names nothing (quirk 21)."""
    raw = entry.resource
    concept = desk.concept(raw.get("code"))
    if not concept.label:
        return None
    verification = _verification(raw)
    recorded = _recorded(raw, desk)
    onset = _onset(raw, desk)
    abated, is_abated = _abatement(raw, desk)
    is_encounter_diagnosis = "encounter-diagnosis" in codes_of(raw.get("category"))
    is_recent_diagnosis = (
        is_encounter_diagnosis
        and verification is Verification.CONFIRMED
        and within_days(recorded or onset, desk.today, ENCOUNTER_DIAGNOSIS_DAYS) is True
    )
    status = next((c for c in codes_of(raw.get("clinicalStatus")) if c in _CURRENT | _PAST), "")
    currency, strength = _currency(status, is_abated=is_abated, is_recent=is_recent_diagnosis)
    return Condition(
        ref=entry.ref,
        concept=concept,
        notes=note_texts(raw.get("note")) + texts_of((raw.get("notes"),)),
        verification=verification,
        currency=currency,
        currency_strength=strength,
        clinical_status=status,
        is_encounter_diagnosis=is_encounter_diagnosis,
        onset=onset,
        recorded=recorded,
        abated=abated,
        body_sites=desk.concepts(raw.get("bodySite")),
    )


def _verification(raw: Resource) -> Verification:
    said = codes_of(raw.get("verificationStatus"))
    if "refuted" in said:
        return Verification.REFUTED
    return Verification.CONFIRMED if _UNCONFIRMED.isdisjoint(said) else Verification.UNCONFIRMED


def _currency(status: str, *, is_abated: bool, is_recent: bool) -> tuple[Currency, Strength]:
    """Judge whether it goes on today; a status that is no FHIR code counts as missing (§2.2)."""
    if status in _PAST:
        return Currency.PAST, Strength.STRONG
    if status in _CURRENT:
        if is_abated:
            return Currency.CONTRADICTORY, Strength.POSSIBLE
        return Currency.CURRENT, Strength.STRONG
    if is_abated:
        return Currency.PAST, Strength.STRONG
    return Currency.CURRENT, Strength.STRONG if is_recent else Strength.POSSIBLE


def _recorded(raw: Resource, desk: Desk) -> DateInterval | None:
    """Asserted, recorded, else the beginning of the encounter it was made in."""
    for extension in objects(raw.get("extension")):
        if extension.get("url") == _ASSERTED_DATE:
            when = desk.past_date(extension, (("valueDateTime", ""),))
            if when is not None:
                return replace(when, element="assertedDate")
    when = desk.past_date(raw, _RECORDED)
    if when is not None:
        return when
    encounters = desk.targets(raw.get("encounter"), raw.get("context"))
    dates = (desk.encounter_dates.get(ref) for ref in sorted(encounters))
    return next((when for when in dates if when is not None), None)


def _onset(raw: Resource, desk: Desk) -> DateInterval | None:
    """Read `onset[x]`: a date, the start of a period, an age with the birth date (quirk 9)."""
    when = desk.date(raw, _ONSET)
    if when is None:
        ended = desk.date(raw, (("onsetPeriod", "end"),))
        when = None if ended is None else ended.as_upper_bound()
    if when is None:
        when = _at_age(raw.get("onsetAge"), desk, "onsetAge")
    if when is None:
        when = date_in_words(raw.get("onsetString"), desk.zone, "onsetString")
    return None if when is None or when.is_future(desk.today) else when


def _abatement(raw: Resource, desk: Desk) -> tuple[DateInterval | None, bool]:
    """Return when it ended, if that can be told, and whether it has ended by today."""
    when = desk.date(raw, _ABATED)
    if when is None:
        when = _at_age(raw.get("abatementAge"), desk, "abatementAge")
    if when is not None:
        begun = when.earliest is None or when.earliest <= desk.today
        return (when, True) if begun else (None, False)
    said = raw.get("abatementBoolean")
    stated = said is True or any(
        raw.get(key)
        for key in ("abatementString", "abatementAge", "abatementRange", "abatementPeriod")
    )
    return None, stated


def _at_age(value: object, desk: Desk, element: str) -> DateInterval | None:
    """Return the years around an age, one year to either side (§2.2), never after today."""
    years = years_of(value)
    birth = desk.birth
    if years is None or birth is None or birth.earliest is None:
        return None
    earliest = _years_later(birth.earliest, max(years - 1, 0))
    latest = min(_years_later(birth.latest, years + 1), desk.today)
    if latest < earliest:
        return None
    return DateInterval(earliest, latest, Precision.UPPER_BOUND, element)


def _years_later(day: date, years: int) -> date:
    return add_months(day, 12 * years) if day.year + years <= date.max.year else date.max


def read_allergy(entry: Entry, desk: Desk) -> Allergy | None:
    """Return an allergy that is active, has no status or was refuted; a reaction may name it."""
    raw = entry.resource
    said = {code for key in ("clinicalStatus", "status") for code in codes_of(raw.get(key))}
    verification = _verification(raw)
    if "refuted" in said:
        verification = Verification.REFUTED
    if verification is not Verification.REFUTED and not _NO_ALLERGY.isdisjoint(said):
        return None
    reactions = objects(raw.get("reaction"))
    substances = (raw.get("code"), raw.get("substance"), *(r.get("substance") for r in reactions))
    concept = next((c for s in substances if (c := desk.concept(s)).label), None)
    if concept is None:
        return None
    criticality = code_of(raw.get("criticality"))
    return Allergy(
        ref=entry.ref,
        concept=concept,
        verification=verification,
        substances=desk.concepts(*(r.get("substance") for r in reactions)),
        notes=note_texts(raw.get("note")) + texts_of(r.get("description") for r in reactions),
        criticality=_CRITICALITY.get(criticality, criticality),
        severities=frozenset(code for r in reactions if (code := code_of(r.get("severity")))),
        manifestations=desk.concepts(*(r.get("manifestation") for r in reactions)),
        recorded=desk.past_date(raw, _RECORDED),
    )


def read_device(entry: Entry, desk: Desk) -> Device | None:
    """Return a Device, also one no longer in use; its names, properties, MR statements are notes.

    Of several types (R5) the one that is recognised names it, the others are words.
    """
    raw = entry.resource
    concept, words = _named(raw, desk)
    if not concept.label and not words:
        return None
    return Device(
        ref=entry.ref,
        concept=concept,
        notes=words,
        device=entry.ref,
        is_in_use="inactive" not in codes_of(raw.get("status")),
    )


def _named(raw: Resource, desk: Desk) -> tuple[Concept, tuple[str, ...]]:
    types = desk.concepts(raw.get("type"))
    concept = next((t for t in types if t.is_recognised), next(iter(types), NO_CONCEPT))
    return concept, texts_of(t.label for t in types if t != concept) + _device_words(raw, desk)


def _device_words(raw: Resource, desk: Desk) -> tuple[str, ...]:
    names = [n.get(key) for n in objects(raw.get("deviceName")) for key in ("name", "value")]
    carriers = (*objects(raw.get("udiCarrier")), *objects(raw.get("udi")))
    labels = [carrier.get(key) for carrier in carriers for key in ("name", "carrierHRF")]
    statements = [c.label for c in desk.concepts(raw.get("safety"))]
    for item in objects(raw.get("property")):
        what = desk.concept(item.get("type")).label
        statements.extend(f"{what}: {value}" for value in _stated(item, desk))
    for extension in objects(raw.get("extension")):
        # R5 `Device.safety` in an R4 resource, and what vendors call by a like name.
        if _SAFETY_URL.search(text_of(extension.get("url"))):
            statements.extend(_stated(extension, desk))
    singles = (raw.get("modelNumber"), raw.get("model"), raw.get("manufacturer"), raw.get("udi"))
    return texts_of((*names, *labels, *singles, *statements)) + note_texts(raw.get("note"))


def _stated(item: Resource, desk: Desk) -> list[str]:
    """Return the values of a property or an extension in words."""
    coded = [item.get(key) for key in ("valueCodeableConcept", "valueCoding", "valueCode")]
    said = [concept.label for concept in desk.concepts(*coded)]
    if isinstance(item.get("valueBoolean"), bool):
        said.append("yes" if item.get("valueBoolean") else "no")
    return [*filter(None, said)] or [*filter(None, [text_of(item.get("valueString"))])]


def read_device_use(entry: Entry, desk: Desk) -> Device | None:
    """Return the device of a use that goes on, where no Device entry speaks itself, or ended.

    A use that ended is read beside its Device too: the two then contradict each other.
    """
    raw = entry.resource
    status = code_of(raw.get("status"))
    has_ended = status in _USE_ENDED
    if not has_ended and status not in _USED:
        return None
    link = object_of(raw.get("device"))
    target = next(iter(sorted(desk.targets(link))), "")
    sent = desk.resources.by_ref("Device").get(target)
    if sent is not None and not has_ended:
        return None
    inner = next((c for c in objects(raw.get("contained")) if f"#{c.get('id')}" == target), {})
    concept, words = _named(sent.resource if sent is not None else inner, desk)
    if not concept.label:
        named = desk.concepts(object_of(link.get("concept")))
        concept = next(iter(named), Concept(text=text_of(link.get("display"))))
    notes = words + note_texts(raw.get("note"))
    if not concept.label and not notes:
        return None
    begun: tuple[Element, ...] = (("timingDateTime", ""), ("timingPeriod", "start"))
    ended: tuple[Element, ...] = (("timingPeriod", "end"), ("whenUsed", "end"))
    dates = ended if has_ended else (*begun, ("whenUsed", "start"), ("recordedOn", ""))
    return Device(
        ref=entry.ref,
        concept=concept,
        notes=notes,
        device=target if sent is not None else entry.ref,
        is_in_use=not has_ended,
        recorded=desk.past_date(raw, dates),
    )


def encounter_dates(resources: Resources, desk: Desk) -> Iterator[tuple[str, DateInterval]]:
    """Yield each Encounter with the day it began; a period with an end only gives that end."""
    for entry in resources.of("Encounter"):
        when = desk.past_date(entry.resource, _BEGINNING + _END)
        if when is not None:
            yield entry.ref, when


def read_encounter(entry: Entry, desk: Desk) -> Encounter | None:
    """Return an Encounter that took place, with its reasons."""
    raw = entry.resource
    if code_of(raw.get("status")) in _NO_ENCOUNTER:
        return None
    reasons = desk.concepts(raw.get("reasonCode"))
    for reason in objects(raw.get("reason")):
        reasons += desk.concepts(reason.get("value") or reason)
    return Encounter(
        ref=entry.ref,
        concept=next(iter(desk.concepts(raw.get("type"))), NO_CONCEPT),
        reasons=reasons,
        period=desk.encounter_dates.get(entry.ref),
    )


def read_appointment(entry: Entry, desk: Desk) -> Appointment | None:
    """Return an Appointment that still stands or was kept."""
    raw = entry.resource
    status = code_of(raw.get("status"))
    if status in _NO_APPOINTMENT:
        return None
    services = desk.concepts(raw.get("serviceType"))
    kinds = (*services, *desk.concepts(raw.get("appointmentType")))
    return Appointment(
        ref=entry.ref,
        concept=next(iter(kinds), NO_CONCEPT),
        notes=texts_of((raw.get("description"), raw.get("comment"))),
        status=status,
        start=desk.date(raw, (("start", ""), ("requestedPeriod", "start"))),
        based_on=desk.links(raw.get("basedOn")),
        services=services + desk.concepts(raw.get("reasonCode"), raw.get("reason")),
        categories=desk.concepts(raw.get("serviceCategory"), raw.get("specialty")),
    )
