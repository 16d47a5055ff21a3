"""What fills the placeholders of `cards.yaml`."""

from collections.abc import Iterator, Mapping
from datetime import date

from cds_service.cards.proposals import care_due, care_start, care_weeks
from cds_service.decision import Decision
from cds_service.fact_kinds.change import SincePrior
from cds_service.fhir_dates import DateInterval, Precision, add_months, after
from cds_service.knowledge import Knowledge, Rule
from cds_service.names_in_folders import DUPLICATE, PRIOR

PLACEHOLDERS = frozenset(
    {"which", "date", "n", "due", "weeks", "prior", "prior_days", "prior_ago", "ordered", "open"}
)
"""Placeholders of summaries, verdicts, lines and questions; safety cards have {found} too."""

_AFTER_SURGERY, _SURGERY = "symptoms_after_surgery", "prior_lumbar_surgery"
"""Fact ids: words of change count as symptoms after surgery also where there was none."""
_BY_THE_ORDER = "order"
"""Element of a date that the order itself gives: today."""


def card_values(knowledge: Knowledge, decision: Decision, rule: Rule) -> Mapping[str, str]:
    """Return a text for every placeholder; {which} names the reasons of the rule."""
    return next(summary_values(knowledge, decision, rule))


def summary_values(
    knowledge: Knowledge, decision: Decision, rule: Rule
) -> Iterator[Mapping[str, str]]:
    """Yield the values with all reasons in {which}, then with fewer and fewer of them."""
    phrases = knowledge.wording.phrases
    picture = decision.picture
    findings, today = picture.findings, picture.today
    start, due = care_start(decision), care_due(knowledge, decision)
    prior, ordered = picture.finding(PRIOR).when, picture.finding(DUPLICATE).when
    fixed = {
        "date": start.text if start else phrases["no_date"],
        "n": str(max((today - start.latest).days, 0) // 7) if start else "0",
        "due": due.isoformat() if due else phrases["no_date"],
        "weeks": care_weeks(knowledge),
        "prior": _exam_date(knowledge, prior) if prior else phrases["no_date"],
        "prior_days": str(max((today - prior.latest).days, 0)) if prior else "0",
        "prior_ago": _ago(prior, today, phrases) if prior else phrases["no_date"],
        "ordered": ordered.text if ordered else phrases["no_date"],
        "open": phrases["open_unread" if decision.unreadable else "open_question"],
    }
    true_facts = (f for f in rule.supporting_facts if findings[f].is_true)
    reasons = [name for fact in true_facts for name in _named(knowledge, decision, fact)]
    reasons = list(dict.fromkeys(reasons)) or [
        knowledge.fact(f).label for f in rule.supporting_facts if findings[f].is_true
    ]
    yield {**fixed, "which": ", ".join(reasons)}
    for kept in range(len(reasons) - 1, 0, -1):
        yield {**fixed, "which": f"{', '.join(reasons[:kept])} {phrases['more']}"}


def _exam_date(knowledge: Knowledge, when: DateInterval) -> str:
    """Return the date of an exam; of one that only an order tells of, when that was written."""
    if when.precision is Precision.UNKNOWN and when.earliest is not None:
        written = knowledge.wording.phrases.get(f"element.{when.element}", "")
        return f"{written} {when.earliest.isoformat()}".strip()
    return when.text


def _named(knowledge: Knowledge, decision: Decision, fact: str) -> Iterator[str]:
    """Name a reason; what stands for findings newer than the exam by those, with their dates."""
    findings = decision.picture.findings
    definition, prior = knowledge.fact(fact), decision.picture.finding(PRIOR).when
    compared = [r for r in definition.readings if isinstance(r, SincePrior) and len(r.facts) > 1]
    if not compared:
        yield definition.label
    for inner in dict.fromkeys(f for reading in compared for f in reading.facts):
        newer = [e.when for e in findings[inner].evidence if e.when and after(e.when, prior)]
        is_moot = inner == _AFTER_SURGERY and not decision.picture.finding(_SURGERY).is_true
        if findings[inner].is_true and newer and not is_moot:
            said = max(newer, key=lambda when: when.latest)
            dated = "" if said.element == _BY_THE_ORDER else f" ({said.text})"
            yield f"{knowledge.fact(inner).label}{dated}"


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each placeholder; a value is never read as a template again."""
    return template.format_map(values)


def _ago(when: DateInterval, today: date, phrases: Mapping[str, str]) -> str:
    """Return how long ago in days or full months; a bound where only a month or year is known."""
    if when.earliest != when.latest:
        bound = _full_months(when.earliest or when.latest, today) + 1
        return phrases["ago_less"].format(bound)
    months = _full_months(when.latest, today)
    if months == 0:
        return phrases["ago_days"].format(max((today - when.latest).days, 0))
    return phrases["ago_month"] if months == 1 else phrases["ago_months"].format(months)


def _full_months(day: date, today: date) -> int:
    """Return the calendar months that have passed since a day."""
    months = (today.year - day.year) * 12 + today.month - day.month
    return max(months - (add_months(day, months) > today), 0)
