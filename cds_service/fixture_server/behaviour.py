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

    # The connection.
    RESET = "reset"
    """It is reset without an answer."""
    CLOSE = "close"
    """It ends without an answer."""
    RESET_IN_BODY = "reset-in-body"
    CUT_OFF = "cut-off"
    """It ends before the announced length."""

    # Time; the delay is that before each piece.
    SLOW_HEADERS = "slow-headers"
    """One byte at a time from the first one on."""
    TRICKLE = "trickle"
    """One byte of the body at a time."""
    STALL = "stall"
    """Half of the body, then silence."""
    ENDLESS_CONTINUE = "endless-continue"
    """100 Continue for ever."""

    # HTTP.
    GARBAGE = "garbage"
    """No status line."""
    HUGE_HEADER = "huge-header"
    """One header of a megabyte."""
    MANY_HEADERS = "many-headers"
    """Ten thousand of them."""
    HUGE_LENGTH = "huge-length"
    """A petabyte is announced."""
    LONG_LENGTH = "long-length"
    """A Content-Length of five thousand digits."""
    TWO_LENGTHS = "two-lengths"
    """Two different ones."""
    SHORT_LENGTH = "short-length"
    """Only half of the body is announced; the connection stays open."""
    TWO_ANSWERS = "two-answers"
    """A second one follows that nobody asked for; the connection stays open."""
    ENDLESS_CHUNKS = "endless-chunks"
    BAD_CHUNKS = "bad-chunks"
    """The size of a chunk is no number."""
    NEGATIVE_CHUNK = "negative-chunk"
    CUT_CHUNKS = "cut-chunks"
    """The last chunk never comes."""
    CONTINUE = "continue"
    """100 before the answer, as HTTP allows."""
    EARLY_HINTS = "early-hints"
    """103 before the answer."""
    REDIRECT = "redirect"
    """302 to `target`."""

    # What the body is packed in.
    BAD_GZIP = "bad-gzip"
    """A body that is not packed under a header that says so."""
    CUT_GZIP = "cut-gzip"
    """Half of what is packed, as if that were all."""
    GZIP_TWICE = "gzip-twice"
    DEFLATE = "deflate"
    """Packed in a way that was not asked for."""
    BROTLI = "brotli"
    """Not packed under a header that names what was not asked for."""

    # The body.
    NO_BODY = "no-body"
    HTML = "html"
    """A log-in page with status 200."""
    TRUNCATED = "truncated"
    """Half of the JSON, as if that were all."""
    BYTE_ORDER_MARK = "byte-order-mark"
    BAD_UTF8 = "bad-utf8"
    UTF16 = "utf-16"
    DEEP = "deep"
    """Arrays a hundred thousand deep."""
    NAME_TWICE = "name-twice"
    """`resourceType` stands twice in one object."""
    NAN = "nan"
    ARRAY = "array"
    """The Bundle within an array."""
    NULL = "null"

    # What the JSON says.
    OUTCOME = "outcome"
    """An OperationOutcome with status 200 in place of the Bundle."""
    OUTCOME_ENTRY = "outcome-entry"
    """One among the matches: the search was not complete."""
    OTHER_TYPE = "other-type"
    """A resource that nobody asked for in place of the Bundle."""
    OTHER_MATCHES = "other-matches"
    """A Bundle of resources of another type."""
    OTHER_PATIENT = "other-patient"
    """Everything is of somebody else."""
    EMPTY = "empty"
    """A searchset without entries."""
    EPIC_EMPTY = "epic-empty"
    """A searchset whose only entry is an OperationOutcome, code 4101."""

    # Pages. The last three have nothing on the first page and everything on the second.
    FOREIGN_NEXT = "foreign-next"
    """The next link points at `target`."""
    USER_NEXT = "user-next"
    """The next link has a user and a password in it."""
    ENDLESS_NEXT = "endless-next"
    """Every page has a next link to one more page."""
    SAME_NEXT = "same-next"
    """The next link points at the page itself."""
    LATE_NEXT = "late-next"
    """The delay is before the second page."""
    FAILING_NEXT = "failing-next"
    """The second page is answered with 500."""


PACED = frozenset({Fault.SLOW_HEADERS, Fault.TRICKLE, Fault.STALL, Fault.ENDLESS_CONTINUE})
"""Have a pace of their own."""
ON_NEXT_PAGE = frozenset({Fault.LATE_NEXT, Fault.FAILING_NEXT})
"""Happen when the second page is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How requests for one resource type are answered."""

    status: int = 200
    retry_after: str = ""
    delay_seconds: float = 0.0
    fault: Fault = Fault.NONE
    target: str = ""
    """Origin for REDIRECT, FOREIGN_NEXT and USER_NEXT."""
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
    """Return the Bundle that answers a search, as far as `fault` is one of its entries."""
    entries: list[Mapping[str, object]] = [
        {
            "fullUrl": f"{base_url}/{resource['resourceType']}/{resource['id']}",
            "resource": resource,
            "search": {"mode": "match"},
        }
        for resource in page
    ]
    match fault:
        case Fault.OUTCOME_ENTRY:
            failed = outcome("incomplete", "Some sources did not answer")
            entries = [{"resource": failed, "search": {"mode": "outcome"}}]
        case Fault.OTHER_MATCHES:
            entries = [{"resource": {"resourceType": "Basic", "id": "b1"}}]
        case Fault.EMPTY:
            entries, total = [], 0
        case Fault.EPIC_EMPTY:
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


def in_its_place(resource: Mapping[str, object], fault: Fault) -> Mapping[str, object]:
    """Return what is sent where `resource`, one read or a Bundle, was asked for."""
    match fault:
        case Fault.OUTCOME:
            return outcome("processing", "The search could not be carried out")
        case Fault.OTHER_TYPE:
            return {"resourceType": "Basic", "id": "b1"}
        case _:
            return resource


def of_somebody_else(resource: Mapping[str, object]) -> Mapping[str, object]:
    """Return a resource as if it were another patient's."""
    if resource["resourceType"] == "Patient":
        return {**resource, "id": "somebody-else"}
    holders = {"subject", "patient"} & resource.keys()
    return {**resource, **{key: {"reference": "Patient/somebody-else"} for key in holders}}


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
