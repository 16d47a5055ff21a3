"""The ways in which the FHIR server for tests answers badly, and the bodies it answers with.

Source: what real EHRs do, and what stands between them and us (proxies, log-in pages).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

FHIR_JSON = "application/fhir+json; charset=utf-8"


class Fault(StrEnum):
    """A way to answer badly although the status may say that all is well."""

    NONE = "none"
    RESET = "reset"
    """The connection is reset without an answer."""
    HTML = "html"
    """A log-in page with status 200."""
    TRUNCATED = "truncated"
    """Half of the JSON, as if that were all."""
    CUT_OFF = "cut-off"
    """The connection ends before the announced length."""
    TRICKLE = "trickle"
    """One byte at a time, with the delay before each."""
    BAD_GZIP = "bad-gzip"
    """A body that is not packed under a header that says so."""
    OUTCOME = "outcome"
    """An OperationOutcome with status 200 in place of the Bundle."""
    EMPTY = "empty"
    """A searchset without entries."""
    EPIC_EMPTY = "epic-empty"
    """A searchset whose only entry is an OperationOutcome, code 4101."""
    REDIRECT = "redirect"
    """302 to `target`."""
    FOREIGN_NEXT = "foreign-next"
    """The next link points at `target`."""
    ENDLESS_NEXT = "endless-next"
    """Every page has a next link to one more page."""
    SAME_NEXT = "same-next"
    """The next link points at the page itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How requests for one resource type are answered."""

    status: int = 200
    retry_after: str = ""
    delay_seconds: float = 0.0
    fault: Fault = Fault.NONE
    target: str = ""
    """Origin for REDIRECT and FOREIGN_NEXT."""
    content_type: str = FHIR_JSON
    pad_bytes: int = 0
    """Blanks after the JSON, for answers that are too large."""
    is_gzipped: bool = False
    times: int = -1
    """How many requests are answered like this before the type behaves; -1 is all."""


BEHAVES = Behaviour()


def searchset(
    base_url: str,
    page: Sequence[Mapping[str, object]],
    total: int,
    links: Sequence[tuple[str, str]],
    fault: Fault,
) -> Mapping[str, object]:
    """Return the Bundle that answers a search, or what stands in its place."""
    entries: list[Mapping[str, object]] = [
        {
            "fullUrl": f"{base_url}/{resource['resourceType']}/{resource['id']}",
            "resource": resource,
            "search": {"mode": "match"},
        }
        for resource in page
    ]
    if fault is Fault.OUTCOME:
        return outcome("processing", "The search could not be carried out")
    if fault is Fault.EMPTY:
        entries, total = [], 0
    if fault is Fault.EPIC_EMPTY:
        entries, total = [{"resource": _EPIC_EMPTY, "search": {"mode": "outcome"}}], 0
    bundle: dict[str, object] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": total,
        "link": [{"relation": relation, "url": url} for relation, url in links],
    }
    if entries:
        bundle["entry"] = entries
    return bundle


def outcome(code: str, text: str) -> Mapping[str, object]:
    """Return an OperationOutcome with one error; `code` is of FHIR R4 `issue-type`."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": code, "diagnostics": text}],
    }


_EPIC_EMPTY: Mapping[str, object] = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "warning",
            "code": "processing",
            "details": {
                "coding": [
                    {
                        "system": "urn:oid:1.2.840.114350.1.13.0.1.7.2.657369",
                        "code": "4101",
                        "display": "Resource request returns no results.",
                    }
                ],
                "text": "Resource request returns no results.",
            },
        }
    ],
}
