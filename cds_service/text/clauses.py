"""Clauses of clinical text, and the words in them that negate, suspect, affirm or date.

Source: decision table §2.5. Nothing here knows a concept: `places.py` joins these words
with the place at which a value set's pattern matches. All patterns are bounded, so reading is
linear in the length of the text.
"""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

LONGEST_TEXT = 2_000
"""Characters of one text that are read; what follows is left out."""

# One character for one, so that places in the cleaned text are places in the raw one: signs
# that typists and dictation software put for plain ones, and letters that `IGNORECASE` would
# equate with ASCII ones.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2002\u2003\u2009\u200b\u202f\t", " "),
        **dict.fromkeys("\u2018\u2019\u02bc`", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\r\u2028\u2029\u0085\x0b\x0c", "\n"),
        "\u017f": "s",
        "\u0130": "I",
        "\u0131": "i",
        "\u212a": "K",
    }
)

# A full stop between digits is a decimal point, and one after a lone letter of an abbreviation
# ("h.o.", "Dr.") is rare enough to be read as an end.
_CLAUSE_END = re.compile(
    r"(?<!\d)\.|\.(?!\d)|[;!\n|•]|\b(?:but|however|although|though)\b", re.IGNORECASE
)


class Sign(StrEnum):
    """What a word does to the concepts near it."""

    NOTHING = "nothing"
    """Looks like one of the others and is none: "prior to", "45-year-old", "2 week hx of"."""
    SUSPECT = "suspect"
    """Rule out, concern for, ?: also ends a negation."""
    AFFIRM = "affirm"
    """Ends a negation; among them what only looks like one: "no relief of", "no cause for"."""
    AFFIRM_PLAIN = "affirm_plain"
    """New, with, has, failed: affirm, unless they stand directly after a negation."""
    AFFIRM_START = "affirm_start"
    """Starts a new statement, but only at the start of a comma part: radiating to, failed."""
    NEGATE_LIST = "negate_list"
    """Governs a list, over commas: denies, negative for."""
    NEGATE = "negate"
    """Governs what follows, over commas, but less surely: no, without."""
    NEGATE_PART = "negate_part"
    """Governs its own comma part: not, "no prior imaging"."""
    NEGATE_NEXT = "negate_next"
    """Governs the next words only: negative SLR, non-pregnant."""
    HISTORY = "history"
    HISTORY_LIST = "history_list"
    """Past medical history: dates a list, over commas."""
    HISTORY_NEXT = "history_next"
    """Dates the next words only: prior, old, previous."""
    AFTER = "after"
    """s/p, status post: history of a disease, yet the news of an event."""


NEGATING = frozenset({Sign.NEGATE_LIST, Sign.NEGATE, Sign.NEGATE_PART, Sign.NEGATE_NEXT})
DATING = frozenset({Sign.HISTORY, Sign.HISTORY_LIST, Sign.HISTORY_NEXT, Sign.AFTER})

_TIME_UNIT = r"(?:hours?|hrs?|days?|d|weeks?|wks?|wk|w|months?|mos?|mo|years?|yrs?|yr|y)"
_NUMBER = (
    r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|several|many|few"
    r"|couple(?:\ of)?)"
)

