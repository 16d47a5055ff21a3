"""The loader refuses every folder that is not perfectly well formed, and names file and line."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cds_service.cards.values import PLACEHOLDERS
from cds_service.errors import KnowledgeError
from cds_service.knowledge_loading.conditions import Vocabulary, read_test
from cds_service.knowledge_loading.folders import bundled, digest_of, files_of, find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_loading.parameters import ParameterReader
from cds_service.knowledge_loading.wording import PLACEHOLDER_LENGTHS
from cds_service.knowledge_loading.yaml import Fields, Node, Problems, decimal_of, read_yaml
from cds_service.orders import ImagingProtocol
from cds_service.rule_tests import (
    All,
    Any,
    AttributeIs,
    FactIs,
    FactState,
    Test,
)

HOOKS = Path(__file__).parent.parent / "hooks"
FOLDER = HOOKS / "lumbar-mri"
BAD = Path(__file__).parent / "bad_hooks"
VOCABULARY = Vocabulary(
    facts={"fever", "cough"},
    options={"loud": ("yes", "no")},
    attributes={"priority": ("routine", "stat")},
)


@dataclass(frozen=True)
class Mistake:
    """A patch, and what the loader must say of it."""

    file: str
    replace: str
    by: str
    expect: str
    at: str = ""
    lines_down: int = 0
    has_line: bool = True

    @classmethod
    def read(cls, path: Path) -> "Mistake":
        """Read one file of bad_hooks/."""
        return cls(**yaml.safe_load(path.read_text("utf-8")))

    def apply(self, folder: Path) -> str:
        """Make the mistake; return the `file:line` where it must be reported."""
        path = folder / self.file
        text = path.read_text("utf-8")
        assert self.replace in text, "the patch no longer fits the folder"
        changed = text.replace(self.replace, self.by, 1)
        path.write_text(changed, "utf-8")
        if not self.has_line:
            return f"{folder.name}/{self.file}: "
        start = text.index(self.replace)
        # `at` may begin a few lines above the change.
        until = start + len(self.by) + len(self.at)
        place = changed.rindex(self.at, 0, until) if self.at else start
        line = changed.count("\n", 0, place) + 1 + self.lines_down
        return f"{folder.name}/{self.file}:{line}: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the bundled folder."""
    return Path(shutil.copytree(FOLDER, tmp_path / FOLDER.name))


def problems_of(folder: Path) -> tuple[str, ...]:
    """Return what the loader says against a folder; nothing if it loads."""
    try:
        load_knowledge(folder)
    except KnowledgeError as error:
        return error.problems
    return ()


def members_of(node: Node) -> dict[str, Node]:
    """Return the members of a mapping."""
    assert isinstance(node.value, dict)
    return node.value


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_mistake_is_refused_with_file_line_and_reason(path: Path, folder: Path) -> None:
    mistake = Mistake.read(path)
    place = mistake.apply(folder)

    found = problems_of(folder)

    assert [] != [p for p in found if p.startswith(place) and mistake.expect in p], found


def test_bundled_folder_has_no_problem() -> None:
    assert () == problems_of(FOLDER)


def test_all_problems_are_reported_together(folder: Path) -> None:
    for name in ("unknown-fact", "unknown-kind", "unused-card"):
        Mistake.read(BAD / f"{name}.yaml").apply(folder)

    found = "\n".join(problems_of(folder))

    assert "unknown fact 'leg_weakness'" in found
    assert "unknown kind 'age_guessed'" in found
    assert "no rule shows card 'E4'" in found


def test_folder_under_another_name_is_refused(tmp_path: Path) -> None:
    renamed = Path(shutil.copytree(FOLDER, tmp_path / "knee-mri"))

    assert any("must be 'knee-mri', as the folder is named" in p for p in problems_of(renamed))


@pytest.mark.parametrize("file", ["facts.yaml", "cards.yaml", "statements.csv"])
def test_missing_file_is_named(file: str, folder: Path) -> None:
    (folder / file).unlink()

    assert (f"lumbar-mri/{file}: this file is missing",) == problems_of(folder)


@pytest.mark.parametrize("file", [".DS_Store", "cases/notes.txt", "rules.py"])
def test_file_of_another_type_is_refused(file: str, folder: Path) -> None:
    (folder / file).write_text("x", "utf-8")

    expected = f"lumbar-mri/{file}: only files of these types: .yaml .json .csv .md"

    assert (expected,) == problems_of(folder)


def test_yaml_that_nothing_reads_is_refused(folder: Path) -> None:
    (folder / "decision_tables" / "appropriatenes.yaml").write_text("rules: []\n", "utf-8")

    expected = "lumbar-mri/decision_tables/appropriatenes.yaml: nothing reads a file of this name"

    assert (expected,) == problems_of(folder)


def test_file_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "cards.yaml").write_bytes(b"cards: \xff\n")

    assert "lumbar-mri/cards.yaml: not UTF-8 text" in problems_of(folder)


