"""Narrow, tolerant reading of raw FHIR JSON elements: any JSON in, never an exception.

Elements keep the shapes of R4; the shapes of DSTU2, STU3 and R5 that real servers still send
are read as well (`ehr-integration.md` §5, quirks 48–51). Source: FHIR R4 data types.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from cds_service.fhir_dates import DateInterval, Precision, parse_fhir_date

Resource: TypeAlias = Mapping[str, object]
"""A JSON object as it came: any resource or backbone element."""
Element: TypeAlias = tuple[str, str]
"""An element, or a member of it: `("issued", "")`, `("effectivePeriod", "start")`."""

_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]{1,60})/([^/?#|\s]{1,300})(?:/_history/[^/]*)?/?$")
_RECORDED_YEAR = re.compile(r"(?<![\d/.-])(?:19|20)\d\d(?![\d/.-]?\d)")
_UNCERTAIN_SIDE = re.compile(r"\b(?:before|prior|after|since|until|till|by|than)\b", re.IGNORECASE)
_DATE_PHRASE = re.compile(
    r"^(?:since|in|on|from|started|began|onset)?:?\s{0,3}"
    r"(\d{4}(?:-\d{2}(?:-\d{2})?)?|(\d{1,2})/(\d{1,2})/(\d{4}))\.?$",
    re.IGNORECASE,
)
_LOGICAL_ID = re.compile(r"[!$%'-.0-;=@-Z^_a-z{}~]{1,300}")
"""Printable ASCII but `"#&/<>?[\\]|` and the backtick: FHIR allows less, some senders more."""
_LONGEST_TYPE = 64
_LONGEST_STRING = 20_000
"""Characters; what is longer is no text that somebody wrote, and nothing reads so far."""
_LONGEST_REFERENCE = 1000
_STUDY_UID_SYSTEM = "urn:dicom:uid"
_OF_THE_PATIENT = frozenset({"mr", "pi", "pt", "ss"})
"""Identifier types (HL7 table 0203) that name the patient, not the record."""
_ENTERED_IN_ERROR = "entered-in-error"
_STATUS_ELEMENTS = ("status", "verificationStatus", "clinicalStatus", "docStatus", "statusReason")


def objects(value: object) -> list[Resource]:
    """Return the JSON objects in a list, or the one object that stands in place of a list."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []


def object_of(value: object) -> Resource:
    """Return a JSON object, the first one of a list, or an empty one."""
    if isinstance(value, dict):
        return value
    return next(iter(objects(value)), {})


def text_of(value: object) -> str:
    """Return a string without surrounding blanks; anything else is the empty string.

    Absurd lengths are cut (20,000 characters).
    """
    return value[:_LONGEST_STRING].strip() if isinstance(value, str) else ""


def texts_of(values: Iterable[object]) -> tuple[str, ...]:
    """Return the strings that say something, each once, in order."""
    return tuple(dict.fromkeys(text for value in values if (text := text_of(value))))


def note_texts(value: object) -> tuple[str, ...]:
    """Return the texts of Annotations; a bare string (DSTU2, STU3 `comment`) is a text too."""
    if value is None:
        return ()
    if isinstance(value, str):
        return texts_of((value,))
    return texts_of(note.get("text") for note in objects(value))


def number_of(value: object) -> float | None:
    """Return a finite JSON number; a string is not a number, nor is true (quirk 52)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def codes_of(value: object) -> tuple[str, ...]:
    """Return the lower-case codes of a code, Coding, CodeableConcept, or a list of them.

    A concept without codes answers with its text, blanks as hyphens: `Entered in Error` is
    `entered-in-error`.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (_as_code(value),) if value.strip() else ()
    found: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            found.append(_as_code(item))
        elif isinstance(item, dict):
            codings = objects(item.get("coding")) or [item]
            codes = [_as_code(code) for c in codings if (code := text_of(c.get("code")))]
            found.extend(codes or [_as_code(text_of(item.get("text")))])
    return tuple(dict.fromkeys(code for code in found if code))


def code_of(value: object) -> str:
    """Return the first of `codes_of`, or the empty string."""
    if isinstance(value, str):
        return _as_code(value)
    return next(iter(codes_of(value)), "")


def _as_code(text: str) -> str:
    return text.strip().lower().replace(" ", "-").replace("_", "-")


def codeable(value: object) -> Resource | None:
    """Return a CodeableConcept for whatever says a concept; None if nothing does.

    Takes a CodeableConcept, a Coding (DICOM modality), a CodeableReference (R5, quirks 48 and
    51) or a plain string (DSTU2). An empty coding `[{}]` says nothing (quirk 20).
    """
    if isinstance(value, str):
        return {"coding": [], "text": value.strip()} if value.strip() else None
    if not isinstance(value, dict):
        return None
    concept = value.get("concept")
    raw = concept if isinstance(concept, dict) else value
    codings = [coding for item in objects(raw.get("coding")) if (coding := _coding(item))]
    text = text_of(raw.get("text"))
    if not codings and not text and (coding := _coding(raw)):
        codings = [coding]
    return {"coding": codings, "text": text} if codings or text else None


