"""Reading the drafts: scope steps O1–O6, contrast, priority, and the clinician's reasons.

Source: decision table §3. Codes beat text and specific codes beat generic ones; text is read
only where no coding is recognised, and makes the order `possible`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from cds_service.draft_words import supporting_words, words_beside_reasons
from cds_service.fhir import (
    codeables,
    object_of,
    objects,
    reference_of,
    resource_ref,
    text_of,
)
from cds_service.findings import Strength
from cds_service.orders import (
    ContrastOrdered,
    DraftOrder,
    ImagingProtocol,
    OrderDefinition,
    Priority,
    Reason,
)
from cds_service.records import Chart, Concept, Reading
from cds_service.terminology import Terminology
from cds_service.text.clauses import LONGEST_TEXT
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState
from cds_service.value_sets import CPT, LOINC

INDICATION_SYSTEM = "https://lumbar-mri-cds.example/fhir/CodeSystem/indication"

ORDER_TYPES = frozenset({"ServiceRequest", "ProcedureRequest", "DiagnosticOrder"})
_ENDED = frozenset({"entered-in-error", "revoked", "completed", "cancelled"})

_GENERIC_SPINE_WORDS = re.compile(
    r"^\W{0,3}(?:MRI?|magnetic resonance(?: imaging)?)(?: (?:of )?(?:the )?(?:spine|back))?\W{0,3}$"
    r"|^\W{0,3}spine MRI?\W{0,3}$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCodes:
    """The site's own order codes and titles, mapped to a protocol (site file `orderCodes`)."""

    by_code: Mapping[tuple[str, str], ImagingProtocol | None] = field(default_factory=dict)
    """(system, code) → protocol; None says "not a lumbar MRI"."""
    by_title: Mapping[str, ImagingProtocol | None] = field(default_factory=dict)
    """Title in lower case → protocol."""


NO_SITE_CODES = SiteCodes()


@dataclass(frozen=True, slots=True)
class _Contrast:
    protocol: ImagingProtocol
    strength: Strength
    is_conflicting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exams:
    """How exams are recognised: the topic's value sets, the site's codes, and words."""

    definition: OrderDefinition
    site: SiteCodes
    terminology: Terminology


# "w/o", "wo", "w/", "w": as titles of order catalogues and LOINC names write them.
_WITHOUT = re.compile(r"\bw\s?/\s?o\b|\bwo\b")
_WITH = re.compile(r"\bw/|\bw\b")
_WITH_CONTRAST = re.compile(r"\bwith\b[^.;]{0,25}\b(?:contrast|gad\w{0,12}|without)\b")


def read_orders(
    drafts: Iterable[Mapping[str, object]],
    *,
    patient_id: str,
    definition: OrderDefinition,
    terminology: Terminology,
    site_codes: SiteCodes = NO_SITE_CODES,
) -> tuple[DraftOrder, ...]:
    """Return the orders of this topic among the drafts in question, in Bundle order.

    Drafts of another patient, ended drafts and `doNotPerform` are left out (R-CTX-13).
    """
    exams = _Exams(definition=definition, site=site_codes, terminology=terminology)
    orders = []
    for position, resource in enumerate(drafts):
        order = _read_order(resource, patient_id, exams)
        if order is not None:
            orders.append(replace(order, position=position))
    return tuple(orders)


def with_referenced_reasons(
    order: DraftOrder, chart: Chart, terminology: Terminology
) -> DraftOrder:
    """Resolve reasons that are references: in the chart, or contained in the order.

    A reference that leads nowhere and has no display leaves the reason unknown.
    """
    reasons = list(order.reasons)
    lost = False
    contained = {f"#{item.get('id')}": item for item in objects(order.resource.get("contained"))}
    for reference in _reason_references(order.resource):
        sent = reference_of(reference)
        target = chart.addresses.get(sent, sent)
        display = text_of(reference.get("display"))
        if (condition := chart.condition(target)) is not None:
            reasons.append(Reason(concept=condition.concept, condition=condition))
        elif target in contained:
            reasons.append(Reason(concept=terminology.concept(contained[target].get("code"))))
        elif (concept := _observed(chart, target)) is not None:
            reasons.append(Reason(concept=concept))
        elif display:
            reasons.append(Reason(concept=Concept(text=display)))
        else:
            lost = True
    resolved = reasons[len(order.reasons) :]
    words = [word for reason in resolved for word in terminology.words_of(reason.concept)]
    words.extend(supporting_words(order.resource, chart, terminology))
    return replace(
        order,
        reasons=tuple(reasons),
        words=tuple(dict.fromkeys((*order.words, *words))),
        has_lost_reason=lost,
    )


