"""Orders that carry only codes of the EHR's own: what a site should add to its `orderCodes`."""

from collections.abc import Iterable, Mapping

from cds_service.fhir import object_of, objects, text_of
from cds_service.order_reading import SiteCodes
from cds_service.value_sets import CPT, LOINC, SNOMED_CT, canonical_system

_STANDARD_SYSTEMS = frozenset({CPT, LOINC, SNOMED_CT})
"""Systems whose codes are looked up directly."""


def count_unmapped(orders: Iterable[Mapping[str, object]], site: SiteCodes) -> int:
    """Return how many orders have codings, but none of a standard system or the site's map."""
    return sum(_is_unmapped(order, site) for order in orders)


def _is_unmapped(order: Mapping[str, object], site: SiteCodes) -> bool:
    if order.get("resourceType") != "ServiceRequest":
        return False
    named = [
        (canonical_system(text_of(coding.get("system"))), text_of(coding.get("code")))
        for coding in objects(object_of(order.get("code")).get("coding"))
        if text_of(coding.get("code"))
    ]
    return bool(named) and not any(
        system in _STANDARD_SYSTEMS or (system, code) in site.by_code for system, code in named
    )
