"""What is read from the chart: one frozen record a resource, with only the elements we use.

`chart/` builds these from raw FHIR JSON; fact kinds and the imaging history read them.
Every date is an interval or None. Nothing here knows a rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cds_service.fhir_dates import DateInterval
from cds_service.findings import Strength


@dataclass(frozen=True, slots=True)
class Coding:
    """A FHIR Coding after alias normalisation of its system; `display` is for text reading."""

    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A CodeableConcept: its codings, its own text, and the value sets its codings are in."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    sets: frozenset[str] = frozenset()
    """Ids of all value sets that any coding is a member of."""

    @property
    def is_recognised(self) -> bool:
        """A coding is known, so the text of this concept is not read (§2.5)."""
        return bool(self.sets)

    words: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """What it says in words: its text, then the displays of its codings."""
    label: str = field(init=False, repr=False, compare=False)
    """Words to show for it, raw: the text, else a display, else a code."""

    def __post_init__(self) -> None:
        """Collect once what many facts ask for."""
        texts = (self.text, *(coding.display for coding in self.codings))
        words = tuple(filter(None, texts))
        codes = (coding.code for coding in self.codings if coding.code)
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "label", words[0] if words else next(codes, ""))


NO_CONCEPT = Concept()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What every record has: where it comes from, what it is about, free text beside it."""

    ref: str
    """`Type/id` without host or version; `Type/?` when the resource has no id."""
    concept: Concept = NO_CONCEPT
    notes: tuple[str, ...] = ()
    """`note[].text` and the like, read only when the concept is not recognised."""


class Currency(StrEnum):
    """Whether a condition is going on today (§2.2)."""

    CURRENT = "current"
    PAST = "past"
    CONTRADICTORY = "contradictory"
    """Said to be active but abated: possible for support, unknown for alarms."""


class Verification(StrEnum):
    """Condition.verificationStatus, folded to what matters here."""

    CONFIRMED = "confirmed"
    """Confirmed, or not stated."""
    UNCONFIRMED = "unconfirmed"
    """Unconfirmed, provisional or differential: `possible` at most."""
    REFUTED = "refuted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Record):
    """A Condition that is not entered in error."""

    verification: Verification = Verification.CONFIRMED
    currency: Currency = Currency.CURRENT
    currency_strength: Strength = Strength.STRONG
    clinical_status: str = ""
    """As sent: active, recurrence, relapse, inactive, remission, resolved, or empty."""
    is_encounter_diagnosis: bool = False
    onset: DateInterval | None = None
    """From `onset[x]` only (dateTime, Period.start, Age with birth date)."""
    recorded: DateInterval | None = None
    """assertedDate, recordedDate, else encounter.period.start, as a day; bounds onset above."""
    abated: DateInterval | None = None
    body_sites: tuple[Concept, ...] = ()

    @property
    def began(self) -> DateInterval | None:
        """Onset if given, else recorded (as a day): what windows of supportive facts use."""
        return self.onset or self.recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Observation.value[x] or a component's; all None when there is none."""

    number: float | None = None
    comparator: str = ""
    """`<`, `<=`, `>=`, `>` or empty."""
    unit: str = ""
    """UCUM code if given, else the unit text, as sent."""
    concept: Concept | None = None
    text: str = ""
    boolean: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationPart:
    """A component of an Observation."""

    concept: Concept
    value: Value


class Reading(StrEnum):
    """What an Observation's result says, where it says it plainly."""

    NORMAL = "normal"
    """Negative, normal, absent, no, 5 of 5, intact; interpretation N or NEG."""
    ABNORMAL = "abnormal"
    """Positive, present, yes, decreased; interpretation A, H, L, HH, LL, POS …"""
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(Record):
    """An Observation that has a usable status."""

    effective: DateInterval | None = None
    value: Value = field(default_factory=Value)
    parts: tuple[ObservationPart, ...] = ()
    reading: Reading = Reading.UNCLEAR
    has_value: bool = False
    """False when there is a dataAbsentReason or no value at all: absent is not normal."""
    reference_high: float | None = None
    reference_low: float | None = None
    categories: frozenset[str] = frozenset()
    """Lower-case category codes: vital-signs, laboratory, exam, survey, imaging …"""
    body_sites: tuple[Concept, ...] = ()
    exam_label: str = field(init=False, repr=False, compare=False)
    """The name of the examination with its body sites, as sent."""

    def __post_init__(self) -> None:
        """Put together once what many facts ask for."""
        names = (self.concept.label, *(site.label for site in self.body_sites))
        object.__setattr__(self, "exam_label", " ".join(names).strip())


