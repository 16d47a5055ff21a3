"""Inflammatory back pain by its pattern (F46): chronic, began young, HLA-B27 positive."""

from dataclasses import dataclass
from typing import ClassVar

from cds_service.fact_kinds.evidence import observation_evidence
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir_dates import completed_years
from cds_service.findings import Finding, Strength, true
from cds_service.records import Reading
from cds_service.text.reading import TextState


@dataclass(frozen=True, slots=True, kw_only=True)
class InflammatoryPattern(FactKind):
    """Back pain that is chronic, began below `began_below` years, with a positive HLA-B27."""

    chronic_fact: str
    marker_set: str
    began_below: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation", "Condition"})
    """The marker and the onset."""

    @property
    def depends_on(self) -> frozenset[str]:
        """The duration of the episode."""
        return frozenset({self.chronic_fact})

    def read(self, context: ReadingContext) -> Finding:
        """Return true only if all three are known; possible, for the marker is found by words."""
        if not context.findings[self.chronic_fact].is_true or not self._began_young(context):
            return Finding(value=None)
        for observation in context.observations_of(self.marker_set):
            said = context.terminology.in_record(
                observation.concept, observation.notes, self.marker_set
            )
            if (
                said is not None
                and said.state is TextState.CURRENT
                and observation.reading is Reading.ABNORMAL
            ):
                return true(observation_evidence(observation), strength=Strength.POSSIBLE)
        return Finding(value=None)

    def _began_young(self, context: ReadingContext) -> bool:
        patient, start = context.chart.patient, context.episode.start
        if patient is None or patient.birth is None or start is None:
            return False
        ages = completed_years(patient.birth, start.latest)
        return ages is not None and ages[1] < self.began_below
