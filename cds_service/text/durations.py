"""How long the words say that the pain has lasted, or a treatment.

Source: decision table §2.4 (duration of the episode) and F60. Rounded as people round: "three
weeks" is 21 to 27 days. A duration counts only for what it is said of: in "LBP, PT x 6 weeks"
it is the treatment's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cds_service.text.clauses import Clause
from cds_service.text.places import ReadClause, read_clauses_of

_WORD_NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "couple": 2,
    "couple of": 2,
}
_VAGUE_NUMBERS = {"few": (2, 7), "several": (2, None), "many": (3, None)}
"""Least and most of "a few weeks" and the like; None is no upper bound."""

_DAYS_OF_UNIT = {"h": (0, 0), "d": (1, 1), "w": (7, 7), "m": (28, 31), "y": (365, 366)}
"""Fewest and most days of one unit."""

_NUMBER = (
    r"(?:\d{1,3}(?:\.\d)?|(?:a )?(?:few|couple(?: of)?)|several|many|an?|one|two|three|four|five"
    r"|six"
    r"|seven|eight|nine|ten|twelve)"
)
_UNIT = r"(?:hours?|hrs?|days?|weeks?|wks?|wk|months?|mths?|mos?|mo|years?|yrs?|yr)"
_AMOUNT = re.compile(
    r"(?<![\w./])(?P<before>at least|more than|over|greater than|less than|under|almost|nearly"
    r"|about|approx\w{0,8}|[<>≥≤~]=?)?\s?"
    rf"(?:(?:(?P<n>{_NUMBER})(?:\s?(?:-|to|or)\s?(?P<to>{_NUMBER}))?(?P<plus>\+"
    rf"| plus)?[ -]?(?P<unit>{_UNIT})"
    r"|(?P<n2>\d{1,3})(?:-(?P<to2>\d{1,3}))?(?P<plus2>\+)?(?P<unit2>[dwmy])"
    r"|(?P<n3>\d{1,2})/(?P<unit3>52|(?<=[xX] \d/)(?:7|12)))\b"
    r"(?![ -]?(?:old\b|of age|y/?o|apart|later)))",
    re.IGNORECASE,
)
_ATTACHED_TIMES = re.compile(r"(?<!\w)[xX×](?=\d)")
_SINCE = re.compile(
    r"\b(?:since|started|began|onset|from)(?: (?:on|was))? (?P<when>yesterday|last night|today|this"
    r" (?:morning|am)|last week|(?:last )?(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_DAYS_SINCE = {
    "yesterday": (1, 1),
    "last night": (0, 1),
    "today": (0, 0),
    "this morning": (0, 0),
    "this am": (0, 0),
    "last week": (2, 14),
}
_A_WEEKDAY = (0, 14)
_FOR_LONG = re.compile(r"\bfor (?:many )?(?P<unit>weeks|months|years)\b", re.IGNORECASE)
_AT_LEAST_TWO = {"weeks": 14, "months": 56, "years": 730}

PAIN = re.compile(
    r"\b(?:pains?(?! (?:med\w{0,8}|management|clinic|killers?|control|specialist|doctor|relief))"
    r"|LBP|\w{0,4}backaches?|aches?|sciatica|lumbago|lumbalgia|radiculopath\w{1,2}|radiculitis"
    r"|radicular|symptoms?|sx|claudication|spasms?|ddd)\b",
    re.IGNORECASE,
)
CARE = re.compile(
    r"(?P<pt>\bPT\b(?!/INR|'s)(?! (?:with|w/|has|have|had|is|was|c/o|reports?|denies|states"
    r"|failed|tried"
    r"|complain\w{0,4}|presents?|notes?|who|would|wants?|needs?|here|seen|says|a|male|female|aged?"
    r"|continues)\b))"
    r"|\b(?:physical therap\w{1,5}|physio\w{0,10}|chiro\w{0,10}|NSAIDs?|ibuprofen|naproxen"
    r"|meloxicam|diclofenac|celecoxib|acetaminophen|tylenol|advil|aleve|motrin|gabapentin"
    r"|pregabalin|duloxetine|cyclobenzaprine|flexeril|muscle relax\w{2,4}|home exercises?"
    r"|exercises?|HEP|acupuncture|massage|meds|medications?|therapy|tx"
    r"|(?:conservative|non-?operative|non-?op|non-?surgical)"
    r" (?:tx|rx|care|treatments?|therap\w{1,3}|management|mgmt|mgt|measures|trial))\b",
    re.IGNORECASE,
)
_OTHER_TOPIC = re.compile(
    r"\b(?:fevers?|chills|surgery|fusion|\w{0,5}dis[ck]ectomy|laminectomy|mri|ct|x-?rays?|xr|scan"
    r"|inject\w{1,4}|l?esi|epidurals?|steroids?|prednisone|numb\w{0,4}|weak\w{0,4}|tingling"
    r"|retention"
    r"|incontinen\w{1,2}|weight|fall|fell|mv[ac]|accident|smok\w{1,3}|cough|pregnan\w{1,2}"
    r"|cancer|chemo\w{0,8}|foot drop|uti|antibiotics|dx|diagnos\w{2,3}|follow|f/u|return)\b",
    re.IGNORECASE,
)
_NOT_A_DURATION = re.compile(
    r"\b(?:every|q|within|next|f/u|follow[- ]?up|per|each|return|recheck|back)(?: in"
    r"| after)?\s{0,2}$"
    r"|\bin\s{0,2}$",
    re.IGNORECASE,
)
_AGO = re.compile(r"\s{0,2}(?:ago|prior|back(?! (?:pain|ache)))\b", re.IGNORECASE)
_BEGAN = re.compile(
    r"\b(?:since|start\w{0,3}|began|begun|onset|noticed|developed)\b", re.IGNORECASE
)
_OF = re.compile(r"s?\s{0,2}(?:of|h/o|hx|history|worth|w/|with)\b", re.IGNORECASE)
CARE_NEXT = re.compile(
    rf"s?\s{{0,2}}(?:of |w/ ?|with )?(?:(?!failed|tried|despite)[a-z]{{1,12}} )?(?:{CARE.pattern})",
    re.IGNORECASE,
)
"""A treatment named right after a duration: "6 weeks of PT", "6 weeks NSAIDs"."""
_BEFORE = 160
"""Characters before a duration in which its topic is looked for."""
_NEAR = 45
"""Characters in which "three weeks of …" names what it is of."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A stretch of time in days, and where the clause says it."""

    least: int
    most: int | None
    start: int
    end: int


