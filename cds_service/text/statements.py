"""What the order's words state of treatment, of a planned procedure, of a score.

Source: decision table §2.5, F60, F62, F63. Each function reads one text and says nothing where
the text says nothing. Words of change are read in `change.py`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from cds_service.text.durations import CARE, CARE_NEXT, PAIN, Amount, amounts_in
from cds_service.text.places import ReadClause, TextState, read_clauses_of

SIX_WEEKS = 42
"""Days: what "six weeks" of treatment means in words (decision table §1)."""


class CareState(StrEnum):
    """What the words say of conservative treatment."""

    NONE = "none"
    SIX_WEEKS_OR_MORE = "six-weeks-or-more"
    """At least 42 days, or "failed conservative treatment"."""
    SHORTER = "shorter"
    """A stated duration below 42 days."""


@dataclass(frozen=True, slots=True)
class CareStatement:
    """A statement of treatment, the clause that makes it, and the days it states at least."""

    state: CareState
    clause: str = ""
    days: int | None = None


_NO_CARE = CareStatement(CareState.NONE)

_FAILED_CARE = re.compile(
    r"\b(?:fail\w{0,4}|exhausted|refractory to|despite|unresponsive to|resistant to|tried"
    r"|(?:not|no|without|minimal|little) (?:\w{1,12} ){0,2}?(?:relief|improve\w{0,4}|improving"
    r"|response|respond\w{0,3}"
    r"|benefit)(?: \w{1,5}){0,2})(?: \w{1,12}){0,3}?"
    r" (?:conservative|non-?operative|non-?op|non-?surgical)"
    r"(?: (?:tx|rx|care|treatments?|therap\w{1,3}|management|mgmt|mgt|measures|trial|medical))?\b"
    r"|\bconservative (?:tx|care|treatments?|therap\w{1,3}|management|mgmt|measures)"
    r" (?:has |have |was )?(?:failed|exhausted|ineffective|unsuccessful|without (?:relief"
    r"|improvement|benefit))\b",
    re.IGNORECASE,
)
_NOT_YET = re.compile(
    r"\b(?:will|plan\w{0,4}|to (?:start|begin|do|try)|recommend\w{0,3}|needs?|should|schedul\w{2,3}"
    r"|refer\w{0,5}|order\w{0,3}|advis\w{2,3}|start(?!ed)(?:ing)?|begin|consider\w{0,3}"
    r"|declin\w{0,3}|refus\w{0,3}"
    r"|cancel\w{0,6}|requir\w{1,3}|prescri\w{2,5} today|trial of)\b",
    re.IGNORECASE,
)
_OTHER_SITE = re.compile(
    r"\b(?:knees?|shoulders?|neck|cervical|hips?|ankles?|wrists?|hands?|elbows?|vestibular"
    r"|pelvic floor)\b",
    re.IGNORECASE,
)
# Words joined by "/" are taken whole: else "a/b/c/…" could be cut up in ways without end.
_BETWEEN = re.compile(
    r"(?:[^\w,;]|\b(?!(?:LBP|back|pain|sciatica|after|since|before|starting|in|q"
    r"|every)\b)\w{1,14}(?:/\w{0,14}){0,6}(?![\w/])"
    r"){0,14}",
    re.IGNORECASE,
)
_STARTED = re.compile(r"\b(?:start|began|begun|since|initiated)\w{0,3}\b", re.IGNORECASE)
_AGO = re.compile(r"\s{0,2}ago\b", re.IGNORECASE)
_OF_PAIN = re.compile(
    rf"(?:{PAIN.pattern})(?:\W{{1,3}}(?:x|for|since|over|of|now|radiating|down|the|past|last"
    rf"|\w{{0,8}}leg)){{0,6}}\W{{0,3}}$",
    re.IGNORECASE,
)


def care_statement(text: str) -> CareStatement:
    """Return what the text states of conservative treatment: six weeks or more, or less.

    Six weeks stated anywhere win over less stated elsewhere. Treatment that is planned,
    declined, or for another joint states nothing.
    """
    shorter = _NO_CARE
    clauses = read_clauses_of(text)
    for read in clauses:
        for days in _care_days(read):
            if days.least >= SIX_WEEKS:
                return CareStatement(CareState.SIX_WEEKS_OR_MORE, read.clause.raw, days.least)
            if days.most is not None and days.most < SIX_WEEKS:
                shorter = CareStatement(CareState.SHORTER, read.clause.raw, days.least)
    if shorter.state is CareState.SHORTER:
        return shorter
    for read in clauses:
        for match in _FAILED_CARE.finditer(read.clause.text):
            if not read.denies(*match.span()):
                return CareStatement(CareState.SIX_WEEKS_OR_MORE, read.clause.raw)
    return _NO_CARE


def _care_days(read: ReadClause) -> list[Amount]:
    """Return the durations in a clause that are said of a treatment that took place."""
    clause = read.clause
    found = []
    for amount in amounts_in(clause):
        part = clause.part_at(amount.start)
        begin, end = clause.parts[part]
        before = clause.text[max(begin, amount.start - _CARE_REACH) : amount.start]
        after = clause.text[amount.end : min(end, amount.end + _CARE_REACH)]
        if not _is_of_care(before, after):
            continue
        around = before + after
        if _NOT_YET.search(around) or _OTHER_SITE.search(around):
            continue
        if not read.denies(amount.start, amount.end):
            found.append(amount)
    return found


_CARE_REACH = 60
"""Characters: as far as a duration may stand from the treatment it is said of."""


def _is_of_care(before: str, after: str) -> bool:
    if _AGO.match(after):
        return _STARTED.search(before + after) is not None and CARE.search(before) is not None
    if CARE_NEXT.match(after) and not _OF_PAIN.search(before):
        return True
    cares = list(CARE.finditer(before))
    return bool(cares) and _BETWEEN.fullmatch(before[cares[-1].end() :]) is not None


_LOOK_BACK = 40
_PROCEDURE = (
    r"(?:spine |spinal |back |lumbar |surgical |decompressive )?"
    r"(?:surger(?:y|ies)|operation|fusion|\w{0,5}dis[ck]ectomy|laminectomy|laminotomy|decompression"
    r"|intervention|procedure|l?esis?|tfesis?|epidurals?(?: steroid)?(?: injections?)?|injections?"
    r"|nerve blocks?|medial branch blocks?|mbb|rfa|ablation|kyphoplasty|vertebroplasty|tlif|plif"
    r"|alif|xlif|stimulator trial|scs trial)"
)
_CANDIDATE = re.compile(
    r"\b(?:surg(?:ical|ery)|operative|injection|esi|procedure|procedural"
    r"|interventional) candidates?\b"
    r"|\bcandidates? for (?:\w{1,12} ){0,2}?" + _PROCEDURE + r"\b"
    r"|\b(?:surgical|surgery|operative|procedur\w{1,3}|pre-?op(?:erative)?|pre-?procedur\w{1,3}"
    r"|interventional"
    r"|injection|esi)[ -](?:planning|plan|eval\w{0,6}|work-?up|mri|mapping|imaging|consideration)\b"
    r"|\bpre-?op(?:erative)?\b"
    rf"|\b(?:plan(?:s|ned|ning)?|schedul(?:ed|ing)|consider(?:s|ed|ing|ation)?|contemplating"
    rf"|awaiting|upcoming|booked"
    rf"|discussing|wants?|wishes|interested in|would like|pursu(?:e|ing)|proceed(?:ing)? with"
    rf"|amenable to"
    rf"|eval\w{{0,6}} for|(?:mri|imaging|scan|needed|required"
    rf"|requested)(?: \w{{1,12}})? (?:prior to|before))"
    rf" (?:(?:for|of|to|on|have|undergo|with|a|an|the|repeat|possible|another"
    rf"|l[1-5]\S{{0,5}}) ){{0,4}}{_PROCEDURE}\b"
    rf"|\b{_PROCEDURE} (?:(?:is|was|being|been|has|to be|on|for) ){{0,3}}(?:planned|scheduled"
    rf"|considered|booked|pending|anticipated)\b",
    re.IGNORECASE,
)
_UNSUITED = re.compile(r"\b(?:poor|bad|non-?|never a|no longer a) ?(?:a )?$", re.IGNORECASE)
_UNSUITED_WORD = re.compile(r"\bnon-?(?:surgical|operative) candidate", re.IGNORECASE)
_NOT_OURS = re.compile(
    r"\b(?:knee|hip|cataract|cardiac|dental|hernia|shoulder|carpal|bariatric|gallbladder"
    r"|cholecystectomy"
    r"|colonoscopy|thyroid|cervical|neck)\b",
    re.IGNORECASE,
)


def candidate_statement(text: str) -> bool | None:
    """Tell whether a spine procedure is stated to be an option; None if the text is silent.

    "Considering injection" and "pre-op planning" say yes, "not a surgical candidate" says no;
    where both are said, yes wins.
    """
    said: bool | None = None
    for read in read_clauses_of(text):
        clause = read.clause
        if said is None and _UNSUITED_WORD.search(clause.text):
            said = False
        for match in _CANDIDATE.finditer(clause.text):
            part = clause.parts[clause.part_at(match.start())]
            if _NOT_OURS.search(
                clause.text, max(part[0], match.start() - 40), min(part[1], match.end() + 40)
            ):
                continue
            before = clause.text[max(0, match.start() - _LOOK_BACK) : match.start()]
            state = read.state_at(*match.span())
            if state is TextState.NEGATED or _UNSUITED.search(before):
                said = False
            elif state is not TextState.HISTORY:
                return True
    return said


_PLANNED = re.compile(
    r"\b(?:plan(?:s|ned|ning)?|schedul(?:ed|ing)|booked|upcoming|awaiting|pending|pre-?op\w{0,9})\b",
    re.IGNORECASE,
)


def says_planned(text: str) -> bool:
    """Tell whether a text that states an option says more: that the procedure is planned."""
    return candidate_statement(text) is True and _PLANNED.search(text) is not None


_SCORE = re.compile(
    r"(?<![\d/.])(?:(?P<n>10|\d)(?:\.\d)?(?:\s?-\s?(?P<to>10|\d))?\s?(?:/|out of)\s?10\b(?!\s?/)"
    r"|\b(?:NRS|VAS|pain (?:score|level|rating|scale)|pain)(?: of| is|:|=)? ?(?P<n2>10"
    r"|\d)\b(?![\d/.-]| ?(?:out|days?|weeks?|wks?|months?|years?|d\b|w\b|x\b)))",
    re.IGNORECASE,
)
_A_DATE = re.compile(
    r"\b(?:on|since|from|by|dated|until|seen|after|before|mri|visit|dob)\s?$", re.IGNORECASE
)
_WORST_SCORE = 10


def severe_score(text: str) -> int | None:
    """Return the pain score from 0 to 10 that the text states, the highest of several.

    "9/10" after "on" or "since" is a date. The caller decides what is severe.
    """
    scores = []
    for read in read_clauses_of(text):
        for match in _SCORE.finditer(read.clause.text):
            before = read.clause.text[max(0, match.start() - 12) : match.start()]
            if not _A_DATE.search(before) and not read.denies(*match.span()):
                score = int(match["to"] or match["n"] or match["n2"])
                if score <= _WORST_SCORE:
                    scores.append(score)
    return max(scores, default=None)
