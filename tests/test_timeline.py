"""The timeline of a decision: complete, well-formed, readable by everybody, harmless."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring
from zoneinfo import ZoneInfo

import pytest
from answers import with_prefetch
from bundled import knowledge
from charts import TODAY, day
from decided import FINDINGS, decided, found
from findings_of import CPT, ICD, condition, decision
from fixture_stories import Story, as_of, stories

from cds_service.decision import Decision
from cds_service.evaluate import evaluate
from cds_service.fact_kinds.care import ConservativeCare
from cds_service.fact_kinds.prior_imaging import PriorExamWithin
from cds_service.fact_kinds.reading import FactKind
from cds_service.fhir_dates import DateInterval, Precision, unknown_date
from cds_service.knowledge import Knowledge
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.protocol import parse_request
from cds_service.site_file import load_site_file
from cds_service.strict_json import dumps
from cds_service.timeline.axis import Axis
from cds_service.timeline.contents import MOST_ENTRIES, timeline_of
from cds_service.timeline.drawing import WIDTH, drawn, timeline_svg
from cds_service.timeline.records import Entry, Lane, Shape, Timeline
from cds_service.timeline.words import sentences, timeline_text

LUMBAR_STUDY = {
    "resourceType": "ImagingStudy",
    "status": "available",
    "modality": [{"code": "MR"}],
    "procedureCode": [{"coding": [{"system": CPT, "code": "72148"}]}],
}
NAMES = [story.name for story in stories()][::13]
"""Every thirteenth story, of each row some: all 515 would take a minute."""


@cache
def reader() -> FhirReader:
    """Return a reader that is never asked: no server is allowed."""
    return FhirReader()


@cache
def judged(name: str) -> tuple[Decision, ...]:
    """Return the decisions of a story."""
    (story,) = (story for story in stories() if story.name == name)
    return _judged(story)


def _judged(story: Story) -> tuple[Decision, ...]:
    request = with_prefetch(story)
    parsed = parse_request(
        dumps(request),
        service_hook=str(request["hook"]),
        service_id=f"lumbar-mri-{request['hook']}",
    )
    sources = complete(
        parsed,
        knowledge(),
        allowed_servers=(),
        reader=reader(),
        budget_seconds=1.0,
        monotonic=time.monotonic,
    )
    return evaluate(
        knowledge(),
        parsed,
        sources,
        today=date.fromisoformat(as_of()),
        zone=ZoneInfo("UTC"),
        site=load_site_file(story.site_file),
    ).judged


def parsed_svg(svg: str) -> Element:
    """Parse a picture of ours; the parser refuses what is not well-formed."""
    return fromstring(svg)  # noqa: S314 - written by us; entities are refused below


def _plain(svg: str) -> str:
    return " ".join("".join(parsed_svg(svg).itertext()).split())


def _elements(root: Element) -> Iterator[tuple[str, Element]]:
    for element in root.iter():
        yield element.tag.removeprefix("{http://www.w3.org/2000/svg}"), element


@pytest.mark.parametrize("name", NAMES)
def test_each_story_has_a_picture_on_its_canvas_with_every_date_of_its_decision(name: str) -> None:
    for one in judged(name):
        svg = timeline_svg(knowledge(), one)
        root = parsed_svg(svg)

        assert_on_canvas(root)
        words = _plain(svg)
        for exam in one.history.exams:
            assert exam.when.fhir in words
        for fact in knowledge().facts:
            finding = one.picture.findings[fact.id]
            if fact.is_internal or finding.value is None:
                continue
            for evidence in finding.evidence:
                assert evidence.when is None or evidence.when.fhir in words


def assert_on_canvas(root: Element) -> None:
    """Every mark, line and word lies within the viewBox, as far as its start and its room tell."""
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    assert width == WIDTH
    for tag, element in _elements(root):
        if tag in {"svg", "pattern"} or "patternUnits" in element.attrib:
            continue
        places = {name: float(v) for name, v in element.attrib.items() if name in _PLACES}
        across = [v for name, v in places.items() if name in {"x", "x1", "x2", "cx"}]
        down = [v for name, v in places.items() if name in {"y", "y1", "y2", "cy"}]
        if tag == "rect":
            across.append(places["x"] + places["width"])
            down.append(places["y"] + places["height"])
        if tag == "polygon":
            for point in element.attrib["points"].split():
                x, y = map(float, point.split(","))
                across.append(x)
                down.append(y)
        assert all(0 <= x <= width for x in across), element.attrib
        assert all(0 <= y <= height for y in down), element.attrib


_PLACES = frozenset({"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"}) - {""}


def test_no_two_words_or_marks_of_the_lanes_share_a_row() -> None:
    """Each entry has a row of its own, so nothing in a lane can overlap."""
    (one,) = judged("lumbar-mri-before-therapy-of-41-days")
    root = parsed_svg(timeline_svg(knowledge(), one))

    groups = [element for tag, element in _elements(root) if tag == "g"]
    rows = [
        float(text.attrib["y"])
        for group in groups
        for tag, text in _elements(group)
        if tag == "text"
    ]
    assert len(groups) == 11
    assert sorted(set(rows)) == rows
    assert min(b - a for a, b in pairwise(rows)) >= 30


def test_who_cannot_see_it_is_told_the_same() -> None:
    (one,) = judged("lumbar-mri-before-therapy-of-41-days")
    root = parsed_svg(timeline_svg(knowledge(), one))

    by_id = {
        element.attrib["id"]: element for _, element in _elements(root) if "id" in element.attrib
    }
    title, description = (by_id[name] for name in root.attrib["aria-labelledby"].split())
    assert root.attrib["role"] == "img"
    assert title.text == "Timeline: MRI without contrast, 2026-03-16"
    assert description.text is not None
    assert "Earlier MRI: MRI 2025-11-10, without contrast, ImagingStudy." in description.text
    assert "Conservative care: Physical therapy evaluation, given 2026-02-03;" in description.text
    assert "Shaded: last 6 weeks: care begun in here is still too short" in description.text


def test_the_picture_needs_nothing_from_elsewhere_and_does_nothing() -> None:
    (one,) = judged("lumbar-mri-before-therapy-of-41-days")
    root = parsed_svg(timeline_svg(knowledge(), one))

    assert {tag for tag, _ in _elements(root)} <= {
        *("svg", "title", "desc", "defs", "pattern", "rect", "line", "text", "g"),
        *("circle", "polygon", "path"),
    }
    for _, element in _elements(root):
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in {"href", "style", "class"}
            assert "url(" not in value or value.startswith("url(#timeline-")
        assert element.attrib.get("fill", "black") in {"black", "white", "none"} or (
            element.attrib["fill"].startswith("url(#")
        )


HOSTILE = "</text><script>alert(1)</script>&x; \x00\x1b\u202e\ufffe " + "W" * 3000


def test_hostile_text_stays_text() -> None:
    pain = condition(ICD, "M54.50", onsetDateTime="2026-03-06")
    pain["code"]["text"] = HOSTILE
    study = {**LUMBAR_STUDY, "started": "2025-11-10", "description": HOSTILE}

    one = decision(pain, study, reasonCode=[{"text": f"low back pain {HOSTILE}"}])
    svg = timeline_svg(knowledge(), one)
    root = parsed_svg(svg)

    assert "script" not in {tag for tag, _ in _elements(root)}
    assert "<!" not in svg
    assert "\u202e" not in svg
    assert "< /text>< script>alert(1)" in _plain(svg)
    assert_on_canvas(root)


@pytest.mark.parametrize("code", [0x0, 0x8, 0xB, 0x1F, 0xFFFE, 0xFFFF, 0xD800])
def test_characters_that_xml_cannot_hold_are_dropped_wherever_they_come_from(code: int) -> None:
    entry = Entry(label=f"pain{chr(code)}ful", shape=Shape.EVENT)
    lanes = (Lane(title="Back pain", undated=(entry,)),)
    picture = Timeline(title="t", verdict="v", today=TODAY, lanes=lanes, windows=())

    assert "painful" in _plain(drawn(picture))


def test_an_exam_without_a_date_is_listed_at_the_side() -> None:
    one = decision(LUMBAR_STUDY)

    (lane,) = (lane for lane in timeline_of(knowledge(), one).lanes if lane.title == "Earlier MRI")
    assert not lane.dated
    assert "MRI without a date, without contrast, ImagingStudy" in lane.undated[0].label
    assert "MRI without a date" in _plain(timeline_svg(knowledge(), one))


@pytest.mark.parametrize(
    ("when", "hatched"),
    [
        ("2025", True),
        ("2025-11", True),
        ("2025-11-10", False),
    ],
)
def test_a_date_that_is_wide_is_drawn_wide(when: str, *, hatched: bool) -> None:
    svg = timeline_svg(knowledge(), decision({**LUMBAR_STUDY, "started": when}))

    assert ("-hatch)" in svg) is hatched
    assert f"MRI {when}," in _plain(svg)


def test_a_bound_is_open_to_the_left() -> None:
    bound = DateInterval(None, date(2026, 1, 12), Precision.UPPER_BOUND, "recordedDate")
    site, one = decided({**FINDINGS["S4c"], "cancer_history": found("History", when=bound)})

    line = next(x for x in timeline_text(timeline_of(site, one)).splitlines() if "History" in x)
    assert "<~~~" in line
    assert "by 2026-01-12" in line


def test_what_has_no_date_at_all_is_not_put_on_the_line() -> None:
    site, one = decided({"cancer_history": found("History", when=unknown_date(TODAY))})

    (flags,) = (lane for lane in timeline_of(site, one).lanes if lane.title == "Red flags")
    assert [] == list(flags.dated)
    assert "history of cancer: History" == flags.undated[0].label


def test_windows_follow_the_parameters_of_the_knowledge() -> None:
    """A site that asks for eight weeks of care, or looks nine months back, sees that."""

    def changed(kind: FactKind) -> FactKind:
        if isinstance(kind, PriorExamWithin) and kind.months == 12:
            return replace(kind, months=9)
        if isinstance(kind, ConservativeCare):
            return replace(kind, days=56)
        return kind

    base = knowledge()
    facts = tuple(
        replace(fact, readings=tuple(changed(r) for r in fact.readings)) for fact in base.facts
    )
    site: Knowledge = replace(base, facts=facts)
    (one,) = judged("lumbar-mri-before-therapy-of-41-days")

    labels = [window.label for window in timeline_of(site, one).windows]
    assert labels[0].startswith("last 9 months")
    assert labels[1].startswith("last 8 weeks")


def test_the_edges_of_the_windows_are_those_of_the_rules() -> None:
    """Care of the 42nd day is long enough; an MRI of the day twelve months ago is no repeat."""
    (one,) = judged("lumbar-mri-before-therapy-of-41-days")

    repeat, care = timeline_of(knowledge(), one).windows
    assert repeat.first == date(2025, 3, 17)
    assert care.first == TODAY - timedelta(days=41)


def test_fifteen_years_and_single_days_are_both_readable() -> None:
    old, edge = date(2011, 2, 1), TODAY - timedelta(days=41)
    axis = Axis.over([old], breaks=[edge, date(2025, 3, 17)], today=TODAY, left=0, right=600)

    assert axis.place(old) == 0
    assert axis.place(date(2012, 2, 1)) - axis.place(old) > 10
    assert axis.place(edge + timedelta(days=1)) - axis.place(edge) > 4
    assert axis.place(TODAY) == 600


def test_what_is_planned_lies_beyond_today() -> None:
    planned = (TODAY + timedelta(days=20)).isoformat()
    pain = condition(ICD, "M54.50", onsetDateTime="2026-03-06")
    one = decision(pain, occurrenceDateTime=planned)

    text = timeline_text(timeline_of(knowledge(), one))
    assert re.search(r"▲\S*·+\s+Today 2026-03-16", text)
    assert re.search(r"◇  planned for 2026-04-05", text)


def test_what_could_not_be_read_is_said() -> None:
    one = decision(unread={"ImagingStudy": "503"})

    told = timeline_of(knowledge(), one)
    (lane,) = (lane for lane in told.lanes if lane.title == "Earlier MRI")
    assert lane.silence == "nothing found; not all was read"
    assert "Not read: ImagingStudy: 503" in sentences(told)
    assert "Not read: ImagingStudy: 503" in _plain(drawn(told))


def test_a_thousand_entries_become_forty_and_a_count() -> None:
    texts = tuple(
        found(f"Visit {n}", when=day((TODAY - timedelta(days=n)).isoformat())).evidence[0]
        for n in range(1000)
    )
    site, one = decided({"cancer_history": replace(found(), evidence=texts)})

    (flags,) = (lane for lane in timeline_of(site, one).lanes if lane.title == "Red flags")
    assert len(flags.dated) == MOST_ENTRIES
    assert flags.dated[-1].label.endswith("Visit 0")
    assert flags.more == "and 960 more"
    assert_on_canvas(parsed_svg(timeline_svg(site, one)))
