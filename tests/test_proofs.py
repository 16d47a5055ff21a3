"""The proofs of `knowledge check`: they can fail, and solver and service agree."""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
import yaml
import z3
from answers import with_prefetch
from bundled import knowledge
from click.testing import CliRunner
from fixture_stories import Story, as_of, stories
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.cli import main
from cds_service.clinical_picture import ClinicalPicture
from cds_service.evaluate import evaluate
from cds_service.fact_kinds.combined import UnexplainedBy
from cds_service.findings import Finding, Strength
from cds_service.knowledge import Indicator, Rule
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_proofs.counterexamples import EncodingMismatch, Pair, smallest_state
from cds_service.knowledge_proofs.encoding import Encoded
from cds_service.knowledge_proofs.proofs import ProofReport, prove
from cds_service.knowledge_proofs.space import CONTRAST_OF, Space, dependants, red_flags
from cds_service.knowledge_proofs.states import FINDINGS, UPWARDS, Answer, State
from cds_service.knowledge_proofs.worlds import Term, World
from cds_service.knowledge_review.cases import USUAL_ORDER, judge
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.protocol import parse_request
from cds_service.review_notes import CaseValue
from cds_service.site_file import load_site_file

FOLDER = Path(__file__).parent.parent / "hooks" / "lumbar-mri"
Name = TypeVar("Name", bound=str)
BROKEN = Path(__file__).parent / "broken_tables"
TODAY = date.fromisoformat(as_of())


@dataclass(frozen=True)
class BrokenTable:
    """A change that a site might make to the tables, and the properties that it breaks."""

    says: str
    fails: list[int]
    changes: list[dict[str, str]]

    @classmethod
    def read(cls, path: Path) -> "BrokenTable":
        """Read one file of broken_tables/."""
        found: dict[str, list[dict[str, str]]] = yaml.safe_load(path.read_text("utf-8"))
        return cls(**found)  # type: ignore[arg-type]  # the members are those of the class

    def apply(self, folder: Path) -> None:
        """Make the changes in a copy of the folder."""
        for change in self.changes:
            path = folder / "decision_tables" / f"{change['table']}.yaml"
            path.write_text(changed(path.read_text("utf-8"), change), "utf-8")


def changed(text: str, change: Mapping[str, str]) -> str:
    """Return a table with one rule or brake changed or moved."""
    block = block_of(text, change["rule"])
    if "before" in change:
        target = block_of(text, change["before"])
        return text.replace(block, "").replace(target, block + target)
    assert change["replace"] in block, "the change no longer fits the table"
    return text.replace(block, block.replace(change["replace"], change["by"], 1))


def block_of(text: str, name: str) -> str:
    """Return the lines of one rule or brake."""
    start = rf"^  - (?:rule|brake): {re.escape(name)}\n"
    found = re.search(rf"{start}(?:(?!  - |brakes:|#).*\n|\n)*", text, re.MULTILINE)
    assert found, f"no rule {name}"
    return found.group()


def proved(folder: Path) -> ProofReport:
    """Return what is proved of a folder."""
    return prove(load_knowledge(folder))


def failing(report: ProofReport) -> list[int]:
    """Return the numbers of the properties that fail."""
    return [proof.number for proof in report.proofs if not proof.is_proved]


@cache
def encoded() -> tuple[Encoded, z3.Solver]:
    """Return the bundled tables over one free world, and a solver without constraints."""
    return Encoded(knowledge(), World.free(Space.of(knowledge()))), z3.Solver()


def literals(world: World, state: State) -> Iterator[Term]:
    """Yield what settles every variable of a world."""
    for fact, term in world.facts.items():
        value = state.value_of(fact)
        yield term.is_true == (value in {CaseValue.TRUE, CaseValue.POSSIBLE})
        yield term.is_false == (value in {CaseValue.FALSE, CaseValue.POSSIBLE_FALSE})
        yield term.is_strong == (value in {CaseValue.TRUE, CaseValue.FALSE})
    for said, named in ((state.order, world.attributes), (state.options, world.options)):
        for name, terms in named.items():
            yield from (term == (said[name] == value) for value, term in terms.items())
    yield world.is_unread == state.is_unread