def test_value_set_that_nothing_uses_is_refused(folder: Path) -> None:
    text = (FOLDER / "value_sets" / "hiv.json").read_text("utf-8").replace('"hiv"', '"hiv-2"')
    text = text.replace("ValueSet/hiv", "ValueSet/hiv-2")
    (folder / "value_sets" / "hiv-2.json").write_text(text, "utf-8")

    found = problems_of(folder)

    reason = "nothing uses this value set; remove it, or say why it stays"

    assert 1 == len(found)
    assert found[0].startswith(f"lumbar-mri/value_sets/hiv-2.json: {reason}")


def test_broken_value_set_is_named(folder: Path) -> None:
    (folder / "value_sets" / "hiv.json").write_text("{", "utf-8")

    assert any(
        p.startswith("lumbar-mri/value_sets/hiv.json: not JSON") for p in problems_of(folder)
    )


def test_statement_that_nothing_carries_needs_a_note(folder: Path) -> None:
    path = folder / "statements.csv"
    reason = "Not said without qualification (K13)."
    text = path.read_text("utf-8")
    statement = next(line.split(",")[0] for line in text.splitlines() if line.endswith(reason))
    path.write_text(text.replace(reason, ""), "utf-8")

    expected = "no rule or card carries it; add it to one, or note why not"

    assert (f"lumbar-mri/statements.csv: {statement}: {expected}",) == problems_of(folder)


def test_choice_that_answers_no_fact_is_refused(folder: Path) -> None:
    path = folder / "facts.yaml"
    text = path.read_text("utf-8")
    changed = text.replace("answers: {activity-unclear: true}", "")
    path.write_text(changed, "utf-8")

    assert changed != text
    assert any("choice 'activity-unclear' answers no fact" in p for p in problems_of(folder))


def test_what_is_found_can_be_named_by_safety_cards_only(folder: Path) -> None:
    path = folder / "cards.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("Last lumbar MRI {prior};", "Last lumbar MRI {found};"), "utf-8")

    assert any("nothing fills {found} here" in p for p in problems_of(folder))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("S009-01,C,Something,E1", "4 columns, must be 5"),
        ("S009-01,M,Something,E1,note", "S009-01: class 'M' is not C, W or X"),
        ("S000-01,C,Something,E1,note", "S000-01 stands twice"),
        ("S009-01,C,,E1,note", "S009-01 says nothing"),
    ],
    ids=["columns", "class", "twice", "empty"],
)
def test_faulty_statement_row_is_named(row: str, problem: str, folder: Path) -> None:
    path = folder / "statements.csv"
    text = path.read_text("utf-8")
    path.write_text(f"{text}{row}\n", "utf-8")

    line = text.count("\n") + 1

    assert (f"lumbar-mri/statements.csv:{line}: {problem}",) == problems_of(folder)


def test_statements_with_other_columns_are_refused(folder: Path) -> None:
    path = folder / "statements.csv"
    path.write_text(path.read_text("utf-8").replace("goes_to", "target", 1), "utf-8")

    expected = "lumbar-mri/statements.csv:1: columns must be id, class, says, goes_to, note"

    assert expected in problems_of(folder)


def test_approval_with_the_right_digest_loads(folder: Path) -> None:
    digest = digest_of(files_of(folder))
    service = folder / "service.yaml"
    signed = f"  state: approved\n  by: A committee\n  on: 2026-04-01\n  digest: {digest}\n"
    service.write_text(service.read_text("utf-8").replace("  state: reference\n", signed), "utf-8")

    approval = load_knowledge(folder).approval

    assert ("approved", "A committee", "2026-04-01") == (approval.state, approval.by, approval.on)


@pytest.mark.parametrize("file", ["REVIEW.md", "CHANGELOG.md"])
def test_pages_about_the_folder_are_not_signed(file: str, folder: Path) -> None:
    before = digest_of(files_of(folder))
    (folder / file).write_text("changed", "utf-8")

    assert before == digest_of(files_of(folder))


@pytest.mark.parametrize("file", ["facts.yaml", "value_sets/hiv.json", "cases/scope.yaml"])
def test_everything_else_is_signed(file: str, folder: Path) -> None:
    before = digest_of(files_of(folder))
    (folder / file).write_bytes((folder / file).read_bytes() + b"\n")

    assert before != digest_of(files_of(folder))


def test_bundled_folder_is_found_without_a_path() -> None:
    found = find_folders()

    assert [("lumbar-mri", True, ())] == [(f.id, f.is_bundled, f.shadows) for f in found]


def test_local_folder_shadows_the_bundled_one_whole(folder: Path) -> None:
    (found,) = find_folders((folder.parent,))

    assert folder == found.folder
    assert str(folder.parent) == found.directory
    assert not found.is_bundled
    assert (str(bundled()),) == found.shadows


def test_first_directory_of_the_path_wins(folder: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(folder, second / folder.name)

    (found,) = find_folders((folder.parent, second))

    assert folder == found.folder
    assert (str(second), str(bundled())) == found.shadows


def test_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="no such directory"):
        find_folders((tmp_path / "nowhere",))


