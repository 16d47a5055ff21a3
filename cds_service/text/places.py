"""What the words around a place in a clause say of the concept named there.

Source: decision table §2.5. The marks before the place, inside it and after it are weighed:
negation, suspicion, history. Which concept it is does not matter here.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from cds_service.text.clauses import DATING, NEGATING, Clause, Mark, Sign, clauses_of
from cds_service.text.patterns import ReadingOption


class TextState(StrEnum):
    """What a text says of a concept, or of the place where a concept is named."""

    NONE = "none"
    """It is not named."""
    CURRENT = "current"
    SUSPECTED = "suspected"
    """Rule out, concern for, cannot be excluded, ?."""
    NEGATED = "negated"
    HISTORY = "history"
    """h/o, s/p, resolved, years ago: what counts as true for sets of past things."""


AFFIRMED_STATES = frozenset({TextState.CURRENT, TextState.SUSPECTED})
"""What supports: said to be there, or feared to be."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What governs a place in a clause, after the marks before it."""

    negation: Mark | None = None
    suspicion: Mark | None = None
    history: Mark | None = None


def _standings_of(clause: Clause) -> tuple[_Standing, ...]:
    """Return the standing before the first mark, after the first, after the second, and so on."""
    standings = [_Standing()]
    for mark in clause.marks:
        standings.append(_after(standings[-1], mark, clause))
    return tuple(standings)


def _after(standing: _Standing, mark: Mark, clause: Clause) -> _Standing:
    """Return the standing after one more mark."""
    if mark.sign in NEGATING:
        return standing if _is_answer(mark, clause) else _Standing(negation=mark)
    if mark.sign is Sign.SUSPECT:
        return standing if _is_unsuspected(mark, clause) else _Standing(suspicion=mark)
    if mark.sign is Sign.AFFIRM and _is_not_reported(mark, clause):
        return standing
    if mark.sign is Sign.AFFIRM or (
        mark.sign is Sign.AFFIRM_START and clause.is_part_start(mark.start, mark.part)
    ):
        return _Standing()
    if mark.sign is Sign.AFFIRM_PLAIN:
        return _after_plain(standing, mark, clause)
    if mark.sign in DATING:
        return _after_dating(standing, mark, clause)
    return standing


_LOOK_BACK = 24
"""Characters before a mark that may change what it does."""
_ENDS = re.compile(r"\s{0,3}(?:[,)]|$)")


def _is_answer(mark: Mark, clause: Clause) -> bool:
    """Tell "fever: no, back pain: yes" and "trauma denied, LBP": nothing follows to negate."""
    return _ENDS.match(clause.text, mark.end) is not None


_FEELING = re.compile(r"concern|suspici|suspect|worr|likely|possib|question", re.IGNORECASE)
_NO_FEELING = re.compile(
    r"\b(?:no|not|without|never|denies)\W(?:(?:clinical|current|high|strong|any|acute|real"
    r"|great) ){0,2}$",
    re.IGNORECASE,
)


def _is_unsuspected(mark: Mark, clause: Clause) -> bool:
    """Tell "no concern for" and "not suspected" from "no trauma, concern for"."""
    return (
        _FEELING.match(clause.text, mark.start) is not None
        and _NO_FEELING.search(clause.text[max(0, mark.start - _LOOK_BACK) : mark.start])
        is not None
    )


_REPORTING = re.compile(r"(?:report|complain|endors|admit)", re.IGNORECASE)
_NOT_NOW = re.compile(r"\b(?:(?:do|does|is|are) not|(?:do|does|is|are)n'?t)\s{1,2}$", re.IGNORECASE)
_INSTEAD = re.compile(r"\b(?:only|just|instead|rather|until|till)\b", re.IGNORECASE)


def _is_not_reported(mark: Mark, clause: Clause) -> bool:
    """Tell "does not report" from "reports", but not from "did not report": that may be over."""
    return (
        _REPORTING.match(clause.text, mark.start) is not None
        and _NOT_NOW.search(clause.text[max(0, mark.start - _LOOK_BACK) : mark.start]) is not None
        and _INSTEAD.search(clause.text, mark.end, clause.parts[mark.part][1]) is None
    )


