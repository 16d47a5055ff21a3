"""What words say of change: worse, new, back again, or stable.

Source: decision table §2.5 (words of change), F51, F72 f.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from cds_service.text.clauses import Clause
from cds_service.text.durations import PAIN
from cds_service.text.places import AFFIRMED_STATES, ReadClause, read_clauses_of


class ChangeState(StrEnum):
    """What the words say of change; `worse` also stands for new, changed and recurrent."""

    NONE = "none"
    WORSE = "worse"
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class ChangeStatement:
    """A statement of change, and the clause that makes it."""

    state: ChangeState
    clause: str = ""


_SYMPTOM = re.compile(
    rf"{PAIN.pattern}|\b(?:weak\w{{0,4}}|numb\w{{0,4}}|tingling|par?aesthesias?|paresthesias?"
    rf"|\w{{0,4}}paresis"
    r"|deficits?|foot[- ]?drop|incontinen\w{1,2}|retention|an?aesthesia|stiffness|gait|sensation"
    r"|sensory|radiat\w{2,4}|dysfunction|balance|sxs|feeling)\b",
    re.IGNORECASE,
)
_WORSE = re.compile(
    r"\b(?:new(?:ly|ly-onset|-onset)?(?! (?:patient|pt|consult|referral|visit|to|pcp|provider"
    r"|order|mri|job"
    r"|mattress|med\w{0,8}|rx|brace|study|imaging|evaluation|insurance))"
    r"|worse(?! (?:with|when|while|upon|on|at|by|if|during|in the|in am|in pm"
    r"|after (?:sitting|standing|walking|activity|exercise|bending|lifting|work|sleep)))"
    r"|worsen(?:ing|ed|s)?(?! (?:with|when|by|on|at)\b)|progressi(?:ve|vely|ng|on)|progressed"
    r"|chang(?:ed|ing)|recurr(?:ent|ence|ing|ed)|increas(?:ed|ing|es|e in)|deteriorat\w{2,4}"
    r"|escalat(?:ed|es|ing)|migrat(?:ed|es|ing|ion))\b",
    re.IGNORECASE,
)
_AGAIN_THERE = re.compile(
    r"\b(?:recurrent|recurrence of|re-?)[ -]?(?:[\w-]{1,10} ){0,2}?(?:HNP|LDH|herniat\w{1,4})\b",
    re.IGNORECASE,
)
"""A herniation that came back is one that causes symptoms again."""
_NO_LONGER_WELL = re.compile(
    r"\b(?<!un)(?:stable|better|improv(?:ed|ing)|well|controlled|fine|ok(?:ay)?|pain[- ]free)"
    r"(?: \w{1,12}){0,2}? (?:until|till|up to)\b(?! (?:seen|surgery|next|further|follow|f/u|then))",
    re.IGNORECASE,
)
_VITAL = re.compile(r"\b(?:vitals?|weight|bp|blood|labs?|insurance|job)\b", re.IGNORECASE)
_ANYWHERE = re.compile(
    r"\b(?:worse(?! (?:with|when|while|upon|on|at|by|if|during|in the|in am|in pm|case"
    r"|after (?:sitting|standing|walking|activity|exercise|bending|lifting|work|sleep)))"
    r"|worsen(?:ing|ed|s)?(?! (?:with|when|by|on|at|if)\b)"
    r"|progress(?:ive|ively|ing|ed|ion)(?! (?:well|nicely|note|as expected|lens|to (?:hep|home|gym"
    r"|independent|exercise|full|weight)|(?:with|in|through) (?:pt|therapy|physical|exercise)))"
    r"|deteriorat(?:ed|es|ing|ion)|recurr(?:ent|ence|ing|ed)|escalat(?:ed|es|ing)"
    r"|migrat(?:ed|es|ing|ion)"
    r"|loss of (?:\w{1,8} ){0,2}?(?:sensation|feeling|strength|reflex(?:es)?))\b",
    re.IGNORECASE,
)
_OF_SOMETHING_ELSE = re.compile(
    r"\b(?:anxi\w{2,5}|depress\w{2,4}|mood|psych\w{0,10}|bipolar|hearing|vision|eyes?|tinnitus"
    r"|headaches?|migraines?|neck|cervical|thoracic|shoulders?|arms?|hands?|wrists?|elbows?|knees?"
    r"|ankles?|chest|abdom\w{0,5}|pelvi[sc]|asthma|copd|respiratory|breath\w{0,5}|dyspn\w{1,3}"
    r"|coughs?|apnea|diabet\w{1,3}|glucose|sugars?|a1c|hypertension|htn|bp|blood|pressure|kidneys?"
    r"|renal|ckd|creatinine|gfr|egfr|heart|cardiac|chf|angina|afib|edema|gerd|reflux|nausea"
    r"|insomnia|sleep|fatigue|rash|eczema|psoriasis|acne|anemia|uti|utis|bladder infections?"
    r"|sinus\w{0,4}|strep|otitis|falls?|miscarriages?|weight|bmi|obesity|dementia|memory|cognit\w{2,4}"
    r"|parkinson\w{0,2}|ms|multiple sclerosis|tremors?|seizures?|thyroid|liver|leads?|stimulator"
    r"|device|catheters?|stones?|chart|charts|records?|epic|countr\w{1,3}|family|visits?"
    r"|appointments?|orders?|referrals?|requests?|scheduling|glasses|lens\w{0,2}|scoliosis|osteoporosis"
    r"|insurance|claims?|job|work|school|compliance|adherence)\b",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(
    r"\b(?:if|unless|should|in case|whether|when)\b[^,]{0,30}$", re.IGNORECASE
)
_NOT_OF_THE_BACK = re.compile(
    r" (?:of )?(?:his |her |their )?(?:anxi\w{2,5}|depress\w{2,4}|mood|headaches?"
    r"|migraines?|diabetes|htn|hypertension|renal|kidney|vision|hearing|insomnia|asthma|copd|dementia|gerd)\b",
    re.IGNORECASE,
)
_STABLE = re.compile(
    r"\b(?<!un)(?:stable|unchanged|improv(?:ed|ing)|resolved|resolving)\b", re.IGNORECASE
)
_UNDONE = re.compile(
    r"(?:\b(?:not|no|never|without|un|yet to be|has(?:n't| not))|n't)\W(?:\w{1,12} ){0,2}$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w'/.-]{1,40}")
_REACH = 4
"""Words (decision table §2.5)."""
_NEW_AFTER = re.compile(r"\W{0,3}$|\s(?:since|in|over|x|for|this|onset|today)\b", re.IGNORECASE)


def change_words(text: str) -> ChangeStatement:
    """Return what the text says of change; worse wins where it says both.

    A word of change counts only within four words of a symptom word and not negated: "new
    patient", "no new symptoms" and "not changed" say nothing, nor does "worse with sitting".
    """
    stable = ChangeStatement(ChangeState.NONE)
    for read in read_clauses_of(text):
        clause = read.clause
        if _says_again(read):
            return ChangeStatement(ChangeState.WORSE, clause.raw)
        symptoms = _symptom_words(clause)
        if not symptoms:
            continue
        for match in _WORSE.finditer(clause.text):
            state = read.state_at(*match.span())
            if (
                state in AFFIRMED_STATES
                and _is_near(clause, match, symptoms)
                and not _NOT_OF_THE_BACK.match(clause.text, match.end())
            ):
                return ChangeStatement(ChangeState.WORSE, clause.raw)
        for match in _STABLE.finditer(clause.text):
            before = clause.text[max(0, match.start() - _LOOK_BACK) : match.start()]
            if (
                stable.state is ChangeState.NONE
                and not _UNDONE.search(before)
                and not read.denies(*match.span())
                and _is_near(clause, match, symptoms)
            ):
                stable = ChangeStatement(ChangeState.STABLE, clause.raw)
    return stable


def change_anywhere(text: str) -> ChangeStatement:
    """Return words for worse that no symptom stands beside, unless they are of something else.

    For F72 only: such words soften a repeat alarm, and may be weak ("worsened").
    """
    for read in read_clauses_of(text):
        clause = read.clause
        for match in _ANYWHERE.finditer(clause.text):
            begin, end = clause.parts[clause.part_at(match.start())]
            before = clause.text[max(begin, match.start() - _LOOK_BACK) : match.start()]
            if (
                read.state_at(*match.span()) in AFFIRMED_STATES
                and not _OF_SOMETHING_ELSE.search(clause.text, begin, end)
                and not _CONDITIONAL.search(before)
            ):
                return ChangeStatement(ChangeState.WORSE, clause.raw)
    return ChangeStatement(ChangeState.NONE)


def _says_again(read: ReadClause) -> bool:
    """A herniation that is back, or symptoms that were stable until lately."""
    clause = read.clause
    for pattern in (_AGAIN_THERE, _NO_LONGER_WELL):
        match = pattern.search(clause.text)
        if match is None:
            continue
        begin = clause.parts[clause.part_at(match.start())][0]
        around = clause.text[max(begin, match.start() - _LOOK_BACK) : match.end() + _LOOK_BACK]
        if read.state_at(*match.span()) in AFFIRMED_STATES and not _VITAL.search(around):
            return True
    return False


_LOOK_BACK = 40


def _symptom_words(clause: Clause) -> list[tuple[int, int]]:
    return [match.span() for match in _SYMPTOM.finditer(clause.text)]


def _is_near(clause: Clause, match: re.Match[str], symptoms: list[tuple[int, int]]) -> bool:
    """Tell whether a symptom word stands within four words; "new" speaks of what follows it."""
    place = bisect_left(symptoms, match.span())
    if place < len(symptoms):
        between = clause.text[match.end() : symptoms[place][0]]
        if _words_in(between) < _REACH and not (_is_new(match) and "," in between):
            return True
    if place > 0 and symptoms[place - 1][1] > match.start():
        return True
    if place == 0:
        return False
    between = clause.text[symptoms[place - 1][1] : match.start()]
    if _words_in(between) >= _REACH:
        return False
    return not _is_new(match) or (
        "," not in between and _NEW_AFTER.match(clause.text, match.end()) is not None
    )


def _is_new(match: re.Match[str]) -> bool:
    return match.group().lower() == "new"


def _words_in(text: str) -> int:
    return len(_WORD.findall(text[: _REACH * 45]))