def _coding(raw: Resource) -> Resource:
    """Return system, code and display only; nothing if it has neither code nor display."""
    code, display = _code_text(raw.get("code")), text_of(raw.get("display"))
    if not code and not display:
        return {}
    return {"system": text_of(raw.get("system")), "code": code, "display": display}


def _code_text(value: object) -> str:
    """Some senders write a code as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value)


def codeables(value: object) -> list[Resource]:
    """Return all concepts of an element that may repeat, or that once did not."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [concept for item in items if (concept := codeable(item)) is not None]


def is_entered_in_error(resource: Resource) -> bool:
    """True if any status element says so, whatever its shape (quirk 24)."""
    return any(
        _ENTERED_IN_ERROR in codes_of(resource[key]) for key in _STATUS_ELEMENTS if key in resource
    )


def resource_ref(resource: Resource) -> str:
    """Return `Type/id`; `Type/?` when there is no id, or one that no reference could hold.

    References stand in cards and logs of others as they are: never with blanks or markup.
    """
    kind, logical_id = text_of(resource.get("resourceType")), text_of(resource.get("id"))
    named = kind if kind.isascii() and kind.isalpha() and len(kind) <= _LONGEST_TYPE else "Resource"
    return f"{named}/{logical_id if _LOGICAL_ID.fullmatch(logical_id) else '?'}"


def reference_of(value: object) -> str:
    """Return what a Reference points to, without host and version (quirk 34).

    `Type/id`, `urn:uuid:…`, `#contained`, or a bare id as sent. Empty if it points nowhere
    that can be compared: no reference, or a search such as `Patient?identifier=…`.
    """
    raw = value if isinstance(value, str) else object_of(value).get("reference")
    reference = text_of(raw)[-_LONGEST_REFERENCE:]
    found = _REFERENCE.search(reference)
    if found is not None:
        return f"{found[1]}/{found[2]}"
    if reference.startswith(("urn:", "#")):
        return reference
    return "" if "?" in reference or "/" in reference else reference


def references_of(value: object) -> tuple[str, ...]:
    """Return the targets of one Reference or of a list, R5 CodeableReferences included."""
    if value is None:
        return ()
    found = []
    for item in value if isinstance(value, list) else [value]:
        inner = object_of(item).get("reference")
        found.append(reference_of(inner if isinstance(inner, dict) else item))
    return tuple(dict.fromkeys(target for target in found if target))


def identifier_token(identifier: Resource) -> str:
    """Return `system|value`, or empty; a DICOM study UID loses its `urn:oid:` prefix."""
    value = text_of(identifier.get("value"))
    if not value:
        return ""
    system = text_of(identifier.get("system"))
    if system == _STUDY_UID_SYSTEM or (not system and value.startswith("urn:oid:")):
        return f"{_STUDY_UID_SYSTEM}|{value.removeprefix('urn:oid:')}"
    return f"{system}|{value}"


def identifier_tokens(value: object) -> frozenset[str]:
    """Return the tokens of an `identifier` element; a bare value gives `|value`.

    The patient's own numbers are left out: some servers repeat the medical record number on
    every record.
    """
    if value is None:
        return frozenset()
    return frozenset(
        token
        for item in objects(value)
        if (token := identifier_token(item))
        and _OF_THE_PATIENT.isdisjoint(codes_of(item.get("type")))
    )


def accession_numbers(value: object) -> frozenset[str]:
    """Return the accession numbers (identifier type ACSN) of an `identifier` element.

    As `system|value`, for two sites may count alike; without a system `|value`.
    """
    return frozenset(
        token
        for item in objects(value)
        if "acsn" in codes_of(item.get("type")) and (token := identifier_token(item))
    )


def study_uids(value: object) -> frozenset[str]:
    """Return the DICOM study instance UIDs of an `identifier` element."""
    prefix = f"{_STUDY_UID_SYSTEM}|"
    return frozenset(
        token.removeprefix(prefix) for token in identifier_tokens(value) if token.startswith(prefix)
    )


def first_date(
    resource: Resource, elements: tuple[Element, ...], zone: ZoneInfo
) -> DateInterval | None:
    """Return the date of the first element that has a readable one, naming the element."""
    for key, member in elements:
        value = resource.get(key)
        if value is None:
            continue
        if member:
            value, name = object_of(value).get(member), f"{key}.{member}"
        else:
            name = key
        when = parse_fhir_date(value, zone, name)
        if when is not None:
            return when
    return None


def year_in(value: object, element: str) -> DateInterval | None:
    """Return the one year that a text such as "about 2019" names, else None.

    "before 2019", "2018-2019" and two different years name no year.
    """
    text = text_of(value)[:200]
    years = set(_RECORDED_YEAR.findall(text))
    if len(years) != 1 or _UNCERTAIN_SIDE.search(text):
        return None
    year = int(years.pop())
    return DateInterval(date(year, 1, 1), date(year, 12, 31), Precision.YEAR, element)


