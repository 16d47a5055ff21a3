"""Every case of every knowledge folder ends as its committee wants, and holds what it says."""

from dataclasses import replace
from functools import cache

import pytest

from cds_service.findings import Strength
from cds_service.knowledge import Case, Knowledge, Rating
from cds_service.knowledge_loading.folders import find_folders
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_review.cases import judge
from cds_service.review_notes import CaseValue


@cache
def folders() -> tuple[Knowledge, ...]:
    """Return the knowledge of all bundled folders."""
    return tuple(load_knowledge(found.folder) for found in find_folders())


def case_named(name: str) -> Case:
    """Return a case of the lumbar MRI folder."""
    return next(case for case in folders()[0].cases if case.id == name)


CASES = [
    pytest.param(case, knowledge, id=f"{knowledge.id}/{case.id}")
    for knowledge in folders()
    for case in knowledge.cases
]


@pytest.mark.parametrize(("case", "knowledge"), CASES)
def test_case_ends_as_wanted(case: Case, knowledge: Knowledge) -> None:
    assert () == judge(case, knowledge).differences


def test_wrong_answer_is_named_with_what_was_wanted() -> None:
    case = case_named("ten-days-of-pain")
    wanted = replace(case.expect, rating=Rating.MAY_BE_APPROPRIATE, variant=None)

    differences = judge(replace(case, expect=wanted), folders()[0]).differences

    assert (
        "rating is usually-not-appropriate, wanted may-be-appropriate",
        "variant is 1, wanted none",
    ) == differences


def test_fact_said_to_be_unknown_stays_so_although_it_would_follow() -> None:
    case = case_named("night-pain-without-indication")
    facts = {**case.facts, "low_back_indication": CaseValue.UNKNOWN}

    differences = judge(replace(case, facts=facts), folders()[0]).differences

    assert "rule is G3, wanted R4" in differences


def test_fact_that_follows_from_those_named_is_known() -> None:
    picture = judge(case_named("night-pain-without-indication"), folders()[0]).decision.picture

    assert picture.findings["low_back_indication"].is_true


def test_fact_that_is_named_is_held_whatever_the_others_say() -> None:
    picture = judge(case_named("fever-without-back-pain"), folders()[0]).decision.picture

    assert picture.findings["low_back_indication"].is_false
    assert picture.assuming("night_pain", value=True)["low_back_indication"].is_false


def test_weak_fact_is_possible_and_silence_is_unknown() -> None:
    picture = judge(case_named("immunosuppression-only-possible"), folders()[0]).decision.picture

    assert Strength.POSSIBLE is picture.findings["immunosuppression"].strength
    assert picture.findings["spinal_infection"].value is None