# In order: where two match at the same place, the first one counts.
_SIGNS = {
    Sign.NOTHING: rf"""
        with\ or\ without\b
        |(?:past|last|previous|prior)\ (?:{_NUMBER}\ )?(?:day|night|week|wk|month|mo|year|yr)s?\b
        |(?:past|last|previous|prior)\ (?:\d{{1,3}}|few|several|couple)\b
        |prior\ (?:to|auth\w{{0,12}})\b
        |(?:that|if)\ (?:he|she|pt|patient|they)\ has\b
        |(?:problems?|issues?|trouble|difficult\w{{1,4}}|complaints?)\ with\b
        |{_NUMBER}[-\ ]?{_TIME_UNIT}s?[-\ ](?:h/o|hx|history)\b
        |(?:long(?:[-\ ]?standing)?|chronic|recent|current|clinical)\ (?:h/o|hx|history)\b
        |(?:hx|history|h/o):
        |(?:\d{{1,3}}[-\ ]?)?(?:years?|yrs?|yr|months?|mos?|mo|weeks?|wks?|wk|days?|y/?o|y)
            [-\ ](?:old|of\ age)\b""",
    Sign.AFFIRM: r"""
        (?:no|not|without|w/o|little|minimal|never|nor)\ (?:\w{1,12}\ ){0,2}?(?:
            relief|relieved|improve(?:d|ment)?|improving|response|respond\w{0,3}|benefit|help
            |helped|helping|better|success|resolution|resolved|resolving|controlled|managed)\b
        |(?:un|non)-?(?:resolved|relieved|controlled)\b
        |no\ change\ (?:in|to)\b
        |no\ (?:\w{1,12}\ )?(?:cause|reason|explanation|etiology|trigger|source|doubt)\b
        |not\ (?:only|just|sure|certain|clear)\b
        |without\ (?:trying|dieting)\b
        |(?:never\ (?:had|experienced|felt|noticed)
            |den(?:ies|ied|ying)\ (?:ever\ )?(?:having(?:\ had)?|experiencing|feeling))
            \ (?:this|these|that|it|anything|something|such)\b
            (?:\ \w{1,12}){0,3}?\ (?:before|previously|in\ the\ past)\b
        |no\ (?:prior|previous|similar)\ (?:\w{1,12}\ )?(?:episodes?|history|hx)(?=\ ?:|\ -\ )
        |denied\ by\b|(?:insurance|auth\w{0,12})\ denied\b
        |(?:positive|pos)(?:\ (?:for\b|findings?\b)|:)|reports?\b|reporting\b
        |complain(?:s|ing|t)\b|c/o\b|endorses?\b|admits?\b|presents?\b|presenting\b
        |developed\b|develops\b|now\b|except\b|other\ than\b|apart\ from\b|aside\ from\b
        |besides\b|confirmed\b|shows?\b|showed\b|showing\b|reveals?\b|due\ to\b|because\b
        |\+""",
    Sign.SUSPECT: r"""
        r\ ?/\ ?o\b|r\.o\.|ro\b|rule[-/\ ]?out\b|ruling\ out\b
        |(?:cannot|can\ ?not|can't|cant|could\ not|couldn't|unable\ to|to|please|pls|must|need\ to)
            \ (?:be\ )?(?:exclude|rule\ out)\b
        |exclude\b
        |not\ (?:been\ |yet\ |yet\ been\ )?(?:excluded|ruled\ out)\b
        |concern(?:s|ed|ing)?\ (?:for|of|about|re|regarding|is)\b|concern:
        |suspect(?:s|ed|ing)?\b|suspicio(?:n|us)\ (?:of|for|is)\b
        |possib(?:le|ly|ility)\b|poss\b|probabl[ey]\b|likely\b|presum(?:ed|ably|ptive)\b
        |query\b|questionable\b|question\ of\b|eval\b|\?{1,4}
        |(?:eval(?:uate|uation)?|assess(?:ment)?|look(?:ing)?|check|work[-\ ]?up|w/u|screen)\ for\b
        |worr(?:y|ied|isome)\ (?:for|about|of)\b|differential\b|ddx\b""",
    Sign.HISTORY_LIST: r"(?:pmhx?|psh|pshx|past\ (?:medical|surgical)\ h(?:istory|x))\b:?",
    Sign.HISTORY: r"""
        h/o\b|hx\b|histor(?:y|ical)\b(?!\ (?:and|&)\ physical)|treated\ for\b""",
    Sign.AFTER: r"(?:s/p|status[-\ ]post)\b",
    Sign.NEGATE_PART: r"""
        no\b(?=\ (?:\w{1,12}\ ){0,2}?(?:pmhx?|psh|past\ medical|past\ surgical|medical|red\ flags?
            |imaging|x-?rays?|xr|mris?|ct|films?|allerg\w{1,4}|complaints?|distress|surger\w{1,3}
            |insurance|cards?|records?|auth\w{0,12}|pcp|meds)\b)
        |no\b(?=\ (?:\w{1,12}\ ){1,3}yet\b)|no\ longer\b
        |not\b|(?:is|does|did|was|has|have|had|do|are|were)n'?t\b|unlikely\b|excludes\b""",
    Sign.NEGATE_NEXT: r"(?:negative|neg|normal)\b(?!\ (?:\w{1,12}\ ){0,3}?(?:for|of)\b|:)|non\b-?"
    r"|\(-\)|-ve\b",
    Sign.NEGATE_LIST: r"""
        den(?:ies|ied|y|ying)\b
        |(?:negative|neg)(?::|\ (?:\w{1,12}\ ){0,3}?(?:for|of)\b)
        |never\b|absen(?:ce|t)\ of\b|free\ of\b|lack(?:s|ing)?\b|neither\b|rules\ out\b
        |ruled\ out\b(?=\ (?!(?:by|with|on|via|after|in|and|today|yesterday|per)\b)\w)""",
    Sign.NEGATE: r"(?:no|nor|zero|nil|without|w/o|wo)\b",
    Sign.AFFIRM_PLAIN: r"(?:new|newly|with|w/|has|have|having|had|w|failed|tried|completed)(?!\w)",
    Sign.AFFIRM_START: r"""
        (?:radiat\w{2,4}|shoot\w{2,4}|travel\w{2,5}|going)\ (?:\w{1,8}\ )?(?:in)?(?:to|down)\b
        |failing\b|unable\b|cannot\b|can't\b|cant\b|wors(?:e|ening)\b
        |needs?\b|needing\b|wants?\b|request\w{0,4}\b|chronic\b|known\b|ongoing\b
        |current(?:ly)?\b|taking\b|started\b|increasing\b|getting\b|exam\b|on\ exam\b|fell\b
        |scheduled\b|plan\w{0,4}\b""",
    Sign.HISTORY_NEXT: r"(?:prior|previous(?:ly)?|old|remote|former|past|healed"
    r"|resolved)\b(?=\ \w)",
}

