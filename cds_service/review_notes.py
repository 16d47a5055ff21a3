"""What a knowledge folder holds for its reviewers only: statements, notes, values of cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One clinical statement of the seed documents, and why it is not used where it is not."""

    id: str
    kind: str
    """`C` computable, `W` wording or evidence, `X` out of scope."""
    says: str
    goes_to: str
    """Where the inventory sends it: rows, facts, conflicts."""
    note: str = ""
    """Why no rule and no card carries it, or what part of it is carried elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeNote:
    """One code of a value set, and where it was verified (a row of PROVENANCE.csv)."""

    system: str
    code: str
    """Or a filter: `is-a M54.5`."""
    display: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSetNote:
    """What a reviewer needs to know of one value set."""

    id: str
    title: str
    codes: int
    """Codes and code filters."""
    patterns: int
    """Text patterns, exclusions not counted."""
    includes: tuple[str, ...]
    """Value sets taken in whole."""
    confidence: Mapping[str, int]
    """Confidence letter → number of codes (PROVENANCE.csv)."""
    use: str
    """Why it is kept although nothing reads it yet; empty where something does."""
    members: tuple[CodeNote, ...] = ()
    words: tuple[str, ...] = ()
    """Text patterns by which it is recognised."""
    never: tuple[str, ...] = ()
    """Text patterns that exclude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transparency:
    """What compliance and a committee must be able to read of the intervention as a whole."""

    intended_use: str = ""
    users: str = ""
    population: str = ""
    validation: str = ""
    limits: tuple[str, ...] = ()
    source_attributes: tuple[tuple[str, str], ...] = ()
    """Attribute of HTI-1 → what is said of it, in the order of the rule."""
    non_device_criteria: tuple[tuple[str, str], ...] = ()
    """Criterion of section 520(o)(1)(E) → how it is met."""


NOT_TOLD = Transparency()


class CaseValue(StrEnum):
    """What a case says of a fact; every fact that it does not name is unknown."""

    TRUE = "true"
    POSSIBLE = "possible"
    FALSE = "false"
    POSSIBLE_FALSE = "possible_false"
    UNKNOWN = "unknown"
    """Said only where it would follow from the other facts."""
