"""The records of the chart that may speak of a spine exam, each with its name, date and links.

Source: decision table §7.1, columns "is it a lumbar MRI?" and "valid exam?".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum

from cds_service.fhir_dates import DateInterval, Precision, on_or_after
from cds_service.findings import Strength
from cds_service.imaging_history.names import ExamKind, ExamName, ExamNames, ExamWords
from cds_service.records import (
    Appointment,
    Chart,
    Concept,
    DiagnosticReport,
    DocumentReference,
    ImagingStudy,
    Procedure,
    ProcedureState,
    Record,
    ServiceRequest,
)

_RADIOLOGY = frozenset(
    {"RAD", "LP29684-5", "IMG", "IMAGING", "RADIOLOGY", "NMR", "MRI", "MR", "363679005"}
)
_MR_CATEGORIES = frozenset({"NMR", "MRI", "MR"})
_RADIOLOGY_WORDS = re.compile(
    r"\b(?:radiology|(?:diagnostic |medical )?imaging|MRI?|magnetic resonance)\b", re.IGNORECASE
)
_LIMITED = re.compile(
    r"(?<!not )(?<!no )\b(?:non-?diagnostic|motion[- ]degraded|incomplete|limited)\b", re.IGNORECASE
)
_OUTSIDE = re.compile(r"\boutside\b", re.IGNORECASE)
_EXAM_WORDS = re.compile(r"\bMR|magnetic|\bCT|tomogra|spin|lumb|\bL/?S", re.IGNORECASE)
# A paper about an exam that is, or is not yet, to be done; a visit that talks of one.
_NO_REPORT = re.compile(
    r"\b(?:orders?|ordering|requisition|requests?|referrals?|(?:pre-?)?authori[sz]ations?|pre-?cert"
    r"|consent|questionnaire|screening|checklist|instructions?|education|appointments?"
    r"|schedul\w{1,3}|reminder|denial|denied|invoice|bill(?:ing)?)\b",
    re.IGNORECASE,
)
_NO_SCAN = re.compile(
    r"\b(?:reviews?|results?|discuss\w{0,4}|consult\w{0,7}|follow-?\s?up|visit|call"
    r"|cancel\w{0,6}|authori[sz]ations?)\b",
    re.IGNORECASE,
)
_BOOKED = frozenset({"booked", "pending", "arrived", "checked-in"})
_RECORDS = ("ImagingStudy", "DiagnosticReport", "Procedure")
SPINE_EXAMS = frozenset({ExamKind.LUMBAR_MRI, ExamKind.LUMBAR_CT, ExamKind.UNCERTAIN})


class SourceKind(IntEnum):
    """Type of record, the best source first."""

    STUDY = 0
    REPORT = 1
    PROCEDURE = 2
    ORDER = 3
    APPOINTMENT = 4
    DOCUMENT = 5
    """Last: its title is all that is read, so what anything else says goes before it."""


class MemberState(IntEnum):
    """What the record says of the exam's having taken place."""

    DONE = 0
    IN_FLIGHT = 1
    ATTEMPTED = 2
    """Stopped: if another record says it was done, it was done in part."""
    NONE = 3
    """It says nothing of the kind, or that it was not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One record that speaks of an exam."""

    ref: str
    kind: SourceKind
    name: ExamName
    state: MemberState
    strength: Strength
    dates: tuple[DateInterval, ...] = ()
    """Dates of the exam itself, best first."""
    issued: DateInterval | None = None
    """Not later than, and usually soon after, the exam."""
    updated: DateInterval | None = None
    """Not later than."""
    authored: DateInterval | None = None
    """Orders: the exam is not earlier than this."""
    planned: DateInterval | None = None
    """Orders and bookings: when it is to be done."""
    exam_keys: frozenset[str] = frozenset()
    """What only one exam has: its records, accession number, study UID, identifiers."""
    order_keys: frozenset[str] = frozenset()
    """Orders that it belongs to, or is."""
    accessions: frozenset[str] = frozenset()
    study_uids: frozenset[str] = frozenset()
    has_images: bool = False
    is_limited: bool = False
    is_outside: bool = False
    conclusion: str = ""
    url: str = ""
    facility: str = ""
    facility_refs: frozenset[str] = frozenset()

    @property
    def sort_key(self) -> tuple[int, str]:
        """Best source first, then by reference: the order of the Bundle never matters."""
        return (self.kind, self.ref)


