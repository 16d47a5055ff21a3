"""Reading of words: every example of the clinical folder, and the rules that they rest on."""

import csv
import io
import time
from pathlib import Path

import pytest

from cds_service.text.patterns import ReadingOption, TextPatterns
from cds_service.text.reading import TextState, read_text
from cds_service.value_sets import ValueSets

TOPIC = Path(__file__).parent.parent / "hooks" / "lumbar-mri"
SETS = ValueSets.load(TOPIC / "value_sets")
EXAMPLES = list(
    csv.DictReader(io.StringIO((TOPIC / "cases" / "text-reading-examples.csv").read_text("utf-8")))
)
FEVER = TextPatterns.compile((r"\bfever\b",))


def patterns_of(set_id: str) -> TextPatterns:
    patterns = SETS.patterns(set_id)
    assert patterns is not None
    return patterns


@pytest.mark.parametrize("row", EXAMPLES, ids=lambda row: f"{row['value_set']}: {row['text']}")
def test_words_are_read_as_the_example_says(row: dict[str, str]) -> None:
    assert row["expected"] == read_text(row["text"], patterns_of(row["value_set"])).state


def test_examples_of_the_decision_table_are_all_there(shared: Path) -> None:
    given = (shared / "knowledge" / "text-reading-examples.csv").read_text("utf-8")
    kept = (TOPIC / "cases" / "text-reading-examples.csv").read_text("utf-8")

    assert kept.startswith(given)


@pytest.mark.parametrize("row", EXAMPLES, ids=lambda row: f"{row['value_set']}: {row['text']}")
def test_case_of_letters_does_not_matter(row: dict[str, str]) -> None:
    # "PT" and "CES" are read in any case, so a typist's capitals change nothing.
    patterns = patterns_of(row["value_set"])

    assert row["expected"] == read_text(row["text"].upper(), patterns).state
    assert row["expected"] == read_text(row["text"].lower(), patterns).state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("fever", TextState.CURRENT),
        ("no fever. fever since yesterday", TextState.CURRENT),
        ("h/o fever. ?fever", TextState.SUSPECTED),
        ("no fever. h/o fever", TextState.HISTORY),
        ("no fever. denies fever", TextState.NEGATED),
        ("", TextState.NONE),
        (" \n ", TextState.NONE),
        ("cough", TextState.NONE),
    ],
)
def test_supportive_words_win_over_others_in_the_same_text(text: str, state: TextState) -> None:
    assert state is read_text(text, FEVER).state


@pytest.mark.parametrize(
    "text",
    [
        "no cough\nfever",
        "no cough\r\nfever",
        "no cough; fever",
        "no cough. fever",
        "no cough.fever",
        "no cough but fever",
        "no cough, however fever",
        "no cough! fever",
        "no cough • fever",
        "no cough\u2028fever",
    ],
)
def test_negation_ends_with_the_clause(text: str) -> None:
    assert TextState.CURRENT is read_text(text, FEVER).state


def test_decimal_point_ends_no_clause() -> None:
    assert TextState.NEGATED is read_text("no wbc of 12.5 or fever", FEVER).state


def test_typographic_signs_are_read_as_plain_ones() -> None:
    patterns = TextPatterns.compile((r"\bpt's fever\b",))

    assert TextState.NEGATED is read_text("no\u00a0pt\u2019s fever", patterns).state


def test_clause_that_decided_is_given_as_written() -> None:
    reading = read_text("No cough. Patient\u2019s  Fever 39.2 today; tired", FEVER)

    assert "Patient\u2019s  Fever 39.2 today" == reading.clause


def test_only_the_first_2000_characters_are_read() -> None:
    assert TextState.CURRENT is read_text("x" * 1994 + " fever", FEVER).state
    assert TextState.NONE is read_text("x" * 1995 + " fever", FEVER).state


@pytest.mark.parametrize(
    ("text", "year", "state"),
    [
        ("fever 2026", None, TextState.HISTORY),
        ("fever 2026", 2026, TextState.CURRENT),
        ("fever 2025", 2026, TextState.HISTORY),
        ("fever 12/2025", 2026, TextState.CURRENT),
        ("fever dec 2025", 2026, TextState.CURRENT),
        ("fever 12/2024", 2026, TextState.HISTORY),
        ("fever since 2019", 2026, TextState.CURRENT),
    ],
)
def test_year_is_history_once_it_is_over(text: str, year: int | None, state: TextState) -> None:
    assert state is read_text(text, FEVER, this_year=year).state


@pytest.mark.parametrize(
    ("option", "text", "plain", "with_option"),
    [
        (ReadingOption.NAMES_ONLY, "no fever", TextState.NEGATED, TextState.CURRENT),
        (ReadingOption.NAMES_ONLY, "fever 2019", TextState.HISTORY, TextState.CURRENT),
        (ReadingOption.COMPLAINT, "no cough, fever", TextState.NEGATED, TextState.CURRENT),
        (ReadingOption.COMPLAINT, "no cough, or fever", TextState.NEGATED, TextState.NEGATED),
        (ReadingOption.COMPLAINT, "denies cough, fever", TextState.NEGATED, TextState.NEGATED),
        (ReadingOption.EVENT, "s/p fever", TextState.HISTORY, TextState.CURRENT),
        (ReadingOption.EVENT, "s/p fever 2019", TextState.HISTORY, TextState.HISTORY),
        (ReadingOption.LASTING, "h/o fever", TextState.HISTORY, TextState.CURRENT),
        (ReadingOption.LASTING, "fever resolved", TextState.HISTORY, TextState.HISTORY),
        (ReadingOption.LASTING, "no fever", TextState.NEGATED, TextState.NEGATED),
    ],
)
def test_reading_option_changes_what_it_says_and_no_more(
    option: ReadingOption, text: str, plain: TextState, with_option: TextState
) -> None:
    patterns = TextPatterns.compile((r"\bfever\b",), options=(option,))

    assert plain is read_text(text, FEVER).state
    assert with_option is read_text(text, patterns).state


def test_exam_names_are_read_without_negation_in_all_sets_of_exams() -> None:
    exams = {
        set_id
        for set_id in SETS.ids
        if (patterns := SETS.patterns(set_id)) is not None
        and ReadingOption.NAMES_ONLY in patterns.options
    }

    assert {
        "egfr-labs",
        "lumbar-body-site",
        "lumbar-mri-multiregion",
        "lumbar-mri-unspecified",
        "lumbar-mri-with",
        "lumbar-mri-without",
        "lumbar-mri-without-and-with",
        "mr-modality",
    } == exams


def seconds_to_read(texts: list[str], patterns: TextPatterns) -> float:
    """Return the least processor time of three, to be rid of what else the machine does."""
    measured = []
    for _ in range(3):
        begin = time.process_time()
        for text in texts:
            read_text(text, patterns)
        measured.append(time.process_time() - begin)
    return min(measured)


@pytest.mark.parametrize("set_id", sorted({row["value_set"] for row in EXAMPLES}))
def test_reading_hostile_text_takes_time_in_proportion_to_its_length(set_id: str) -> None:
    seeds = ["no " + row["text"] for row in EXAMPLES if row["value_set"] == set_id][:6]
    flat = [seed.replace(".", " ").replace(";", " ").replace("\n", " ") + ", " for seed in seeds]
    long = [(seed * 2000)[:2000] for seed in flat]
    short = [(seed * 2000)[:250] for seed in flat]

    # Eight times the text: about 8 if linear, 64 if quadratic.
    assert (
        32
        > seconds_to_read(long, patterns_of(set_id))
        / seconds_to_read(short * 4, patterns_of(set_id))
        * 4
    )
