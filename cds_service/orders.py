"""The draft orders of the hook: which are a lumbar MRI, of which protocol, for what reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

from cds_service.fhir_dates import parse_fhir_date
from cds_service.findings import Strength
from cds_service.records import Concept, Condition

_UTC = ZoneInfo("UTC")


class ImagingProtocol(StrEnum):
    """Contrast of the ordered MRI, or that it covers more than the lumbar region (§3)."""

    WITHOUT = "without"
    WITH = "with"
    WITHOUT_AND_WITH = "without-and-with"
    UNSPECIFIED = "unspecified"
    MULTIREGION = "multiregion"


class ContrastOrdered(StrEnum):
    """Whether gadolinium is ordered: what the safety rows ask, of several regions too."""

    YES = "yes"
    NO = "no"
    NOT_STATED = "not-stated"


_CONTRAST_OF = {
    ImagingProtocol.WITHOUT: ContrastOrdered.NO,
    ImagingProtocol.WITH: ContrastOrdered.YES,
    ImagingProtocol.WITHOUT_AND_WITH: ContrastOrdered.YES,
}


LUMBAR_EXAM = "Lumbar MRI"
"""Not required of a folder, or every signed copy of `lumbar-mri` would have to be signed anew."""


class Priority(StrEnum):
    """ServiceRequest.priority; absent means routine everywhere (§5, notes)."""

    ROUTINE = "routine"
    URGENT = "urgent"
    ASAP = "asap"
    STAT = "stat"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDefinition:
    """Which value sets make an order one of this topic (`facts.yaml`, `order:`)."""

    without_and_with_set: str
    without_set: str
    with_set: str
    unspecified_set: str
    multiregion_set: str
    body_site_set: str
    modality_set: str
    generic_codes: tuple[str, ...] = ()
    """Members of the multi-region set that name no region: ours only with a body site."""
    contrast_codes: tuple[str, ...] = ()
    """Members of the multi-region set whose exam includes contrast."""
    no_contrast_codes: tuple[str, ...] = ()
    """Members of the multi-region set whose exam is without contrast."""
    inflight_days: int = 90
    """Days for which an open order, or a registered exam, counts as still to come (§7.2)."""
    exam_name: str = LUMBAR_EXAM
    """What cards call the exam; a folder of another topic must say it."""

    def set_of(self, protocol: str) -> str:
        """Return the set that names a contrast; empty for a protocol that has none."""
        return next((set_id for set_id, named in self.contrast_sets if named == protocol), "")

    @property
    def contrast_sets(self) -> tuple[tuple[str, ImagingProtocol], ...]:
        """Sets that name the contrast, in the order in which they are tried (§3)."""
        return (
            (self.without_and_with_set, ImagingProtocol.WITHOUT_AND_WITH),
            (self.without_set, ImagingProtocol.WITHOUT),
            (self.with_set, ImagingProtocol.WITH),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reasonCode, or one resolved reasonReference."""

    concept: Concept
    condition: Condition | None = None
    """The referenced Condition, where it could be resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftWords:
    """What a draft of any kind gives as its reason and says: of the patient, whoever does it."""

    ref: str
    reasons: tuple[Concept, ...] = ()
    words: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    """Words of what is ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOrder:
    """A lumbar MRI order under consideration."""

    ref: str
    resource: Mapping[str, object]
    """The draft exactly as the EHR sent it: suggestions copy it whole."""
    protocol: ImagingProtocol
    strength: Strength = Strength.STRONG
    """`possible` when only text, or a generic code with a body site, says lumbar MRI."""
    contrast_conflict: bool = False
    """Two codings name different contrast (step O6)."""
    contrast_only_by_code: bool = False
    """Contrast-only by CPT or LOINC: strong enough for D1's warning."""
    priority: Priority = Priority.ROUTINE
    reasons: tuple[Reason, ...] = ()
    words: tuple[str, ...] = ()
    """The clinician's own words: always read, whatever codings stand beside them (§2.5)."""
    indications: frozenset[str] = frozenset()
    """Codes of our own indication system: answers from an accepted suggestion, dated today."""
    has_lost_reason: bool = False
    """A reason is given by a reference that leads nowhere: the reason is not known."""
    requester_texts: tuple[str, ...] = ()
    """Specialty words of the requester, where the EHR sends them."""
    position: int = 0
    """Place in the Bundle: of two drafts for one exam, the later is the duplicate."""
    several_regions_contrast: ContrastOrdered = ContrastOrdered.NOT_STATED
    """Contrast of an MRI of several regions, which its protocol does not tell."""

    @property
    def contrast(self) -> ContrastOrdered:
        """Whether gadolinium is ordered."""
        return _CONTRAST_OF.get(self.protocol, self.several_regions_contrast)

    @property
    def planned(self) -> date | None:
        """First day on which the draft asks for the exam, if it says one."""
        period, timing = (
            self.resource.get("occurrencePeriod"),
            self.resource.get("occurrenceTiming"),
        )
        events = timing.get("event") if isinstance(timing, Mapping) else None
        for value in (
            self.resource.get("occurrenceDateTime"),
            period.get("start") if isinstance(period, Mapping) else None,
            *(events if isinstance(events, list) else ()),
        ):
            when = parse_fhir_date(value, _UTC)
            if when is not None:
                return when.earliest
        return None
