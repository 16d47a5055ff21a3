"""What the client and its FHIR server sent for each kind of data: rows, and what is missing.

Three silences are kept apart: asked and nothing there (no rows), not sent, and unreadable.
Source: `ehr-integration.md` §3 and quirks 38–44; decision table §5, "Unreadable brake".
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from cds_service.fhir import Resource, codes_of, object_of, objects, text_of

NOT_SENT = "not sent"
INCOMPLETE = "incomplete"
UNREADABLE = "unreadable"
WITHHELD = "withheld"
OTHER_PATIENT = "other patient"

_EPIC_NONE = "4101"
# Epic: break-the-glass and missing scope. The others are FHIR issue types for the same.
_WITHHELD_CODES = frozenset({"59100", "4119", "security", "login", "forbidden", "suppressed"})
_FAILED_STATUS = re.compile(r"^\s*([45]\d\d)\b")
_DEEPEST_BUNDLE = 3
_SAME_AS = {
    "ServiceRequest": frozenset({"ServiceRequest", "ProcedureRequest", "DiagnosticOrder"}),
    "MedicationRequest": frozenset(
        {
            *("MedicationRequest", "MedicationOrder", "MedicationStatement", "MedicationUsage"),
            *("MedicationDispense", "MedicationAdministration"),
        }
    ),
    "Device": frozenset({"Device", "DeviceUseStatement", "DeviceUsage"}),
}


class SourceState(StrEnum):
    """Whether a source could be had."""

    READ = "read"
    NOT_SENT = "not-sent"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One prefetch key, or one FHIR search."""

    key: str
    """Prefetch key: `conditions`."""
    resource_type: str
    """What it supplies: `Condition`."""
    state: SourceState
    content: object = None
    """The JSON value exactly as sent: Bundle, resource, null, OperationOutcome, junk."""
    more: tuple[object, ...] = ()
    """Further pages that were read."""
    reason: str = ""
    """Why it was not read: `503`, `timeout`, `401` …; never data."""
    is_extra: bool = False
    """No template asks for it: what it lacks is not missing from what was asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One resource as it came, with the address it was given in its Bundle."""

    resource: Resource
    full_url: str
    wanted: str
    """Resource type of the source that it came from."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """All rows of all sources, and why a resource type is not, or not wholly, read."""

    rows: tuple[Row, ...]
    unreadable: dict[str, str]


def read_sources(sources: Iterable[Source]) -> SourceRows:
    """Return the rows of all sources in order; the first reason of a resource type stands."""
    rows: list[Row] = []
    unreadable: dict[str, str] = {}
    for source in sources:
        contents = _Contents(source.resource_type)
        if source.state is SourceState.READ or source.content is not None:
            contents.read_pages(source.content, source.more)
        rows.extend(contents.rows)
        reason = _reason(source, contents)
        if reason and not source.is_extra:
            unreadable.setdefault(source.resource_type, reason)
    return SourceRows(tuple(rows), unreadable)


def _reason(source: Source, contents: "_Contents") -> str:
    if source.state is SourceState.NOT_SENT:
        return source.reason or NOT_SENT
    if source.state is SourceState.UNREADABLE:
        return source.reason or contents.reason or UNREADABLE
    return contents.reason


@dataclass(slots=True)
class _Contents:
    """Rows and first fault of one source while it is read."""

    wanted: str
    rows: list[Row] = field(default_factory=list)
    reason: str = ""

    def fail(self, reason: str) -> None:
        self.reason = self.reason or reason

    def read_pages(self, content: object, more: tuple[object, ...]) -> None:
        """Read all pages; a next link on the last one means that rows are missing (quirk 43)."""
        last = self.read_page(content)
        for page in more:
            if object_of(page).get("resourceType") == "Bundle":
                last = self.read_page(page)
            else:
                self.fail(INCOMPLETE)
        if _has_next(last):
            self.fail(INCOMPLETE)

    def read_page(self, content: object) -> Resource:
        """Read one prefetch value or page and return it without its wrapper."""
        if content is None:
            return {}
        if not isinstance(content, dict):
            self.fail(UNREADABLE)
            return {}
        page = self.unwrapped(content)
        match page.get("resourceType"):
            case None if not page and content:
                pass
            case "Bundle":
                self.read_bundle(page, 1)
            case "OperationOutcome":
                self.fail(_outcome(page) or UNREADABLE)
            case str() as kind if kind in _kinds_of(self.wanted):
                self.rows.append(Row(page, "", self.wanted))
            case _:
                # Another resource in the place of a search says nothing about that search.
                self.fail(UNREADABLE)
        return page

    def unwrapped(self, content: Resource) -> Resource:
        """Take a resource out of the `{response, resource}` wrapper of early clients."""
        if "resourceType" in content or not {"response", "resource"} & content.keys():
            return content
        failed = _FAILED_STATUS.match(text_of(object_of(content.get("response")).get("status")))
        if failed is not None:
            self.fail(failed[1])
        return object_of(content.get("resource"))

    def read_bundle(self, bundle: Resource, depth: int) -> None:
        entries = bundle.get("entry")
        if entries is not None and not isinstance(entries, list | dict):
            self.fail(UNREADABLE)
        for entry in objects(entries):
            self.read_entry(entry, depth)
        if entries and not any(self.is_answer(entry) for entry in objects(entries)):
            # Entries, and none of them what was asked for: not the same as "nothing there".
            self.fail(INCOMPLETE)

    def is_answer(self, entry: Resource) -> bool:
        """Tell whether an entry is of the kind asked for, a Bundle of its own, or a true none."""
        resource = object_of(entry.get("resource"))
        kind = text_of(resource.get("resourceType"))
        return (
            kind in _kinds_of(self.wanted)
            or kind == "Bundle"
            or (kind == "OperationOutcome" and _says_none(resource))
        )

    def read_entry(self, entry: Resource, depth: int) -> None:
        """Keep the resource of an entry; entries without one cost nothing (quirk 41)."""
        resource = entry.get("resource")
        failed = _FAILED_STATUS.match(text_of(object_of(entry.get("response")).get("status")))
        if failed is not None:
            self.fail(failed[1])
        if not isinstance(resource, dict):
            return
        match resource.get("resourceType"):
            case "OperationOutcome":
                if not _says_none(resource):
                    self.fail(_outcome(resource) or INCOMPLETE)
            case "Bundle":
                self.read_inner_bundle(resource, depth)
            case str():
                self.rows.append(Row(resource, text_of(entry.get("fullUrl")), self.wanted))

    def read_inner_bundle(self, bundle: Resource, depth: int) -> None:
        """Read the searchset inside a batch response."""
        if depth >= _DEEPEST_BUNDLE:
            self.fail(UNREADABLE)
            return
        self.read_bundle(bundle, depth + 1)
        if _has_next(bundle):
            self.fail(INCOMPLETE)


def _kinds_of(wanted: str) -> frozenset[str]:
    """Resource types that answer a search for `wanted`, other releases included (48–51)."""
    return _SAME_AS.get(wanted, frozenset({wanted}))


def _issue_codes(outcome: Resource) -> Iterator[tuple[str, ...]]:
    """Codes of each issue of an OperationOutcome: its type and the vendor's codes."""
    for issue in objects(outcome.get("issue")):
        yield codes_of(issue.get("code")) + codes_of(issue.get("details"))


def _says_none(outcome: Resource) -> bool:
    """Epic's "no results" as an entry of a searchset: a true none (quirk 38)."""
    issues = list(_issue_codes(outcome))
    return bool(issues) and all(_EPIC_NONE in codes for codes in issues)


def _outcome(outcome: Resource) -> str:
    """Return `withheld` where access rules hide data (quirk 39), else nothing."""
    held = any(not _WITHHELD_CODES.isdisjoint(codes) for codes in _issue_codes(outcome))
    return WITHHELD if held else ""


def _has_next(bundle: Resource) -> bool:
    return any("next" in codes_of(link.get("relation")) for link in objects(bundle.get("link")))