_GOVERNED = re.compile(
    r"\b(?:no|not|never|longer|without|w/o|den(?:y|ies|ied|ying)|for"
    r"|(?:do|does|did|has|have|had|is|are)n'?t)(?:\s(?:any|recent"
    r"|of|yet|ever|been))?\W{0,2}$",
    re.IGNORECASE,
)
_GOVERNED_NEW = re.compile(r"\b(?:or|nor|any|of|evidence)\W{0,2}$", re.IGNORECASE)


def _after_plain(standing: _Standing, mark: Mark, clause: Clause) -> _Standing:
    """Affirm, but not in "no new symptoms" or "no fever or new weakness"."""
    before = clause.text[max(0, mark.start - _LOOK_BACK) : mark.start]
    is_new = clause.text[mark.start : mark.start + 3].lower() == "new"
    if _GOVERNED.search(before) or (is_new and _GOVERNED_NEW.search(before)):
        return standing
    return replace(_Standing(), suspicion=standing.suspicion if is_new else None)


def _after_dating(standing: _Standing, mark: Mark, clause: Clause) -> _Standing:
    """Start a new statement in "no trauma, h/o cancer", but not in "denies fever, h/o cancer"."""
    ruling = standing.negation
    if ruling is not None and (
        mark.sign is Sign.HISTORY_NEXT
        or (mark.sign is Sign.HISTORY and ruling.sign is Sign.NEGATE_LIST)
        or ruling.part == mark.part
        or clause.is_joined(mark.part)
        or not clause.is_part_start(mark.start, mark.part)
    ):
        return standing
    # In "r/o fracture s/p fall" the fracture is in doubt, not the fall.
    suspicion = None if mark.sign is Sign.AFTER else standing.suspicion
    return _Standing(suspicion=suspicion, history=mark)


_NEXT_WORDS = 25
"""Characters: as far as "prior" and "negative" reach."""
_TAIL = 70
"""Characters after a match in which words about it are looked for."""

