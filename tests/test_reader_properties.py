"""Properties of the readers: whatever comes is survived, and how it comes does not matter.

Real requests of `fhir_fixtures/` are changed: values replaced by any JSON, entries shuffled or
doubled, references written another way, other people's and irrelevant resources added.
"""

import copy
import json
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from random import Random
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from bundled import knowledge
from fixture_stories import (
    PREFETCH_KEYS,
    Json,
    JsonObject,
    as_of,
    prefetched,
    reference,
    stories,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.chart.sources import Source, SourceState
from cds_service.errors import EvidenceUnavailable, MalformedRequest, TooLarge
from cds_service.evaluate import Outcome, evaluate
from cds_service.prefetch.queries import extra_contents, sent_contents
from cds_service.protocol import parse_request

Path: TypeAlias = tuple[str | int, ...]

ZONE = ZoneInfo("America/New_York")
KEYS = {**PREFETCH_KEYS, "documents": "DocumentReference", "bookings": "Appointment"}
SERVER = "https://ehr.example/fhir"
EXAMPLES = settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(
        [
            *("", " ", "2026-02-30", "2026", "0001", "9999-12-31T23:59:59-14:00", "1e400", "#1"),
            *("completed", "entered-in-error", "Patient/other", "urn:uuid:1", "MRI lumbar spine"),
        ]
    )
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all stories."""
    return tuple(story.name for story in stories())


def request_of(name: str, exams: Iterable[JsonObject] = ()) -> JsonObject:
    """Return the request of a story with its whole chart, and more exams, as prefetch."""
    story = next(story for story in stories() if name == story.name)
    request = copy.deepcopy(story.request)
    prefetch = request.get("prefetch")
    if not isinstance(prefetch, dict):
        prefetch = {
            key: _searchset([r for r in story.resources if kind == r["resourceType"]])
            for key, kind in PREFETCH_KEYS.items()
        }
    context = request["context"]
    assert isinstance(context, dict)
    subject: Json = {"reference": f"Patient/{context['patientId']}"}
    for exam in exams:
        key = next(key for key, kind in KEYS.items() if kind == exam["resourceType"])
        sent = prefetch.get(key)
        if not isinstance(sent, dict) or not isinstance(sent.get("entry"), list):
            sent = _searchset([])
        entries = sent["entry"]
        assert isinstance(entries, list)
        entries.append({"resource": {**copy.deepcopy(exam), "subject": subject}})
        prefetch[key] = sent
    request["prefetch"] = prefetch
    return request


def _searchset(resources: list[JsonObject]) -> JsonObject:
    entries: list[Json] = [{"resource": copy.deepcopy(r)} for r in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def outcome(request: JsonObject) -> Outcome | None:
    """Return what the request comes to; None if it is refused as the protocol says."""
    hook = str(request["hook"])
    types = knowledge().prefetch_types
    try:
        parsed = parse_request(
            json.dumps(request).encode(), service_hook=hook, service_id=f"lumbar-mri-{hook}"
        )
        contents = sent_contents(parsed.prefetch, types)
        sources = [
            Source(
                key=key,
                resource_type=kind,
                state=SourceState.READ if key in contents else SourceState.NOT_SENT,
                content=contents[key][0] if key in contents else None,
                more=tuple(contents.get(key, ())[1:]),
            )
            for key, kind in types.items()
        ] + [
            Source(
                key=key,
                resource_type=kind,
                state=SourceState.READ,
                content=content,
                is_extra=True,
            )
            for key, (kind, content) in extra_contents(parsed.prefetch, types).items()
        ]
        return evaluate(knowledge(), parsed, sources, today=date.fromisoformat(as_of()), zone=ZONE)
    except (EvidenceUnavailable, MalformedRequest, TooLarge):
        return None


def said(request: JsonObject) -> tuple[object, ...]:
    """Return all that leaves the service, and all that was found on the way."""
    found = outcome(request)
    assert found is not None
    return (
        found.decisions,
        found.cards,
        [decision.history for decision in found.judged],
        [decision.picture.findings for decision in found.judged],
    )


def _exam(resource_type: str, name: str, **elements: Json) -> JsonObject:
    return {"resourceType": resource_type, "id": name, **elements}


_CODE: JsonObject = {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}]}
_ON_ORDER: Json = [{"reference": "ServiceRequest/exam-o"}]
_MR: Json = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}
EXAMS: tuple[JsonObject, ...] = (
    _exam(
        "ImagingStudy",
        "exam-s",
        status="available",
        started="2025-11-10",
        modality=[_MR],
        description="MR LUMBAR SPINE",
        basedOn=_ON_ORDER,
    ),
    _exam(
        "ImagingStudy",
        "exam-registered",
        status="registered",
        started="2026-04-01",
        modality=[_MR],
        description="MR LUMBAR SPINE",
    ),
    _exam(
        "DiagnosticReport",
        "exam-r",
        status="final",
        code=_CODE,
        issued="2025-11-12T10:00:00Z",
        imagingStudy=[{"reference": "ImagingStudy/exam-s"}],
        conclusion="Limited by motion.",
    ),
    _exam(
        "DiagnosticReport",
        "exam-generic",
        status="final",
        code={"text": "Radiology report"},
        effectiveDateTime="2025-06-10",
        basedOn=[{"reference": "ServiceRequest/exam-other"}],
    ),
    _exam("DiagnosticReport", "exam-undated", status="final", code=_CODE),
    _exam(
        "DiagnosticReport",
        "exam-spine",
        status="final",
        code={"text": "MRI spine"},
        effectiveDateTime="2025-11",
    ),
    _exam("Procedure", "exam-p", status="completed", code=_CODE, performedDateTime="2025-11"),
    _exam(
        "Procedure",
        "exam-stopped",
        status="stopped",
        code=_CODE,
        performedDateTime="2025-06-10",
        report=[{"reference": "DiagnosticReport/exam-generic"}],
    ),
    _exam(
        "ServiceRequest",
        "exam-o",
        status="active",
        intent="order",
        code=_CODE,
        authoredOn="2025-11-01",
    ),
    _exam(
        "ServiceRequest",
        "exam-other",
        status="completed",
        intent="order",
        code=_CODE,
        authoredOn="2025-06-01",
    ),
    _exam(
        "ServiceRequest",
        "exam-open",
        status="active",
        intent="order",
        code=_CODE,
        authoredOn="2026-03-10",
        basedOn=_ON_ORDER,
    ),
    _exam(
        "DocumentReference",
        "exam-d",
        status="current",
        description="MRI lumbar spine",
        date="2025-12-01",
        context={"related": [{"reference": "DiagnosticReport/exam-undated"}]},
    ),
    _exam(
        "Appointment",
        "exam-a",
        status="booked",
        start="2026-04-02T10:00:00Z",
        serviceType=[_CODE],
        basedOn=[{"reference": "ServiceRequest/exam-open"}],
    ),
)
"""Lumbar MRIs, done and in flight, linked and not: the stories hold few."""
EXAM_LISTS = st.just(list(EXAMS)) | st.lists(
    st.sampled_from(EXAMS), max_size=6, unique_by=lambda r: str(r["id"])
)
STORIES = st.deferred(lambda: st.sampled_from(names()))
PLACES = st.integers(0, 10**6)
RANDOM = st.randoms(use_true_random=False)


def places(value: Json, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every leaf and branch."""
    if path:
        yield path
    members: Iterable[tuple[str | int, Json]] = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for step, member in members:
        yield from places(member, (*path, step))


def put(value: Json, path: Path, new: Json) -> None:
    """Replace what stands at a path."""
    node: Any = value
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = new


def bundles(request: JsonObject) -> Iterator[list[Json]]:
    """Yield the entries of every prefetched Bundle that has any."""
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    for value in prefetch.values():
        entries = value.get("entry") if isinstance(value, dict) else None
        if isinstance(entries, list) and entries:
            yield entries


# Whatever comes is survived


@EXAMPLES
@given(
    name=STORIES,
    changes=st.lists(st.tuples(PLACES, ANY_JSON), min_size=1, max_size=4),
    in_drafts=st.booleans(),
)
def test_any_value_in_any_place_of_a_real_request_is_survived(
    name: str, changes: list[tuple[int, Json]], *, in_drafts: bool
) -> None:
    request = request_of(name, EXAMS)
    part = request["context"] if in_drafts else request["prefetch"]
    for place, value in changes:
        found = list(places(part))
        if found:
            put(part, found[place % len(found)], value)

    outcome(request)


@EXAMPLES
@given(STORIES, st.dictionaries(st.sampled_from(sorted(PREFETCH_KEYS)), ANY_JSON, min_size=1))
def test_any_value_in_place_of_a_prefetch_entry_is_survived(
    name: str, values: dict[str, Json]
) -> None:
    request = request_of(name)
    prefetch = request["prefetch"]
    assert isinstance(prefetch, dict)
    prefetch |= values

    outcome(request)


@EXAMPLES
@given(STORIES, PLACES, st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=6))
def test_elements_of_one_resource_in_another_are_survived(
    name: str, seed: int, swaps: list[tuple[int, int]]
) -> None:
    """Values that are right elsewhere get further into the readers than arbitrary ones."""
    request = request_of(name, EXAMS)
    donor = request_of(names()[seed % len(names())], EXAMS)["prefetch"]
    given_up = list(places(donor))
    for source, target in swaps:
        value: Any = donor
        for step in given_up[source % len(given_up)]:
            value = value[step]
        found = list(places(request["prefetch"]))
        put(request["prefetch"], found[target % len(found)], copy.deepcopy(value))

    outcome(request)


