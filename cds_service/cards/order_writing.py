"""What suggestions write into orders: our elements, built and checked with the R4B models.

Only what we add is judged: an EHR's draft may hold what the models refuse (house style §2.4).
Source: FHIR R4 ServiceRequest; `fhir.resources` R4B, in which the resource is the same.
"""

import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from cds_service.card_text import clean
from cds_service.fhir import codeable, objects, reference_of, text_of
from cds_service.order_reading import ORDER_TYPES
from cds_service.orders import DraftOrder
from cds_service.records import Coding

Wire: TypeAlias = dict[str, object]
"""A JSON object that leaves the service."""

_UTC = ZoneInfo("UTC")
_TITLE_LIMIT = 80
_CONTRAST_WORDS = re.compile(r"\b(?:contrast|gado\w*|gad|w/wo|wow|iv)\b", re.IGNORECASE)


def built_elements(elements: Mapping[str, object]) -> Wire | None:
    """Return elements of a ServiceRequest as R4B writes them; None if they are not valid.

    Built once for each content and then remembered, so no patient data may stand in them.
    """
    built = _built(json.dumps(elements))
    return json.loads(built) if built else None


@lru_cache(maxsize=512)
def _built(elements: str) -> str:
    """Return elements, as JSON, through the R4B model; empty if they are not valid."""
    # Imported on first use: 0.15 s that a service without suggestions need not wait.
    from fhir.resources.R4B.servicerequest import ServiceRequest  # noqa: PLC0415

    given = json.loads(elements)
    carrier = {"status": "draft", "intent": "proposal", "subject": {"reference": "Patient/0"}}
    try:
        resource = ServiceRequest.model_validate({**carrier, **given}).model_dump(mode="json")
    except ValueError:
        return ""
    return json.dumps({name: resource[name] for name in given})


def written_coding(coding: Coding, *, system: str = "") -> Wire:
    """Return a Coding in wire form, under the EHR's own spelling of its system if given."""
    return {"system": system or coding.system, "code": coding.code, "display": coding.display}


def name_of(order: DraftOrder) -> str:
    """Return words by which a clinician knows the draft among others: its title and id."""
    concept = codeable(order.resource.get("code")) or {}
    displays = (text_of(coding.get("display")) for coding in objects(concept.get("coding")))
    title = text_of(concept.get("text")) or next(filter(None, displays), "")
    return f"{clean(title, _TITLE_LIMIT)} ({order.ref})".strip()


def stands_beside_others(drafts: Collection[Mapping[str, object]]) -> bool:
    """Whether the other drafts of a basket hold orders with which one could be confused."""
    return any(draft.get("resourceType") in ORDER_TYPES for draft in drafts)


def reference_in(value: object) -> str:
    """Return `Type/id` of a Reference; nothing if it points into the resource it stands in."""
    reference = reference_of(value)
    return "" if reference.startswith("#") else reference


def mentions_contrast_beside_code(draft: Mapping[str, object]) -> bool:
    """Whether details or notes speak of contrast, which a new code does not change."""
    details = objects(draft.get("orderDetail"))
    texts = [text_of(item.get("text")) for item in (*details, *objects(draft.get("note")))]
    displays = [text_of(c.get("display")) for item in details for c in objects(item.get("coding"))]
    return any(_CONTRAST_WORDS.search(text) for text in (*texts, *displays))
