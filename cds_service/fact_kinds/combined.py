"""Facts made of other facts, and of what the episode says."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from cds_service.fact_kinds.evidence import order_evidence
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.findings import Finding, Strength, all_of, any_of, true


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyFact(FactKind):
    """One of the named facts is true; never false by itself."""

    facts: tuple[str, ...]
    only_if_unknown: str = ""
    """Speak only while this fact is unknown (dynamic red flags and F10)."""

    @property
    def depends_on(self) -> frozenset[str]:
        """The named facts."""
        return frozenset((*self.facts, self.only_if_unknown)) - {""}

    def read(self, context: ReadingContext) -> Finding:
        """Return the first true one, with the evidence of all that are true."""
        if self.only_if_unknown and context.findings[self.only_if_unknown].value is not None:
            return Finding(value=None)
        return any_of(
            context.findings[fact] for fact in self.facts if context.findings[fact].is_true
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexplainedBy(FactKind):
    """A fact is true and none of the others explains it (an injury without a fall)."""

    fact: str
    explained_by: tuple[str, ...]

    @property
    def depends_on(self) -> frozenset[str]:
        """All named facts."""
        return frozenset((self.fact, *self.explained_by))

    def read(self, context: ReadingContext) -> Finding:
        """Repeat the finding of the fact, or say nothing."""
        if any(context.findings[fact].is_true for fact in self.explained_by):
            return Finding(value=None)
        finding = context.findings[self.fact]
        return finding if finding.is_true else Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(FactKind):
    """Another fact is false, and so is this one."""

    fact: str

    @property
    def depends_on(self) -> frozenset[str]:
        """The other fact."""
        return frozenset({self.fact})

    def read(self, context: ReadingContext) -> Finding:
        """Repeat a "no"; nothing else."""
        finding = context.findings[self.fact]
        return finding if finding.is_false else Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllFacts(FactKind):
    """All of the named facts are true."""

    facts: tuple[str, ...]

    @property
    def depends_on(self) -> frozenset[str]:
        """The named facts."""
        return frozenset(self.facts)

    def read(self, context: ReadingContext) -> Finding:
        """Return true if all are, with the weakest strength; otherwise nothing is said."""
        together = all_of(context.findings[fact] for fact in self.facts)
        return together if together.is_true else Finding(value=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeShorterThan(FactKind):
    """The current episode of pain has lasted less than `days` days (F12)."""

    days: int

    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition"})
    """Condition; Encounter helps where it is sent."""

    def read(self, context: ReadingContext) -> Finding:
        """Ask the episode."""
        return context.episode.is_shorter_than(self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeAtLeast(FactKind):
    """The current episode of pain has lasted at least `days` days."""

    days: int

    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition"})
    """Condition; Encounter helps where it is sent."""

    def read(self, context: ReadingContext) -> Finding:
        """Ask the episode the other way round."""
        shorter = context.episode.is_shorter_than(self.days)
        if shorter.value is None:
            return shorter
        return Finding(
            value=not shorter.value, strength=shorter.strength, evidence=shorter.evidence
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAfter(FactKind):
    """The order is for a day that is at least so many days after another fact began."""

    fact: str
    days: int

    @property
    def depends_on(self) -> frozenset[str]:
        """The fact that began."""
        return frozenset({self.fact})

    def read(self, context: ReadingContext) -> Finding:
        """Compare the day that the draft asks for; silence says nothing."""
        began, planned = context.findings[self.fact], context.order.planned
        if not began.is_true or began.when is None or planned is None:
            return Finding(value=None)
        if planned < began.when.latest + timedelta(days=self.days):
            return Finding(value=None)
        said = f"for {planned.isoformat()}"
        return true(order_evidence(context.order, said, context.today), strength=Strength.STRONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUnread(FactKind):
    """One of these sources could not be read completely; never false.

    For offers that silence must not allow: what was not read may hold a reason against them.
    """

    types: tuple[str, ...]

    def read(self, context: ReadingContext) -> Finding:
        """Look at what the chart says of its sources."""
        is_unread = any(kind in context.chart.unreadable for kind in self.types)
        return Finding(value=True, strength=Strength.POSSIBLE) if is_unread else Finding(value=None)
