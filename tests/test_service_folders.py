"""What holds of every knowledge folder: proved by cases, fresh review page, sound prefetch."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from bundled import knowledge

from cds_service.fact_kinds import FACT_KINDS
from cds_service.knowledge import Knowledge, Procedure, Rating, Rule
from cds_service.knowledge_review.check import CheckReport, check, statements_carried
from cds_service.knowledge_review.page import review_page
from cds_service.knowledge_review.words import KINDS
from cds_service.orders import ImagingProtocol
from cds_service.rule_tests import ALWAYS

HOOKS = Path(__file__).parent.parent / "hooks"
FOLDER = HOOKS / "lumbar-mri"

# FHIR R4 search parameters of each resource that need no code or date (R-PRE-08).
SEARCHES = {
    "Condition": {"patient"},
    "Observation": {"patient"},
    "ImagingStudy": {"patient"},
    "DiagnosticReport": {"patient"},
    "Procedure": {"patient"},
    "ServiceRequest": {"patient"},
    "MedicationRequest": {"patient"},
    "AllergyIntolerance": {"patient"},
    "Device": {"patient"},
}
CONTROLS = {"_count", "_sort"}
TOKENS = {"context.patientId", "context.userId", "context.encounterId"}


@cache
def report() -> CheckReport:
    """Return what `knowledge check` says of it."""
    return check(knowledge())


@cache
def page() -> str:
    """Return its review page."""
    return review_page(knowledge())


def with_rule(changed: Callable[[Rule], Rule], rule_id: str) -> Knowledge:
    """Return the knowledge with one base rule changed."""
    table = knowledge().appropriateness
    rules = tuple(changed(rule) if rule.id == rule_id else rule for rule in table.rules)
    return replace(knowledge(), appropriateness=replace(table, rules=rules))


def without_cases(*names: str) -> Knowledge:
    """Return the knowledge without some cases."""
    kept = tuple(case for case in knowledge().cases if case.id not in names)
    return replace(knowledge(), cases=kept)


def test_bundled_folder_passes_its_check() -> None:
    assert () == report().failures
    assert report().is_passed


def test_every_rule_has_a_case_and_a_near_miss() -> None:
    rules = [rule.id for rule in knowledge().rules]

    assert rules == [text.split(":")[0] for text in report().near_misses]


def test_report_says_what_was_checked_and_what_cannot_be() -> None:
    text = report().as_text()

    assert f"{len(knowledge().cases)} of {len(knowledge().cases)} cases end as they should." in text
    assert "cases name facts, not dates" in text
    assert text.endswith("\nPassed.")


def test_report_names_numbers_that_no_fact_reads() -> None:
    idle = replace(knowledge().thresholds["fever_days"], is_read=False)
    changed = {**knowledge().thresholds, "fever_days": idle}

    found = check(replace(knowledge(), thresholds=changed))

    assert any(
        "No fact reads these numbers" in text and "fever_days" in text for text in found.limits
    )


def test_report_as_json_says_the_same() -> None:
    read = json.loads(report().as_json())

    assert read["passed"] is True
    assert [] == read["failures"]
    assert list(report().checked) == read["checked"]


def test_check_names_a_case_that_ends_elsewhere() -> None:
    changed = with_rule(lambda rule: replace(rule, is_provisional=True), "E1")

    found = check(changed)

    expected = "case cauda-equina-suspected-routine-order: provisional is yes, wanted no"
    assert expected in found.failures
    assert not found.is_passed
    assert "Every case ends as it should." not in found.checked
    assert f"  - {expected}" in found.as_text()


def test_check_names_a_rule_without_case() -> None:
    found = check(
        without_cases(
            "weight-loss-at-a-site-that-follows-the-acp",
            "weight-loss-in-pregnancy-at-a-site-that-follows-the-acp",
        )
    )

    assert "rule R4-acp: no case ends here" in found.failures


def test_check_names_a_rule_without_near_miss() -> None:
    kept = tuple(case for case in knowledge().cases if case.id == "several-regions")

    found = check(replace(knowledge(), cases=kept))

    assert "rule G4: no near miss, that is a case differing in one thing" in found.failures
    assert "card E1: no case shows it" in found.failures


def test_check_names_a_sentence_that_no_case_shows() -> None:
    found = check(without_cases("fall-in-pregnancy"))

    expected = (
        "card R6: no case shows “Pregnancy is on record: studies with ionising radiation are not "
        "proposed here.”"
    )
    assert expected in found.failures


def test_check_names_a_summary_that_is_cut_when_shown() -> None:
    wording = knowledge().wording
    card = replace(wording.cards["G3"], summary="word " * 30)
    changed = replace(wording, cards={**wording.cards, "G3": card})

    found = check(replace(knowledge(), wording=changed))

    expected = "case no-indication: the summary is too long and is cut: word word"
    assert any(failure.startswith(expected) for failure in found.failures)


def test_check_names_a_rating_against_the_acr() -> None:
    def lower(rule: Rule) -> Rule:
        rated = {**rule.ratings, ImagingProtocol.WITHOUT: Rating.MAY_BE_APPROPRIATE}
        return replace(rule, ratings=rated)

    expected = "rule E1: without is may-be-appropriate, in variant 4 of the ACR usually-appropriate"

    assert expected in check(with_rule(lower, "E1")).failures


def test_check_names_a_study_that_the_acr_advises_against() -> None:
    def with_film(rule: Rule) -> Rule:
        return replace(rule, alternatives=("radiography",))

    expected = "rule E1: proposes radiography, in variant 4 usually not appropriate"

    assert expected in check(with_rule(with_film, "E1")).failures


def test_every_computable_statement_is_carried_or_excluded_with_a_reason() -> None:
    carried = statements_carried(knowledge())
    computable = [s for s in knowledge().statements if s.kind == "C"]

    assert [] == [s.id for s in computable if s.id not in carried and not s.note]


def test_statements_are_those_of_the_inventory(shared: Path) -> None:
    inventory = (shared / "knowledge" / "rules.md").read_text("utf-8")
    rows = re.findall(r"^\| (S\d{3}-\d{2}) \| .+ \| ([CWX])\b[^|]* \|", inventory, re.MULTILINE)

    assert 165 == len(rows)
    assert rows == [(s.id, s.kind) for s in knowledge().statements]


def test_every_reference_is_cited_or_a_seed() -> None:
    cited = {source for rule in knowledge().rules for source in rule.sources}

    assert set() == {r for r in knowledge().references if r not in cited} - {
        "seed-001",
        "seed-004",
    }


def test_review_page_is_fresh() -> None:
    written = (FOLDER / "REVIEW.md").read_text("utf-8")

    assert page() == written, "run `cds-service knowledge review --write`"


def test_review_page_shows_every_fact_rule_card_case_and_statement() -> None:
    text = page()
    names = [
        *(f"(`{fact.id}`, {fact.number})" for fact in knowledge().facts),
        *(f". {rule.id}" for rule in knowledge().appropriateness.rules),
        *(f"| {rule.id}" for rule in knowledge().protocol.rules),
        *(f"### Card {card}" for card in knowledge().wording.cards),
        *(f"| {case.id} |" for case in knowledge().cases),
        *(f"| {statement.id} |" for statement in knowledge().statements),
        *(f"[{note.id}]" for note in knowledge().value_set_notes),
    ]

    assert [] == [name for name in names if name not in text]


def test_review_page_ends_with_where_every_statement_ends() -> None:
    last = page().rsplit("\n## ", 1)[1]
    cells = [row.split(" | ") for row in last.splitlines() if row.startswith("| S")]

    assert last.startswith("Where every clinical statement ends")
    assert 165 == len(cells)
    assert [] == [row for row in cells if not row[-1].removesuffix("|").strip()]


def test_review_tables_have_as_many_cells_in_every_row() -> None:
    width = 0
    uneven = []
    for line in page().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        width = width or cells
        if cells != width:
            uneven.append(line)

    assert [] == uneven


def test_review_page_writes_pipes_and_angle_brackets_as_text() -> None:
    cases = (replace(knowledge().cases[0], says="a | b <script> c\nd"),)

    text = review_page(replace(knowledge(), cases=cases))

    assert "| a \\| b &lt;script> c d |" in text


def test_every_fact_kind_has_words_for_the_committee() -> None:
    assert set(FACT_KINDS) == set(KINDS)


def test_committee_guide_names_every_file_of_the_folder() -> None:
    guide = (HOOKS / "README.md").read_text("utf-8")
    named = {
        f"{path.relative_to(FOLDER).parts[0]}/"
        if path.parent.name in {"cases", "value_sets"}
        else str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*")
        if path.is_file()
    }

    assert [] == sorted(name for name in named if name not in guide)


@pytest.mark.parametrize(
    "template", knowledge().services[0].prefetch.values(), ids=knowledge().prefetch_types
)
def test_prefetch_template_is_a_plain_r4_query(template: str) -> None:
    """R-PRE-01, R-PRE-02, R-PRE-03, R-PRE-07, R-PRE-08."""
    tokens = set(re.findall(r"\{\{(.*?)\}\}", template))
    kind, _, query = template.partition("?")
    parameters = {pair.partition("=")[0] for pair in query.split("&")} if query else set()

    assert {"context.patientId"} == tokens & TOKENS == tokens
    assert template == "Patient/{{context.patientId}}" or parameters <= SEARCHES[kind] | CONTROLS


def test_both_hooks_ask_for_the_same_data() -> None:
    select, sign = knowledge().services

    assert ("order-select", "lumbar-mri-order-select") == (select.hook, select.id)
    assert ("order-sign", "lumbar-mri-order-sign") == (sign.hook, sign.id)
    assert select.prefetch == sign.prefetch


def test_emergency_rows_never_offer_to_cancel_defer_or_wait() -> None:
    forbidden = {"A1", "A2", "A5", "A7"}
    rules = [r for r in knowledge().appropriateness.rules if r.row in {"E1", "E2", "R1"}]

    assert [] == [r.id for r in rules if forbidden & {s.kind for s in r.suggestions}]


def test_studies_with_radiation_are_offered_only_outside_pregnancy() -> None:
    offers = [s for r in knowledge().appropriateness.rules for s in r.suggestions if s.kind == "A2"]

    assert [] != offers
    assert all(s.when != ALWAYS and "pregnant" in repr(s.when) for s in offers)


def test_acr_table_holds_the_facts_of_the_source(shared: Path) -> None:
    """Compared cell by cell with the project's reading of the ACR table."""
    source = (shared / "knowledge" / "acr-low-back-pain.md").read_text("utf-8")
    short = {
        Rating.USUALLY_APPROPRIATE: "UA",
        Rating.MAY_BE_APPROPRIATE: "MBA",
        Rating.USUALLY_NOT_APPROPRIATE: "UNA",
    }
    rows = {
        cells[0]: cells
        for line in source.splitlines()
        if len(cells := [c.strip() for c in line.strip("|").split("|")]) == 9
    }

    def of_source(procedure: Procedure) -> list[str]:
        name = procedure.label.replace("lumbar spine", "lumbar")
        return [re.findall(r"UNA|MBA|UA", cell)[0] for cell in rows[name][2:]]

    assert {p.id: of_source(p) for p in knowledge().procedures} == {
        p.id: [short[p.ratings[n]] for n in knowledge().variants] for p in knowledge().procedures
    }
