"""What a text says of a concept: current, suspected, past, negated, or nothing.

Source: decision table §2.5 and the examples in `cases/text-reading-examples.csv`. Pure: a text
and the patterns of one value set go in. Only the first 2,000 characters are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.text.change import (
    ChangeState,
    ChangeStatement,
    change_anywhere,
    change_words,
)
from cds_service.text.durations import says_acute, says_chronic, stated_duration_days
from cds_service.text.patterns import ReadingOption, TextPatterns
from cds_service.text.places import ReadClause, TextState, read_clauses_of
from cds_service.text.statements import (
    CareState,
    CareStatement,
    candidate_statement,
    care_statement,
    says_planned,
    severe_score,
)

__all__ = [
    "BY_WEIGHT",
    "NOTHING_SAID",
    "CareState",
    "CareStatement",
    "ChangeState",
    "ChangeStatement",
    "TextReading",
    "TextState",
    "candidate_statement",
    "care_statement",
    "change_anywhere",
    "change_words",
    "read_clauses",
    "read_text",
    "says_acute",
    "says_chronic",
    "says_planned",
    "severe_score",
    "stated_duration_days",
]


BY_WEIGHT = (TextState.CURRENT, TextState.SUSPECTED, TextState.HISTORY, TextState.NEGATED)
"""Supportive evidence wins over absence named elsewhere (decision table §0)."""


@dataclass(frozen=True, slots=True)
class TextReading:
    """A state and the clause that decided it, as it was written."""

    state: TextState
    clause: str = ""


NOTHING_SAID = TextReading(TextState.NONE)


def read_text(text: str, patterns: TextPatterns, *, this_year: int | None = None) -> TextReading:
    """Return what the text says of the concept that the patterns name.

    For sets that only name things, naming is all that counts. A bare year is history unless it
    is `this_year`; without `this_year` every year is past.
    """
    return read_clauses(read_clauses_of(text), patterns, this_year=this_year)


def read_clauses(
    clauses: Sequence[ReadClause], patterns: TextPatterns, *, this_year: int | None = None
) -> TextReading:
    """Do as `read_text` with a text that is already cut, to read it for many value sets."""
    names_only = ReadingOption.NAMES_ONLY in patterns.options
    found: dict[TextState, str] = {}
    for read in clauses:
        clause = read.clause
        for start, end in patterns.matches(clause.text, clause.parts):
            if names_only:
                return TextReading(TextState.CURRENT, clause.raw)
            state = read.state_at(start, end, patterns.options, this_year)
            if state is TextState.CURRENT:
                return TextReading(state, clause.raw)
            found.setdefault(state, clause.raw)
    for state in BY_WEIGHT:
        if state in found:
            return TextReading(state, found[state])
    return NOTHING_SAID
