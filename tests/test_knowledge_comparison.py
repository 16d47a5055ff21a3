"""`knowledge compare`: what differs between two folders, and which answers change."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from bundled import knowledge
from click.testing import CliRunner, Result
from test_proofs import BROKEN, FOLDER, BrokenTable, block_of

from cds_service.cli import main
from cds_service.knowledge_comparison.comparison import ComparisonReport, compare
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_review.cases import judge

NEW_NUMBER_AND_OPTION = """  - {threshold: sleep_days, value: 7, unit: days, says: Sleep, source: x}

options:
  - {option: sleep_card, value: none, choices: [none, info], says: Sleep}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the bundled folder."""
    return Path(shutil.copytree(FOLDER, tmp_path / FOLDER.name))


def edit(folder: Path, file: str, replace: str, by: str) -> None:
    """Replace a text, once, in a file of a folder."""
    path = folder / file
    text = path.read_text("utf-8")
    assert replace in text, "the change no longer fits the folder"
    path.write_text(text.replace(replace, by, 1), "utf-8")


def compared(folder: Path) -> ComparisonReport:
    """Compare the bundled folder with a changed copy."""
    return compare(knowledge(), load_knowledge(folder))


def content_of(report: ComparisonReport) -> list[str]:
    """Return the differences of content."""
    return [each for section in report.content for each in section.differences]


def regions_of(report: ComparisonReport) -> list[str]:
    """Return the changes over the fact space."""
    return [region.says for region in report.regions or ()]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["knowledge", "compare", *arguments])


def test_a_folder_is_the_same_as_its_copy(folder: Path) -> None:
    report = compared(folder)

    assert report.is_same
    assert "Every combination of facts is answered alike" in report.as_text()


def test_row_that_moved_is_shown_by_every_pair_of_rows_that_change(folder: Path) -> None:
    BrokenTable.read(BROKEN / "emergency-behind-cancer.yaml").apply(folder)

    report = compared(folder)

    assert "base row is R3, was E2" in regions_of(report)
    assert "base row is E2, was R3" not in regions_of(report)
    assert any("order of the rules is another" in each for each in content_of(report))
    assert report.changed_cases


def test_examples_are_cases_that_can_be_pasted(folder: Path) -> None:
    BrokenTable.read(BROKEN / "emergency-behind-cancer.yaml").apply(folder)
    examples = [region.case for region in compared(folder).regions or ()]
    (folder / "cases" / "pasted.yaml").write_text("\n".join(("cases:", *examples)) + "\n", "utf-8")

    loaded = load_knowledge(folder)
    pasted = [case for case in loaded.cases if case.id.startswith("changed-")]

    assert len(examples) == len(pasted) > 0
    assert [] == [text for case in pasted for text in judge(case, loaded).differences]


def test_changes_within_a_row_are_shown(folder: Path) -> None:
    table = folder / "decision_tables" / "appropriateness.yaml"
    text = table.read_text("utf-8")
    block = block_of(text, "S4a")
    softer = block.replace("{is: warning}", "{is: info}").replace("      - {kind: A1}\n", "")
    table.write_text(text.replace(block, softer), "utf-8")

    found = regions_of(compared(folder))

    assert "indicator of S4a is info, was warning" in found
    assert "warning against the order of S4a is no, was yes" in found
    assert "offer A1 of S4a is no, was yes" in found
    assert [] == [says for says in found if says.startswith("base row")]


def test_rating_that_changed_is_shown_by_row(folder: Path) -> None:
    BrokenTable.read(BROKEN / "cancer-history-rated-lower.yaml").apply(folder)

    assert "rating of R3 is may-be-appropriate, was usually-appropriate" in regions_of(
        compared(folder)
    )


def test_safety_row_that_changed_is_shown(folder: Path) -> None:
    edit(
        folder,
        "decision_tables/safety.yaml",
        '{contrast: ["yes"], low_egfr: true}',
        '{contrast: ["yes"], low_egfr: strong}',
    )

    found = regions_of(compared(folder))

    assert "safety row SF2 is no, was yes" in found
    assert "safety row SF2-code is yes, was no" in found
    assert "indicator of the safety card is none, was warning" in found
    assert [] == [says for says in found if "row is" in says]


def test_number_that_changed_is_named_with_the_facts_that_read_it(folder: Path) -> None:
    edit(folder, "facts.yaml", "conservative_days, value: 42", "conservative_days, value: 28")

    report = compared(folder)

    assert any(each.startswith("threshold conservative_days is 28") for each in content_of(report))
    assert any(each.startswith("fact conservative_care: now reads") for each in content_of(report))
    assert () == report.regions


def test_codes_and_words_of_a_value_set_are_named(folder: Path) -> None:
    path = folder / "value_sets" / "weight-loss.json"
    content = json.loads(path.read_text("utf-8"))
    listed = next(i for i in content["compose"]["include"] if "concept" in i)["concept"]
    code = listed.pop()["code"]
    path.write_text(json.dumps(content), "utf-8")

    found = [each for each in content_of(compared(folder)) if "value set weight-loss" in each]

    assert any(each.startswith("value set weight-loss: without code") for each in found)
    assert any(each.endswith(f"|{code}") for each in found)


def test_what_is_new_or_gone_is_named(folder: Path) -> None:
    """Once from each side: what one folder adds, the other lacks."""
    edit(folder, "facts.yaml", "options:\n", NEW_NUMBER_AND_OPTION)
    edit(folder, "facts.yaml", "value_sets: [night-pain]", "value_sets: [night-pain, sleep]")
    of_night_pain = (folder / "value_sets" / "night-pain.json").read_text("utf-8")
    sleep = of_night_pain.replace("night-pain", "sleep")
    (folder / "value_sets" / "sleep.json").write_text(sleep, "utf-8")
    edit(folder, "cards.yaml", "phrases:\n", 'phrases:\n  sleep: "Sleep well"\n')
    table = folder / "decision_tables" / "safety.yaml"
    block = block_of(table.read_text("utf-8"), "SF6")
    table.write_text(
        table.read_text("utf-8").replace(block, block + block.replace("SF6\n", "SF6-again\n", 1)),
        "utf-8",
    )
    changed = load_knowledge(folder)

    added = content_of(compare(knowledge(), changed))
    removed = content_of(compare(changed, knowledge()))

    for name in (
        "threshold sleep_days",
        "option sleep_card",
        "value set sleep",
        "phrase sleep",
        "safety: rule SF6-again",
    ):
        assert any(each.startswith(f"{name}: added") for each in added), name
        assert any(each.startswith(f"{name}: removed") for each in removed), name


def test_wording_that_changed_is_quoted(folder: Path) -> None:
    edit(folder, "cards.yaml", "Back pain < {weeks}", "Back pain under {weeks}")

    assert any("“Back pain under {weeks}" in each for each in content_of(compared(folder)))


def test_option_that_changed_is_named(folder: Path) -> None:
    edit(folder, "facts.yaml", "weak_cancer_flags, value: acr", "weak_cancer_flags, value: acp")

    report = compared(folder)

    assert any(each.startswith("option weak_cancer_flags is acp") for each in content_of(report))
    assert any("rule is R4-acp, was R4" in each.changes for each in report.changed_cases)
    assert () == report.regions


def test_fact_on_one_side_only_is_unknown_on_the_other(folder: Path) -> None:
    facts = folder / "facts.yaml"
    new = """  - fact: fear_of_movement
    number: "-"
    says: The patient fears to move.
    label: fear of movement
    readings:
      - {kind: all_facts, facts: [pediatric, elderly]}

