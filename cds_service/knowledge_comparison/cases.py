"""The cases of both folders, put to both: which answers change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cds_service.knowledge import Case, Knowledge
from cds_service.knowledge_review.cases import JudgedCase, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedCase:
    """A case that the two folders answer differently."""

    case: str
    says: str
    changes: tuple[str, ...]
    """`rule is S1, was R4-acp`."""


def case_differences(old: Knowledge, new: Knowledge) -> tuple[ChangedCase, ...]:
    """Return the cases that end differently; what only one folder knows is left out of them."""
    found = []
    for case in cases_of_both(old, new):
        before, after = (_answer(judge(_known(case, folder), folder)) for folder in (old, new))
        changes = tuple(
            f"{name} is {after[name]}, was {before[name]}"
            for name in before
            if before[name] != after[name]
        )
        if changes:
            found.append(ChangedCase(case=case.id, says=case.says, changes=changes))
    return tuple(found)


def cases_of_both(old: Knowledge, new: Knowledge) -> Iterator[Case]:
    """Yield the cases of both folders; one that says something else under its id comes twice."""
    yield from old.cases
    # What a case expects is not asked here: only what is put to the tables.
    known = {(case.id, _question(case)) for case in old.cases}
    yield from (case for case in new.cases if (case.id, _question(case)) not in known)


def _question(case: Case) -> str:
    asked = (case.order, case.facts, case.options)
    return str((case.today, *(sorted(members.items()) for members in asked), case.unreadable))


def _known(case: Case, knowledge: Knowledge) -> Case:
    """Leave out facts and choices that the folder does not have: there they are unknown."""
    facts = {fact.id for fact in knowledge.facts}
    options = knowledge.options
    return replace(
        case,
        facts={fact: value for fact, value in case.facts.items() if fact in facts},
        options={
            key: value
            for key, value in case.options.items()
            if key in options and value in options[key].choices
        },
    )


def _answer(judged: JudgedCase) -> Mapping[str, str]:
    decision = judged.decision
    verdict = decision.verdict
    return {
        "rule": verdict.rule.id,
        "rating": verdict.rating,
        "provisional": "yes" if verdict.is_provisional else "no",
        "variant": str(verdict.variant or "none"),
        "indicator": verdict.indicator or "none",
        "repeat rule": verdict.repeat_rule.id if verdict.repeat_rule else "none",
        "contrast rule": verdict.protocol_rule.id if verdict.protocol_rule else "none",
        "safety rules": ", ".join(rule.id for rule in verdict.safety_rules) or "none",
        "indicator of the safety card": verdict.safety_indicator or "none",
        "brakes": ", ".join(brake.id for brake in verdict.brakes) or "none",
        "facts asked for": ", ".join(decision.missing) or "none",
    }