# How it comes does not matter


@EXAMPLES
@given(STORIES, EXAM_LISTS, RANDOM)
def test_the_order_of_entries_changes_nothing(
    name: str, exams: list[JsonObject], random: Random
) -> None:
    request = request_of(name, exams)
    for entries in bundles(request):
        random.shuffle(entries)

    assert said(request_of(name, exams)) == said(request)


@EXAMPLES
@given(STORIES, EXAM_LISTS, RANDOM)
def test_entries_that_stand_twice_change_nothing(
    name: str, exams: list[JsonObject], random: Random
) -> None:
    request = request_of(name, exams)
    holders = list(bundles(request))
    for entry in [entry for entries in holders for entry in entries]:
        if random.random() < 0.5:
            # Behind, so that first places stay; in this search or in another one.
            random.choice(holders).append(copy.deepcopy(entry))

    assert said(request_of(name, exams)) == said(request)


@EXAMPLES
@given(STORIES, EXAM_LISTS, st.sampled_from(["absolute", "versioned", "urn:uuid"]), RANDOM)
def test_the_style_of_references_changes_nothing(
    name: str, exams: list[JsonObject], style: str, random: Random
) -> None:
    request = request_of(name, exams)
    addresses = {
        reference(resource): _address(style, place, reference(resource))
        for place, resource in enumerate(prefetched(request))
        if random.random() < 0.8 and (style != "urn:uuid" or resource["resourceType"] != "Patient")
    }
    for entries in bundles(request):
        for entry in entries:
            assert isinstance(entry, dict)
            resource = entry["resource"]
            assert isinstance(resource, dict)
            entry["fullUrl"] = addresses.get(
                reference(resource), f"{SERVER}/{reference(resource)}"
            ).partition("/_history/")[0]
    prefetch = json.dumps(request["prefetch"])
    for ref, address in addresses.items():
        prefetch = prefetch.replace(f'"reference": "{ref}"', f'"reference": "{address}"')
    request["prefetch"] = json.loads(prefetch)

    assert said(request_of(name, exams)) == said(request)


