"""Procedure, ServiceRequest, ImagingStudy, DiagnosticReport, DocumentReference as records.

Dates are kept as sent, future ones too: a completed exam in the future is no exam (quirk 7).
Source: decision table §2.2 and §7.1; `ehr-integration.md` §5, quirks 4, 5, 15, 27–30, 45–50.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cds_service.chart.resources import Desk, Entry
from cds_service.fhir import (
    Element,
    Resource,
    accession_numbers,
    code_of,
    codeables,
    codes_of,
    identifier_token,
    identifier_tokens,
    note_texts,
    number_of,
    object_of,
    objects,
    reference_of,
    study_uids,
    text_of,
    texts_of,
    year_in,
)
from cds_service.fhir_dates import DateInterval
from cds_service.findings import Strength
from cds_service.records import (
    Concept,
    DiagnosticReport,
    DocumentReference,
    ImagingStudy,
    Procedure,
    ProcedureState,
    ServiceRequest,
)

_PROCEDURE_STATES = {
    "completed": ProcedureState.DONE,
    "": ProcedureState.DONE,
    "in-progress": ProcedureState.ONGOING,
    "on-hold": ProcedureState.ONGOING,
    "suspended": ProcedureState.ONGOING,
    "preparation": ProcedureState.PLANNED,
    "not-done": ProcedureState.NOT_DONE,
    "stopped": ProcedureState.STOPPED,
    "aborted": ProcedureState.STOPPED,
}
_PERFORMED: tuple[Element, ...] = tuple(
    element
    for name in ("performed", "occurrence")
    for element in ((f"{name}DateTime", ""), (f"{name}Period", "start"), (f"{name}Period", "end"))
)

_ORDER_STATUSES = {
    **dict.fromkeys(("active", "on-hold", "completed"), None),
    **dict.fromkeys(("requested", "received", "accepted", "in-progress", "review"), "active"),
    "suspended": "on-hold",
}
_AUTHORED: tuple[Element, ...] = (("authoredOn", ""), ("authored", ""), ("orderedOn", ""))
_OCCURRENCE: tuple[Element, ...] = (
    ("occurrenceDateTime", ""),
    ("occurrencePeriod", "start"),
    ("occurrencePeriod", "end"),
    ("occurrenceTiming", "event"),
)

_NO_STUDY = frozenset({"cancelled"})
_STUDY_STATUSES = frozenset({"available", "registered"})
_MOST_SERIES = 200
_NO_REPORT = frozenset({"cancelled", "unknown"})
_EFFECTIVE: tuple[Element, ...] = (
    ("effectiveDateTime", ""),
    ("effectivePeriod", "start"),
    ("effectivePeriod", "end"),
)
_TAG = re.compile(r"<[^<>]{0,500}>")
_BLANKS = re.compile(r"\s+")
_LONGEST_NARRATIVE = 4000
_LONGEST_TEXT = 2000
_LONGEST_CONCLUSION = 10_000
"""Recommendations stand at the end of a conclusion."""
_DOCUMENT_DATE: tuple[Element, ...] = (("date", ""), ("indexed", ""), ("created", ""))
_PERIOD: tuple[Element, ...] = (("period", "start"), ("period", "end"))


def read_procedure(entry: Entry, desk: Desk) -> Procedure | None:
    """Return a Procedure; one that was not done or was stopped says so. None without a code."""
    raw = entry.resource
    status = code_of(raw.get("status"))
    state = ProcedureState.NOT_DONE if raw.get("notDone") is True else _PROCEDURE_STATES.get(status)
    concept = desk.concept(raw.get("code"))
    if state is None or not concept.label:
        return None
    reasons = _reasons(raw)
    orders = _opened(raw, "basedOn")
    performed = desk.date(raw, _PERFORMED)
    for name in ("performedString", "occurrenceString"):
        performed = performed or desk.date(raw, ((name, ""),)) or year_in(raw.get(name), name)
    return Procedure(
        ref=entry.ref,
        concept=concept,
        notes=note_texts(raw.get("note")),
        state=state,
        strength=Strength.STRONG if status else Strength.POSSIBLE,
        performed=performed,
        body_sites=desk.concepts(raw.get("bodySite")),
        reasons=desk.concepts(reasons),
        reason_refs=tuple(sorted(desk.targets(raw.get("reasonReference"), reasons))),
        identifiers=identifier_tokens(raw.get("identifier")),
        based_on=desk.links(orders),
        accessions=_accessions(raw, orders),
        reports=desk.links(_opened(raw, "report")),
        categories=desk.concepts(raw.get("category")),
        focal_devices=tuple(_focal_devices(raw)),
    )


def _focal_devices(raw: Resource) -> Iterator[str]:
    """Yield what was put in or taken out, with the action: "Pacemaker explanted"."""
    for focal in objects(raw.get("focalDevice")):
        name = text_of(object_of(focal.get("manipulated")).get("display"))
        if name:
            yield " ".join((name, *codes_of(focal.get("action"))))


def read_service_request(entry: Entry, desk: Desk) -> ServiceRequest | None:
    """Return an order that stands or was carried out; a draft is not part of the chart.

    `doNotPerform`, revoked and unknown orders are left out (§2.2).
    """
    raw = entry.resource
    status = code_of(raw.get("status"))
    if status not in _ORDER_STATUSES or raw.get("doNotPerform") is True:
        return None
    items = [item.get("code") for item in objects(raw.get("item"))]
    code, *further = [*codeables(raw.get("code")), *codeables(items)] or [{}]
    concept = desk.concept(code)
    details = desk.concepts(further, raw.get("orderDetail"))
    notes = note_texts(raw.get("note"))
    if not (concept.label or details or notes):
        return None
    reasons = _reasons(raw)
    return ServiceRequest(
        ref=entry.ref,
        concept=concept,
        notes=notes,
        status=_ORDER_STATUSES[status] or status,
        intent=code_of(raw.get("intent")),
        authored=desk.date(raw, _AUTHORED) or _first_event(raw, desk),
        occurrence=_occurrence(raw, desk),
        details=details,
        body_sites=desk.concepts(raw.get("bodySite")),
        reasons=desk.concepts(reasons),
        reason_refs=tuple(sorted(desk.targets(raw.get("reasonReference"), reasons))),
        identifiers=identifier_tokens(raw.get("identifier")),
        based_on=desk.links(raw.get("basedOn")),
        accessions=accession_numbers(raw.get("identifier")),
        replaces=desk.targets(raw.get("replaces")),
        requisition=identifier_token(object_of(raw.get("requisition"))),
        categories=desk.concepts(raw.get("category")),
    )


def _reasons(raw: Resource) -> list[Resource]:
    """R4 `reasonCode`, and the `reason` of DSTU2 (concept) and R5 (CodeableReference)."""
    return [*objects(raw.get("reasonCode")), *objects(raw.get("reason"))]


def _first_event(raw: Resource, desk: Desk) -> DateInterval | None:
    """DSTU2 DiagnosticOrder has no date but those of its events."""
    dates = (desk.date(event, (("dateTime", ""),)) for event in objects(raw.get("event")))
    return next((when for when in dates if when is not None), None)


def _occurrence(raw: Resource, desk: Desk) -> DateInterval | None:
    when = desk.date(raw, _OCCURRENCE)
    if when is not None:
        return when
    timing = object_of(raw.get("occurrenceTiming"))
    events = timing.get("event")
    first = {"event": events[0]} if isinstance(events, list) and events else {}
    return desk.date(first, (("event", ""),)) or desk.date(
        object_of(timing.get("repeat")), (("boundsPeriod", "start"),)
    )


def read_imaging_study(entry: Entry, desk: Desk) -> ImagingStudy | None:
    """Return an ImagingStudy; its series are read, its instances never (quirk 45)."""
    raw = entry.resource
    status = code_of(raw.get("status"))
    if status in _NO_STUDY:
        return None
    series = objects(raw.get("series"))[:_MOST_SERIES]
    procedures = [*codeables(raw.get("procedureCode")), *codeables(raw.get("procedure"))]
    procedure_refs = sorted(
        desk.targets(raw.get("procedure")) | desk.links(_opened(raw, "procedureReference"))
    )
    identifiers = [
        *objects(raw.get("identifier")),
        *({"system": "urn:dicom:uid", "value": uid} for uid in texts_of((raw.get("uid"),))),
    ]
    orders = _opened(raw, "basedOn")
    accessions = _accessions(raw, orders) | (
        {identifier_token(object_of(raw.get("accession")))} - {""}
    )
    return ImagingStudy(
        ref=entry.ref,
        notes=texts_of((raw.get("description"), *(s.get("description") for s in series))),
        comments=note_texts(raw.get("note")),
        status=status if status in _STUDY_STATUSES else "",
        has_images=_has_images(raw, series),
        modalities=_once(
            desk, raw.get("modality"), raw.get("modalityList"), *(s.get("modality") for s in series)
        ),
        body_sites=_once(desk, raw.get("bodySite"), *(s.get("bodySite") for s in series)),
        procedures=desk.concepts(procedures),
        started=desk.date(raw, (("started", ""),)) or _earliest(series, desk, "series.started"),
        updated=_updated(raw, desk),
        identifiers=identifier_tokens(identifiers),
        accessions=accessions,
        study_uids=study_uids(identifiers),
        based_on=desk.links(orders),
        procedure_ref=next(iter(procedure_refs), ""),
        facility=_facility(series),
        facility_refs=_facility_refs(series, desk),
    )


def _once(desk: Desk, *values: object) -> tuple[Concept, ...]:
    """Read concepts of many series, each once: hundreds of series say the same."""
    raws = {repr(raw): raw for value in values for raw in codeables(value)}
    return tuple(desk.concept(raw) for raw in raws.values())


def _has_images(raw: Resource, series: list[Resource]) -> bool:
    counts = (number_of(part.get("numberOfInstances")) or 0 for part in (raw, *series))
    return any(count > 0 for count in counts) or any(s.get("instance") for s in series)


def _earliest(parts: list[Resource], desk: Desk, element: str) -> DateInterval | None:
    dates = (desk.date(part, (("started", ""),)) for part in parts)
    known = [when for when in dates if when is not None]
    if not known:
        return None
    return replace(min(known, key=lambda when: when.latest), element=element)


def _updated(raw: Resource, desk: Desk) -> DateInterval | None:
    """`meta.lastUpdated` bounds an exam from above: imports touch old ones."""
    when = desk.date(object_of(raw.get("meta")), (("lastUpdated", ""),))
    return None if when is None else replace(when.as_upper_bound(), element="meta.lastUpdated")


def read_diagnostic_report(entry: Entry, desk: Desk) -> DiagnosticReport | None:
    """Return a report that is out or on its way; the exam name may stand in its titles only."""
    raw = entry.resource
    status = code_of(raw.get("status"))
    if status in _NO_REPORT:
        return None
    forms = objects(raw.get("presentedForm"))
    orders = _opened(raw, "basedOn", "request")
    studies = _opened(raw, "imagingStudy", "study")
    issued = desk.date(raw, (("issued", ""),))
    return DiagnosticReport(
        ref=entry.ref,
        concept=desk.concept(raw.get("code")),
        notes=texts_of(
            (
                *(form.get("title") for form in forms),
                *(order.get("display") for order in orders),
                *(desk.concept(order.get("code")).label for order in orders),
                *(study.get("display") for study in studies),
                *(study.get("description") for study in studies),
            )
        ),
        status=status,
        categories=_categories(raw, desk),
        effective=desk.date(raw, _EFFECTIVE) or _earliest(studies, desk, "imagingStudy.started"),
        issued=None if issued is None else issued.as_upper_bound(),
        updated=_updated(raw, desk),
        conclusion=text_of(raw.get("conclusion"))[:_LONGEST_CONCLUSION],
        conclusion_codes=desk.concepts(raw.get("conclusionCode"), raw.get("codedDiagnosis")),
        url=next((u for f in forms if (u := text_of(f.get("url"))).startswith("https://")), ""),
        identifiers=identifier_tokens(raw.get("identifier")),
        accessions=_accessions(raw, [*orders, *studies]),
        imaging_studies=desk.links(studies),
        based_on=desk.links(orders),
        facility=_facility([raw]),
        facility_refs=_facility_refs([raw], desk),
        narrative=_narrative(raw),
    )


def _categories(raw: Resource, desk: Desk) -> frozenset[str]:
    """Codes of the category, and its words: local codes often carry a display only."""
    words = (word for concept in desk.concepts(raw.get("category")) for word in concept.words)
    return frozenset(said.upper() for said in (*codes_of(raw.get("category")), *words))


def _accessions(raw: Resource, orders: list[Resource]) -> frozenset[str]:
    """Accession numbers of the record, and of orders that are named by identifier only."""
    return accession_numbers(raw.get("identifier")).union(
        *(accession_numbers(order.get("identifier")) for order in orders)
    )


def _opened(raw: Resource, *elements: str) -> list[Resource]:
    """Return References, and the contained resources that they lead to (§2.2).

    Either may carry what identifies an exam or its order.
    """
    references = [reference for element in elements for reference in objects(raw.get(element))]
    contained = {f"#{text_of(c.get('id'))}": c for c in objects(raw.get("contained"))}
    inner = (contained.get(reference_of(reference)) for reference in references)
    return [*references, *(resource for resource in inner if resource is not None)]


def read_document_reference(entry: Entry, desk: Desk) -> DocumentReference | None:
    """Return a current document: a scanned outside report is often nothing else (§7.1)."""
    raw = entry.resource
    if code_of(raw.get("status")) != "current" or code_of(raw.get("docStatus")) == "cancelled":
        return None
    # R4 and STU3 have a context; in R5 its members stand on top and `context` is a Reference.
    context = {**raw, **object_of(raw.get("context"))}
    related = [
        part.get("ref") if isinstance(part.get("ref"), dict) else part
        for part in (*objects(context.get("related")), *objects(raw.get("basedOn")))
    ]
    contents = [object_of(part.get("attachment")) for part in objects(raw.get("content"))]
    served = desk.date(context, _PERIOD)
    created = desk.date(raw, _DOCUMENT_DATE)
    identifiers = [*objects(raw.get("masterIdentifier")), *objects(raw.get("identifier"))]
    return DocumentReference(
        ref=entry.ref,
        concept=desk.concept(raw.get("type")),
        notes=texts_of((raw.get("description"), *(content.get("title") for content in contents))),
        categories=desk.concepts(raw.get("category"), raw.get("class")),
        service_date=None
        if served is None
        else replace(served, element=f"context.{served.element}"),
        created=None if created is None else created.as_upper_bound(),
        identifiers=identifier_tokens(identifiers),
        accessions=accession_numbers(identifiers)
        | frozenset[str]().union(
            *(accession_numbers(object_of(part).get("identifier")) for part in related)
        ),
        related=desk.links(related),
    )


def _performers(parts: Iterable[Resource]) -> Iterable[Resource]:
    """References of who performed: R4 `performer`, or `performer.actor` of series and STU3."""
    for part in parts:
        for performer in objects(part.get("performer")):
            yield object_of(performer.get("actor")) or performer


def _facility(parts: Iterable[Resource]) -> str:
    """Display of the first organization that performed it."""
    return next(
        (
            text_of(p.get("display"))
            for p in _performers(parts)
            if "Organization/" in text_of(p.get("reference")) or p.get("type") == "Organization"
        ),
        "",
    )


def _facility_refs(parts: Iterable[Resource], desk: Desk) -> frozenset[str]:
    refs = desk.targets(*_performers(parts))
    return frozenset(ref for ref in refs if ref.startswith("Organization/"))


def _narrative(raw: Resource) -> str:
    """Return the words of `text.div`, without markup, cut."""
    markup = text_of(object_of(raw.get("text")).get("div"))[:_LONGEST_NARRATIVE]
    words = html.unescape(_TAG.sub(" ", markup))
    return _BLANKS.sub(" ", words).strip()[:_LONGEST_TEXT]
