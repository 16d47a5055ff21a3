"""The benchmark's requests, sums and pages. No time is held here: that is for `make bench`."""

import math
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from benchmarks.__main__ import main
from benchmarks.answers_held import problem_of_service
from benchmarks.bare import ENTRIES, answer_to
from benchmarks.figures import added_ms, gains, growth_mb, slope, summaries
from benchmarks.goals import goals
from benchmarks.growth import AXES, Axis, client_with_record, costs
from benchmarks.hook_calls import PATH, HookCall, blood_count, hook_call, usual_calls
from benchmarks.load import _load
from benchmarks.memory import MIX, mixed
from benchmarks.plots import write_plots
from benchmarks.report import BEGIN, END, PAGE, sheets, write_page
from benchmarks.results import (
    BenchmarkFailed,
    GrowthPoint,
    MemorySample,
    Reading,
    Replicas,
    Results,
    Round,
    Start,
    read_results,
    write_results,
)
from click.testing import CliRunner
from flask.testing import FlaskClient
from http_service import NOW, body_of, client

from cds_service import strict_json

TODAY = NOW.date()
TEN_DAYS = "2026-03-06"


def one_round(number: int, target: str, cpu_ms: float, request: str = "medium") -> Round:
    return Round(
        number=number,
        target=target,
        request=request,
        calls=200,
        seconds=4.0,
        cpu_ms=cpu_ms,
        database_cpu_ms=0.0,
        p50_ms=10 * cpu_ms,
        p95_ms=20 * cpu_ms,
        p99_ms=30 * cpu_ms,
        peak_mb=100.0 + number,
    )


ROUNDS = (
    *(one_round(n, "limit", cost) for n, cost in enumerate((1.0, 2.0, 1.0), 1)),
    *(one_round(n, "service", cost) for n, cost in enumerate((3.0, 5.0, 4.0), 1)),
    *(one_round(n, "service, JWT", cost) for n, cost in enumerate((3.2, 5.1, 4.4), 1)),
)
RESULTS = Results(
    about={"commit": "abc"},
    rounds=ROUNDS,
    growth=tuple(
        GrowthPoint(axis="chart", size=size, cpu_ms=size / 10, repeats=3)
        for size in (10, 100, 1000)
    ),
    reading=(
        Reading(observations=200, pages=4, chain_ms=400, ms=800, slowest_ms=900, calls=3),
        Reading(observations=40, pages=1, chain_ms=100, ms=140, slowest_ms=150, calls=3),
    ),
    replicas=(
        Replicas(number=1, database="SQLite", workers=1, calls_per_second=10, p95_ms=1),
        Replicas(number=1, database="SQLite", workers=2, calls_per_second=19, p95_ms=1),
    ),
    starts=(Start(database="new", seconds=9.0), Start(database="there", seconds=1.4)),
    memory=tuple(
        MemorySample(calls=calls, resident_mb=resident, own_mb=50)
        for calls, resident in ((0, 80.0), (10_000, 120.0), (100_000, 131.0))
    ),
)


