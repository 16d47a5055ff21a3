"""Orders that carry only codes of the EHR's own: what a site should add to its `orderCodes`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cds_service.card_text import clean
from cds_service.fhir import object_of, objects, text_of
from cds_service.order_reading import SiteCodes
from cds_service.value_sets import CPT, LOINC, SNOMED_CT, canonical_system

LONGEST_SYSTEM = 300
LONGEST_CODE = 100
"""Characters, of a title too."""

_STANDARD_SYSTEMS = frozenset({CPT, LOINC, SNOMED_CT})
"""Systems whose codes are looked up directly."""


@dataclass(frozen=True, slots=True)
class LocalCode:
    """A code of an order catalogue, as `orderCodes` of a site file names it."""

    system: str
    """Empty where the EHR sends none."""
    code: str
    title: str


def unmapped_codes(orders: Iterable[Mapping[str, object]], site: SiteCodes) -> list[LocalCode]:
    """Return the first code of each order without one of a standard system or the site's map."""
    return [code for order in orders for code in _unmapped(order, site)]


def _unmapped(order: Mapping[str, object], site: SiteCodes) -> Iterator[LocalCode]:
    if order.get("resourceType") != "ServiceRequest":
        return
    concept = object_of(order.get("code"))
    named = [
        (canonical_system(text_of(coding.get("system"))), text_of(coding.get("code")), coding)
        for coding in objects(concept.get("coding"))
        if text_of(coding.get("code"))
    ]
    if named and not any(
        system in _STANDARD_SYSTEMS or (system, code) in site.by_code for system, code, _ in named
    ):
        system, code, coding = named[0]
        yield LocalCode(
            system=clean(system, LONGEST_SYSTEM),
            code=clean(code, LONGEST_CODE),
            title=clean(
                text_of(coding.get("display")) or text_of(concept.get("text")), LONGEST_CODE
            ),
        )
