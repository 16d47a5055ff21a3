"""Which of the resources that were sent may be read: newest versions, this patient, no drafts.

Source: decision table §2.2; `ehr-integration.md` §5, quirks 24, 29, 31, 33–37, 40.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from cds_service.chart.sources import Row
from cds_service.fhir import (
    Element,
    Resource,
    codeable,
    codeables,
    first_date,
    identifier_tokens,
    instant_of,
    is_entered_in_error,
    object_of,
    objects,
    reference_of,
    references_of,
    resource_ref,
    text_of,
)
from cds_service.fhir_dates import DateInterval
from cds_service.records import NO_CONCEPT, Concept
from cds_service.terminology import Terminology

ORDER_TYPES = frozenset({"ServiceRequest", "ProcedureRequest", "DiagnosticOrder"})
"""R4, STU3 and DSTU2 names of an order for a service (quirk 50)."""

_LOOKED_UP = ("Medication", "Device", "Organization", *sorted(ORDER_TYPES))
_NOTHING = frozenset[str]()
_OF_NO_PATIENT = frozenset({"Medication", "Organization", "Practitioner", "PractitionerRole"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource that may be read, with its reference."""

    ref: str
    resource: Resource
    kind: str
    """Its resource type."""
    wanted: str
    """Resource type of the source that it came from."""