@pytest.fixture(scope="module")
def to(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """Return the application as the measurement of growth calls it."""
    return client_with_record(tmp_path_factory.mktemp("growth"))


@pytest.mark.parametrize(
    ("name", "resources", "kilobytes"),
    [("small", 10, 10), ("medium", 150, 165), ("large", 2_151, 2_400), ("not ours", 150, 165)],
)
def test_requests_have_the_sizes_of_the_issue(name: str, resources: int, kilobytes: int) -> None:
    call = usual_calls(TODAY)[name]
    message = strict_json.loads(call.body())
    assert isinstance(message, dict)
    prefetch = message["prefetch"]

    assert resources == call.entries
    assert resources == 1 + sum(len(each.get("entry", ())) for each in prefetch.values())
    assert call.size == pytest.approx(kilobytes * 1000, rel=0.15)
    assert call.size == len(call.body())


def test_large_request_has_the_kinds_of_the_issue() -> None:
    prefetch = _message(usual_calls(TODAY)["large"])["prefetch"]

    assert 2_000 == len(prefetch["observations"]["entry"])
    assert 50 == len(prefetch["imagingStudies"]["entry"])
    assert 100 == len(prefetch["conditions"]["entry"])


def test_requests_of_one_seed_are_the_same_and_of_another_differ() -> None:
    calls = usual_calls(TODAY, seed=3)

    assert calls == usual_calls(TODAY, seed=3)
    assert calls["medium"] != usual_calls(TODAY, seed=4)["medium"]


@pytest.mark.parametrize("name", ["small", "medium", "large", "not ours"])
def test_requests_get_the_rows_that_the_benchmark_expects(name: str) -> None:
    call = usual_calls(TODAY)[name]
    answer = client().post(PATH, data=call.body(), content_type="application/json")

    assert 200 == answer.status_code
    assert "" == problem_of_service(call, body_of(answer))


def test_the_pain_of_the_requests_is_ten_days_old() -> None:
    entries = _message(usual_calls(TODAY)["small"])["prefetch"]["conditions"]["entry"]

    assert TEN_DAYS == entries[0]["resource"]["onsetDateTime"]


def test_wrong_answers_are_noticed() -> None:
    """An answer without its row, with an unread source, or without its card fails a run."""
    call = usual_calls(TODAY)["small"]
    key = "org.lumbar-mri-cds.decisions"
    right = {"cards": [{}], "extension": {key: [{"row": "S4a"}]}}
    unread = {"row": "S4a", "unreadable": ["Observation: 503"]}

    assert "" == problem_of_service(call, right)
    assert "rows" in problem_of_service(call, {"cards": []})
    assert "rows" in problem_of_service(call, right | {"extension": {key: [{"row": "S1"}]}})
    assert "unreadable" in problem_of_service(call, right | {"extension": {key: [unread]}})
    assert "0 cards" in problem_of_service(call, right | {"cards": []})


def test_the_limit_counts_what_was_sent() -> None:
    call = usual_calls(TODAY)["medium"]
    answer: Any = strict_json.loads(answer_to(call.body()))

    assert 150 == answer["extension"][ENTRIES]
    assert 1 == len(answer["cards"])


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_growing_requests_are_answered_with_their_row(
    axis: Axis, place: int, to: FlaskClient
) -> None:
    call = axis.call(axis.sizes[place], datetime.now(UTC).date())

    assert 1 == len(costs(to, call, 1))


def test_growing_requests_are_as_long_as_they_say() -> None:
    sizes = {axis.name: axis for axis in AXES}
    chart = sizes["chart"].call(1_000, TODAY)
    orders = sizes["orders"].call(5, TODAY)
    series = _first_study(sizes["series"].call(300, TODAY))
    instances = _first_study(sizes["instances"].call(300, TODAY))
    note = _message(sizes["note"].call(3_000, TODAY))["context"]["draftOrders"]["entry"][0]

    assert 1_000 == chart.entries
    assert 5 == len(_message(orders)["context"]["draftOrders"]["entry"]) == len(orders.rows)
    assert 300 == len(series["series"])
    assert 300 == len(instances["series"][0]["instance"])
    assert 3_000 == len(note["resource"]["note"][0]["text"])


def test_a_wrong_row_fails_the_measurement_of_growth(to: FlaskClient) -> None:
    ours = usual_calls(datetime.now(UTC).date())["small"]
    wrong = HookCall(name="x", before=ours.before, after=ours.after, entries=10, rows=("S1",))

    with pytest.raises(BenchmarkFailed, match="rows"):
        costs(to, wrong, 1)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_slope_is_the_power_of_the_size(power: float) -> None:
    points = [
        GrowthPoint(axis="a", size=size, cpu_ms=3 * size**power, repeats=1)
        for size in (1, 10, 100, 1_000, 10_000)
    ]

    assert slope(points) == pytest.approx(power, abs=1e-9)


def test_slope_is_of_the_upper_half() -> None:
    """The cost of any call hides the growth where sizes are small."""
    points = [
        GrowthPoint(axis="a", size=size, cpu_ms=max(100, size), repeats=1)
        for size in (1, 10, 100, 1_000)
    ]

    assert slope(points) == pytest.approx(1)
    assert math.isnan(slope(points[:1]))


def test_ratios_are_formed_within_a_round_before_the_median() -> None:
    found = {one.target: one for one in summaries(ROUNDS, limit="limit")}
    service = found["service"]

    # 3/1, 5/2 and 4/1; the ratio of the medians would be 4.
    assert (2.5, 3.0, 4.0) == (service.least_ratio, service.ratio, service.most_ratio)
    assert (3.0, 4.0, 5.0) == (service.least_cpu_ms, service.cpu_ms, service.most_cpu_ms)
    assert 1.0 == found["limit"].ratio
    assert 50.0 == service.calls_per_second
    assert 103.0 == service.peak_mb
    assert (40.0, 80.0, 120.0) == (service.p50_ms, service.p95_ms, service.p99_ms)


def test_what_a_token_adds_is_the_median_of_the_differences() -> None:
    added = added_ms(ROUNDS, by="service, JWT", to="service")

    assert {"medium": pytest.approx(0.2)} == added


def test_gains_and_growth_of_memory_are_summed_up() -> None:
    assert {"SQLite": {1: 10, 2: 19}} == gains(RESULTS.replicas)
    assert 11.0 == growth_mb(RESULTS.memory)


def test_goals_say_what_was_reached() -> None:
    reached = {goal.says: goal.is_reached for goal in goals(RESULTS)}

    assert {
        "CPU a call, medium": False,  # 3.0 times the limit
        "JWT adds, medium": True,
        "growth with resources in prefetch": True,
        "reading, longest chain of 4 pages": False,  # 800 ms of 400
        "reading, longest chain of 1 pages": True,
        "start to the first answer": True,  # that of an existing database counts
        "memory of a worker after 10,000 calls": True,
        "memory grows from a tenth of 100,000 calls to the end": False,  # by 11 MB
    } == reached


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(RESULTS, file)

    assert read_results(file) == RESULTS


def test_a_file_with_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"rounds": []}', "utf-8")

    with pytest.raises(BenchmarkFailed, match="no results"):
        read_results(file)