def members(chart: Chart, names: ExamNames, today: date) -> list[Member]:
    """Return every record that names a spine exam, and all with links if there is any.

    Most charts hold none, and most procedures and laboratory reports are far from one, so a
    quick look comes first. What is in flight for one of the hook's own orders is the draft under
    another name, and says nothing of another exam.
    """
    studies = [_study(study, names) for study in chart.imaging_studies]
    reports = [r for r in chart.diagnostic_reports if _may_speak(r, names, r.narrative)]
    procedures = [p for p in chart.procedures if _may_speak(p, names)]
    orders = [
        o for o in chart.service_requests if _may_speak(o, names, *(d.label for d in o.details))
    ]
    found = [
        *studies,
        *(_report(report, names) for report in reports),
        *(_procedure(procedure, names) for procedure in procedures),
        *(_order(order, names, today) for order in orders),
        *(_appointment(booking, names, today) for booking in chart.appointments),
        *(d for d in (_document(d, names) for d in chart.documents) if d is not None),
    ]
    if not any(member.name.kind in SPINE_EXAMS for member in found):
        return []
    spoken = {member.ref for member in found}
    linked_reports = (r for r in chart.diagnostic_reports if r.ref not in spoken)
    linked_procedures = (p for p in chart.procedures if p.ref not in spoken)
    linked = (
        *(_report(report, names) for report in linked_reports),
        *(_procedure(procedure, names) for procedure in linked_procedures),
    )
    found += [member for member in linked if member.order_keys or len(member.exam_keys) > 1]
    replaced = frozenset[str]().union(*(order.replaces for order in chart.service_requests))
    return [_unless_gone(member, chart.own_orders, replaced) for member in found]


def _unless_gone(member: Member, own: frozenset[str], replaced: frozenset[str]) -> Member:
    """Nothing is in flight for the hook's own orders; an order that was replaced is not itself."""
    keys = member.order_keys | member.exam_keys | {member.ref}
    is_gone = member.ref in replaced or not keys.isdisjoint(own)
    if member.state is MemberState.IN_FLIGHT and is_gone:
        return replace(member, state=MemberState.NONE)
    return member


def _may_speak(record: Record, names: ExamNames, *words: str) -> bool:
    """Tell whether any code is known or any word is of an exam; a quick look, not a reading."""
    concept = record.concept
    if concept.is_recognised or names.has_site_codes:
        return True
    return bool(_EXAM_WORDS.search(" ".join((*concept.words, *record.notes, *words))))


def _study(study: ImagingStudy, names: ExamNames) -> Member:
    topic = names.definition
    labels = {m.label.upper() for m in study.modalities}
    is_mr = "MR" in labels or any(topic.modality_set in m.sets for m in study.modalities)
    said = ExamWords(
        names=study.procedures,
        words=study.notes,
        sites=study.body_sites,
        is_mr=is_mr,
        is_other_modality=bool(labels) and not is_mr,
        is_ct="CT" in labels,
    )
    name = names.read_with_comments(said, study.comments)
    if study.status == "registered":
        state = MemberState.IN_FLIGHT
    elif study.status == "available" or study.has_images:
        state = MemberState.DONE
    else:
        state = MemberState.NONE
    procedure = {study.procedure_ref} - {""}
    return Member(
        ref=study.ref,
        kind=SourceKind.STUDY,
        name=name,
        state=state,
        strength=_certain(name),
        dates=_known(study.started),
        updated=study.updated,
        exam_keys=_exam_keys(study.ref, study.identifiers, study.accessions) | _shared(procedure),
        order_keys=_shared(study.based_on),
        accessions=study.accessions,
        study_uids=study.study_uids,
        has_images=study.has_images,
        is_outside=any(_OUTSIDE.search(text) for text in (*study.notes, *study.comments)),
        facility=study.facility,
        facility_refs=study.facility_refs,
    )


