"""Whether a radiologist recommended to repeat the MRI, to go on with it, or to give contrast.

Source: decision table §7.3, item h. It speaks for the order, so a recommendation under a
condition ("if symptoms persist") counts: whether it is met is for the clinician to say.
"""

import re
from collections.abc import Iterable

_CLAUSE = re.compile(r"[;\n]+|\.(?!\d)|\b(?:but|however|although)\b", re.IGNORECASE)
_ADVICE = (
    r"\b(?:recommend(?:ed|s|ing|ations?)?|suggest(?:ed|s)?|advis(?:ed?|able)|consider(?:ed|ation)?"
    r"|warranted|should be (?:performed|obtained|done|repeated)"
    r"|is (?:indicated|needed|necessary|required))\b"
)
_AGAIN = r"\b(?:follow[- ]?up|repeat(?:ed)?|further|additional|interval|surveillance|dedicated)\b"
_SCAN = r"\b(?:MRI?|magnetic resonance|imaging|scans?|stud(?:y|ies)|exam(?:ination)?s?)\b"
_CONTRAST = r"\b(?:contrast|gadolinium|gad)\b"
_AGAIN_SCANNED = rf"(?:{_AGAIN}[^,]{{0,40}}?{_SCAN}|{_SCAN}[^,]{{0,20}}?{_AGAIN})"
_TARGET = rf"(?:{_AGAIN_SCANNED}|{_CONTRAST})"
_RECOMMENDED = re.compile(
    rf"{_ADVICE}.{{0,80}}?{_TARGET}|{_TARGET}.{{0,80}}?{_ADVICE}", re.IGNORECASE
)
_NEGATED = re.compile(
    r"\b(?:no|not|without(?! (?:and|or|&|/)? ?(?:with|contrast|gad|iv|intravenous))|never|against"
    r"|unnecessary|nor|neither|previously|as)\b|n't\b",
    re.IGNORECASE,
)
_MR = re.compile(r"\b(?:MRI?|magnetic resonance)\b", re.IGNORECASE)
_OTHER_EXAM = re.compile(
    r"\b(?:CT|computed tomography|x-?rays?|radiographs?|ultraso\w{1,6}|sonogra\w{1,4}|DXA|DEXA"
    r"|bone (?:scan|density)|PET|mammogra\w{1,3}|brain|head|cervical|thoracic|chest|abdom\w{0,5}"
    r"|pelvi[sc]|hips?|knees?|shoulder|renal|kidneys?|liver|adnexa\w?|thyroid|adrenal)\b",
    re.IGNORECASE,
)
_LUMBAR = re.compile(r"\b(?:lumbar|lumbo-?sacral|L-?spine)\b", re.IGNORECASE)
_LONGEST_CLAUSE = 4000


def recommends_follow_up(conclusions: Iterable[str]) -> bool:
    """Tell it from the conclusions of one exam, the last word first; the first that says decides.

    "No follow-up recommended" says no; a conclusion that is silent says nothing.
    """
    answers = (_recommends(text) for text in conclusions)
    return next((answer for answer in answers if answer is not None), False)


def _recommends(text: str) -> bool | None:
    """Read one conclusion: any recommendation in it, else whether one is denied."""
    answers = {_recommends_in(clause[:_LONGEST_CLAUSE]) for clause in _CLAUSE.split(text)}
    return True if True in answers else (False if False in answers else None)


def _recommends_in(clause: str) -> bool | None:
    found = _RECOMMENDED.search(clause)
    if found is None or _is_of_something_else(clause):
        return None
    before = clause[: found.start()].rpartition(",")[2]
    after = clause[found.end() :].partition(",")[0][:30]
    is_denied = any(_NEGATED.search(words) for words in (before, found[0], after))
    return not is_denied


def _is_of_something_else(clause: str) -> bool:
    """Another modality, or MRI of another part, unless the lumbar spine is named as well."""
    if _OTHER_EXAM.search(clause) is None:
        return False
    return _MR.search(clause) is None or _LUMBAR.search(clause) is None
