"""Requesters and departments that a site leaves out: judged and recorded, but shown nothing.

Source: contract, `leaveOut` of the site file. What a call says of its user is read as it is sent:
a PractitionerRole or Encounter under any prefetch key, among the drafts, or contained in one. An
EHR that sends neither is never left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cds_service.fhir import Resource, object_of, objects, text_of
from cds_service.protocol import HookRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Codes, displays or texts, in lower case."""

    specialties: frozenset[str] = frozenset()
    departments: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anybody is left out at all."""
        return bool(self.specialties or self.departments)


def is_left_out(request: HookRequest, left_out: LeftOut) -> bool:
    """Tell whether the call comes from a requester or a department that the site leaves out."""
    if not left_out:
        return False
    resources = list(_resources(request))
    people = {request.user_id, *_requesters(request)} - {""}
    roles = [r for r in resources if _is(r, "PractitionerRole") and _is_of(r, people)]
    encounters = [
        r
        for r in resources
        if _is(r, "Encounter") and text_of(r.get("id")) == request.encounter_id != ""
    ]
    specialties = _words(role.get("specialty") for role in roles)
    departments = _words(
        each for role in roles for each in (role.get("location"), role.get("organization"))
    ) | _words(
        each
        for encounter in encounters
        for each in (
            encounter.get("serviceType"),
            encounter.get("serviceProvider"),
            *(place.get("location") for place in objects(encounter.get("location"))),
        )
    )
    return bool(specialties & left_out.specialties or departments & left_out.departments)


def _resources(request: HookRequest) -> Iterator[Resource]:
    for content in request.prefetch.values():
        resource = object_of(content)
        yield resource
        yield from (object_of(entry.get("resource")) for entry in objects(resource.get("entry")))
    for draft in request.draft_orders:
        yield draft.resource
        for contained in objects(draft.resource.get("contained")):
            # `#role` in the draft means this one.
            yield {**contained, "id": f"#{text_of(contained.get('id'))}"}


def _requesters(request: HookRequest) -> Iterator[str]:
    for draft in request.draft_orders:
        yield text_of(object_of(draft.resource.get("requester")).get("reference"))


def _is(resource: Resource, kind: str) -> bool:
    return resource.get("resourceType") == kind


def _is_of(role: Resource, people: Iterable[str]) -> bool:
    """Tell whether a role is that of the user or of who requests, by id or by the practitioner."""
    own = text_of(role.get("id"))
    names = {own if own.startswith("#") else f"PractitionerRole/{own}"}
    names.add(text_of(object_of(role.get("practitioner")).get("reference")))
    return any(
        person == name or person.endswith(f"/{name}") for person in people for name in names - {""}
    )


def _words(values: Iterable[object]) -> frozenset[str]:
    """Return codes, displays and texts of concepts and references, in lower case."""
    found: set[str] = set()
    for value in values:
        for concept in objects(value):
            found |= {text_of(concept.get(key)).lower() for key in ("text", "display")}
            for coding in objects(concept.get("coding")):
                found |= {text_of(coding.get(key)).lower() for key in ("code", "display")}
    return frozenset(found - {""})


def left_out_in(specialties: Iterable[str], departments: Iterable[str]) -> LeftOut:
    """Return what a site file lists, ready to be compared."""
    return LeftOut(
        specialties=frozenset(each.strip().lower() for each in specialties),
        departments=frozenset(each.strip().lower() for each in departments),
    )
