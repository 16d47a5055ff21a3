"""The index of a chart leaves out only records that say nothing of a value set."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundled import knowledge
from charts import PATIENT, chart_of, code, resource
from fixture_stories import FIXTURES

from cds_service.fact_kinds.answers import shown_by
from cds_service.fact_kinds.by_set import RecordsBySet
from cds_service.fact_kinds.evidence import value_words
from cds_service.records import Chart, Condition, Observation
from cds_service.terminology import Terminology

SETS = sorted(knowledge().value_sets.ids)


def says_nothing(record: Condition | Observation, set_id: str, terms: Terminology) -> bool:
    """Ask as the fact kinds do, without the index."""
    if terms.in_record(record.concept, record.notes, set_id) is not None:
        return False
    if isinstance(record, Condition):
        return True
    words = value_words(record)
    together = (f"{label} {words}" for label in (record.concept.label, record.exam_label))
    value = record.value.concept
    return (
        not list(shown_by(record, set_id, terms))
        and all(terms.in_words(text, set_id) is None for text in together)
        and (value is None or set_id not in value.sets)
    )


def left_out(chart: Chart) -> Iterator[tuple[Condition | Observation, str]]:
    """Yield each record with each value set for which the index leaves it out and should not."""
    terms = knowledge().terminology.for_call(2026)
    index = RecordsBySet()
    records: tuple[Condition | Observation, ...] = (*chart.conditions, *chart.observations)
    for set_id in SETS:
        kept = {
            *map(id, index.conditions(chart, terms, [set_id])),
            *map(id, index.observations(chart, terms, [set_id])),
        }
        for record in records:
            if id(record) not in kept and not says_nothing(record, set_id, terms):
                yield record, set_id


def of_the_patient(raw: dict[str, object]) -> dict[str, object]:
    return {**raw, "subject": {"reference": f"Patient/{PATIENT}"}}


def resources_in(folder: Path, kinds: set[str]) -> list[dict[str, object]]:
    found = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        entries = content.get("entry", [{"resource": content}])
        found += [
            e["resource"] for e in entries if e.get("resource", {}).get("resourceType") in kinds
        ]
    return found


@pytest.mark.parametrize("kind", ["Observation", "Condition"])
def test_nothing_that_speaks_is_left_out_of_the_charts_of_our_stories(kind: str) -> None:
    raw = resources_in(FIXTURES / "patients", {kind})
    chart = chart_of(*(of_the_patient({**r, "id": f"r{n}"}) for n, r in enumerate(raw)))

    assert len(chart.observations) + len(chart.conditions) > 40
    assert [] == list(left_out(chart))


@pytest.mark.parametrize("kind", ["Observation", "Condition"])
def test_nothing_that_speaks_is_left_out_of_charts_of_others(shared: Path, kind: str) -> None:
    raw = resources_in(shared / "realworld/patients/us-core-examples", {kind})
    chart = chart_of(*(of_the_patient({**r, "id": f"r{n}"}) for n, r in enumerate(raw)))

    assert len(chart.observations) + len(chart.conditions) > 5
    assert [] == list(left_out(chart))


def test_nothing_that_speaks_is_left_out_whatever_stands_where() -> None:
    """Words that name something, cut anywhere into name, body site, value and note."""
    chance = random.Random(20261122)  # noqa: S311 - no secret
    words = sorted(
        stem
        for set_id in SETS
        if (patterns := knowledge().value_sets.patterns(set_id)) is not None
        for stem in patterns.stems
    )
    coded = sorted({(c.system, c.code) for s in SETS for c in knowledge().value_sets.concepts(s)})
    observations = []
    for number in range(600):
        said = " ".join(chance.sample(words, 2)).split(" ")
        cuts = sorted(chance.randrange(len(said) + 1) for _ in range(3))
        name, site, value, note = (
            " ".join(said[a:b]) for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)
        )
        observations.append(
            resource(
                "Observation",
                f"o{number}",
                status="final",
                # A known code keeps name and notes from being read by some facts, not by all.
                code=code(*chance.choice(coded), name)
                if number % 3
                else {"text": name or "Finding"},
                bodySite={"text": site},
                note=[{"text": note}],
                **(
                    {"valueString": value}
                    if number % 2
                    else {"valueCodeableConcept": code(*chance.choice(coded), value)}
                ),
            )
        )

    chart = chart_of(*map(of_the_patient, observations))
    terms = knowledge().terminology.for_call(2026)
    speaking = [o for o in chart.observations for s in SETS if not says_nothing(o, s, terms)]

    assert len(speaking) > 300
    assert [] == list(left_out(chart))