class ProcedureState(StrEnum):
    """Procedure.status as this service uses it."""

    DONE = "done"
    ONGOING = "ongoing"
    PLANNED = "planned"
    NOT_DONE = "not-done"
    STOPPED = "stopped"
    """Attempted: not a valid exam, not a completed operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure(Record):
    """A Procedure that is not entered in error."""

    state: ProcedureState = ProcedureState.DONE
    strength: Strength = Strength.STRONG
    """`possible` where the status is missing."""
    performed: DateInterval | None = None
    body_sites: tuple[Concept, ...] = ()
    reasons: tuple[Concept, ...] = ()
    reason_refs: tuple[str, ...] = ()
    identifiers: frozenset[str] = frozenset()
    based_on: frozenset[str] = frozenset()
    reports: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()
    categories: tuple[Concept, ...] = ()
    focal_devices: tuple[str, ...] = ()
    """Names of the devices that it put in, changed or took out, with the action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest(Record):
    """An order in the chart (STU3 ProcedureRequest too): never one of this hook's drafts."""

    status: str = ""
    intent: str = ""
    do_not_perform: bool = False
    authored: DateInterval | None = None
    occurrence: DateInterval | None = None
    details: tuple[Concept, ...] = ()
    body_sites: tuple[Concept, ...] = ()
    reasons: tuple[Concept, ...] = ()
    reason_refs: tuple[str, ...] = ()
    identifiers: frozenset[str] = frozenset()
    based_on: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()
    requisition: str = ""
    categories: tuple[Concept, ...] = ()

    @property
    def is_firm(self) -> bool:
        """An order rather than a plan, proposal or option (§2.2)."""
        return self.intent in {
            "order",
            "original-order",
            "reflex-order",
            "filler-order",
            "instance-order",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Medication(Record):
    """A MedicationRequest, -Statement, -Dispense or -Administration that may count."""

    kind: str = "MedicationRequest"
    status: str = ""
    strength: Strength = Strength.STRONG
    """`possible` for intended statements and proposals."""
    not_taken: bool = False
    start: DateInterval | None = None
    end: DateInterval | None = None
    """validityPeriod.end, else start + supply, else the bounds of the timing; else None."""
    supply_days: int | None = None
    """Days of one fill × (1 + repeats), if stated."""
    route: str = ""
    """Route words, lower case, for exclusions such as inhaled or topical."""
    dosage_text: str = ""
    reasons: tuple[Concept, ...] = ()
    reason_refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounter(Record):
    """An Encounter, where the client sends one: its reasons link an episode."""

    reasons: tuple[Concept, ...] = ()
    period: DateInterval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment(Record):
    """A booked or proposed Appointment; `notes` hold its description and comment."""

    status: str = ""
    start: DateInterval | None = None
    based_on: frozenset[str] = frozenset()
    services: tuple[Concept, ...] = ()
    """What it is for: serviceType and reasonCode."""
    categories: tuple[Concept, ...] = ()
    """serviceCategory and specialty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergy(Record):
    """An AllergyIntolerance that is active or has no status, or one that was refuted."""

    verification: Verification = Verification.CONFIRMED
    substances: tuple[Concept, ...] = ()
    """What reactions were to, where a reaction names it."""
    criticality: str = ""
    severities: frozenset[str] = frozenset()
    manifestations: tuple[Concept, ...] = ()
    recorded: DateInterval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Record):
    """A Device, or the use of one; `notes` hold its names, properties and MR statements."""

    device: str = ""
    """`Device/id` of the Device, also where this is its use; else the reference of the use."""
    is_in_use: bool = True
    """False for a Device that is inactive and a use that ended: it contradicts what says "in"."""
    recorded: DateInterval | None = None
    """When its use began or, if it is no longer in use, ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingStudy(Record):
    """An ImagingStudy; `notes` hold its description and those of its series."""

    comments: tuple[str, ...] = ()
    """`note[].text`, which may speak of other exams."""

    status: str = ""
    """`available`, `registered`, or empty."""
    has_images: bool = False
    modalities: tuple[Concept, ...] = ()
    """Study level and series level together."""
    body_sites: tuple[Concept, ...] = ()
    procedures: tuple[Concept, ...] = ()
    started: DateInterval | None = None
    updated: DateInterval | None = None
    """meta.lastUpdated: an upper bound at most."""
    identifiers: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()
    study_uids: frozenset[str] = frozenset()
    based_on: frozenset[str] = frozenset()
    procedure_ref: str = ""
    facility: str = ""
    """Who performed it, in words."""
    facility_refs: frozenset[str] = frozenset()
    """`Organization/id` of who performed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticReport(Record):
    """A DiagnosticReport; `notes` hold presented titles and the names of its orders."""

    status: str = ""
    categories: frozenset[str] = frozenset()
    """Upper-case category codes and words, for example RAD, LP29684-5, RADIOLOGY."""
    effective: DateInterval | None = None
    issued: DateInterval | None = None
    updated: DateInterval | None = None
    conclusion: str = ""
    conclusion_codes: tuple[Concept, ...] = ()
    url: str = ""
    """Absolute https URL of the report, only where the EHR gave one."""
    identifiers: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()
    imaging_studies: frozenset[str] = frozenset()
    based_on: frozenset[str] = frozenset()
    facility: str = ""
    """Who performed it, in words."""
    facility_refs: frozenset[str] = frozenset()
    """`Organization/id` of who performed it."""
    narrative: str = ""
    """Plain words of `text.div`; they may speak of other exams, so they are read last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentReference(Record):
    """A current DocumentReference; `concept` is its type, `notes` description and titles."""

    categories: tuple[Concept, ...] = ()
    service_date: DateInterval | None = None
    """`context.period`: when what is documented took place."""
    created: DateInterval | None = None
    """`date`: when the document was indexed, an upper bound."""
    identifiers: frozenset[str] = frozenset()
    accessions: frozenset[str] = frozenset()
    related: frozenset[str] = frozenset()
    """What it documents: `context.related`, and `basedOn` of R5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The patient in context."""

    ref: str
    birth: DateInterval | None = None
    sex: str = ""
    """`female`, `male`, `other`, `unknown` or empty (Patient.gender)."""
    is_deceased: bool = False
    organization: str = ""
    """`managingOrganization`, as `Organization/id`: an exam of another one is from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Everything read of one patient, and which sources could not be read."""

    patient: Patient | None = None
    conditions: tuple[Condition, ...] = ()
    observations: tuple[Observation, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    service_requests: tuple[ServiceRequest, ...] = ()
    medications: tuple[Medication, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    devices: tuple[Device, ...] = ()
    imaging_studies: tuple[ImagingStudy, ...] = ()
    diagnostic_reports: tuple[DiagnosticReport, ...] = ()
    encounters: tuple[Encounter, ...] = ()
    appointments: tuple[Appointment, ...] = ()
    documents: tuple[DocumentReference, ...] = ()
    """Only where the client sends them: no template asks for them."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Resource type → reason (`503`, `not sent`, `incomplete`, `withheld`, `timeout` …)."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """fullUrl of the `urn:` kind → `Type/id`, for references of the draft orders (quirk 35)."""
    own_orders: frozenset[str] = frozenset()
    """`Type/id` and `system|value` of the hook's drafts, and of what they replace or carry out."""
    foreign: int = 0
    """Resources of another patient that were dropped: counted, never described."""

    def condition(self, ref: str) -> Condition | None:
        """Return the condition with that reference, for `reasonReference`."""
        return next((c for c in self.conditions if c.ref == ref), None)
