"""The synthetic charts and stories: valid FHIR, consistent, each row with a near miss."""

import json
import re
import uuid
from collections import Counter
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from fixture_stories import (
    FIXTURES,
    PREFETCH_KEYS,
    STORY_FILES,
    Json,
    JsonObject,
    Story,
    apply_change,
    as_of,
    drafts_of,
    prefetched,
    reference,
    request_resources,
    stories,
)

BASE_ROWS = (
    *("G0", "G1", "G2", "G3", "G4", "E1", "E2", "E3"),
    *("R1", "R2", "R3", "R4", "R5", "R6", "R6s", "P1", "P2"),
    *("S1", "S2", "S2n", "S3x", "S3", "S4a", "S4b", "S4c", "S6"),
)
PLAIN = [s for s in stories() if not s.based_on]
VARIANTS = [s for s in stories() if s.based_on]
OWN = [s for s in PLAIN if not s.name.startswith("synthea-")]
PLANS = {"occurrenceDateTime", "occurrencePeriod"}
OVERLAYS = (
    *("RI0", "RI1", "RI2", "RI2u", "RI3", "RI4a", "RI4b", "RI4c", "RI5", "RI6a", "RI6b", "RI6c"),
)
SAFETY_ROWS = ("SF1", "SF2", "SF3", "SF4", "SF5", "SF6", "SF7")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?=T|$)")


def ids(told: list[Story]) -> list[str]:
    return [s.name for s in told]


def story(name: str) -> Story:
    return next(s for s in stories() if s.name == name)


def rows(told: Story) -> set[str]:
    return {e.row for e in told.expected}