def _report(report: DiagnosticReport, names: ExamNames) -> Member:
    name = names.read(
        ExamWords(
            names=(report.concept,),
            words=report.notes,
            is_mr=not _MR_CATEGORIES.isdisjoint(report.categories),
        )
    )
    if name.kind is ExamKind.UNNAMED and report.narrative:
        name = names.read_narrative(report.narrative)
    is_certain = (name.by_code or _is_radiology(report.categories)) and bool(report.status)
    return Member(
        ref=report.ref,
        kind=SourceKind.REPORT,
        name=name,
        state=MemberState.IN_FLIGHT if report.status == "registered" else MemberState.DONE,
        strength=_certain(name) if is_certain else Strength.POSSIBLE,
        dates=_known(report.effective),
        issued=report.issued,
        updated=report.updated,
        exam_keys=_exam_keys(report.ref, report.identifiers, report.accessions)
        | _shared(report.imaging_studies),
        order_keys=_shared(report.based_on),
        accessions=report.accessions,
        is_limited=bool(_LIMITED.search(report.conclusion)),
        is_outside=any(_OUTSIDE.search(text) for text in (report.concept.label, *report.notes)),
        conclusion=report.conclusion,
        url=report.url,
        facility=report.facility,
        facility_refs=report.facility_refs,
    )


_PROCEDURE_STATES = {
    ProcedureState.DONE: MemberState.DONE,
    ProcedureState.STOPPED: MemberState.ATTEMPTED,
    ProcedureState.NOT_DONE: MemberState.ATTEMPTED,
    ProcedureState.ONGOING: MemberState.NONE,
    ProcedureState.PLANNED: MemberState.NONE,
}


def _procedure(procedure: Procedure, names: ExamNames) -> Member:
    said = ExamWords(names=(procedure.concept,), sites=procedure.body_sites)
    name = names.read_with_comments(said, procedure.notes)
    is_radiology = _is_radiology(_said(procedure.categories))
    is_certain = (name.by_code or is_radiology) and procedure.strength is Strength.STRONG
    return Member(
        ref=procedure.ref,
        kind=SourceKind.PROCEDURE,
        name=name,
        state=_PROCEDURE_STATES[procedure.state],
        strength=_certain(name) if is_certain else Strength.POSSIBLE,
        dates=_known(procedure.performed),
        exam_keys=_exam_keys(procedure.ref, procedure.identifiers, procedure.accessions)
        | _shared(procedure.reports),
        order_keys=_shared(procedure.based_on),
        accessions=procedure.accessions,
        is_outside=bool(_OUTSIDE.search(procedure.concept.label)),
    )


def _order(order: ServiceRequest, names: ExamNames, today: date) -> Member:
    """Read an order: completed is weak evidence of an exam on or after it was written."""
    said = ExamWords(names=(order.concept, *order.details), sites=order.body_sites)
    name = names.read_with_comments(said, order.notes)
    is_done = order.status == "completed"
    happened = order.occurrence
    if is_done and happened is None and order.authored is not None:
        earliest = order.authored.earliest
        happened = DateInterval(earliest, today, Precision.UNKNOWN, order.authored.element)
    keys = {order.ref, *order.identifiers}
    if order.requisition:
        codes = (f"{c.system}|{c.code}" for c in order.concept.codings)
        keys |= {f"requisition:{order.requisition}:{code}" for code in codes}
    is_named = name.by_code or _is_radiology(_said(order.categories))
    is_certain = not is_done and order.is_firm and is_named
    return Member(
        ref=order.ref,
        kind=SourceKind.ORDER,
        name=name,
        state=MemberState.DONE if is_done else MemberState.IN_FLIGHT,
        strength=_certain(name) if is_certain else Strength.POSSIBLE,
        dates=_known(happened) if is_done else (),
        authored=order.authored,
        planned=None if is_done else order.occurrence,
        exam_keys=frozenset(f"accession:{number}" for number in order.accessions),
        order_keys=_shared(frozenset(keys) | order.based_on),
    )


