"""What words say of an implant: that it came out, that it suits MR, that there is none.

Source: decision table F81 and row SF1; terms of ASTM F2503 (MR Safe, MR Conditional, MR
Unsafe). Each function reads texts and says nothing where they say nothing.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from cds_service.text.places import ReadClause, TextState, read_clauses_of


class MrStatement(StrEnum):
    """What is stated of an implant and the MR environment."""

    NONE = "none"
    SUITABLE = "suitable"
    """MR Conditional or MR Safe."""
    UNSAFE = "unsafe"
    OPEN = "open"
    """Denied, asked or not known: "not MR conditional", "MR conditional status unknown"."""


_MR = r"(?:\bMRI?\b|\bmagnetic resonance(?: imaging)?\b(?: \(MRI?\))?)"
_SUITABLE = re.compile(rf"{_MR}\)?[\s:-]{{0,3}}(?:conditional|safe)\b", re.IGNORECASE)
_UNSAFE = re.compile(
    rf"{_MR}\)?[\s:-]{{0,3}}unsafe\b|\bnon-?[\s]?{_MR}[\s-](?:conditional|safe)"
    rf"|\b(?:not|un)[\s-]?(?:safe|suitable|cleared)(?: for| in)? {_MR}"
    rf"|{_MR}(?: is| scan\w{{0,4}})?[\s:-]{{0,3}}contra-?indicat\w{{2,3}}"
    r"|\babandoned (?:\w{1,12} )?leads?\b",
    re.IGNORECASE,
)
# Said after it: "… : no", "… status unknown", "… ? not verified".
_LEFT_OPEN = re.compile(
    r"\s{0,2}(?:[:=?-]\s{0,2})?(?:status\b|labell?ing\b|no\b|not\b|false\b|unknown\b|unclear\b"
    r"|unverified\b|pending\b|tbd\b|n/a\b|\?)",
    re.IGNORECASE,
)


def mr_statement(texts: Iterable[str]) -> MrStatement:
    """Return what the texts state; one "unsafe", then one denial, outweighs every "conditional"."""
    found: set[MrStatement] = set()
    for text in texts:
        for read in read_clauses_of(text):
            clause = read.clause
            if any(not read.denies(*m.span()) for m in _UNSAFE.finditer(clause.text)):
                return MrStatement.UNSAFE
            for match in _SUITABLE.finditer(clause.text):
                is_said = read.state_at(*match.span()) is TextState.CURRENT
                is_open = not is_said or _LEFT_OPEN.match(clause.text, match.end())
                found.add(MrStatement.OPEN if is_open else MrStatement.SUITABLE)
    order = (MrStatement.OPEN, MrStatement.SUITABLE)
    return next((statement for statement in order if statement in found), MrStatement.NONE)


class Presence(StrEnum):
    """What words say of an implant that they name beside a removal."""

    IN = "in"
    """Replaced, or to be removed, or not removed: it is there."""
    OUT = "out"


_REMOVED = r"(?:remov(?:ed|al)|explant(?:ed|ation)?|extract(?:ed|ion)|taken out)"
_AFTER = re.compile(
    rf"[^.;,]{{0,40}}?\b{_REMOVED}\b|\s?[,(]\s?(?:since |was |later |then )?{_REMOVED}\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"\b{_REMOVED} (?:of )?[^.;,]{{0,40}}$", re.IGNORECASE)
_STILL_IN = re.compile(
    r"\b(?:replac\w{2,6}|exchang\w{1,3}|re-?implant\w{0,5}|upgrad\w{1,3}|planned|scheduled|pending"
    r"|declin\w{0,3}|refus\w{0,3}|recommend\w{0,3}|consider\w{0,5}|awaiting|if needed|plan to"
    r"|to be|will be|cannot be|unable)\b",
    re.IGNORECASE,
)
_REACH = 48
"""Characters between an implant and the word that says it came out."""


def removals_in(text: str, implant: re.Pattern[str]) -> Presence | None:
    """Tell whether the implant that a text names came out; None if no removal is spoken of.

    Where it is named again after that ("explanted 2015, new pacemaker 2018"), the last counts.
    """
    said: Presence | None = None
    for read in read_clauses_of(text):
        for match in implant.finditer(read.clause.text):
            removal = _removal_near(read, match)
            if removal is not None:
                said = removal
            elif said is Presence.OUT and not read.denies(*match.span()):
                said = Presence.IN
    return said


def _removal_near(read: ReadClause, implant: re.Match[str]) -> Presence | None:
    text = read.clause.text
    before = text[max(0, implant.start() - _REACH) : implant.start()]
    found = _BEFORE.search(before)
    start = max(0, implant.start() - _REACH) + found.start() if found else -1
    if found is None:
        following = _AFTER.match(text, implant.end(), implant.end() + _REACH)
        if following is None:
            return None
        start = implant.end()
        stop = following.end()
    else:
        stop = implant.start()
    around = text[max(0, start - 24) : stop + 40]
    word = re.search(_REMOVED, text[start:stop], re.IGNORECASE)
    place = start if word is None else start + word.start()
    state = read.state_at(place, stop)
    if state in {TextState.NEGATED, TextState.SUSPECTED} or _STILL_IN.search(around):
        return Presence.IN
    return Presence.OUT


_DECLINED = re.compile(
    r"(?: (?:clinic|implantation|placement|insertion))?(?: was| is)? (?:declined|refused|deferred"
    r"|not indicated|not needed|not placed|recommended|considered|planned|offered|candida\w{2,4}"
    r"|trial(?! leads?)|evaluation|work-?up|consult\w{0,6}|referral)\b",
    re.IGNORECASE,
)
_MEANT = re.compile(
    r"\b(?:prior to|before|pre-?op\w{0,8}(?: for)?|plan\w{0,4}(?: for)?|consider\w{0,5}(?: for)?"
    r"|candidates? for|eval\w{0,6} for|refer\w{0,4} for|awaiting|schedul\w{0,4} for|trial of"
    r"|potential|future|interested in|work-?up for|declin\w{1,3}|refus\w{1,3})"
    r" (?:a |an |the |possible )?(?:permanent |cardiac )?$",
    re.IGNORECASE,
)
_OF_ONE_IN_PLACE = re.compile(
    r"[- ](?:check|interrog|clear|program|reprogram|settings|card\b|rep\b|in\b)", re.IGNORECASE
)


def without_plans(text: str, implant: re.Pattern[str]) -> str:
    """Return the text without mentions of an implant that was declined or is only planned.

    "MRI before SCS trial" names no implant in the body; "pacemaker, considering SCS" still
    names the pacemaker, which an exclude pattern of the value set would hide with the plan.
    """
    kept, place = [], 0
    for match in implant.finditer(text):
        before = text[max(0, match.start() - _REACH) : match.start()]
        if _DECLINED.match(text, match.end()) or (
            _MEANT.search(before) and not _OF_ONE_IN_PLACE.match(text, match.end())
        ):
            kept.append(text[place : match.start()])
            place = match.end()
    return "".join((*kept, text[place:]))


_IMPLANTS = re.compile(
    r"\bimplants\b|\bimplant(?:s|ed|able|ation)? (?:medical |electronic |metal(?:lic)? )?devices?\b"
    r"|\b(?:medical|metal(?:lic)?|electronic|any) implants?\b|\bimplant\b(?= ?[:?/])",
    re.IGNORECASE,
)
_ONE_KIND = re.compile(
    r"\b(?:dental|tooth|cochlear|breast|lens|hip|knee|joint|penile|contraceptive|cardiac|ear|eye"
    r"|spinal|orthop\w{5,9})(?: \w{1,10})? $",
    re.IGNORECASE,
)


def names_implants(text: str) -> bool:
    """Tell whether a text speaks of implants of every kind, not of one ("dental implants")."""
    return any(True for _ in _places_of_implants(text))


def denies_implants(text: str) -> bool:
    """Tell whether a text says that there is no implant: "no implants", "Implants: none"."""
    places = list(_places_of_implants(text))
    return bool(places) and all(read.denies(*match.span()) for read, match in places)


def _places_of_implants(text: str) -> Iterable[tuple[ReadClause, re.Match[str]]]:
    if "implant" not in text.lower():
        # Every observation of a chart is asked; taking its words apart costs more than this.
        return
    for read in read_clauses_of(text):
        for match in _IMPLANTS.finditer(read.clause.text):
            if not _ONE_KIND.search(read.clause.text[max(0, match.start() - 24) : match.start()]):
                yield read, match
