"""What prefetch holds and lacks: keys that clients rename, templates as queries, pages that follow.

Source: CDS Hooks 2.0, Prefetch Template, https://cds-hooks.hl7.org/2.0/#prefetch-template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from cds_service.json_schemas import is_array, is_object
from cds_service.knowledge import ServiceDescription
from cds_service.protocol import HookRequest

_TOKEN = re.compile(r"\{\{(?:context\.)?([^{}]*)\}\}")
# `,`, `|` and `$` have a meaning in FHIR searches, the others in URLs: an id with one of them
# could ask for other patients, and none of them is in an R4 id.
_UNSAFE_ID = re.compile(r"[,|$\\/?#&%\s\x00-\x1f\x7f]|^\.+$")
_SCOPING = ("patient", "subject")
_NOT_A_MATCH = ("include", "outcome")
_EXTRA_TYPES = frozenset({"Appointment", "DocumentReference"})


class PublishedPrefetch(Protocol):
    """What of `Knowledge` is needed here: which keys we publish, and what they stand for."""

    @property
    def services(self) -> tuple[ServiceDescription, ...]:
        """Discovery entries, with a template for each key."""

    @property
    def prefetch_types(self) -> Mapping[str, str]:
        """Prefetch key → resource type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One FHIR read or search, relative to the server's base."""

    path: str
    plain_path: str
    """The search without anything but the patient, for servers that refuse other parameters."""

    @property
    def is_search(self) -> bool:
        """A Bundle is expected, not one resource."""
        return "?" in self.path


def templates_of(published: PublishedPrefetch, request: HookRequest) -> Mapping[str, str]:
    """Return the templates by key of the discovery entry that was called, if it is one."""
    called = (request.service_id, request.hook)
    return next((s.prefetch for s in published.services if (s.id, s.hook) == called), {})


def query_for(template: str, request: HookRequest) -> Query | None:
    """Return the query of a prefetch template for a call.

    None if the template is empty, has a token that the call gives no value for, or a value that
    could widen the query (R-FHIR-04).
    """
    values = {"patientId": request.patient_id, "encounterId": request.encounter_id}
    asked = [values.get(name, "") for name in _TOKEN.findall(template)]
    if not template or not all(asked) or any(map(_UNSAFE_ID.search, asked)):
        return None
    path = _TOKEN.sub(lambda found: quote(values[found[1]], safe=""), template)
    kind, mark, parameters = path.partition("?")
    scoped = [p for p in parameters.split("&") if p.partition("=")[0] in _SCOPING]
    return Query(path=path, plain_path=kind + mark + "&".join(scoped))


def sent_contents(
    prefetch: Mapping[str, object], types: Mapping[str, str]
) -> dict[str, list[object]]:
    """Return what was sent for each published key, whatever it is; usually one content a key.

    Some EHRs let the site name the keys (Epic), and have several searches where we publish one
    (problem list, encounter diagnoses). So a key that was not published fills a published one
    that is absent, by the type of the resources in it; what fits none is ignored (R-PRE-16).
    """
    contents: dict[str, list[object]] = {key: [prefetch[key]] for key in types if key in prefetch}
    absent = {resource_type: key for key, resource_type in types.items() if key not in prefetch}
    for key, content in prefetch.items():
        published = absent.get(_type_within(content))
        if key not in types and published is not None:
            contents.setdefault(published, []).append(content)
    return contents


def extra_contents(
    prefetch: Mapping[str, object], types: Mapping[str, str]
) -> dict[str, tuple[str, object]]:
    """Return key → resource type and content of what is read wherever it is sent.

    Documents and bookings bear on earlier and planned exams (decision table §7), but few servers
    let a service search them, so no template asks for them.
    """
    held = {
        key: sorted(_EXTRA_TYPES & _types_within(content))
        for key, content in prefetch.items()
        if key not in types
    }
    return {key: (kinds[0], prefetch[key]) for key, kinds in held.items() if kinds}


def next_link(page: object) -> str | None:
    """Return the URL of the next page of a searchset; empty if it is none, None without link."""
    links = page.get("link") if is_object(page) else None
    for link in links if is_array(links) else ():
        if is_object(link) and link.get("relation") == "next":
            url = link.get("url")
            return url if isinstance(url, str) else ""
    return None


def _type_within(content: object) -> str:
    """Return the one type of the matches in a Bundle, or of a resource; empty if it is not one."""
    types = _types_within(content)
    return next(iter(types)) if len(types) == 1 else ""


def _types_within(content: object) -> frozenset[str]:
    """Return the types of the matches in a Bundle, or of a resource."""
    if not is_object(content):
        return frozenset()
    if content.get("resourceType") != "Bundle":
        return frozenset({str(content.get("resourceType", ""))})
    entries = content.get("entry")
    matches = (_match_in(entry) for entry in (entries if is_array(entries) else ()))
    return frozenset(str(m.get("resourceType", "")) for m in matches if m is not None)


def _match_in(entry: object) -> Mapping[str, object] | None:
    """Return the resource of an entry, unless it is there beside the matches."""
    if not is_object(entry) or not is_object(resource := entry.get("resource")):
        return None
    search = entry.get("search")
    is_beside = is_object(search) and search.get("mode") in _NOT_A_MATCH
    is_outcome = resource.get("resourceType") == "OperationOutcome"
    return None if is_beside or is_outcome else resource
