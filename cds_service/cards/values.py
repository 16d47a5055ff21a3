"""What fills the placeholders of `cards.yaml`."""

from collections.abc import Iterator, Mapping

from cds_service.cards.suggestions import care_due, care_start, care_weeks
from cds_service.decision import Decision
from cds_service.knowledge import Knowledge

PLACEHOLDERS = frozenset({"which", "date", "n", "due", "weeks"})
"""Placeholders of summaries, verdicts, lines and questions."""


def card_values(knowledge: Knowledge, decision: Decision) -> Mapping[str, str]:
    """Return a text for every placeholder."""
    return next(summary_values(knowledge, decision))


def summary_values(knowledge: Knowledge, decision: Decision) -> Iterator[Mapping[str, str]]:
    """Yield the values with all reasons in {which}, then with fewer and fewer of them."""
    phrases = knowledge.wording.phrases
    start, due = care_start(decision), care_due(knowledge, decision)
    fixed = {
        "date": start.text if start else phrases["no_date"],
        "n": str(max((decision.picture.today - start.latest).days, 0) // 7) if start else "0",
        "due": due.isoformat() if due else phrases["no_date"],
        "weeks": care_weeks(knowledge),
    }
    reasons = [
        knowledge.fact(fact).label
        for fact in decision.rule.supporting_facts
        if decision.picture.findings[fact].is_true
    ]
    yield {**fixed, "which": ", ".join(reasons)}
    for kept in range(len(reasons) - 1, 0, -1):
        yield {**fixed, "which": f"{', '.join(reasons[:kept])} {phrases['more']}"}


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each placeholder; a value is never read as a template again."""
    return template.format_map(values)
