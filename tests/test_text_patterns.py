"""Text patterns: matching is linear by construction, and stems never hide a match."""

import csv
import io
from pathlib import Path

import pytest

from cds_service.text.clauses import clauses_of
from cds_service.text.patterns import TextPatterns, cost_problem, stems_of
from cds_service.value_sets import ValueSets

TOPIC = Path(__file__).parent.parent / "hooks" / "lumbar-mri"
SETS = ValueSets.load(TOPIC / "value_sets")


def with_patterns() -> dict[str, TextPatterns]:
    return {
        set_id: patterns
        for set_id in sorted(SETS.ids)
        if (patterns := SETS.patterns(set_id)) is not None
    }


def examples(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((TOPIC / "cases" / name).read_text("utf-8"))))


def is_matched(patterns: TextPatterns, text: str) -> bool:
    return any(
        True for clause in clauses_of(text) for _ in patterns.matches(clause.text, clause.parts)
    )


@pytest.mark.parametrize(
    "row", examples("text-examples.csv"), ids=lambda row: f"{row['value_set']}: {row['text']}"
)
def test_pattern_reads_the_example(row: dict[str, str]) -> None:
    assert (
        row["expected"] == str(is_matched(with_patterns()[row["value_set"]], row["text"])).lower()
    )


def test_every_set_with_patterns_has_examples_of_both_kinds() -> None:
    seen = {(row["value_set"], row["expected"]) for row in examples("text-examples.csv")}

    assert {(name, said) for name in with_patterns() for said in ("true", "false")} == seen


@pytest.mark.parametrize("set_id", with_patterns())
def test_patterns_have_no_repeat_that_could_take_more_than_linear_time(set_id: str) -> None:
    patterns = with_patterns()[set_id]

    assert {""} == {cost_problem(p.pattern) for p in (*patterns.includes, *patterns.excludes)}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("pain.*", "without upper bound"),
        ("pain +in", "without upper bound"),
        ("(?:a{2,})b", "without upper bound"),
        ("a(?=b*)", "without upper bound"),
        ("(?:a|b*)", "without upper bound"),
        ("(?:a{0,5}b){0,5}", "variable repeat inside a repeat"),
        ("a{0,500}", "longer than 400"),
    ],
)
def test_pattern_that_may_be_slow_is_named(pattern: str, problem: str) -> None:
    assert problem in cost_problem(pattern)
    with pytest.raises(ValueError, match=problem):
        TextPatterns.compile((pattern,))


@pytest.mark.parametrize("pattern", ["pain", "a?b{0,9}", "(?:foo){2}", "(?:a{2}b){3}", "[ab]{1,9}"])
def test_bounded_pattern_is_accepted(pattern: str) -> None:
    assert cost_problem(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "stems"),
    [
        (r"\bLBP\b", {"lbp"}),
        (r"\b(?:low|lower) back pain", {"low back pain", "lower back pain"}),
        (r"fever(?:s|ish)?", {"fever"}),
        (r"\b(?:sciatica|lumbago)\b", {"sciatica", "lumbago"}),
        (r"(?:ab)?c{0,2}", {""}),
        (r"(?:x|)", {""}),
        (r"[ab]\d", {"a", "b"}),
        (r"[^ab]c?", {""}),
        (r"[a-z]\d", {""}),
        (r"\bS[12] ?/5", {"s1/5", "s1 /5", "s2/5", "s2 /5"}),
        (r"T ?3[89]|soil\w{1,3}", {"t38", "t 38", "t39", "t 39", "soil"}),
        (r"b(?:owel|ladder\w{2}) lea", {"bowel", "bladder"}),
        (r"(?:wxyz){1,2}a", {"wxyz"}),
        (r"(?:pain|painful)", {"pain"}),
    ],
)
def test_stem_is_what_every_match_holds(pattern: str, stems: set[str]) -> None:
    assert stems == stems_of(pattern)


def test_stems_pass_every_text_that_a_pattern_matches() -> None:
    texts = [row["text"] for name in CASES for row in examples(name)]
    matched = [
        (name, text)
        for name, patterns in with_patterns().items()
        for text in texts
        if is_matched(patterns, text)
    ]
    hidden = [
        (name, text)
        for name, text in matched
        if not any(stem in text.lower() for stem in with_patterns()[name].stems)
    ]

    assert len(matched) > 500
    assert [] == hidden


CASES = ("text-examples.csv", "text-reading-examples.csv")


def test_exclude_counts_only_in_the_comma_part_of_the_match() -> None:
    patterns = TextPatterns.compile(("cancer",), ("mother",))

    assert not is_matched(patterns, "mother had cancer")
    assert is_matched(patterns, "mother well, lung cancer")


def test_match_that_starts_inside_another_is_found() -> None:
    patterns = TextPatterns.compile((r"\b(?:EHL|TA)\b.{0,12}2/5",))
    clause = clauses_of("EHL fine, TA 2/5")[0]

    assert [(0, 16), (10, 16)] == list(patterns.matches(clause.text, clause.parts))