_WORDS_BETWEEN = r"\w{0,15}(?:[ -](?!(?:and|with|but|or|on|no|not|never|denies)\b)\w{1,14}){0,3}?"
# What follows such a word must not be what it is said of: "LBP, negative SLR", "LBP - no trauma".
_THE_END = (
    r"\b(?! (?!(?:on|in|by|at|per|with|via|after|today|currently|since|this|given|clinically|due"
    r"|because|and|noted|reported|seen|present|bilat\w{0,6})\b)\w)"
)
_SUSPECTED_AFTER = re.compile(
    rf"{_WORDS_BETWEEN}\s{{0,2}}(?:"
    r"\b(?:cannot|can ?not|can't|cant|could not)(?: be)? (?:excluded|ruled out)"
    r"|\b(?:not|hasn't|never) (?:been |yet |yet been |fully )?(?:excluded|ruled out)"
    r"|\b(?:to|should|must|needs?) (?:to )?be (?:excluded|ruled out)"
    rf"|\b(?:suspected|questioned|possible|in (?:the )?differential){_THE_END}"
    r"|\b(?:is|remains) a concern\b|\bvs\b)",
    re.IGNORECASE,
)
_ASKED = re.compile(r"\w{0,15}(?: \w{1,14}){0,2}? ?\?", re.IGNORECASE)
_ANSWERED_NO = re.compile(
    rf"{_WORDS_BETWEEN} ?(?:"
    rf"(?:[:=?]| - ?) ?(?:no|none|neg\w{{0,6}}|absent|denie[sd]|n)"
    rf"(?:{_THE_END}|(?= \w{{1,14}}(?: \w{{1,14}}){{0,2}} ?:))"
    r"| ?\((?:-|neg\w{0,6}|none|denie[sd])\)|[ -]free\b"
    r"| (?:(?:is|was|were|are|has been|have been|been|since) )?"
    r"(?:ruled out|r/o'd|excluded|absent|denied|negative|neg|unlikely|none"
    r"|not (?:present|seen|identified|suspected|noted|found|reported|observed|elicited"
    rf"|done|tried|attempted|started|taken|given|attended|completed|indicated|yet)){_THE_END})",
    re.IGNORECASE,
)
_RECENT = re.compile(
    r"\b(?:yesterday|today|tonight|recent(?:ly)?|this (?:morning|am|week|month)"
    r"|last (?:night|week|month)|ago\b(?<!years ago)(?<!year ago)(?<!yrs ago)(?<!yr ago))\b"
    r"|\b(?:x|for|since)\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:resolved|healed|in (?:full |complete )?remission|in the past|in childhood|as a child"
    r"|(?:years?|yrs?|y) ago|decades? ago|(?P<year>(?:19|20)\d\d)|hx|history)\b",
    re.IGNORECASE,
)
_OVER = re.compile(rf"{_WORDS_BETWEEN} (?:resolved|in remission)\b", re.IGNORECASE)
_OTHER_TOPIC = re.compile(
    r"\b(?:since|after|from|following|due|with|and|s/p|post|started|began|onset|ongoing|until"
    r"|wors\w{1,6}|progress\w{1,6}|now|persist\w{1,5}|continu\w{1,5}|not|never|partial\w{0,2}"
    r"|incomplet\w{1,4}|without|despite|mri?|ct|x-?rays?|imaging|surgery|fusion|inject\w{1,4}|hx|history)\b"
    r"|n't\b"
    # "urinary retention despite no prior history": the word of history is itself denied.
    r"|\bno (?!longer|more)(?:\w{1,12} ){0,2}$",
    re.IGNORECASE,
)
_MONTH_BEFORE = re.compile(r"(?:\d/|\d-|\b[a-z]{3,9}\.? )$", re.IGNORECASE)
_UNTIL_LATELY = re.compile(
    r"\b(?:until|till) (?:today|tonight|yesterday|now|recent\w{0,2}|last|this|about|around|an?|one"
    r"|two|three|few|the|\d|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_ONLY_PAST = re.compile(
    r"\W{0,3}(?:(?:has|have|had|now|since|fully|completely|all|which|was|is|currently) ){0,3}"
    r"(?:resolved|healed|in (?:full |complete )?remission|(?:19|20)\d\d"
    r"|(?:\w{1,8} ){0,2}(?:years?|yrs?) ago)"
    r"(?: (?:in|on|by|since|after|with|last|now|completely"
    r"|spontaneously)\b.{0,40})?\W{0,3}(?:\d{4})?\W?",
    re.IGNORECASE,
)
_WORDS_OF_A_PHRASE = 4


@dataclass(frozen=True)
class ReadClause:
    """A clause with what its marks come to, ready to be asked about any place in it."""

    clause: Clause

    @cached_property
    def standings(self) -> tuple[_Standing, ...]:
        """What governs a place after the first n marks, weighed when somebody asks."""
        return _standings_of(self.clause)

    def state_at(
        self,
        start: int,
        end: int,
        options: frozenset[ReadingOption] = frozenset(),
        this_year: int | None = None,
    ) -> TextState:
        """Return what the clause says of the concept that is named from start to end."""
        return _Place(self.clause, start, end, options, this_year).state(self.standings)

    def denies(self, start: int, end: int) -> bool:
        """Tell whether what is named from start to end is said not to be so."""
        return self.state_at(start, end) is TextState.NEGATED


