"""What the words of an order say of an earlier MRI, and of what was done since.

Source: decision table §7.3, items c, h and i. All of it softens an alarm, so it may be weak (§0).
"""

import calendar
import re
from collections.abc import Iterator
from datetime import date, timedelta

from cds_service.fhir_dates import DateInterval, Precision
from cds_service.text.places import read_clauses_of

_EXAM = (
    r"(?:MRI?s?|magnetic resonance|scans?|imaging|images|films|studies|study|exams?|dis[ck]s?"
    r"|report)"
)
_EARLIER = (
    rf"(?:\b(?:prior|previous|last|outside|old|older|earlier|recent|external|other hospital)\b"
    rf"(?: \w{{1,12}}){{0,3}}? {_EXAM}\b"
    rf"|\bMRI?s?\b(?: \w{{1,12}}){{0,2}}? (?:from|of|in|dated|done)\b[^,]{{0,12}}?(?:19|20)\d\d\b)"
)
_BAD = (
    r"\b(?:not (?:yet )?(?:available|retrievable|accessible|diagnostic|on file|found|obtainable"
    r"|viewable|readable|usable|interpretable|received|adequate|of diagnostic)|unavailable"
    r"|inaccessible|unobtainable|(?:can ?not|can't|could not|couldn't|unable to)(?: be)? "
    r"(?:obtain|retriev|locat|access|found|open|view|read|interpret|upload|get|see)\w{0,3}"
    r"|non-?diagnostic|uninterpretable|unreadable|unusable|suboptimal|inadequate|incomplete"
    r"|degraded|corrupted|aborted|missing|misplaced|destroyed|poor (?:image )?quality|wrong level"
    r"|(?<!not )lost(?! (?:weight|consciousness|to follow|her|his|their|\d))"
    r"|(?<!not )limited(?: (?:by|due|because|secondary|study|exam|quality|images?)\b|\W{0,3}$"
    r"|(?=,)))"
)
_UNUSABLE = re.compile(
    rf"{_EARLIER}(?:[ (:-]{{1,3}}[\w/']{{1,14}}){{0,6}}?[ (:-]{{1,3}}{_BAD}", re.IGNORECASE
)
_UNUSABLE_BEFORE = re.compile(
    rf"(?:\b(?:unable|failed|trying) to (?:obtain|retrieve|locate|access|get|see|view|open|find)"
    rf"|\b(?:can ?not|can't|could not|couldn't) (?:obtain|retrieve|locate|access|get|see|view"
    rf"|open|find)|\bno (?:access to|copy of|report of|images of)|\bdo(?:es)? not have|\bdon't have"
    rf"|{_BAD})(?: [\w']{{1,12}}){{0,3}}? {_EARLIER}"
    rf"|\bno {_EARLIER} (?:is |are )?(?:available|accessible|on file)",
    re.IGNORECASE,
)
_OTHER_EXAM = re.compile(
    r"\b(?:CT|x-?rays?|radiographs?|brain|head|cervical|thoracic|shoulder|hips?|knees?|pelvi[sc]"
    r"|abdom\w{0,5}|breast)\b",
    re.IGNORECASE,
)
_LUMBAR = re.compile(r"\b(?:lumbar|lumbo-?sacral|L-?spine)\b", re.IGNORECASE)


def says_earlier_not_usable(text: str) -> str:
    """Return the clause that says that an earlier MRI is lost, not available or not diagnostic."""
    for read in read_clauses_of(text):
        words = read.clause.text
        found = _UNUSABLE.search(words) or _UNUSABLE_BEFORE.search(words)
        if found and (not _OTHER_EXAM.search(found[0]) or _LUMBAR.search(found[0])):
            return read.clause.raw
    return ""


_ADVICE = r"\b(?:recommend(?:ed|s|ing|ations?)?|suggest(?:ed|s)?|advis(?:ed|es)|requested)\b"
_AGAIN = (
    r"\b(?:repeat(?:ed)?|re-?imag(?:e|ing)|re-?scan|further (?:imaging|MRI|evaluation|work-?up)"
    r"|follow[- ]?up|f/u|surveillance|additional imaging|dedicated MRI|(?:with )?contrast)\b"
)
_FOLLOW_UP = re.compile(
    rf"{_ADVICE}[^;]{{0,40}}?{_AGAIN}|{_AGAIN}[^;]{{0,30}}?{_ADVICE}", re.IGNORECASE
)
_OTHER_FOLLOW_UP = re.compile(
    r"\b(?:no|not|never|against|without|n't|visits?|appointments?|clinic|office|pcp|labs?|therapy"
    r"|PT|injections?|care|CT|x-?rays?|ultrasound|surgery|colonoscopy)\b",
    re.IGNORECASE,
)


def says_follow_up_recommended(text: str) -> str:
    """Return the clause that says that a repeat or a follow-up of the earlier MRI was advised."""
    for read in read_clauses_of(text):
        words = read.clause.text
        found = _FOLLOW_UP.search(words)
        if found is None:
            continue
        around = words[max(0, found.start() - 15) : found.end() + 15]
        if not _OTHER_FOLLOW_UP.search(around):
            return read.clause.raw
    return ""


_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DATED = re.compile(
    r"\b(?P<iso>20\d\d)-(?P<iso_m>\d{1,2})(?:-(?P<iso_d>\d{1,2}))?\b"
    r"|\b(?P<m>\d{1,2})/(?:(?P<d>\d{1,2})/)?(?P<y>20\d\d|\d\d(?!\d))\b"
    r"|\b(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
    r"(?: (?P<named_d>\d{1,2})(?:st|nd|rd|th)?,?)? (?:of )?'?(?P<named>20\d\d)\b"
    r"|\b(?P<only>20\d\d)\b"
    r"|\b(?P<n>\d{1,2}|an?|one|two|three|four|five|six) (?P<unit>day|week|wk|month|mo)s? ago\b"
    r"|\b(?:last|past) (?P<last>week|month)\b",
    re.IGNORECASE,
)
_CENTURY = 2000
_WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_UNITS = {"day": 1, "week": 7, "wk": 7, "month": 31, "mo": 31}


def dates_in(words: str, today: date) -> Iterator[DateInterval]:
    """Yield the past dates that words name, each as the days that it may stand for."""
    for found in _DATED.finditer(words):
        when = _interval(found, today)
        if when is not None and when.earliest is not None and when.earliest <= today:
            yield when


def _interval(found: re.Match[str], today: date) -> DateInterval | None:
    unit = found["unit"] or found["last"]
    if unit:
        number = found["n"] or "1"
        count = int(number) if number.isdigit() else _WORDS[number.lower()]
        days = _UNITS[unit.lower()]
        first = today - timedelta(days=days * (count + 1))
        return DateInterval(first, today, Precision.MONTH, "order")
    year = int(found["iso"] or found["named"] or found["only"] or found["y"])
    year += _CENTURY if year < _CENTURY else 0
    month = _MONTHS[found["name"][:3].title()] if found["name"] else found["iso_m"] or found["m"]
    day = found["iso_d"] or found["d"] or found["named_d"]
    try:
        if not month:
            first, last = date(year, 1, 1), date(year, 12, 31)
        elif day:
            first = last = date(year, int(month), int(day))
        else:
            first = date(year, int(month), 1)
            last = date(year, int(month), calendar.monthrange(year, int(month))[1])
    except ValueError:
        return None
    return DateInterval(
        first, min(last, today) if first <= today else last, Precision.MONTH, "order"
    )