def _reason_references(resource: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the References of R4 `reasonReference` and of R5 `reason` (CodeableReference)."""
    yield from objects(resource.get("reasonReference"))
    for reason in objects(resource.get("reason")):
        reference = reason.get("reference")
        if isinstance(reference, Mapping):
            yield reference
        elif isinstance(reference, str):
            yield reason


def _observed(chart: Chart, target: str) -> Concept | None:
    """Return what a referenced Observation is about; a normal one is no reason to name."""
    for observation in chart.observations:
        if observation.ref == target:
            is_normal = observation.reading is Reading.NORMAL
            return Concept() if is_normal else observation.concept
    return None


def _read_order(
    resource: Mapping[str, object], patient_id: str, exams: _Exams
) -> DraftOrder | None:
    if resource.get("resourceType") not in ORDER_TYPES or resource.get("doNotPerform") is True:
        return None
    if text_of(resource.get("status")) in _ENDED or not _is_for(resource, patient_id):
        return None
    terminology = exams.terminology
    code = terminology.concept(resource.get("code"))
    contrast = _contrast(resource, code, exams)
    if contrast is None:
        return None
    reasons = tuple(
        Reason(concept=terminology.concept(raw))
        for element in ("reasonCode", "reason")
        for raw in codeables(resource.get(element))
    )
    return DraftOrder(
        ref=resource_ref(resource),
        resource=resource,
        protocol=contrast.protocol,
        strength=contrast.strength,
        contrast_conflict=contrast.is_conflicting,
        contrast_only_by_code=_is_contrast_only_code(code, contrast, exams.definition),
        priority=_priority(resource),
        reasons=reasons,
        words=_words(resource, reasons, terminology),
        indications=_indications(reasons),
        requester_texts=_requester_texts(resource),
        several_regions_contrast=_contrast_of_several(resource, code, exams.definition),
    )


def _contrast_of_several(
    resource: Mapping[str, object], code: Concept, topic: OrderDefinition
) -> ContrastOrdered:
    """Tell whether an MRI of several regions is with contrast: by its code, else its words."""
    codes = {coding.code for coding in code.codings}
    if not codes.isdisjoint(topic.contrast_codes):
        return ContrastOrdered.YES
    if not codes.isdisjoint(topic.no_contrast_codes):
        return ContrastOrdered.NO
    words = " ".join(_exam_words(resource, code)[:1]).lower()[:LONGEST_TEXT]
    words = _WITH.sub("with ", _WITHOUT.sub("without", words))
    if _WITH_CONTRAST.search(words):
        return ContrastOrdered.YES
    return ContrastOrdered.NO if "without" in words else ContrastOrdered.NOT_STATED


def _is_for(resource: Mapping[str, object], patient_id: str) -> bool:
    """An order is ours to judge if it names the patient in context, or nobody by a reference.

    A reference that cannot be followed (`urn:`, `#`, a search) may mean anybody: it is not.
    """
    subject = resource.get("subject")
    named = subject if isinstance(subject, list) else [subject]
    sent = (one if isinstance(one, str) else object_of(one).get("reference") for one in named)
    own = {patient_id, f"Patient/{patient_id}", f"urn:uuid:{patient_id}"}
    return all(reference_of(reference) in own for reference in sent if text_of(reference))


def _contrast(resource: Mapping[str, object], code: Concept, exams: _Exams) -> _Contrast | None:
    """Decide scope and contrast: site codes, standard codes, then words; None is out of scope."""
    site = exams.site
    mapped = [
        site.by_code[(c.system, c.code)] for c in code.codings if (c.system, c.code) in site.by_code
    ]
    if mapped:
        protocols = {protocol for protocol in mapped if protocol is not None}
        if not protocols:
            return None
        if len(protocols) == 1:
            return _Contrast(protocols.pop(), Strength.STRONG)
        return _Contrast(ImagingProtocol.UNSPECIFIED, Strength.STRONG, is_conflicting=True)
    if code.is_recognised:
        return _contrast_by_code(resource, code, exams)
    title = code.text.strip().lower()
    if title in site.by_title:
        protocol = site.by_title[title]
        return None if protocol is None else _Contrast(protocol, Strength.STRONG)
    return _contrast_by_words(resource, code, exams)


def _contrast_by_code(
    resource: Mapping[str, object], code: Concept, exams: _Exams
) -> _Contrast | None:
    topic = exams.definition
    named = [protocol for set_id, protocol in topic.contrast_sets if set_id in code.sets]
    said = _protocol_in(_exam_words(resource, code), exams)
    if len(named) > 1:
        return _Contrast(ImagingProtocol.UNSPECIFIED, Strength.STRONG, is_conflicting=True)
    if named:
        # Codes beat text, but a title that says otherwise is mentioned (quirk 16).
        disagrees = said not in {None, named[0], ImagingProtocol.UNSPECIFIED}
        return _Contrast(named[0], Strength.STRONG, is_conflicting=disagrees)
    if topic.unspecified_set in code.sets:
        # The code leaves contrast open, so the words beside it may close it.
        return _Contrast(said or ImagingProtocol.UNSPECIFIED, Strength.STRONG)
    if topic.multiregion_set in code.sets:
        generic = not {c.code for c in code.codings}.isdisjoint(topic.generic_codes)
        if generic and _names_site(resource, exams):
            return _Contrast(ImagingProtocol.UNSPECIFIED, Strength.STRONG)
        return _Contrast(ImagingProtocol.MULTIREGION, Strength.STRONG)
    if code.sets == {topic.modality_set} and _names_site(resource, exams):
        return _Contrast(ImagingProtocol.UNSPECIFIED, Strength.POSSIBLE)
    return None


def _contrast_by_words(
    resource: Mapping[str, object], code: Concept, exams: _Exams
) -> _Contrast | None:
    """Steps O2 and O3: text only; contrast may stand in orderDetail alone."""
    words = _exam_words(resource, code)
    protocol = _protocol_in(words, exams)
    if protocol is not None:
        return _Contrast(protocol, Strength.POSSIBLE)
    title = _title(code)
    is_generic = bool(_GENERIC_SPINE_WORDS.match(title))
    if is_generic and _names_site(resource, exams):
        return _Contrast(ImagingProtocol.UNSPECIFIED, Strength.POSSIBLE)
    if not title or is_generic:
        # A note may name another exam ("compare with MRI of 2019"), so it is read only where
        # the code itself names none.
        for note in _notes(resource):
            protocol = _protocol_in((note,), exams)
            if protocol is not None:
                return _Contrast(protocol, Strength.POSSIBLE)
    return None


def _protocol_in(texts: Iterable[str], exams: _Exams) -> ImagingProtocol | None:
    """Return the protocol that the words name, multi-region first, or None."""
    topic = exams.definition
    for text in texts:
        for set_id, protocol in (
            (topic.multiregion_set, ImagingProtocol.MULTIREGION),
            *topic.contrast_sets,
            (topic.unspecified_set, ImagingProtocol.UNSPECIFIED),
        ):
            if _is_named(exams.terminology, text, set_id):
                return protocol
    return None


def _is_named(terminology: Terminology, text: str, set_id: str) -> bool:
    said = terminology.in_words(text, set_id)
    return said is not None and said.state in AFFIRMED_STATES


def _exam_words(resource: Mapping[str, object], code: Concept) -> tuple[str, ...]:
    """The exam as text: title joined with its details, then the title alone."""
    title = _title(code)
    details = " ".join(
        text
        for raw in objects(resource.get("orderDetail"))
        if (text := text_of(raw.get("text")) or _first_display(raw))
    )
    if title and details:
        return (f"{title} {details}", title)
    return (title or details,) if title or details else ()


def _title(code: Concept) -> str:
    return code.text or next((c.display for c in code.codings if c.display), "")


def _first_display(raw: Mapping[str, object]) -> str:
    return next((t for c in objects(raw.get("coding")) if (t := text_of(c.get("display")))), "")


def _names_site(resource: Mapping[str, object], exams: _Exams) -> bool:
    terminology, site_set = exams.terminology, exams.definition.body_site_set
    for raw in objects(resource.get("bodySite")):
        said = terminology.in_record(terminology.concept(raw), (), site_set)
        if said is not None and said.state is TextState.CURRENT:
            return True
    texts = [text_of(raw.get("text")) for raw in objects(resource.get("orderDetail"))]
    return any(
        _is_named(terminology, text, site_set) for text in [*texts, *_notes(resource)] if text
    )


def _is_contrast_only_code(code: Concept, contrast: _Contrast, topic: OrderDefinition) -> bool:
    """CPT 72149 and LOINC codes are trusted; SNOMED 41333006 alone is asked about (D1)."""
    with_sets = {s for s, protocol in topic.contrast_sets if protocol is ImagingProtocol.WITH}
    return (
        contrast.protocol is ImagingProtocol.WITH
        and not code.sets.isdisjoint(with_sets)
        and any(c.system in {CPT, LOINC} for c in code.codings)
    )


def _priority(resource: Mapping[str, object]) -> Priority:
    try:
        return Priority(text_of(resource.get("priority")))
    except ValueError:
        return Priority.ROUTINE


def _notes(resource: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(t for raw in objects(resource.get("note")) if (t := text_of(raw.get("text"))))


def _words(
    resource: Mapping[str, object], reasons: tuple[Reason, ...], terminology: Terminology
) -> tuple[str, ...]:
    """All that the clinician wrote in the order, each text once."""
    words: list[str] = []
    for reason in reasons:
        if not _own_codes(reason.concept):
            words.extend(terminology.words_of(reason.concept))
    words.extend(_notes(resource))
    words.extend(
        text for raw in objects(resource.get("orderDetail")) if (text := text_of(raw.get("text")))
    )
    words.extend(words_beside_reasons(resource))
    return tuple(dict.fromkeys(word for word in words if word))


def _own_codes(concept: Concept) -> frozenset[str]:
    return frozenset(c.code for c in concept.codings if c.system == INDICATION_SYSTEM)


def _indications(reasons: tuple[Reason, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(_own_codes(reason.concept) for reason in reasons))


def _requester_texts(resource: Mapping[str, object]) -> tuple[str, ...]:
    requester = resource.get("requester")
    display = text_of(requester.get("display")) if isinstance(requester, Mapping) else ""
    contained = [
        text
        for item in objects(resource.get("contained"))
        if item.get("resourceType") == "PractitionerRole"
        for specialty in objects(item.get("specialty"))
        if (text := text_of(specialty.get("text")) or _first_display(specialty))
    ]
    return tuple(t for t in (display, *contained) if t)