def chosen(terms: Mapping[Name, Term], model: z3.ModelRef) -> list[str]:
    """Return the names whose term holds in a model."""
    return [str(n) for n, t in terms.items() if z3.is_true(model.eval(t, model_completion=True))]


def ids(*rules: Rule | None) -> list[str]:
    """Return the ids of rules."""
    return [rule.id for rule in rules if rule is not None]


def up_to(indicator: Indicator | None) -> list[str]:
    """Return an indicator and all lower ones."""
    levels = list(Indicator)
    return [] if indicator is None else [str(i) for i in levels[: levels.index(indicator) + 1]]


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw a state; most facts are unknown, so that every row is reached now and then."""
    space = encoded()[0].world.space
    values = st.sampled_from([v for v in CaseValue if v is not CaseValue.UNKNOWN])
    likely = {"age": CaseValue.TRUE, "low_back_indication": CaseValue.TRUE}
    facts = draw(st.dictionaries(st.sampled_from(space.facts), values, max_size=12))
    prior = draw(st.sampled_from([(), ("prior_mri", "prior_within_12_months")]))
    order = {name: draw(st.sampled_from(values)) for name, values in space.attributes.items()}
    order["contrast"] = CONTRAST_OF.get(order["protocol"], order["contrast"])
    return State(
        facts={
            **(likely if draw(st.booleans()) else {}),
            **dict.fromkeys(prior, CaseValue.TRUE),
            **facts,
        },
        order=order,
        options={name: draw(st.sampled_from(values)) for name, values in space.options.items()},
        is_unread=draw(st.booleans()),
    )


@settings(max_examples=150)
@given(state=states())
def test_solver_and_service_answer_alike(state: State) -> None:
    tables, solver = encoded()
    answer = Answer.of(knowledge(), state)
    verdict = answer.verdict
    solver.push()
    solver.add(*literals(tables.world, state))
    solver.check()
    model = solver.model()
    solver.pop()

    assert ids(verdict.rule) == chosen(tables.base, model)
    assert ids(verdict.repeat_rule) == chosen(tables.repeat, model)
    assert ids(verdict.protocol_rule) == chosen(tables.contrast, model)
    assert ids(*verdict.safety_rules) == chosen(tables.safety, model)
    assert [brake.id for brake in verdict.brakes] == chosen(tables.brakes, model)
    assert [verdict.rule.row] == chosen(tables.rows, model)
    assert [str(v) for v in [verdict.variant] if v] == chosen(tables.variants, model)
    assert [verdict.rating] == chosen(tables.rating, model)
    assert up_to(verdict.indicator) == chosen(tables.indicator, model)
    assert up_to(verdict.safety_indicator) == chosen(tables.safety_indicator, model)
    assert answer.offers == set(chosen(tables.offers, model))
    assert answer.safety_offers == set(chosen(tables.safety_offers, model))
    flags = {
        "softened": (verdict.is_softened, tables.is_softened),
        "alarm": (bool(answer.alarming), tables.alarm),
        "firm": (answer.has_firm_alarm, tables.firm_alarm),
        "provisional": (verdict.is_provisional, tables.is_provisional),
        "leads": (verdict.repeat_leads, tables.repeat_leads),
        "cancel": (answer.offers_kind("A1"), tables.offers_kind("A1")),
        "rated": (answer.best_score is not None, tables.is_rated),
        "high": ((answer.best_score or 0) >= 2, tables.best_at_least(2)),
        "fair": ((answer.best_score or 0) >= 1, tables.best_at_least(1)),
    }
    assert [name for name, (is_so, _) in flags.items() if is_so] == chosen(
        {name: term for name, (_, term) in flags.items()}, model
    )


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_broken_table_is_refused_for_its_property_and_no_other(path: Path, tmp_path: Path) -> None:
    broken = BrokenTable.read(path)
    folder = Path(shutil.copytree(FOLDER, tmp_path / FOLDER.name))
    broken.apply(folder)

    report = proved(folder)

    assert broken.fails == failing(report), report.failures


def test_every_property_can_fail() -> None:
    fails = [n for path in BROKEN.glob("*.yaml") for n in BrokenTable.read(path).fails]

    assert {1, 2, 3, 4, 5, 6} == set(fails)


def broken_copy(name: str, tmp_path: Path) -> Path:
    """Return a copy of the bundled folder with one file of broken_tables/ applied."""
    folder = Path(shutil.copytree(FOLDER, tmp_path / FOLDER.name))
    BrokenTable.read(BROKEN / f"{name}.yaml").apply(folder)
    return folder


@pytest.mark.parametrize("name", ["cancel-in-an-emergency", "cancer-history-rated-lower"])
def test_counterexamples_are_cases_that_can_be_pasted(name: str, tmp_path: Path) -> None:
    folder = broken_copy(name, tmp_path)
    report = proved(folder)
    (folder / "cases" / "pasted.yaml").write_text(
        "\n".join(("cases:", *report.cases)) + "\n", "utf-8"
    )

    loaded = load_knowledge(folder)
    pasted = [case for case in loaded.cases if case.id.startswith("proof-")]

    assert len(report.cases) == len(pasted) > 0
    assert [] == [text for case in pasted for text in judge(case, loaded).differences]


def test_counterexample_says_no_more_than_it_needs(tmp_path: Path) -> None:
    report = proved(broken_copy("cancel-in-an-emergency", tmp_path))
    found = next(each for each in report.counterexamples if each.key == "a1-in-an-emergency")
    (case,) = yaml.safe_load(f"cases:\n{found.cases[0]}\n")["cases"]

    assert {"cauda_equina": True} == {
        fact: value for fact, value in case["facts"].items() if value != "unknown"
    }
    assert "order" not in case
    assert "unreadable" not in case


def test_unreached_row_is_named_with_the_rows_that_take_its_place(tmp_path: Path) -> None:
    report = proved(broken_copy("row-never-reached", tmp_path))

    expected = (
        "property 1: no combination reaches base row S2: whatever it asks for is decided before by "
    )
    assert [True] == [f"{text}, ".find("S1, ") > 0 for text in report.failures if expected in text]


def test_red_flags_are_all_named_and_what_fails_alike_is_shown_once(tmp_path: Path) -> None:
    report = proved(broken_copy("weak-flags-before-procedures", tmp_path))
    says = "becoming true lowers the rating of the best-rated protocol"

    assert [f"property 4: {flag} {says}" for flag in ("weight_loss", "night_pain")] == [
        text.split(" (")[0] for text in report.failures
    ]
    assert all(text.endswith("→ R4-acp)") for text in report.failures)
    assert 2 * len({text.split(" (")[1] for text in report.failures}) == len(report.cases)


def test_what_the_service_does_not_bear_out_stops_the_proofs() -> None:
    space = Space.of(knowledge())
    state = State(facts={}, order={**USUAL_ORDER, "contrast": "no"}, options={})

    with pytest.raises(EncodingMismatch, match="the service answers as it should"):
        smallest_state(state, space, knowledge(), lambda _: False)


def picture_of(story: Story) -> list[ClinicalPicture]:
    """Return the pictures of the orders of a story, read from its chart."""
    request = with_prefetch(story)
    request.pop("fhirServer", None)
    read = parse_request(
        json.dumps(request).encode(),
        service_hook=str(story.request["hook"]),
        service_id=story.service,
    )
    sources = complete(
        read,
        knowledge(),
        allowed_servers=(),
        reader=FhirReader(),
        budget_seconds=1.0,
        monotonic=time.monotonic,
    )
    outcome = evaluate(
        knowledge(),
        read,
        sources,
        today=TODAY,
        zone=ZoneInfo("UTC"),
        site=load_site_file(story.site_file),
    )
    return [decision.picture for decision in outcome.judged]


def value_of(finding: Finding) -> CaseValue:
    """Return a finding without its evidence."""
    plain = (finding.value, finding.strength)
    return next(v for v, each in FINDINGS.items() if (each.value, each.strength) == plain)


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_a_red_flag_that_becomes_true_moves_other_facts_up_or_not_at_all(story: Story) -> None:
    """What proof 4 assumes of the way in which facts are read."""
    explained = {
        fact.id
        for fact in knowledge().facts
        if any(isinstance(reading, UnexplainedBy) for reading in fact.readings)
    }
    moved_down = []
    for picture in picture_of(story):
        for flag in red_flags(knowledge()):
            if picture.findings[flag].value is not None:
                continue
            after = picture.assuming(flag, value=True)
            moved = {f for f in after if value_of(after[f]) is not value_of(picture.findings[f])}
            assert moved <= dependants(knowledge(), flag) | {flag}
            fallen = {
                fact
                for fact in moved
                if UPWARDS.index(value_of(after[fact]))
                < UPWARDS.index(value_of(picture.findings[fact]))
            }
            rests = {f for each in fallen & explained for f in dependants(knowledge(), each)}
            moved_down += [(flag, fact) for fact in fallen - explained - rests]

    assert [] == moved_down


@pytest.mark.parametrize("story", stories(), ids=lambda story: story.name)
def test_what_a_fact_implies_holds_in_every_chart(story: Story) -> None:
    """What the proofs leave out as impossible (`implies` of facts.yaml)."""
    broken = [
        (fact.id, other)
        for picture in picture_of(story)
        for fact in knowledge().facts
        for other, value in fact.implies.items()
        if not _follows(picture.findings[fact.id], picture.findings[other], value=value)
    ]

    assert [] == broken


def _follows(finding: Finding, other: Finding, *, value: bool) -> bool:
    """Whether a true fact brings the other with it, at least as strongly."""
    if not finding.is_true:
        return True
    return other.value is value and (not finding.is_strong or other.strength is Strength.STRONG)


def test_a_pair_is_consistent_only_if_nothing_else_changes() -> None:
    before = State(facts={"age": CaseValue.TRUE}, order=dict(USUAL_ORDER), options={})
    after = before.with_fact("night_pain", CaseValue.POSSIBLE)
    pair = Pair(
        flag="night_pain",
        before=before,
        after=after,
        rising=frozenset({"low_back_indication"}),
        free=frozenset(),
    )
    changed_order = {**USUAL_ORDER, "priority": "stat"}

    assert pair.is_consistent
    assert replace(pair, after=after.with_fact("low_back_indication", CaseValue.TRUE)).is_consistent
    assert not replace(pair, after=after.with_fact("age", CaseValue.POSSIBLE)).is_consistent
    assert not replace(pair, after=replace(after, order=changed_order)).is_consistent
    assert not replace(pair, after=before).is_consistent


def _check(*options: str) -> tuple[int, str]:
    answer = CliRunner().invoke(main, ["knowledge", "check", *options])
    return answer.exit_code, answer.stdout


def test_check_says_how_to_get_the_solver_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "z3", None)

    _, text = _check()

    assert "z3-solver, a development dependency, is not installed here." in text
    assert "Proved for all combinations" not in text


def test_proofs_can_be_left_out() -> None:
    _, text = _check("--no-proofs")

    assert "left out (--no-proofs)" in text
    assert "Proved for all combinations" not in text


def test_check_reports_the_proofs_for_people_and_for_scripts() -> None:
    _, text = _check()
    _, body = _check("--json")
    proofs = json.loads(body)["proofs"]

    assert re.search(r"over all 5\^\d+ × \d+ ≈ 10\^\d+ combinations; \d+\.\d s", text)
    assert len(Space.of(knowledge()).facts) == proofs["facts"]
    assert [1, 2, 3, 4, 5, 6] == [each["property"] for each in proofs["properties"]]


def test_every_property_of_the_bundled_folder_is_proved() -> None:
    report = proved(FOLDER)

    assert () == report.failures
    assert 60 > report.seconds