def amounts_in(clause: Clause) -> Iterator[Amount]:
    """Yield each stretch of time that a clause names, in order; ages and intervals are none."""
    spaced = _ATTACHED_TIMES.sub(" ", clause.text)
    for match in _AMOUNT.finditer(spaced):
        if not _NOT_A_DURATION.search(spaced[max(0, match.start() - 20) : match.start()]):
            least, most = _days(match)
            yield Amount(least, most, match.start(), match.end())
    for match in _SINCE.finditer(clause.text):
        least, latest = _DAYS_SINCE.get(match["when"].lower(), _A_WEEKDAY)
        yield Amount(least, latest, match.start(), match.end())
    for match in _FOR_LONG.finditer(clause.text):
        yield Amount(_AT_LEAST_TWO[match["unit"].lower()], None, match.start(), match.end())


def _days(match: re.Match[str]) -> tuple[int, int | None]:
    number = match["n"] or match["n2"] or match["n3"]
    unit = match["unit"] or match["unit2"] or {"52": "w", "7": "d", "12": "m"}[match["unit3"]]
    few, many = _DAYS_OF_UNIT[unit[0].lower()]
    low, high = _count(number)
    upper = match["to"] or match["to2"]
    if upper is not None:
        high = _count(upper)[1]
    # "Three weeks" stands for anything up to the fourth; a day is a day.
    slack = many - 1 if upper is None else 0
    most = None if high is None else int(high * many + slack)
    before = (match["before"] or "").lower()
    if before.startswith(("less", "under", "<", "≤", "almost", "nearly")):
        return 0, max(int(low * few) - 1, 0)
    if (
        match["plus"]
        or match["plus2"]
        or before.startswith(("at", "more", "over", "gre", ">", "≥"))
    ):
        return int(low * few), None
    return int(low * few), most


