"""Where clinicians write in a draft besides its reasons: title, instructions, information.

An order catalogue gives one box, and what is urgent stands in it (decision table §3, §12.1).
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from cds_service.fhir import codeables, objects, reference_of, resource_ref, text_of
from cds_service.orders import DraftWords
from cds_service.records import Chart, Condition, Currency, Observation, Reading, Verification
from cds_service.terminology import Terminology

_EXAM_WORD = re.compile(
    r"[\s,;:/&+.-]{0,4}(?:\b(?:MRI?|magnetic|resonance|imaging|NMR|CPT|lumbar|lumbosacral|sacral"
    r"|sacrum|thoracic|cervical|L[- ]?S?[- ]?spine|T[- ]?spine|C[- ]?spine|LS|spine|spinal|back"
    r"|canal|and|or|of|the|low|lower|w|wo|with|without|contrast|contr|gad\w{0,12}|iv|intravenous|exam"
    r"|scan|limited|complete|routine|stat|urgent|asap|outpatient|inpatient|protocol|screening"
    r"|study|72148|72149|72158|[1-3](?:\.5)?T|non)\b|\([^()]{0,80}\))",
    re.IGNORECASE,
)
# What the patient is told to watch for is not what he has.
_CONDITIONAL = re.compile(
    r"\b(?:if|should you|when you|in case|unless|call|return|seek|go to|watch for|look (?:out )?for"
    r"|report any|emergency|precautions?)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.;!\n]")


def words_after_exam(title: str) -> str:
    """Return what a title says after the name of the exam: "MRI lumbar r/o cauda equina".

    Words in brackets belong to the name: catalogues write "(tumor, infection)" there.
    """
    place = 0
    while (found := _EXAM_WORD.match(title, place)) is not None and found.end() > place:
        place = found.end()
    return title[place:].strip(" ,;:/&+.-") if place else ""


def words_beside_reasons(resource: Mapping[str, object]) -> Iterator[str]:
    """Yield the rest of the title, and the instructions that are not about what might come."""
    for concept in codeables(resource.get("code")):
        if rest := words_after_exam(text_of(concept["text"])):
            yield rest
    instruction = resource.get("patientInstruction")
    texts = [
        text_of(instruction),
        *(text_of(item.get("instructionMarkdown")) for item in objects(instruction)),
    ]
    for text in texts:
        kept = (part for part in _SENTENCE_END.split(text) if not _CONDITIONAL.search(part))
        if said := ". ".join(part.strip() for part in kept if part.strip()):
            yield said


def supporting_words(
    resource: Mapping[str, object], chart: Chart, terminology: Terminology
) -> Iterator[str]:
    """Yield the words of `supportingInfo`: what it names, and what it leads to.

    A normal observation, and a diagnosis that is refuted or past, support nothing.
    """
    contained = {f"#{item.get('id')}": item for item in objects(resource.get("contained"))}
    for reference in _references(resource.get("supportingInfo")):
        if display := text_of(reference.get("display")):
            yield display
        sent = reference_of(reference)
        target = chart.addresses.get(sent, sent)
        if target in contained:
            yield from terminology.concept(contained[target].get("code")).words
        for condition in chart.conditions:
            if target and condition.ref == target:
                yield from _of_condition(condition)
        for observation in chart.observations:
            if target and observation.ref == target:
                yield from _of_observation(observation)


def words_of_draft(draft: Mapping[str, object], terminology: Terminology) -> DraftWords:
    """Return what a draft of any kind says of the patient."""
    reasons = tuple(
        terminology.concept(raw)
        for element in ("reasonCode", "reason", "indication")
        for raw in codeables(draft.get(element))
    )
    displays = (
        text_of(reference.get("display"))
        for element in ("reasonReference", "supportingInfo")
        for reference in objects(draft.get(element))
    )
    notes = (
        text_of(item.get("text"))
        for element in ("note", "orderDetail")
        for item in objects(draft.get(element))
    )
    code = terminology.concept(draft.get("code"))
    return DraftWords(
        ref=resource_ref(draft),
        reasons=reasons,
        words=_kept(
            (
                *(w for r in reasons for w in r.words),
                *displays,
                *notes,
                *words_beside_reasons(draft),
            )
        ),
        titles=_kept(code.words),
    )


def _references(raw: object) -> Iterator[Mapping[str, object]]:
    """Yield R4 References, and those inside an R5 CodeableReference."""
    for item in objects(raw):
        inner = item.get("reference")
        yield inner if isinstance(inner, Mapping) else item


def _of_condition(condition: Condition) -> tuple[str, ...]:
    if condition.verification is Verification.REFUTED or condition.currency is Currency.PAST:
        return ()
    return condition.concept.words


def _of_observation(observation: Observation) -> tuple[str, ...]:
    if observation.reading is Reading.NORMAL:
        return ()
    value = observation.value
    said = value.text or (value.concept.label if value.concept else "")
    name = observation.concept.label if observation.reading is Reading.ABNORMAL else ""
    return _kept((name, said, f"{observation.concept.label} {said}" if said else ""))


def _kept(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if word))