def _appointment(booking: Appointment, names: ExamNames, today: date) -> Member:
    """Read a booking: in flight from today on, known by what it is for or by its order (§7.2)."""
    services = tuple(s for s in booking.services if not _NO_SCAN.search(" ".join(s.words)))
    name = names.read(ExamWords(names=services))
    is_ahead = booking.start is not None and on_or_after(booking.start, today) is not False
    is_booked = booking.status in _BOOKED and is_ahead
    is_certain = name.by_code or _is_radiology(_said(booking.categories))
    return Member(
        ref=booking.ref,
        kind=SourceKind.APPOINTMENT,
        name=name,
        state=MemberState.IN_FLIGHT if is_booked else MemberState.NONE,
        strength=_certain(name) if is_certain else Strength.POSSIBLE,
        planned=booking.start,
        order_keys=_shared(booking.based_on),
    )


def _document(document: DocumentReference, names: ExamNames) -> Member | None:
    """Read a document that names the exam; possible at most, and only if it is a report of it."""
    titles = (document.concept, *document.categories)
    said = ExamWords(names=titles, words=document.notes)
    name = names.read(said)
    if name.kind not in SPINE_EXAMS or _NO_REPORT.search(said.all_words):
        return None
    return Member(
        ref=document.ref,
        kind=SourceKind.DOCUMENT,
        name=name,
        state=MemberState.DONE,
        strength=Strength.POSSIBLE,
        dates=_known(document.service_date),
        updated=document.created,
        exam_keys=_exam_keys(document.ref, document.identifiers, document.accessions)
        | _shared(_exams_among(document.related)),
        order_keys=_shared(r for r in document.related if r.startswith("ServiceRequest/")),
        accessions=document.accessions,
        is_outside=bool(_OUTSIDE.search(said.all_words)),
    )


def _exams_among(related: frozenset[str]) -> frozenset[str]:
    """Records and identifiers of the exam a document is about; none if it is about several."""
    kinds = [ref.partition("/")[0] for ref in related]
    if any(kinds.count(kind) > 1 for kind in _RECORDS):
        return frozenset()
    return frozenset(r for r in related if "|" in r or r.partition("/")[0] in _RECORDS)


def _said(concepts: Iterable[Concept]) -> Iterable[str]:
    """Codes and words of concepts."""
    for concept in concepts:
        yield from (coding.code for coding in concept.codings)
        yield from concept.words


def _is_radiology(categories: Iterable[str]) -> bool:
    return any(c.upper() in _RADIOLOGY or _RADIOLOGY_WORDS.search(c) for c in categories)


def _certain(name: ExamName) -> Strength:
    return Strength.POSSIBLE if name.is_doubtful else Strength.STRONG


def _known(when: DateInterval | None) -> tuple[DateInterval, ...]:
    return () if when is None else (when,)


def _exam_keys(ref: str, identifiers: frozenset[str], accessions: frozenset[str]) -> frozenset[str]:
    return _shared({ref, *identifiers, *(f"accession:{number}" for number in accessions)})


def _shared(keys: Iterable[str]) -> frozenset[str]:
    """Leave out what names nothing, or not to others.

    An absent id, an identifier that is a bare `1`, a contained resource: every record may have
    a `#1` of its own.
    """
    return frozenset(k for k in keys if not k.endswith("/?") and not k.startswith(("|", "#")))
