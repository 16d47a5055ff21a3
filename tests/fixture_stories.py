"""The stories of `fhir_fixtures/`, with the few changes of a variant applied."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import yaml

FIXTURES = Path(__file__).parent.parent / "fhir_fixtures"
STORY_FILES = ("stories.yaml", "stories-repeat.yaml", "stories-safety.yaml")
"""In this order: a variant may be based on a story of a file before its own."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

PREFETCH_KEYS = {
    "patient": "Patient",
    "conditions": "Condition",
    "observations": "Observation",
    "imagingStudies": "ImagingStudy",
    "diagnosticReports": "DiagnosticReport",
    "procedures": "Procedure",
    "serviceRequests": "ServiceRequest",
    "medicationRequests": "MedicationRequest",
    "allergies": "AllergyIntolerance",
    "devices": "Device",
}
_NONE = "none"
_EXPECTED = {
    *("order", "row", "protocol", "rating", "variant", "indicator", "provisional", "protocolRow"),
    *("missing_includes", "suggestions", "no_card", "overlay", "topic", "prior_dates"),
    *("safety", "safety_card", "safety_suggestions"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the decision table says of one order; a member not listed is left open."""

    row: str
    """Base row; empty where the table leaves it open."""
    order: str
    """`ServiceRequest/id`; empty where the story has one lumbar MRI order only."""
    members: Mapping[str, str | int | bool]
    """Members of the decision object that must have this value."""
    left_out: frozenset[str]
    """Members of the decision object that must not be there."""
    missing_includes: tuple[str, ...]
    """F-numbers of facts that `missing` must name."""
    suggestions_present: frozenset[str]
    suggestions_absent: frozenset[str]
    has_card: bool
    """One appropriateness card: its topic is no safety row."""
    topic: str
    """`source.topic.code` of the appropriateness card; empty: open."""
    safety: tuple[str, ...] | None
    """Safety rows in `safety`, sorted; None: open."""
    safety_card: str
    """Indicator of the safety card, `none` for no such card; empty: open."""
    safety_suggestions_present: frozenset[str]
    safety_suggestions_absent: frozenset[str]
    prior_dates: tuple[str, ...] | None
    """Dates in `priorImaging`, newest first; None: open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One clinical point: a chart, a hook request, and what must come of it."""

    name: str
    says: str
    chart: JsonObject
    """The Bundle with everything the EHR knows of the patient."""
    request: JsonObject
    expected: tuple[Expected, ...]
    based_on: str
    site_file: Path | None
    is_demo: bool
    is_quiet: bool
    """Nothing may alarm: no warning, no critical card, no cancel, unless it says so itself."""

    @property
    def service(self) -> str:
        """Return the id of the service that the request is for."""
        return f"lumbar-mri-{self.request['hook']}"

    @property
    def resources(self) -> tuple[JsonObject, ...]:
        """Return every resource of the chart."""
        return tuple(resources_of(self.chart))


@cache
def stories() -> tuple[Story, ...]:
    """Return every story of the files, variants built, in their order."""
    told: dict[str, Story] = {}
    for file in STORY_FILES:
        for entry in _objects(_document(file)["stories"]):
            story = _told(entry, told)
            if story.name in told:
                raise ValueError(f"{story.name}: told twice")
            told[story.name] = story
    return tuple(told.values())


@cache
def as_of() -> str:
    """Return the anchor date of all stories."""
    (day,) = {str(_document(file)["as_of"]) for file in STORY_FILES}
    return day


@cache
def _document(file: str) -> Mapping[str, Json]:
    loaded = yaml.load((FIXTURES / file).read_text("utf-8"), Loader=yaml.CSafeLoader)
    if not isinstance(loaded, dict):
        raise TypeError(f"{file}: not a mapping")
    return loaded


def _told(entry: JsonObject, told: Mapping[str, Story]) -> Story:
    name = str(entry["story"])
    base = told[str(entry["based_on"])] if "based_on" in entry else None
    chart = copy.deepcopy(base.chart) if base else _file(entry["patient"])
    request = copy.deepcopy(base.request) if base else _file(entry["request"])
    for change in _objects(entry.get("changes", [])):
        apply_change(change, chart, request)
    site = entry.get("site_file")
    expect = entry["expect"]
    return Story(
        name=name,
        says=str(entry["says"]),
        chart=chart,
        request=request,
        expected=tuple(_expected(e) for e in _objects(expect if _is_list(expect) else [expect])),
        based_on=base.name if base else "",
        site_file=_site_file(site, base),
        is_demo=entry.get("demo") is True,
        is_quiet=entry.get("quiet") is True,
    )


def _site_file(named: Json, base: Story | None) -> Path | None:
    if named is None:
        return base.site_file if base else None
    return None if named == _NONE else FIXTURES / str(named)


def _file(path: Json) -> JsonObject:
    loaded: JsonObject = json.loads((FIXTURES / str(path)).read_text("utf-8"))
    return loaded


def _expected(entry: JsonObject) -> Expected:
    members: dict[str, str | int | bool] = {}
    left_out: set[str] = set()
    for key in (
        "protocol",
        "row",
        "rating",
        "variant",
        "indicator",
        "provisional",
        "protocolRow",
        "overlay",
    ):
        value = entry.get(key)
        if value == _NONE:
            left_out.add(key)
        elif isinstance(value, (str, int)):
            members[key] = value
    if entry.get("safety") == _NONE:
        left_out.add("safety")
    unknown = entry.keys() - _EXPECTED
    if unknown:
        raise LookupError(f"no such member of expect: {sorted(unknown)}")
    kinds = _object(entry.get("suggestions", {}))
    safety_kinds = _object(entry.get("safety_suggestions", {}))
    return Expected(
        row=str(entry.get("row", "")),
        order=str(entry.get("order", "")),
        members=members,
        left_out=frozenset(left_out),
        missing_includes=_words(entry.get("missing_includes")),
        suggestions_present=frozenset(_words(kinds.get("present"))),
        suggestions_absent=frozenset(_words(kinds.get("absent"))),
        has_card=entry.get("no_card") is not True,
        topic=str(entry.get("topic", "")),
        safety=_list_or_open(entry.get("safety")),
        safety_card=str(entry.get("safety_card", "")),
        safety_suggestions_present=frozenset(_words(safety_kinds.get("present"))),
        safety_suggestions_absent=frozenset(_words(safety_kinds.get("absent"))),
        prior_dates=_list_or_open(entry.get("prior_dates")),
    )


def _list_or_open(value: Json) -> tuple[str, ...] | None:
    """Return the words of a list; none at all for `none`; None where nothing is said."""
    if value is None:
        return None
    return () if value == _NONE else _words(value)


def apply_change(change: JsonObject, chart: JsonObject, request: JsonObject) -> None:
    """Make one change of a variant wherever its target stands, in chart and request.

    Raises `LookupError` if the target is nowhere: a change that changes nothing is a mistake.
    """
    if "add" in change:
        _add(_object(change["add"]), chart, request)
    elif "drop" in change:
        _drop(str(change["drop"]), chart, request)
    else:
        target = str(change["in"])
        places = [request] if target == "request" else list(_named(target, chart, request))
        if not places:
            raise LookupError(f"{target}: no such resource in the story")
        for place in places:
            _set_or_remove(place, change)


def _set_or_remove(place: JsonObject, change: JsonObject) -> None:
    pointer = str(change["set"] if "set" in change else change["remove"])
    *way, last = pointer.removeprefix("/").split("/")
    holder: Json = place
    for step in way:
        holder = _at(holder, step)
    if "remove" in change:
        del _object(holder)[last]
    elif isinstance(holder, list):
        holder[int(last) : int(last) + 1] = [copy.deepcopy(change["to"])]
    else:
        _object(holder)[last] = copy.deepcopy(change["to"])


def _at(holder: Json, step: str) -> Json:
    return holder[int(step)] if isinstance(holder, list) else _object(holder)[step]


def _named(ref: str, chart: JsonObject, request: JsonObject) -> Iterator[JsonObject]:
    for resource in (*resources_of(chart), *request_resources(request)):
        if ref == reference(resource):
            yield resource


def _add(resource: JsonObject, chart: JsonObject, request: JsonObject) -> None:
    _list(chart["entry"]).append({"resource": copy.deepcopy(resource)})
    prefetch = request.get("prefetch")
    for key, kind in PREFETCH_KEYS.items():
        if isinstance(prefetch, dict) and key in prefetch and kind == resource["resourceType"]:
            bundle = prefetch[key] or {"resourceType": "Bundle", "type": "searchset"}
            entries = _list(_object(bundle).setdefault("entry", []))
            entries.append({"resource": copy.deepcopy(resource), "search": {"mode": "match"}})
            _object(bundle)["total"] = len(entries)
            prefetch[key] = bundle


def _drop(ref: str, chart: JsonObject, request: JsonObject) -> None:
    prefetch = request.get("prefetch")
    pages = list(prefetch.values()) if isinstance(prefetch, dict) else []
    found = False
    for bundle in (chart, *pages):
        if isinstance(bundle, dict) and "entry" in bundle:
            entries = _list(bundle["entry"])
            kept = [e for e in entries if ref != reference(_object(_object(e)["resource"]))]
            found |= len(kept) < len(entries)
            bundle["entry"] = kept
            if "total" in bundle:
                bundle["total"] = len(kept)
            if not kept:
                del bundle["entry"]
    if not found:
        raise LookupError(f"{ref}: no such resource in the story")


def request_resources(request: JsonObject) -> Iterator[JsonObject]:
    """Yield every resource of a hook request: prefetched ones, then the drafts."""
    yield from prefetched(request)
    yield from drafts_of(request)


def prefetched(request: JsonObject) -> Iterator[JsonObject]:
    """Yield the resources that the client sent with the request."""
    prefetch = request.get("prefetch")
    for value in prefetch.values() if isinstance(prefetch, dict) else ():
        if isinstance(value, dict):
            yield from resources_of(value) if value.get("resourceType") == "Bundle" else (value,)


def drafts_of(request: JsonObject) -> Iterator[JsonObject]:
    """Yield the draft orders."""
    yield from resources_of(_object(_object(request["context"])["draftOrders"]))


def resources_of(bundle: JsonObject) -> Iterator[JsonObject]:
    """Yield the resources of a Bundle."""
    for entry in _list(bundle.get("entry", [])):
        yield _object(_object(entry)["resource"])


def reference(resource: JsonObject) -> str:
    """Return `Type/id`."""
    return f"{resource['resourceType']}/{resource.get('id')}"


def _is_list(value: Json) -> bool:
    return isinstance(value, list)


def _objects(value: Json) -> Iterator[JsonObject]:
    return (_object(item) for item in _list(value))


def _words(value: Json) -> tuple[str, ...]:
    return tuple(str(word) for word in _list(value)) if value else ()


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError(f"not a list: {value!r:.80}")
    return value


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r:.80}")
    return value