def read_clauses_of(text: str) -> tuple[ReadClause, ...]:
    """Cut a text into clauses, once for all value sets."""
    return tuple(map(ReadClause, clauses_of(text)))


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a clause at which a concept is named."""

    clause: Clause
    start: int
    end: int
    options: frozenset[ReadingOption]
    this_year: int | None

    def state(self, standings: tuple[_Standing, ...]) -> TextState:
        """Weigh the words after the match, inside it, and before it, in this order."""
        standing = standings[self._marks_before()]
        inside = self._marks_inside()
        if _SUSPECTED_AFTER.match(self._tail):
            return TextState.SUSPECTED
        if (
            _ANSWERED_NO.match(self._tail)
            or self._is_negated(standing)
            or any(self._negates_inside(mark) for mark in inside)
        ):
            return TextState.NEGATED
        if self._is_past(standing, inside):
            return TextState.HISTORY
        if _ASKED.match(self._tail) or self._is_suspected(standing):
            return TextState.SUSPECTED
        return TextState.CURRENT

    @property
    def _tail(self) -> str:
        """The words after the match, to the end of its comma part."""
        stop = self.clause.parts[self.clause.part_at(self.end)][1]
        return self.clause.text[self.end : min(stop, self.end + _TAIL)]

    @property
    def _part(self) -> int:
        return self.clause.part_at(self.start)

    def _marks_before(self) -> int:
        """Count the marks that govern the match; one at its very start does if it affirms."""
        marks = self.clause.marks
        count = bisect_left(marks, self.start, key=lambda mark: mark.start)
        at_start = count < len(marks) and marks[count].start == self.start
        return count + 1 if at_start and marks[count].sign not in NEGATING else count

    def _marks_inside(self) -> tuple[Mark, ...]:
        marks = self.clause.marks
        first = bisect_left(marks, self.start, key=lambda mark: mark.start)
        last = bisect_left(marks, self.end, key=lambda mark: mark.start)
        return marks[first:last]

    def _negates_inside(self, mark: Mark) -> bool:
        """Tell that "weakness not progressing" negated, "EHL normal, TA 2/5" not."""
        return (
            mark.sign in NEGATING
            and mark.sign is not Sign.NEGATE_NEXT
            and mark.start > self.start
            and mark.part == self.clause.part_at(self.end)
        )

    def _is_negated(self, standing: _Standing) -> bool:
        negation = standing.negation
        if negation is None or _UNTIL_LATELY.search(self._tail):
            return False
        if negation.sign is Sign.NEGATE_NEXT:
            return negation.part == self._part and self.start - negation.end <= _NEXT_WORDS
        if negation.part == self._part or self.clause.is_joined(self._part):
            return True
        if negation.sign is Sign.NEGATE_PART or self._part in self.clause.stated_parts:
            return False
        return negation.sign is Sign.NEGATE_LIST or ReadingOption.COMPLAINT not in self.options

    def _is_suspected(self, standing: _Standing) -> bool:
        suspicion = standing.suspicion
        return suspicion is not None and (
            suspicion.part == self._part or self.clause.is_joined(self._part)
        )

    def _is_past(self, standing: _Standing, inside: tuple[Mark, ...]) -> bool:
        if ReadingOption.LASTING in self.options:
            return _OVER.match(self._tail) is not None
        return (
            any(mark.sign in DATING for mark in inside)
            or self._is_dated_before(standing)
            or self._is_dated_after()
        )

    def _is_dated_before(self, standing: _Standing) -> bool:
        history = standing.history
        if history is None or _RECENT.search(self._tail[:_NEXT_WORDS]):
            return False
        if history.sign is Sign.HISTORY_LIST:
            return True
        if history.part != self._part:
            return False
        if history.sign is Sign.HISTORY_NEXT:
            return self.start - history.end <= _NEXT_WORDS
        return history.sign is Sign.HISTORY or ReadingOption.EVENT not in self.options

    def _is_dated_after(self) -> bool:
        tail = self._tail
        for match in _PAST.finditer(tail):
            between = tail[: match.start()]
            if len(between.split()) > _WORDS_OF_A_PHRASE or _OTHER_TOPIC.search(between):
                break
            if match["year"] is None or self._is_past_year(int(match["year"]), between):
                return True
        following = self.clause.part_at(self.end) + 1
        if following < len(self.clause.parts) and not _OTHER_TOPIC.search(tail):
            start, stop = self.clause.parts[following]
            return _ONLY_PAST.fullmatch(self.clause.text, start, stop) is not None
        return False

    def _is_past_year(self, year: int, before: str) -> bool:
        """A month of last year may be a few days ago; a bare year that is not this one is past."""
        if self.this_year is None or year < self.this_year - 1:
            return True
        return year < self.this_year and _MONTH_BEFORE.search(before) is None
