"""Part 2: how the cost of a call grows with each thing that can be long.

In this process through Flask's test client, with the record in SQLite: what HTTP costs does not
depend on what the body says. The bodies stay inside the bounds beyond which the service answers 413
(`PERFORMANCE.md`: 20,000 entries of an array, 50 orders of ours); its limit on the size of a
body is raised, because 20,000 resources have 22 MB.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from bundled import knowledge
from flask.testing import FlaskClient

from benchmarks.answers_held import problem_of_service
from benchmarks.databases import Record, sqlite_url
from benchmarks.hook_calls import MEDIUM, PATH, ROW, HookCall, hook_call, lumbar_mri
from benchmarks.patients import ChartBuilder, Resource
from benchmarks.results import BenchmarkFailed, GrowthPoint
from cds_service.app import create_app
from cds_service.rates import UNLIMITED
from cds_service.settings import ClientAuth, Settings
from cds_service.store.database import Database

_MOST_BYTES = 256 * 1024 * 1024
_OF_PAIN = "The patient reports dull low back pain, worse when bending. "
_SENTENCES = (
    "No fever, no chills, no trauma, no weight loss, no history of cancer. ",
    "Strength is full in both legs, reflexes are symmetric, sensation is intact. ",
    "Gait is normal; straight leg raise is negative on both sides. ",
    "Advised to stay active, heat, and to return if the pain goes on. ",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that can be long."""

    name: str
    unit: str
    sizes: Sequence[int]
    call: Callable[[int, date], HookCall]
    """The call of a size."""


