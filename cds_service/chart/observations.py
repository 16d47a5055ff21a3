"""Observation as a record: what was measured or found, and whether that is normal.

Source: decision table §2.2 and F20, F21, F36, F39, F80, F82; `ehr-integration.md` §5, quirks
52 and 53; HL7 v3 ObservationInterpretation.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cds_service.chart.resources import Desk, Entry
from cds_service.fhir import (
    Element,
    Resource,
    code_of,
    codes_of,
    note_texts,
    number_of,
    object_of,
    objects,
    text_of,
    texts_of,
    unit_of,
)
from cds_service.records import Concept, Observation, ObservationPart, Reading, Value
from cds_service.value_sets import SNOMED_CT

_USABLE = frozenset({"final", "amended", "corrected", "preliminary", "appended", ""})
_EFFECTIVE: tuple[Element, ...] = (
    ("effectiveDateTime", ""),
    ("effectiveInstant", ""),
    ("effectivePeriod", "end"),
    ("effectivePeriod", "start"),
    ("issued", ""),
)
_COMPARATORS = frozenset({"<", "<=", ">=", ">", ""})
_COMPARED = re.compile(r"^(<=|>=|<|>)\s{0,2}(\d{1,9}(?:\.\d{1,9})?)$")

_NORMAL_INTERPRETATIONS = frozenset({"n", "neg", "nd", "normal", "negative", "not-detected"})
_ABNORMAL_INTERPRETATIONS = frozenset(
    {
        *("a", "aa", "h", "hh", "l", "ll", "hu", "lu", "pos", "det"),
        *("abnormal", "high", "low", "critical", "positive", "detected"),
    }
)
_ABSENT, _PRESENT = "2667000", "52101004"
_NORMAL_VALUES = frozenset({"260385009", "17621005"})
"""Negative, normal."""
_ABNORMAL_VALUES = frozenset({"10828004", "263654008"})
"""Positive, abnormal."""

_SIDES = r"(?:\s(?:bilaterally|bilateral|left|right|both sides|today|throughout|all))*"
_NORMAL_WORDS = re.compile(
    r"^(?:negative|neg|normal|absent|no|none|nil|intact|den(?:ies|ied)|wnl|unremarkable"
    r"|within normal limits|not (?:present|detected)"
    r"|no (?:evidence of )?(?:\w{1,12} )?(?:weakness|deficits?|pain|numbness|abnormalit(?:y|ies)"
    r"|tenderness|loss|retention|incontinence|fever|foot ?drop|symptoms?|signs?))"
    rf"{_SIDES}$"
    rf"|^(?:\w{{1,15}} ){{1,4}}(?:normal|intact|negative|unremarkable){_SIDES}$",
    re.IGNORECASE,
)
_ABNORMAL_WORDS = re.compile(
    r"^(?:positive|pos|present|yes|abnormal|decreased|reduced|diminished|impaired|weak|elevated)\b"
    r"|^(?:\w{1,15} ){1,4}(?:positive|abnormal|decreased|reduced|diminished|impaired)"
    rf"{_SIDES}$",
    re.IGNORECASE,
)
_HEDGED = re.compile(
    r"\b(?:not(?! present| detected)|never|near(?:ly)?|almost|previous(?:ly)?|was|were|if|unable"
    r"|cannot|unknown|pending)\b|\?",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.;,\n](?!\d)")
_STRENGTH = re.compile(r"(?<![\d/.])([0-5])([+-]?)\s?(?:/|of|out of)\s?5(?![\d/.]*\d)")
_STRENGTH_OF_FIVE = "/5"
_FULL_STRENGTH = 5
_LONGEST_RESULT = 200

# "Perianal sensation: absent" is a loss, and "ankle reflex: present" is no finding, while
# "saddle anaesthesia: absent" and "foot drop: present" mean what the words say.
_FUNCTION = re.compile(
    r"\b(?:sensation|sensory|reflex(?:es)?|tone|strength|power|function|pulses?|movement"
    r"|contraction|flexion|extension|dorsiflexion|wink|squeeze|gait)\b",
    re.IGNORECASE,
)
_LOSS = re.compile(
    r"\b(?:loss|lost|decreased|reduced|diminished|impaired|deficits?|weakness|abnormal\w{0,5}"
    r"|numb\w{0,4}|absen(?:t|ce)|disturbance|pain|drop|babinski|hoffmann?|clonus)\b",
    re.IGNORECASE,
)
_REFLEX = re.compile(r"\breflex", re.IGNORECASE)

_RANGE = re.compile(r"^(\d{1,6}(?:\.\d{1,4})?)\s?[-–]\s?(\d{1,6}(?:\.\d{1,4})?)$")
_RANGE_BELOW = re.compile(r"^<=?\s?(\d{1,6}(?:\.\d{1,4})?)$")


def read_observation(entry: Entry, desk: Desk) -> Observation | None:
    """Return an Observation with a usable status; None without one or without a code."""
    raw = entry.resource
    if code_of(raw.get("status")) not in _USABLE:
        return None
    concept = desk.concept(raw.get("code"))
    if not concept.label:
        return None
    value = _value(raw, desk)
    parts = tuple(_parts(raw, desk))
    has_value = _says_something(value) or any(_says_something(part.value) for part in parts)
    interpretations = codes_of(raw.get("interpretation"))
    low, high = _reference_range(raw, value.unit)
    return Observation(
        ref=entry.ref,
        concept=concept,
        notes=note_texts(raw.get("note")) + texts_of((raw.get("comment"), raw.get("comments"))),
        effective=desk.past_date(raw, _EFFECTIVE),
        value=value,
        parts=parts,
        reading=_reading(concept, value, () if _is_absent(raw) else interpretations),
        has_value=has_value,
        reference_low=low,
        reference_high=high,
        categories=frozenset(codes_of(raw.get("category"))),
        body_sites=desk.concepts(raw.get("bodySite")),
    )


def parts_of(observation: Observation) -> Iterator[Observation]:
    """Yield each component as an Observation of its own: a panel may hold the one sign (52)."""
    for part in observation.parts:
        yield replace(
            observation,
            concept=part.concept,
            value=part.value,
            parts=(),
            reading=_reading(part.concept, part.value, ()),
            has_value=_says_something(part.value),
        )


def _is_absent(raw: Resource) -> bool:
    """A reason why there is no value outweighs a value that stands beside it."""
    return bool(codes_of(raw.get("dataAbsentReason")))


def _parts(raw: Resource, desk: Desk) -> Iterable[ObservationPart]:
    for component in objects(raw.get("component")):
        concept = desk.concept(component.get("code"))
        if concept.label:
            yield ObservationPart(concept=concept, value=_value(component, desk))


def _says_something(value: Value) -> bool:
    return bool(value.text) or not (
        value.number is None and value.concept is None and value.boolean is None
    )


def _value(raw: Resource, desk: Desk) -> Value:
    """Read `value[x]`; an empty Value where there is none that can be used."""
    if _is_absent(raw):
        return Value()
    quantity = object_of(raw.get("valueQuantity"))
    if quantity:
        return _quantity(quantity)
    number = number_of(raw.get("valueInteger"))
    if number is not None:
        return Value(number=number)
    concept = desk.concept(raw.get("valueCodeableConcept"))
    if concept.label:
        return Value(concept=concept, text=concept.text)
    boolean = raw.get("valueBoolean")
    if isinstance(boolean, bool):
        return Value(boolean=boolean)
    ratio = object_of(raw.get("valueRatio"))
    above = number_of(object_of(ratio.get("numerator")).get("value"))
    below = number_of(object_of(ratio.get("denominator")).get("value"))
    if above is not None and below is not None:
        return Value(text=f"{above:g}/{below:g}")
    return _text_value(text_of(raw.get("valueString")))


def _quantity(quantity: Resource) -> Value:
    """A Quantity whose number is text, or whose comparator is not R4, is only words."""
    number = number_of(quantity.get("value"))
    comparator = text_of(quantity.get("comparator"))
    unit = unit_of(quantity)
    if number is None or comparator not in _COMPARATORS:
        text = text_of(quantity.get("value"))
        return Value(unit=unit, text=f"{comparator}{text}" if text else "")
    return Value(number=number, comparator=comparator, unit=unit)


def _text_value(text: str) -> Value:
    """Text stays text, but for "> 60": laboratories send bounds of a result so."""
    found = _COMPARED.match(text[:_LONGEST_RESULT])
    if found is None:
        return Value(text=text)
    return Value(number=float(found[2]), comparator=found[1], text=text)


def _reading(concept: Concept, value: Value, interpretations: tuple[str, ...]) -> Reading:
    """Interpretation first, then a coded value, then a strength, a boolean, words."""
    normal = not _NORMAL_INTERPRETATIONS.isdisjoint(interpretations)
    abnormal = not _ABNORMAL_INTERPRETATIONS.isdisjoint(interpretations)
    if normal or abnormal:
        return _one_of(normal=normal, abnormal=abnormal)
    if value.boolean is not None:
        return _answer(concept, is_present=value.boolean)
    if value.number is not None and value.unit.replace(" ", "") == _STRENGTH_OF_FIVE:
        return Reading.NORMAL if value.number == _FULL_STRENGTH else Reading.ABNORMAL
    if value.concept is not None:
        return _coded_reading(concept, value.concept)
    return _words_reading(concept, value.text)


def _one_of(*, normal: bool, abnormal: bool) -> Reading:
    if normal is abnormal:
        return Reading.UNCLEAR
    return Reading.NORMAL if normal else Reading.ABNORMAL


def _coded_reading(concept: Concept, value: Concept) -> Reading:
    codes = {c.code for c in value.codings if c.system == SNOMED_CT}
    if codes & {_ABSENT, _PRESENT}:
        return _answer(concept, is_present=_ABSENT not in codes)
    normal, abnormal = codes & _NORMAL_VALUES, codes & _ABNORMAL_VALUES
    if normal or abnormal:
        return _one_of(normal=bool(normal), abnormal=bool(abnormal))
    return _words_reading(concept, value.label)


def _words_reading(concept: Concept, text: str) -> Reading:
    """Judge short results clause by clause: one abnormal clause outweighs normal ones."""
    if not text or len(text) > _LONGEST_RESULT:
        return Reading.UNCLEAR
    grades = _STRENGTH.findall(text)
    if grades:
        full = all(grade == "5" and sign != "-" for grade, sign in grades)
        reduced = any(grade != "5" for grade, _ in grades)
        return _one_of(normal=full, abnormal=reduced)
    readings = [_clause_reading(concept, c) for c in map(str.strip, _CLAUSE_END.split(text)) if c]
    if Reading.ABNORMAL in readings:
        return Reading.ABNORMAL
    if readings and all(reading is Reading.NORMAL for reading in readings):
        return Reading.NORMAL
    return Reading.UNCLEAR


def _clause_reading(concept: Concept, clause: str) -> Reading:
    word = clause.lower()
    if word in {"absent", "no", "none", "nil", "present", "yes", "not present"}:
        return _answer(concept, is_present=word in {"present", "yes"})
    if _HEDGED.search(clause):
        return Reading.UNCLEAR
    return _one_of(
        normal=bool(_NORMAL_WORDS.match(clause)), abnormal=bool(_ABNORMAL_WORDS.match(clause))
    )


def _answer(concept: Concept, *, is_present: bool) -> Reading:
    """Judge present or absent by what was asked for: a finding, or a function of the body."""
    asked = " ".join(concept.words)
    if not _FUNCTION.search(asked) or _LOSS.search(asked):
        return Reading.ABNORMAL if is_present else Reading.NORMAL
    if is_present or _REFLEX.search(asked):
        return Reading.UNCLEAR
    return Reading.ABNORMAL


def _reference_range(raw: Resource, unit: str) -> tuple[float | None, float | None]:
    """Return low and high of the normal range in the unit of the value, or None each."""
    for item in objects(raw.get("referenceRange")):
        if codes_of(item.get("type")) not in {(), ("normal",)}:
            continue
        low, high = (object_of(item.get(key)) for key in ("low", "high"))
        if low or high:
            return _limit(low, unit), _limit(high, unit)
        text = text_of(item.get("text"))
        between, below = _RANGE.match(text), _RANGE_BELOW.match(text)
        if between is not None:
            return float(between[1]), float(between[2])
        if below is not None:
            return None, float(below[1])
    return None, None


def _limit(quantity: Resource, unit: str) -> float | None:
    own = unit_of(quantity)
    return number_of(quantity.get("value")) if not own or own == unit else None
