"""What a record or the clinician's words say of a value set: codes first, then words.

Source: decision table §2.1 and §2.5. Reading is tolerant: whatever shape a sender gives a
concept, what can be read of it is read, and the rest is left out (quirks 12–14, 19–21, 48–51).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from cds_service.errors import TooLarge
from cds_service.fhir import Resource, codeables, objects, text_of
from cds_service.findings import Strength
from cds_service.records import Coding, Concept, Record
from cds_service.text.clauses import LONGEST_TEXT, plain
from cds_service.text.patterns import ReadingOption
from cds_service.text.places import ReadClause, read_clauses_of
from cds_service.text.reading import BY_WEIGHT, NOTHING_SAID, TextReading, TextState, read_clauses
from cds_service.value_sets import ValueSets, canonical_system

_START = 3
"""Letters by which stems are found."""

MOST_READ = 4_000_000
"""Characters read in one call, each text once for each value set that it may name.

Some seconds of work. The charts of our stories need at most 2,000.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What something says of a value set, and on what it rests."""

    state: TextState
    """Never NONE."""
    strength: Strength
    by: Literal["code", "text"]
    words: str
    """Raw: the label of the coded concept, or the clause that decided."""
    code: Coding | None = None


@dataclass(slots=True)
class _Readings:
    """What was read during one call. It dies with the call: chart text is never kept."""

    left: int = MOST_READ
    clauses: dict[str, tuple[ReadClause, ...]] = field(default_factory=dict)
    candidates: dict[str, frozenset[str]] = field(default_factory=dict)
    said: dict[tuple[str, str], TextReading] = field(default_factory=dict)


class Terminology:
    """Recognises concepts by the value sets of one knowledge folder."""

    def __init__(self, value_sets: ValueSets) -> None:
        """Index the stems of all text patterns; nothing of a patient is held."""
        self._value_sets = value_sets
        self._this_year: int | None = None
        self._readings: _Readings | None = None
        stems: dict[str, set[str]] = {}
        for set_id in sorted(value_sets.ids):
            patterns = value_sets.patterns(set_id)
            for stem in patterns.stems if patterns is not None else ():
                stems.setdefault(stem, set()).add(set_id)
        self._stems = {stem: frozenset(sets) for stem, sets in sorted(stems.items())}
        self._short_stems = tuple(stem for stem in self._stems if len(stem) < _START)
        self._stems_by_start: dict[str, tuple[str, ...]] = {}
        for stem in self._stems.keys() - self._short_stems:
            start = stem[:_START]
            self._stems_by_start[start] = (*self._stems_by_start.get(start, ()), stem)
        self._speaks_for = {
            each: frozenset(s for s in value_sets.ids if each in value_sets.pattern_sets(s))
            for each in value_sets.ids
        }

    def for_call(self, this_year: int | None = None) -> "Terminology":
        """Return a copy that remembers what it has read; use one for each call, then drop it.

        With `this_year`, "foot drop 2026" is history only after that year.
        """
        copy = object.__new__(Terminology)
        copy._value_sets = self._value_sets
        copy._stems = self._stems
        copy._short_stems = self._short_stems
        copy._stems_by_start = self._stems_by_start
        copy._speaks_for = self._speaks_for
        copy._this_year = this_year
        copy._readings = _Readings()
        return copy

    @property
    def value_sets(self) -> ValueSets:
        """The sets it recognises by."""
        return self._value_sets

    def concept(self, raw: object) -> Concept:
        """Return a CodeableConcept with its sets. Never raises, whatever the JSON.

        Also takes an R5 CodeableReference, a plain string, a bare Coding and a list of any.
        """
        found = codeables(raw)
        codings = tuple(_coding(each) for concept in found for each in objects(concept["coding"]))
        sets = frozenset[str]().union(
            *(self._value_sets.sets_of(c.system, c.code) for c in codings)
        )
        text = next((text for concept in found if (text := text_of(concept["text"]))), "")
        return Concept(codings=codings, text=text, sets=sets)

    def in_record(self, concept: Concept, notes: Sequence[str], set_id: str) -> Said | None:
        """Return what a record entry says of a set: by code, strong; by words, possible.

        Words are read only if no coding is recognised in any set: text, then displays, then
        notes; the first that says anything counts.
        """
        if set_id in concept.sets:
            return Said(
                state=TextState.CURRENT,
                strength=Strength.STRONG,
                by="code",
                words=concept.label,
                code=self._member(concept, set_id),
            )
        if concept.is_recognised:
            return None
        for text in (*concept.words, *notes):
            said = self.in_words(text, set_id)
            if said is not None:
                return said
        return None

    def in_words(self, text: str, set_id: str) -> Said | None:
        """Return what words say of a set (always `possible`), or None if they do not name it."""
        reading = self._read(text, set_id)
        if reading.state is TextState.NONE:
            return None
        return Said(
            state=reading.state, strength=Strength.POSSIBLE, by="text", words=reading.clause
        )

    def may_name(self, text: str) -> frozenset[str]:
        """Return the sets of which `in_words` may say something; of no others will it."""
        return frozenset[str]().union(*(self._speaks_for[each] for each in self._candidates(text)))

    def may_be_of(self, record: Record) -> frozenset[str]:
        """Return the sets of which `in_record` may say something of a record and its notes."""
        concept = record.concept
        if concept.is_recognised:
            return concept.sets
        return frozenset[str]().union(*map(self.may_name, (*concept.words, *record.notes)))

    def words_of(self, concept: Concept) -> tuple[str, ...]:
        """Return the clinician's words in a concept: its text, displays of unknown codings."""
        displays = (
            c.display for c in concept.codings if not self._value_sets.sets_of(c.system, c.code)
        )
        return tuple(dict.fromkeys(words for words in (concept.text, *displays) if words.strip()))

    def is_known(self, text: str) -> bool:
        """Tell whether words name anything clinical; the name of an exam or a site is no reason."""
        return any(
            self._read(text, set_id).state is not TextState.NONE
            for set_id in sorted(self._candidates(text))
            if (patterns := self._value_sets.patterns(set_id)) is not None
            and patterns.options.isdisjoint({ReadingOption.NAMES_ONLY, ReadingOption.BRAKE_ONLY})
        )

    def _member(self, concept: Concept, set_id: str) -> Coding | None:
        return next(
            (c for c in concept.codings if set_id in self._value_sets.sets_of(c.system, c.code)),
            None,
        )

    def _read(self, text: str, set_id: str) -> TextReading:
        """Read for a set and the sets it imports; the weightiest state counts."""
        candidates = self._candidates(text)
        pattern_sets = self._value_sets.pattern_sets(set_id)
        if candidates.isdisjoint(pattern_sets):
            return NOTHING_SAID
        readings = [self._read_one(text, each) for each in pattern_sets if each in candidates]
        for state in BY_WEIGHT:
            for reading in readings:
                if reading.state is state:
                    return reading
        return NOTHING_SAID

    def _read_one(self, text: str, set_id: str) -> TextReading:
        key = (text, set_id)
        if self._readings is not None:
            if key in self._readings.said:
                return self._readings.said[key]
            self._readings.left -= min(len(text), LONGEST_TEXT)
            if self._readings.left < 0:
                raise TooLarge("The orders and the chart hold more free text than can be read.")
        patterns = self._value_sets.patterns(set_id)
        reading = (
            NOTHING_SAID
            if patterns is None
            else read_clauses(self._clauses(text), patterns, this_year=self._this_year)
        )
        if self._readings is not None:
            self._readings.said[key] = reading
        return reading

    def _clauses(self, text: str) -> tuple[ReadClause, ...]:
        if self._readings is None:
            return read_clauses_of(text)
        if text not in self._readings.clauses:
            self._readings.clauses[text] = read_clauses_of(text)
        return self._readings.clauses[text]

    def _candidates(self, text: str) -> frozenset[str]:
        """Return the sets that the text might name; most texts name none, and this is quick."""
        if self._readings is not None and text in self._readings.candidates:
            return self._readings.candidates[text]
        found = frozenset[str]().union(*map(self._stems.__getitem__, self._stems_in(text)))
        if self._readings is not None:
            self._readings.candidates[text] = found
        return found

    def _stems_in(self, text: str) -> list[str]:
        """Return the stems that stand in a text: few threes of letters begin a stem."""
        lowered = plain(text).lower()
        starts = {lowered[i : i + _START] for i in range(len(lowered))}
        begun = (self._stems_by_start[start] for start in starts & self._stems_by_start.keys())
        return [stem for stem in chain(self._short_stems, *begun) if stem in lowered]


def _coding(raw: Resource) -> Coding:
    return Coding(
        canonical_system(text_of(raw["system"])), text_of(raw["code"]), text_of(raw["display"])
    )