def date_in_words(value: object, zone: ZoneInfo, element: str) -> DateInterval | None:
    """Return the date that a text consists of: `2021-05`, `since 2021`, `05/14/2021` (US order)."""
    found = _DATE_PHRASE.match(text_of(value)[:60])
    if found is None:
        return None
    iso, month, day, year = found.groups()
    if month is not None:
        iso = f"{year}-{int(month):02d}-{int(day):02d}"
    return parse_fhir_date(iso, zone, element)


def instant_of(value: object) -> datetime | None:
    """Return the moment of `meta.lastUpdated` for comparison; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text_of(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def shifted(when: DateInterval | None, days: int) -> DateInterval | None:
    """Return the interval moved by days, or None if that leaves the calendar."""
    if when is None:
        return None
    try:
        move = timedelta(days=days)
        earliest = None if when.earliest is None else when.earliest + move
        return DateInterval(earliest, when.latest + move, when.precision, when.element)
    except OverflowError:
        return None


_DAYS_IN = {
    **dict.fromkeys(("d", "day", "days"), 1),
    **dict.fromkeys(("wk", "week", "weeks"), 7),
    **dict.fromkeys(("mo", "month", "months"), 30),
    **dict.fromkeys(("a", "year", "years", "yr", "yrs"), 365),
}
_OLDEST = 150
"""Years; a greater age is a mistake."""


def unit_of(quantity: Resource) -> str:
    """Return the UCUM code, else the unit as written."""
    return text_of(quantity.get("code")) or text_of(quantity.get("unit"))


def days_of(value: object, *, unit: str = "") -> int | None:
    """Return a Duration in whole days; without a unit it is read in `unit`, if that is given."""
    quantity = object_of(value)
    number = number_of(quantity.get("value"))
    length = _DAYS_IN.get((unit_of(quantity) or unit).lower())
    if number is None or length is None or number < 0:
        return None
    return int(number * length)


def years_of(value: object) -> int | None:
    """Return an Age in completed years; other units and no unit are not read (quirk 53)."""
    quantity = object_of(value)
    number = number_of(quantity.get("value"))
    if number is None or _DAYS_IN.get(unit_of(quantity).lower()) != _DAYS_IN["a"]:
        return None
    return int(number) if 0 <= number <= _OLDEST else None


def _scale(dimension: str, factor: float, *units: str) -> dict[str, tuple[str, float, float]]:
    return dict.fromkeys(units, (dimension, factor, 0.0))


# Unit → its dimension, and factor and offset to the base unit of that dimension.
_UNITS: dict[str, tuple[str, float, float]] = {
    **_scale("temperature", 1, "cel", "°c", "degc", "c", "celsius"),
    **dict.fromkeys(
        ("[degf]", "°f", "degf", "f", "fahrenheit"), ("temperature", 5 / 9, -32 * 5 / 9)
    ),
    **_scale("concentration", 1, "mg/l", "ug/ml", "mcg/ml"),
    **_scale("concentration", 10, "mg/dl"),
    **_scale("sedimentation", 1, "mm/h", "mm/hr", "mm/1hr", "mm/hour", "mm/1h"),
    **_scale("mass", 1, "kg"),
    **_scale("mass", 0.001, "g"),
    **_scale("mass", 0.45359237, "[lb_av]", "lb", "lbs", "lb_av"),
    **_scale("mass", 0.028349523125, "[oz_av]", "oz"),
    **_scale("filtration", 1, "ml/min/1.73m2", "ml/min/1.73m^2", "ml/min/1.73m²"),
    **_scale("filtration", 1, "ml/min/{1.73m2}", "ml/min/1.73sqm", "ml/min/{1.73m^2}"),
    **_scale("filtration", 1, "ml/min/1.73m*2", "ml/min/1.73", "ml/min/{1.73m*2}", "ml/min"),
    **_scale("filtration", 60, "ml/s/1.73m2", "ml/s/{1.73m2}", "ml/s/1.73m^2", "ml/s/1.73m²"),
    **_scale("filtration", 60, "ml/sec/1.73m2", "ml/s/1.73m*2", "ml/s/1.73", "ml/s", "ml/sec"),
    **_scale("score", 1, "{score}", "score", "1", "/10", "{0-10}"),
    **_scale("t-score", 1, "{t-score}", "{tscore}", "t-score", "tscore", "{sd}", "sd"),
}


def convert(number: float, unit: str, to: str) -> float | None:
    """Return the number in the unit `to`; None if the units do not compare (quirk 53).

    UCUM codes and the spellings seen in practice are known for temperature, mass, mass
    concentration, sedimentation rate, filtration rate, scores. A missing unit compares with
    nothing but a missing one.
    """
    source, target = _plain_unit(unit), _plain_unit(to)
    if source == target:
        return number
    known, wanted = _UNITS.get(source), _UNITS.get(target)
    if known is None or wanted is None or known[0] != wanted[0]:
        return None
    return round((number * known[1] + known[2] - wanted[2]) / wanted[1], 6)


def _plain_unit(unit: str) -> str:
    return (
        "".join(unit.lower().replace("_", "").split()) if "1.73" in unit else unit.lower().strip()
    )