def _count(number: str) -> tuple[float, float | None]:
    word = number.lower().removeprefix("a ") if " " in number else number.lower()
    if word in _VAGUE_NUMBERS:
        return _VAGUE_NUMBERS[word]
    count = _WORD_NUMBERS[word] if word in _WORD_NUMBERS else float(word)
    return count, count


def stated_duration_days(text: str) -> tuple[int, int | None] | None:
    """Return how long the pain has lasted as (least, most) days, None if the text does not say.

    Only where the duration is said of a pain word in the same clause, and the pain is not
    negated; the longest counts. `most` None is no upper bound ("over 6 weeks", "for years").
    """
    found = [
        amount
        for read in read_clauses_of(text)
        for amount in amounts_in(read.clause)
        if _is_of_pain(read, amount)
    ]
    if not found:
        return None
    most = [amount.most for amount in found]
    bounded = [days for days in most if days is not None]
    longest = max(bounded) if len(bounded) == len(most) else None
    return max(amount.least for amount in found), longest


def _is_of_pain(read: ReadClause, amount: Amount) -> bool:
    """Give the duration to the topic it follows, or, in "3 weeks of …", to the one it precedes."""
    text = read.clause.text
    following = text[amount.end : amount.end + _NEAR].partition(",")[0]
    first = max(0, amount.start - _BEFORE)
    before = text[first : amount.start]
    ahead = PAIN.search(following)
    pains = list(PAIN.finditer(before))
    if ahead is not None and (_OF.match(following) or not pains):
        if _is_other(following[: ahead.start()]) or _AGO.match(following):
            return False
        if not _OF.match(following) and _is_other(before[-_NEAR:]):
            return False
        return not read.denies(amount.end + ahead.start(), amount.end + ahead.end())
    if not pains:
        return False
    between = before[pains[-1].end() :]
    if not (_BEGAN.search(between) or _BEGAN.match(text[amount.start : amount.end])) and (
        _AGO.match(following) or _is_other(between) or CARE_NEXT.match(following)
    ):
        return False
    return not read.denies(first + pains[-1].start(), first + pains[-1].end())


def _is_other(text: str) -> bool:
    return CARE.search(text) is not None or _OTHER_TOPIC.search(text) is not None


_CHRONIC = re.compile(
    rf"\b(?:chronic|long-?standing)\b(?: (?!kidney|renal|opioid"
    rf"|steroid)[\w/]{{1,14}}){{0,4}}? (?:{PAIN.pattern})"
    rf"|(?:{PAIN.pattern})(?:,| is| are|:| -)? (?:chronic|long-?standing)\b(?! (?:kidney|renal"
    rf"|opioid|steroid|anti\w))"
    rf"|(?:{PAIN.pattern})(?: \w{{1,12}}){{0,3}}? for (?:many )?years\b",
    re.IGNORECASE,
)
_ACUTE = re.compile(
    rf"\bacute\b(?! on chronic)(?: (?!on\b|kidney|renal)\w{{1,14}}){{0,4}}? (?:{PAIN.pattern})"
    rf"|(?:{PAIN.pattern})(?:,| is| are|:| -)? acute\b(?! (?:on chronic|distress|kidney|renal))",
    re.IGNORECASE,
)


def says_chronic(text: str) -> bool:
    """Tell whether the text calls the pain chronic, long-standing, or years old."""
    return _calls_pain(text, _CHRONIC)


def says_acute(text: str) -> bool:
    """Tell whether the text calls the pain acute; "acute on chronic" is chronic."""
    return _calls_pain(text, _ACUTE)


def _calls_pain(text: str, pattern: re.Pattern[str]) -> bool:
    return any(
        not read.denies(*match.span())
        for read in read_clauses_of(text)
        for match in pattern.finditer(read.clause.text)
    )