def test_placeholders_are_those_that_the_cards_fill() -> None:
    assert PLACEHOLDERS | {"choice", "found"} == frozenset(PLACEHOLDER_LENGTHS)


def test_thresholds_reach_the_readings_as_numbers() -> None:
    knowledge = load_knowledge(FOLDER)

    (reading,) = knowledge.fact("episode_duration").readings

    assert knowledge.thresholds["conservative_days"].value == getattr(reading, "days", None)


def test_rating_of_all_covers_every_protocol() -> None:
    rules = {rule.id: rule for rule in load_knowledge(FOLDER).appropriateness.rules}

    assert set(ImagingProtocol) == set(rules["G1"].ratings)
    assert ImagingProtocol.UNSPECIFIED not in rules["E1"].ratings


def test_scalars_stay_text() -> None:
    root = read_yaml("a: no\nb: 0721\nc: 2026-03\nd: ''\n", "x.yaml", problems := Problems())

    values = {key: node.value for key, node in members_of(root).items()}

    assert {"a": "no", "b": "0721", "c": "2026-03", "d": ""} == values
    assert [] == problems.found


def test_list_items_are_named_after_their_first_key() -> None:
    root = read_yaml("facts:\n  - fact: fever\n    odd: {deep: [1]}\n", "x.yaml", Problems())

    (fact,) = Fields(root, Problems()).items("facts")
    inner = Fields(fact, Problems()).at("odd")

    assert "facts.fever.odd" == inner.path
    assert 3 == inner.line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: \x00\n", "x.yaml:1: not YAML: a character that YAML does not allow"),
        ("- a\n", "x.yaml:1: must be a mapping, not a list"),
        ("a: [b, c\n", "x.yaml:2: not YAML: did not find expected ',' or ']'"),
    ],
    ids=["control-character", "list", "unclosed"],
)
def test_text_that_is_no_mapping_is_refused(text: str, problem: str) -> None:
    Fields(read_yaml(text, "x.yaml", problems := Problems()), problems)

    assert [problem] == problems.found


def test_missing_provenance_is_named(folder: Path) -> None:
    (folder / "value_sets" / "PROVENANCE.csv").unlink()

    expected = "lumbar-mri/value_sets/PROVENANCE.csv: this file is missing"

    assert (expected,) == problems_of(folder)


def test_decimal_is_read_and_words_are_refused() -> None:
    root = read_yaml("a: -2.5\nb: low\n", "x.yaml", problems := Problems())
    members = Fields(root, problems)

    assert -2.5 == decimal_of(members.at("a"), problems)
    assert 0.0 == decimal_of(members.at("b"), problems)
    assert ["x.yaml:2: b: must be a number, not 'low'"] == problems.found


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Every type of parameter that a fact kind may have."""

    codes: frozenset[str]
    when: Test
    weeks: int | None = None
    limit: float = 0.0


def test_parameters_are_read_by_their_types() -> None:
    problems = Problems()
    text = "codes: [a, b]\nwhen: {fever: true}\nweeks: six\nlimit: 37.5\n"
    reader = ParameterReader({"six": 6}, VOCABULARY, problems)

    built = reader.build(Sample, Fields(read_yaml(text, "x.yaml", problems), problems))

    expected = Sample(
        codes=frozenset({"a", "b"}), when=FactIs("fever", FactState.TRUE), weeks=6, limit=37.5
    )
    assert expected == built
    assert {"six"} == reader.used_thresholds


def test_when_with_several_lines_needs_all_of_them() -> None:
    text = "fever: true\npriority: [stat]\nany: [{cough: unknown}, {cough: strong}]\n"
    problems = Problems()

    test = read_test(read_yaml(text, "x.yaml", problems), VOCABULARY, problems)

    expected = All(
        (
            FactIs("fever", FactState.TRUE),
            AttributeIs("priority", frozenset({"stat"})),
            Any((FactIs("cough", FactState.UNKNOWN), FactIs("cough", FactState.STRONG))),
        )
    )
    assert expected == test
    assert [] == problems.found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "says nothing; name a fact, or leave `when` out"),
        ("any: []", "any needs at least one member"),
        ("[fever]", "must be a mapping of facts to states, not a list"),
        ("fever: [true]", "must be text, not a list"),
        ("priority: stat", "must be a list, not text"),
        ("option.loud: [maybe]", "'maybe' is not one of: yes, no"),
    ],
    ids=["empty", "empty-any", "list", "state-list", "value-text", "option"],
)
def test_faulty_when_is_refused(text: str, problem: str) -> None:
    problems = Problems()

    read_test(read_yaml(text, "x.yaml", problems), VOCABULARY, problems)

    assert [] != [found for found in problems.found if found.endswith(problem)], problems.found


def test_problem_in_a_file_reads_file_line_key_reason() -> None:
    root = read_yaml("a:\n  b: 1\n", "x.yaml", problems := Problems())

    Fields(Fields(root, problems).at("a"), problems).finish()

    assert re.fullmatch(r"x\.yaml:2: a\.b: unknown key; known here: ", problems.found[0])