@dataclass(slots=True)
class Addresses:
    """Turns references as sent into the `Type/id` of a resource that was sent (quirks 34, 35)."""

    by_url: dict[str, str] = field(default_factory=dict)
    """fullUrl of the `urn:` kind → `Type/id`."""

    def learn(self, row: Row) -> str:
        """Return the reference of a row; one without id is named by its fullUrl."""
        ref = resource_ref(row.resource)
        if ref.endswith("/?") and row.full_url:
            named = reference_of(row.full_url)
            if named.startswith("urn:"):
                ref = f"{ref[:-1]}{named.rpartition(':')[2]}"
            elif named.startswith(ref[:-1]):
                ref = named
        if row.full_url.startswith("urn:"):
            self.by_url[row.full_url] = ref
        return ref

    def resolved(self, reference: object) -> str:
        """Return the target of a Reference; a `urn:` that nobody has stays as it is."""
        target = reference_of(reference)
        return self.by_url.get(target, target)

    def all_resolved(self, references: object) -> frozenset[str]:
        """Return the targets of one or many References."""
        return frozenset(self.by_url.get(t, t) for t in references_of(references))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """The draft orders of the hook: not part of the chart, even if a search returns them."""

    refs: frozenset[str]
    identifiers: frozenset[str]

    def include(self, entry: Entry) -> bool:
        """Same id, or for orders the same placer number (quirk 29)."""
        if entry.ref in self.refs:
            return True
        if not self.identifiers or entry.kind not in ORDER_TYPES:
            return False
        return not self.identifiers.isdisjoint(identifier_tokens(entry.resource.get("identifier")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What may be read, by resource type, with what else was sent for looking up."""

    by_type: Mapping[str, tuple[Entry, ...]]
    indexed: Mapping[str, Mapping[str, Entry]]
    """Resource type → reference → entry, for types that others refer to."""
    addresses: Addresses
    patient: Resource | None
    of_others_only: frozenset[str]
    """Resource types whose source held nothing of this patient, and something of others."""
    foreign: int

    def of(self, *kinds: str) -> Iterator[Entry]:
        """Yield the entries of these resource types, in order."""
        for kind in kinds:
            yield from self.by_type.get(kind, ())

    def by_ref(self, kind: str) -> Mapping[str, Entry]:
        """Return the entries of a resource type by their reference."""
        return self.indexed.get(kind, {})


def select(rows: Iterable[Row], patient_id: str, drafts: Drafts) -> Resources:
    """Keep the newest version of each resource of this patient that is not a mistake or draft."""
    addresses = Addresses()
    entries = _newest((addresses.learn(row), row) for row in rows)
    this_patient = f"Patient/{reference_of(patient_id).removeprefix('Patient/')}"
    by_type: dict[str, list[Entry]] = {}
    patient: Resource | None = None
    with_own: set[str] = set()
    with_others: set[str] = set()
    foreign = 0
    for entry in entries:
        if entry.kind == "Patient":
            is_asked_for = entry.wanted == "Patient"
            if entry.ref == this_patient or (entry.ref == "Patient/?" and is_asked_for):
                # One that came along with a search is no better than the one asked for.
                if is_asked_for or patient is None:
                    patient = entry.resource
                    with_own.add("Patient")
            else:
                foreign += 1
                if is_asked_for:
                    with_others.add("Patient")
        elif is_entered_in_error(entry.resource) or drafts.include(entry):
            continue
        elif _is_foreign(entry, this_patient, addresses):
            foreign += 1
            with_others.add(entry.wanted)
        else:
            with_own.add(entry.wanted)
            by_type.setdefault(entry.kind, []).append(entry)
    return Resources(
        by_type={kind: tuple(found) for kind, found in by_type.items()},
        indexed={
            kind: {entry.ref: entry for entry in by_type.get(kind, ())} for kind in _LOOKED_UP
        },
        addresses=addresses,
        patient=patient,
        of_others_only=frozenset(with_others - with_own),
        foreign=foreign,
    )


def _newest(rows: Iterable[tuple[str, Row]]) -> Iterable[Entry]:
    """Keep one version of each `Type/id`, at the place of its first one (quirk 31)."""
    kept: dict[object, Entry] = {}
    for place, (ref, row) in enumerate(rows):
        key: object = place if ref.endswith("/?") else ref
        known = kept.get(key)
        came_along = known is not None and known.wanted == "Patient" != row.wanted
        if known is None or (not came_along and _is_newer(row.resource, known.resource)):
            kept[key] = Entry(ref, row.resource, ref.partition("/")[0], row.wanted)
    return kept.values()


def _is_newer(resource: Resource, known: Resource) -> bool:
    """Compare whole-number versions, else lastUpdated; the later in order wins a tie."""
    meta, known_meta = object_of(resource.get("meta")), object_of(known.get("meta"))
    version, known_version = text_of(meta.get("versionId")), text_of(known_meta.get("versionId"))
    if version.isdecimal() and known_version.isdecimal() and version != known_version:
        return (len(version), version) > (len(known_version), known_version)
    updated = instant_of(meta.get("lastUpdated"))
    known_updated = instant_of(known_meta.get("lastUpdated"))
    return updated is None or known_updated is None or updated >= known_updated


def _is_foreign(entry: Entry, this_patient: str, addresses: Addresses) -> bool:
    """True if it names somebody or something else as its subject.

    No subject, one by identifier or display only, a conditional reference (Synthea) and an
    address that nobody has cannot be checked; the search was by this patient, so they stay
    (quirk 36).
    """
    if entry.kind in _OF_NO_PATIENT:
        return False
    raw = entry.resource
    subjects = [
        target
        for key in ("subject", "patient")
        if key in raw
        for target in addresses.all_resolved(raw[key])
    ]
    if entry.kind == "Appointment":
        actors = (p.get("actor") for p in objects(raw.get("participant")))
        patients = [t for a in actors if (t := addresses.resolved(a)).startswith("Patient/")]
        subjects = subjects or patients
    named = [s for s in subjects if not s.startswith(("urn:", "#"))]
    bare = this_patient.removeprefix("Patient/")
    return bool(named) and this_patient not in named and bare not in named


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every reader of a resource needs beside the resource."""

    terminology: Terminology
    zone: ZoneInfo
    today: date
    resources: Resources
    birth: DateInterval | None = None
    encounter_dates: Mapping[str, DateInterval] = field(default_factory=dict)
    """`Encounter/id` → day it began."""

    concepts_read: dict[object, Concept] = field(default_factory=dict)
    """Charts name the same few things over and over; this dies with the call."""

    def concept(self, value: object) -> Concept:
        """Read one concept in any of its shapes; the empty concept if there is none."""
        raw = None if value is None else codeable(value)
        return NO_CONCEPT if raw is None else self._known(raw)

    def concepts(self, *values: object) -> tuple[Concept, ...]:
        """Read all concepts of elements that may repeat."""
        return tuple(self._known(raw) for v in values if v is not None for raw in codeables(v))

    def _known(self, raw: Resource) -> Concept:
        key = (raw["text"], *(tuple(coding.values()) for coding in objects(raw["coding"])))
        known = self.concepts_read.get(key)
        if known is None:
            known = self.concepts_read[key] = self.terminology.concept(raw)
        return known

    def date(self, resource: Resource, elements: tuple[Element, ...]) -> DateInterval | None:
        """Return the first readable date of the elements, in order."""
        return first_date(resource, elements, self.zone)

    def past_date(self, resource: Resource, elements: tuple[Element, ...]) -> DateInterval | None:
        """Return it unless it lies in the future: then it is unknown (§2.3, quirk 7)."""
        when = self.date(resource, elements)
        return None if when is None or when.is_future(self.today) else when

    def targets(self, *references: object) -> frozenset[str]:
        """Return what the references point to, as `Type/id` where that is known."""
        resolve = self.resources.addresses.all_resolved
        return _NOTHING.union(*(resolve(r) for r in references if r is not None))

    def links(self, references: object) -> frozenset[str]:
        """Return targets and logical identifiers (`system|value`) of references."""
        if references is None:
            return _NOTHING
        tokens = (identifier_tokens(r.get("identifier")) for r in objects(references))
        return self.targets(references).union(*tokens)
