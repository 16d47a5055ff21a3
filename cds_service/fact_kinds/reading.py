"""What every fact kind is given, and what it must offer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum
from typing import ClassVar

from cds_service.episodes import Episode
from cds_service.fact_kinds.by_set import RecordsBySet
from cds_service.fhir_dates import DateInterval, within_days, within_months
from cds_service.findings import Finding
from cds_service.imaging_history.exams import NO_HISTORY, ImagingHistory
from cds_service.orders import DraftOrder, DraftWords
from cds_service.records import Chart, Condition, Observation
from cds_service.terminology import Terminology


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingContext:
    """One patient, one order, one day; and the findings of the facts read so far."""

    chart: Chart
    order: DraftOrder
    today: date
    terminology: Terminology
    episode: Episode
    findings: Mapping[str, Finding]
    exam_name: str
    """What the exam of this topic is called: `Lumbar MRI`."""
    history: ImagingHistory = NO_HISTORY
    """Earlier exams, and what is ordered and not done."""
    preferred_drafts: tuple[DraftOrder, ...] = ()
    """Orders of this topic in the basket that would be kept rather than this one."""
    other_drafts: tuple[DraftWords, ...] = ()
    """What every other draft of the basket says, whatever it orders."""
    by_set: RecordsBySet = field(default_factory=RecordsBySet, compare=False, repr=False)
    """The index of the chart; orders of one call share it."""

    def conditions_of(self, *set_ids: str) -> list[Condition]:
        """Return the conditions that may say something of one of the value sets."""
        return self.by_set.conditions(self.chart, self.terminology, set_ids)

    def observations_of(self, *set_ids: str) -> list[Observation]:
        """Return the observations that may say something of one of the value sets."""
        return self.by_set.observations(self.chart, self.terminology, set_ids)

    @property
    def exam_in_sentence(self) -> str:
        """The name of the exam inside a sentence: `lumbar MRI`, but `MRI of the neck`."""
        name = self.exam_name
        return name if name[:2].isupper() else name[:1].lower() + name[1:]


@dataclass(frozen=True, slots=True)
class Window:
    """How far back something counts: days, or calendar months, or without a limit."""

    days: int | None = None
    months: int | None = None

    def holds(self, when: DateInterval | None, today: date) -> bool | None:
        """Is the date in the window? Unknown if it straddles the edge or is not known."""
        if self.days is not None:
            return within_days(when, today, self.days)
        if self.months is not None:
            return within_months(when, today, self.months)
        return True


class MatchedBy(StrEnum):
    """Whether codes, words, or both are looked at."""

    ANY = "any"
    CODE = "code"
    TEXT = "text"


class FactKind(ABC):
    """A way of reading a fact. Implementations are frozen dataclasses of their parameters."""

    __slots__ = ()

    @property
    def depends_on(self) -> frozenset[str]:
        """Ids of earlier facts whose findings this reading looks at."""
        return frozenset()

    @property
    def value_set_ids(self) -> frozenset[str]:
        """Value sets that this reading looks in: its parameters named `…_set` and `…_sets`.

        The loader checks that they exist.
        """
        named: set[str] = set()
        # Every kind is a dataclass of its parameters; the base class cannot say so.
        for parameter in fields(self):  # type: ignore[arg-type]
            if parameter.name.endswith(("_set", "_sets")):
                value = getattr(self, parameter.name)
                named.update((value,) if isinstance(value, str) else value)
        return frozenset(named) - {""}

    resource_types: ClassVar[frozenset[str]] = frozenset()
    """FHIR resource types it reads: what "could not be read" means for this fact.

    None for what comes with the call itself, which is the order.
    """

    @abstractmethod
    def read(self, context: ReadingContext) -> Finding:
        """Return what the record and the order say."""