_SIGN = re.compile(
    r"(?<![\w/])(?:"
    + "|".join(f"(?P<{sign.value}>{pattern})" for sign, pattern in _SIGNS.items())
    + ")",
    re.IGNORECASE | re.VERBOSE,
)

# Nobody dates, measures or finds what is not there: such a comma part is a new statement.
_STATED = re.compile(
    rf"(?<!\w)(?:since\b|started\b|began\b|onset\b"
    rf"|(?:x|×|for|over)[ ]?(?:the[ ])?(?:past[ ]|last[ ])?{_NUMBER}(?:[ ]?-[ ]?\d{{1,3}})?\+?"
    rf"[ ]?{_TIME_UNIT}\b|\d{{1,3}}/(?:7|52|12)\b"
    rf"|[0-4][+-]?[ ]?/[ ]?5\b|temp\w{{0,7}}\W{{1,3}}\d|\d{{3,4}}[ ]?ml\b"
    # "denies weakness, saddle numbness present", at the end of its comma part.
    rf"|(?<!not\ )(?<!none\ )(?<!being\ )(?:present|positive)\b(?=[ ]?(?:,|$)))",
    re.IGNORECASE | re.VERBOSE,
)
_JOINED = re.compile(r"\W{0,3}(?:or|nor|and/or)\b", re.IGNORECASE)
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that governs others, and where it stands in the clause."""

    sign: Sign
    start: int
    end: int
    part: int
    """Number of the comma part it stands in."""


@dataclass(frozen=True)
class Clause:
    """One clause: cleaned text, what was written, its comma parts and its marks.

    Marks are looked for when somebody asks: most clauses name nothing, so nobody does.
    """

    text: str
    raw: str
    parts: tuple[tuple[int, int], ...]

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        """Words that govern others, in their order."""
        return tuple(
            Mark(Sign(str(m.lastgroup)), m.start(), m.end(), self._part_of(m.start()))
            for m in _SIGN.finditer(self.text)
        )

    @cached_property
    def stated_parts(self) -> frozenset[int]:
        """Numbers of the comma parts that say since when, for how long, or how much."""
        return frozenset(self._part_of(m.start()) for m in _STATED.finditer(self.text))

    def _part_of(self, place: int) -> int:
        """Return the number of the comma part that begins last before a place, or at it."""
        return bisect_right(self.parts, place, key=lambda part: part[0]) - 1

    def part_at(self, place: int) -> int:
        """Return the number of the comma part that holds a place."""
        return bisect_left(self.parts, place, key=lambda part: part[1])

    def is_part_start(self, place: int, part: int) -> bool:
        """Tell whether nothing but fillers stands before a place in its comma part."""
        before = self.text[self.parts[part][0] : place]
        return len(before) < _LONGEST_FILLER and _FILLER.fullmatch(before) is not None

    def is_joined(self, part: int) -> bool:
        """Tell whether a comma part goes on with the list before it ("or …", "nor …")."""
        return _JOINED.match(self.text, *self.parts[part]) is not None


_LONGEST_FILLER = 24
_FILLER = re.compile(
    r"\W{0,3}(?:(?:pt|patient|he|she|also|still|and|has|pain|is)\W{1,2}){0,3}", re.IGNORECASE
)


def plain(text: str) -> str:
    """Return the first 2,000 characters with typographic signs made plain, same length."""
    return text[:LONGEST_TEXT].translate(_PLAIN)


def clauses_of(text: str) -> tuple[Clause, ...]:
    """Cut at full stop, semicolon, line end, "but" and "however"; find commas and marks."""
    cleaned = plain(text)
    ends = [match.span() for match in _CLAUSE_END.finditer(cleaned)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(cleaned)]
    return tuple(
        _clause(cleaned[start:stop], text[start:stop])
        for start, stop in zip(starts, stops, strict=True)
        if cleaned[start:stop].strip()
    )


def _clause(text: str, raw: str) -> Clause:
    commas = [match.start() for match in _COMMA.finditer(text)]
    starts = [0, *(comma + 1 for comma in commas)]
    parts = tuple(zip(starts, [*commas, len(text)], strict=True))
    return Clause(text=text, raw=raw.strip(), parts=parts)