def texts(value: Json) -> list[str]:
    """Return every string of a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for member in value.values() for text in texts(member)]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []


def parse(resource: JsonObject) -> None:
    get_fhir_model_class(str(resource["resourceType"])).model_validate(resource)


@pytest.mark.parametrize("told", PLAIN, ids=ids(PLAIN))
def test_every_resource_of_a_plain_story_is_valid_r4b(told: Story) -> None:
    for resource in (*told.resources, *request_resources(told.request)):
        parse(resource)


@pytest.mark.parametrize("told", VARIANTS, ids=ids(VARIANTS))
def test_every_resource_that_a_variant_changes_is_valid_r4b(told: Story) -> None:
    base = story(told.based_on)
    before = [*base.resources, *request_resources(base.request)]
    changed = [r for r in (*told.resources, *request_resources(told.request)) if r not in before]

    for resource in changed:
        parse(resource)


@pytest.mark.parametrize("told", VARIANTS, ids=ids(VARIANTS))
def test_a_variant_differs_from_its_story(told: Story) -> None:
    base = story(told.based_on)

    assert (base.chart, base.request, base.site_file) != (
        told.chart,
        told.request,
        told.site_file,
    )


def test_a_change_that_meets_nothing_is_refused() -> None:
    told = stories()[0]

    with pytest.raises(LookupError, match="Condition/nobody: no such resource"):
        apply_change({"in": "Condition/nobody", "remove": "/code"}, told.chart, told.request)


def test_names_of_stories_are_unique() -> None:
    counted = Counter(s.name for s in stories())

    assert [] == [name for name, times in counted.items() if times > 1]


def test_readme_names_every_story() -> None:
    readme = (FIXTURES / "README.md").read_text("utf-8")

    assert [] == [s.name for s in stories() if f"`{s.name}`" not in readme]


def test_readme_names_no_story_that_does_not_exist() -> None:
    readme = (FIXTURES / "README.md").read_text("utf-8")
    listed = re.findall(r"^ *- `([a-z0-9-]+)` \(", readme, re.MULTILINE)

    assert [s.name for s in stories() if s.name not in listed] == []
    assert [name for name in listed if name not in {s.name for s in stories()}] == []


def test_every_file_belongs_to_a_story() -> None:
    listed = "".join((FIXTURES / file).read_text("utf-8") for file in STORY_FILES)
    files = sorted(p.relative_to(FIXTURES).as_posix() for p in FIXTURES.rglob("*.json"))

    others = ("server/", "collection/")
    assert [] == [f for f in files if f" {f}\n" not in listed and not f.startswith(others)]


def test_ids_are_unique_over_all_charts() -> None:
    counted = Counter(reference(r) for s in PLAIN for r in s.resources)

    assert [] == [ref for ref, times in counted.items() if times > 1]


def test_draft_ids_are_unique_and_in_no_chart() -> None:
    charts = {reference(r) for s in PLAIN for r in s.resources}
    drafts = Counter(reference(r) for s in PLAIN for r in drafts_of(s.request))

    assert [] == [ref for ref, times in drafts.items() if times > 1 or ref in charts]


def test_hook_instances_are_unique_uuids() -> None:
    instances = [str(s.request["hookInstance"]) for s in PLAIN]

    assert len(instances) == len({uuid.UUID(i) for i in instances})


def test_anchor_date_is_named_in_the_readme() -> None:
    assert as_of() in (FIXTURES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("told", PLAIN, ids=ids(PLAIN))
def test_drafts_are_written_on_the_anchor_date(told: Story) -> None:
    dates = {str(d["authoredOn"])[:10] for d in drafts_of(told.request) if "authoredOn" in d}

    assert {as_of()} == dates


@pytest.mark.parametrize("told", stories(), ids=ids(list(stories())))
def test_nothing_is_dated_after_the_anchor_date(told: Story) -> None:
    days = {
        day.group()
        for resource in (*told.resources, *request_resources(told.request))
        for text in texts(without_plans(resource))
        if (day := DAY.match(text))
    }

    assert [] == sorted(day for day in days if day > as_of())


def without_plans(resource: JsonObject) -> JsonObject:
    """Return the resource without what may lie in the future: when an order is to be done."""
    if resource["resourceType"] == "Appointment":
        return {}
    return {name: value for name, value in resource.items() if name not in PLANS}


@pytest.mark.parametrize("told", OWN, ids=ids(OWN))
def test_chart_is_tagged_as_test_data(told: Story) -> None:
    untagged = [r["id"] for r in (told.chart, *told.resources) if "HTEST" not in texts(r["meta"])]

    assert [] == untagged


@pytest.mark.parametrize("told", stories(), ids=ids(list(stories())))
def test_prefetch_says_what_the_chart_says(told: Story) -> None:
    chart = {reference(r): r for r in told.resources}
    prefetch = told.request.get("prefetch", {})
    assert isinstance(prefetch, dict)
    sent = [r for r in prefetched(told.request) if r["resourceType"] != "OperationOutcome"]

    assert set(PREFETCH_KEYS) >= set(prefetch)
    assert [] == [reference(r) for r in sent if chart[reference(r)] != r]


@pytest.mark.parametrize("told", PLAIN, ids=ids(PLAIN))
def test_request_is_about_the_patient_of_the_chart(told: Story) -> None:
    context = told.request["context"]
    assert isinstance(context, dict)
    patients = [r["id"] for r in told.resources if r["resourceType"] == "Patient"]

    assert patients == [str(context["patientId"]).removeprefix("Patient/")]


@pytest.mark.parametrize("told", PLAIN, ids=ids(PLAIN))
def test_request_can_be_answered_from_prefetch_or_from_a_server(told: Story) -> None:
    prefetch = told.request.get("prefetch", {})
    assert isinstance(prefetch, dict)

    assert "fhirServer" in told.request or set(PREFETCH_KEYS) == set(prefetch)


def test_charts_come_by_prefetch_by_server_and_by_both() -> None:
    ways = {("prefetch" in s.request, "fhirServer" in s.request) for s in PLAIN}

    assert {(True, False), (False, True), (True, True)} == ways


@pytest.mark.parametrize("row", BASE_ROWS)
def test_every_base_row_has_a_story(row: str) -> None:
    assert [s.name for s in stories() if row in rows(s)]


@pytest.mark.parametrize("row", BASE_ROWS)
def test_every_base_row_has_a_near_miss(row: str) -> None:
    families = [
        (story(s.based_on), s)
        for s in VARIANTS
        if (row in rows(s)) != (row in rows(story(s.based_on)))
    ]

    assert families


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_has_a_story_and_a_near_miss(overlay: str) -> None:
    with_overlay = {s.name for s in stories() if overlay in overlays(s)}
    near = [s for s in VARIANTS if (s.name in with_overlay) != (s.based_on in with_overlay)]

    assert with_overlay
    assert [s.name for s in near if overlays(s) or overlays(story(s.based_on))]


@pytest.mark.parametrize("row", SAFETY_ROWS)
def test_every_safety_row_has_a_story_and_a_near_miss(row: str) -> None:
    with_row = {s.name for s in stories() if any(row in (e.safety or ()) for e in s.expected)}

    assert with_row
    assert [s.name for s in VARIANTS if (s.name in with_row) != (s.based_on in with_row)]


def overlays(told: Story) -> set[str]:
    return {
        "none" if "overlay" in e.left_out else str(e.members.get("overlay", ""))
        for e in told.expected
    } - {""}


def test_rows_are_base_rows() -> None:
    assert set(BASE_ROWS) == {row for s in stories() for row in rows(s) if row}


def test_demo_shows_about_a_dozen_plain_stories() -> None:
    demo = [s for s in stories() if s.is_demo]

    assert 12 <= len(demo) <= 15
    assert [] == [s.name for s in demo if s.based_on]
    assert 2 == len([s for s in demo if s.name.startswith("synthea-")])
    assert 2 <= len([s for s in demo if "prefetch" not in s.request])
    assert 2 <= len([s for s in demo if "fhirServer" not in s.request])


def test_at_least_twelve_charts_are_as_long_as_real_ones() -> None:
    assert 12 <= len([s for s in OWN if 20 <= len(s.resources) <= 60])


def test_synthea_charts_are_unchanged(shared: Path) -> None:
    copies = sorted((FIXTURES / "synthea").glob("*.json"))
    origin = shared / "realworld" / "patients" / "synthea-bulk"

    assert 2 == len(copies)
    assert [] == [p.name for p in copies if p.read_bytes() != (origin / p.name).read_bytes()]


def test_files_are_two_space_json() -> None:
    files = [*(FIXTURES / "patients").glob("*.json"), *(FIXTURES / "requests").rglob("*.json")]

    assert [] == [
        p.name
        for p in files
        if p.read_text("utf-8")
        != json.dumps(json.loads(p.read_text("utf-8")), indent=2, ensure_ascii=False) + "\n"
    ]