def test_the_page_holds_the_tables_of_each_run_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "PERFORMANCE.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_page([RESULTS, RESULTS], page)
    text = page.read_text("utf-8")

    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert 2 == text.count("| medium | service | 4.00 (3.00–5.00) | 3.00 (2.50–4.00) |")
    assert 2 == text.count("| CPU a call, medium | <= 1.8 x limit | 3.00 | NO |")


def test_the_page_of_the_project_can_take_tables() -> None:
    text = PAGE.read_text("utf-8")

    assert 1 == text.count(BEGIN) == text.count(END)


def test_parts_that_were_not_run_have_no_table() -> None:
    titles = [sheet.title for sheet in sheets(Results(about={"commit": "abc"}))]

    assert ["Where and what"] == titles


def test_plots_are_xml_with_every_target_and_axis(tmp_path: Path) -> None:
    files = write_plots(RESULTS, tmp_path)
    texts = {
        file.stem: {element.text for element in ET.parse(file).iter()}  # noqa: S314  # our own file
        for file in files
    }

    assert {"calls", "growth", "memory"} == set(texts)
    assert {"limit", "service", "service, JWT", "medium"} <= texts["calls"]
    assert "resources in prefetch: 1.00" in texts["growth"]


@pytest.mark.parametrize("wrong", ["bad_status", "broken", "timeouts", "without_token"])
def test_a_load_with_an_answer_that_failed_is_no_result(wrong: str) -> None:
    names = ("calls", "microseconds", "p50", "p95", "p99")
    failures = ("bad_status", "broken", "timeouts", "without_token")
    counts = dict.fromkeys(names, 100) | dict.fromkeys(failures, 0)

    assert 100 == _load(f"RESULT {strict_json.dumps(counts).decode()}", "").calls
    with pytest.raises(BenchmarkFailed):
        _load(f"RESULT {strict_json.dumps(counts | {wrong: 1}).decode()}", "")


def test_a_mix_of_a_hundred_calls_is_spread_evenly() -> None:
    names = [call.name for call in mixed(usual_calls(TODAY))]

    assert MIX == {name: names.count(name) for name in MIX}
    assert names[:10].count("small") in {5, 6, 7}
    assert 40 < names.index("large") < 60


def test_a_draft_that_is_not_ours_is_nobodys_row() -> None:
    call = hook_call("alone", {}, [blood_count()], [])
    answer = client().post(PATH, data=call.body(), content_type="application/json")

    assert "" == problem_of_service(call, body_of(answer))


def test_help_names_every_part() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output

    for part in ("calls", "growth", "reading", "replicas", "start", "memory"):
        assert f"\n  {part} " in shown


def _message(call: HookCall) -> dict[str, Any]:
    message = strict_json.loads(call.body())
    assert isinstance(message, dict)
    return message


def _first_study(call: HookCall) -> dict[str, Any]:
    study: dict[str, Any] = _message(call)["prefetch"]["imagingStudies"]["entry"][0]["resource"]
    return study


def test_the_day_of_the_requests_is_the_one_given() -> None:
    later = usual_calls(date(2027, 1, 11))["small"]

    assert b'"onsetDateTime":"2027-01-01"' in later.after