def _address(style: str, place: int, ref: str) -> str:
    match style:
        case "absolute":
            return f"{SERVER}/{ref}"
        case "versioned":
            return f"{SERVER}/{ref}/_history/7"
        case _:
            return f"urn:uuid:00000000-0000-4000-8000-{place:012d}"


IRRELEVANT: tuple[JsonObject, ...] = (
    {"resourceType": "Immunization", "status": "completed", "vaccineCode": {"text": "influenza"}},
    {"resourceType": "Claim", "status": "active", "diagnosis": [{"sequence": 1}]},
    {"resourceType": "Coverage", "status": "active"},
    {"resourceType": "Provenance", "recorded": "2026-03-16T08:00:00Z"},
    {"resourceType": "NotYetInvented", "code": {"text": "cauda equina syndrome"}},
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "9843-4"}]},
        "effectiveDateTime": "2026-03-10",
        "valueQuantity": {"value": 55, "unit": "cm", "code": "cm"},
    },
    {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "XR knee"},
        "effectiveDateTime": "2026-03-10",
    },
    {"resourceType": "Condition", "code": {"text": "seasonal allergic rhinitis"}},
)
"""Of this patient, and beside the point."""
OF_NO_PATIENT = frozenset({"Patient", "Medication", "Organization", "OperationOutcome"})
"""Not to be made another patient's: an outcome says what a search lacks."""


@EXAMPLES
@given(STORIES, EXAM_LISTS, STORIES, RANDOM)
def test_what_is_irrelevant_or_of_another_patient_changes_nothing(
    name: str, exams: list[JsonObject], other: str, random: Random
) -> None:
    request = request_of(name, exams)
    context = request["context"]
    assert isinstance(context, dict)
    patient: Json = {"reference": f"Patient/{context['patientId']}"}
    stranger: Json = {"reference": "Patient/somebody-else"}
    added: list[JsonObject] = [
        {**raw, "id": f"irrelevant-{place}", "subject": patient, "patient": patient}
        for place, raw in enumerate(IRRELEVANT)
    ]
    for resource in prefetched(request_of(other, EXAMS)):
        if resource["resourceType"] not in {"Patient", "Medication", "Organization"}:
            key = "patient" if "patient" in resource else "subject"
            added.append({**resource, "id": f"other-{len(added)}", key: stranger})
    holders = list(bundles(request))
    for resource in added:
        entries = random.choice(holders)
        entries.insert(random.randint(0, len(entries)), {"resource": resource})

    assert said(request_of(name, exams)) == said(request)
