"""Findings: what is known of one fact about one patient, and on what evidence.

Three values, because a fact that the record does not give is not "no" (design, "Unknown is
a value"), and two strengths, because only strong evidence may raise an alarm against an
order (decision table §0, asymmetry).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from cds_service.fhir_dates import DateInterval

Truth: TypeAlias = bool | None


class Strength(StrEnum):
    """`strong` is coded, dated and current; `possible` is everything weaker."""

    STRONG = "strong"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing the record says, in words, with its date and the resources that say it."""

    text: str
    """A sentence of ours; chart text inside it is already cleaned and cut."""
    when: DateInterval | None = None
    resources: tuple[str, ...] = ()
    """`Type/id` of each resource; the draft order itself stands here for its reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Value, strength and evidence of one fact. Strength is None exactly when unknown."""

    value: bool | None
    strength: Strength | None = None
    evidence: tuple[Evidence, ...] = ()
    when: DateInterval | None = None
    """When it happened or began, where one date can be given."""

    @property
    def is_true(self) -> bool:
        """True with any strength."""
        return self.value is True

    @property
    def is_strong(self) -> bool:
        """True and strong: the only kind of evidence that may raise an alarm."""
        return self.value is True and self.strength is Strength.STRONG

    @property
    def is_false(self) -> bool:
        """A statement that it is not so; never mere silence."""
        return self.value is False


UNKNOWN = Finding(value=None)


def true(*evidence: Evidence, strength: Strength, when: DateInterval | None = None) -> Finding:
    """Build a true finding."""
    return Finding(value=True, strength=strength, evidence=evidence, when=when)


def false(*evidence: Evidence, strength: Strength = Strength.STRONG) -> Finding:
    """Build a finding that states absence."""
    return Finding(value=False, strength=strength, evidence=evidence)


def any_of(findings: Iterable[Finding]) -> Finding:
    """True if any is true (the strongest counts), else false if any states so, else unknown.

    Not Kleene's "or": one explicit negation answers the question when nothing says yes,
    because each member reads the same fact from a different place.
    """
    # Most readings say nothing at all.
    speaking = [f for f in findings if f.value is not None or f.evidence]
    if not speaking:
        return UNKNOWN
    kept = sorted(speaking, key=_newest_first)
    for value in (True, False):
        said = [f for f in kept if f.value is value]
        if said:
            strong = [f for f in said if f.strength is Strength.STRONG]
            lead = (strong or said)[0]
            return Finding(
                value=value,
                strength=lead.strength,
                evidence=_merged(strong + [f for f in said if f.strength is not Strength.STRONG]),
                when=lead.when,
            )
    return Finding(value=None, evidence=_merged(kept))


def all_of(findings: Iterable[Finding]) -> Finding:
    """True if all are true (the weakest strength counts), false if any is false, else unknown."""
    kept = tuple(findings)
    if any(f.is_false for f in kept):
        return any_of(f for f in kept if f.is_false)
    if kept and all(f.is_true for f in kept):
        weak = any(f.strength is Strength.POSSIBLE for f in kept)
        return Finding(
            value=True,
            strength=Strength.POSSIBLE if weak else Strength.STRONG,
            evidence=_merged(kept),
            when=kept[0].when,
        )
    return UNKNOWN


def _newest_first(finding: Finding) -> tuple[int, tuple[str, ...]]:
    """Order findings by date, then words: never by the place of an entry in a Bundle."""
    day = 0 if finding.when is None else -finding.when.latest.toordinal()
    return day, tuple(evidence.text for evidence in finding.evidence)


def _merged(findings: Iterable[Finding]) -> tuple[Evidence, ...]:
    """Evidence of all findings in order, each piece once."""
    return tuple(dict.fromkeys(e for f in findings for e in f.evidence))
