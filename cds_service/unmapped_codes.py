"""Orders that carry only codes of the EHR's own: what a site should add to its `orderCodes`."""

from collections.abc import Iterable, Mapping

from cds_service.fhir import object_of, objects, text_of
from cds_service.order_reading import SiteCodes

_STANDARD_SYSTEMS = frozenset(
    {
        "http://www.ama-assn.org/go/cpt",
        "http://loinc.org",
        "http://snomed.info/sct",
        "urn:oid:2.16.840.1.113883.6.12",
        "urn:oid:2.16.840.1.113883.6.1",
        "urn:oid:2.16.840.1.113883.6.96",
    }
)
"""Systems whose codes are looked up directly."""


def count_unmapped(orders: Iterable[Mapping[str, object]], site: SiteCodes) -> int:
    """Return how many orders have codings, but none of a standard system or the site's map."""
    return sum(_is_unmapped(order, site) for order in orders)


def _is_unmapped(order: Mapping[str, object], site: SiteCodes) -> bool:
    if order.get("resourceType") != "ServiceRequest":
        return False
    named = [
        (text_of(coding.get("system")), text_of(coding.get("code")))
        for coding in objects(object_of(order.get("code")).get("coding"))
        if text_of(coding.get("code"))
    ]
    return bool(named) and not any(
        system in _STANDARD_SYSTEMS or (system, code) in site.by_code for system, code in named
    )