"""
    text = facts.read_text("utf-8").replace("  - fact: pregnant\n", f"{new}  - fact: pregnant\n", 1)
    facts.write_text(text, "utf-8")
    edit(
        folder,
        "decision_tables/appropriateness.yaml",
        "care_in_progress: not_true, episode_duration: strong}",
        "care_in_progress: not_true, episode_duration: strong, fear_of_movement: not_true}",
    )

    there = compared(folder)
    back = compare(load_knowledge(folder), knowledge())

    assert "base row is S4c, was S4a" in regions_of(there)
    assert "base row is S4a, was S4c" in regions_of(back)
    assert any(each.startswith("fact fear_of_movement: added") for each in content_of(there))
    assert any("fear_of_movement: true" in region.case for region in there.regions or ())


def test_exit_code_says_whether_something_differs(folder: Path) -> None:
    assert 0 == _run("lumbar-mri", str(folder)).exit_code

    edit(folder, "cards.yaml", "Back pain < {weeks}", "Back pain under {weeks}")

    assert 1 == _run("lumbar-mri", str(folder)).exit_code


def test_report_for_scripts_says_the_same(folder: Path) -> None:
    BrokenTable.read(BROKEN / "cancer-history-rated-lower.yaml").apply(folder)

    answer = _run("lumbar-mri", str(folder), "--json")
    body = json.loads(answer.stdout)

    assert 1 == answer.exit_code
    assert body["same"] is False
    assert any("rating of R3" in region["says"] for region in body["regions"])
    assert "Wording" in body["content"]
    assert len(body["changedCases"]) <= body["cases"]


@pytest.mark.parametrize("place", ["knee-mri", "./nowhere"])
def test_folder_that_is_not_there_is_bad_input(place: str) -> None:
    answer = _run("lumbar-mri", place)

    assert 2 == answer.exit_code
    assert f"{place}: neither a knowledge folder nor the id of a bundled one" in answer.stderr


def test_without_the_solver_cases_and_content_are_compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)
    BrokenTable.read(BROKEN / "cancer-history-rated-lower.yaml").apply(folder)

    report = compared(folder)

    assert report.regions is None
    assert report.changed_cases
    assert "z3-solver, a development dependency, is not installed here" in report.as_text()


def test_examples_have_different_names(folder: Path) -> None:
    BrokenTable.read(BROKEN / "emergency-behind-cancer.yaml").apply(folder)
    text = "\n".join(("cases:", *(region.case for region in compared(folder).regions or ())))
    names = [case["case"] for case in yaml.safe_load(text)["cases"]]

    assert len(names) == len(set(names))