def chart_call(size: int, today: date) -> HookCall:
    """Return a call whose chart has so many resources, mixed as the medium one is."""
    total = sum(MEDIUM.values())
    counts = {key: count * (size - 1) // total for key, count in MEDIUM.items()}
    # What rounding leaves over; the condition is the back pain itself.
    counts["conditions"] = max(counts["conditions"], 1)
    counts["observations"] += size - 1 - sum(counts.values())
    chart = ChartBuilder(today).chart(counts)
    return hook_call(f"{size} resources", chart, [lumbar_mri()], [ROW])


def drafts_call(size: int, today: date) -> HookCall:
    """Return a call with so many draft orders of ours."""
    chart = ChartBuilder(today).chart(MEDIUM)
    drafts = [lumbar_mri(number) for number in range(1, size + 1)]
    return hook_call(f"{size} orders", chart, drafts, [ROW] * size)


def series_call(size: int, today: date) -> HookCall:
    """Return a call in whose chart one study has so many series."""
    chart = ChartBuilder(today).chart(MEDIUM)
    study = chart["imagingStudies"][0]
    study["series"] = [_series(study, number) for number in range(1, size + 1)]
    study["numberOfSeries"] = size
    return hook_call(f"{size} series", chart, [lumbar_mri()], [ROW])


def instances_call(size: int, today: date) -> HookCall:
    """Return a call in whose chart one series has so many instances."""
    chart = ChartBuilder(today).chart(MEDIUM)
    study = chart["imagingStudies"][0]
    series = _series(study, 1)
    sop_class = {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.4"}
    series["instance"] = [
        {"uid": f"{series['uid']}.{number}", "sopClass": sop_class, "number": number}
        for number in range(1, size + 1)
    ]
    study["series"] = [series]
    return hook_call(f"{size} instances", chart, [lumbar_mri()], [ROW])


def report_call(size: int, today: date) -> HookCall:
    """Return a call in whose chart a report has so many characters."""
    chart = ChartBuilder(today).chart(MEDIUM)
    chart["diagnosticReports"][1]["conclusion"] = clinical_text(size)
    return hook_call(f"report of {size}", chart, [lumbar_mri()], [ROW])


def note_call(size: int, today: date) -> HookCall:
    """Return a call in which the note of the order has so many characters."""
    chart = ChartBuilder(today).chart(MEDIUM)
    return hook_call(f"note of {size}", chart, [lumbar_mri(note=clinical_text(size))], [ROW])


def notes_call(size: int, today: date) -> HookCall:
    """Return a call in whose chart all conditions have notes, of so many characters together."""
    chart = ChartBuilder(today).chart(MEDIUM)
    each = size // len(chart["conditions"])
    for number, condition in enumerate(chart["conditions"]):
        initials = f"Visit {chr(ord('A') + number)}: "
        # Pain in the note of an old problem would be an old pain, and another row.
        text = clinical_text(each - len(initials), of_pain=number == 0)
        condition["note"] = [{"text": initials + text}]
    return hook_call(f"notes of {size}", chart, [lumbar_mri()], [ROW])


def clinical_text(size: int, *, of_pain: bool = True) -> str:
    """Return so many characters that speak of back pain, or not, and of nothing that alarms."""
    once = _OF_PAIN * of_pain + "".join(_SENTENCES)
    return (once * (size // len(once) + 1))[:size]


def _series(study: Resource, number: int) -> dict[str, object]:
    (modality,) = json.loads(json.dumps(study["modality"]))
    uid = f"1.2.840.99999.7.{number}"
    return {"uid": uid, "number": number, "modality": modality, "description": f"SERIES {number}"}


_TEXT_SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
_MANY = (1, 10, 100, 300, 1_000, 3_000, 10_000)

AXES: Sequence[Axis] = (
    Axis(
        name="chart",
        unit="resources in prefetch",
        sizes=(10, 30, 100, 300, 1_000, 3_000, 10_000, 20_000),
        call=chart_call,
    ),
    Axis(
        name="orders",
        unit="draft lumbar MRI orders",
        sizes=(1, 2, 5, 10, 20, 35, 50),
        call=drafts_call,
    ),
    Axis(name="series", unit="series of one ImagingStudy", sizes=_MANY, call=series_call),
    Axis(name="instances", unit="instances of one series", sizes=_MANY, call=instances_call),
    Axis(name="report", unit="characters of one report", sizes=_TEXT_SIZES, call=report_call),
    Axis(name="note", unit="characters of the order's note", sizes=_TEXT_SIZES, call=note_call),
    Axis(name="notes", unit="characters of 15 notes", sizes=_TEXT_SIZES, call=notes_call),
)
UNITS: Mapping[str, str] = {axis.name: axis.unit for axis in AXES}


def measure_growth(
    today: date, folder: Path, say: Callable[[str], None], *, repeats: int
) -> tuple[GrowthPoint, ...]:
    """Return the cost at every size of every axis."""
    client = client_with_record(folder)
    record = Record(sqlite_url(folder))
    points: list[GrowthPoint] = []
    decisions = 0
    for axis in AXES:
        for size in axis.sizes:
            call = axis.call(size, today)
            cost = statistics.median(costs(client, call, repeats))
            decisions += len(call.rows) * (repeats + 1)
            points.append(
                GrowthPoint(axis=axis.name, size=size, cpu_ms=cost * 1000, repeats=repeats)
            )
            say(f"growth, {size:,} {axis.unit}: {cost * 1000:.1f} ms CPU a call")
    if record.rows_since(0) != {ROW: decisions}:
        message = f"growth: {dict(record.rows_since(0))} recorded for {decisions} decisions"
        raise BenchmarkFailed(message)
    return tuple(points)


def client_with_record(folder: Path) -> FlaskClient:
    """Return a client of the application in this process, with its record in a new SQLite file."""
    settings = Settings(
        client_auth=ClientAuth.OFF,
        rate_limit=UNLIMITED,
        max_body_bytes=_MOST_BYTES,
        time_budget_ms=30_000,
        database_url=sqlite_url(folder),
    )
    # As `serve` does: the tables are there before the first call.
    Database(settings.store_url, monotonic=time.monotonic).prepare()
    return create_app(
        settings, knowledge=knowledge(), clock=lambda: datetime.now(UTC)
    ).test_client()


def costs(client: FlaskClient, call: HookCall, repeats: int) -> list[float]:
    """Return the processor time of each of so many calls (seconds), after one that warms.

    Raises BenchmarkFailed if an answer is not the expected one.
    """
    spent = []
    for number in range(repeats + 1):
        body = call.body(f"{number:08x}-0000-4000-8000-000000000000")
        gc.collect()
        began = time.process_time()
        answer = client.post(PATH, data=body, content_type="application/json")
        content = answer.get_data()
        spent.append(time.process_time() - began)
        problem = (
            problem_of_service(call, json.loads(content))
            if answer.status_code == 200
            else f"status {answer.status_code}, {content[:300]!r}"
        )
        if problem:
            message = f"a wrong answer to the call `{call.name}`: {problem}"
            raise BenchmarkFailed(message)
    return spent[1:]
