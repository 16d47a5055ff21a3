"""Puts a case of a knowledge folder to the tables, and compares the answer with the one wanted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from cds_service.cards.leading import leading_rule
from cds_service.clinical_picture import ClinicalPicture
from cds_service.decision import Decision, decide
from cds_service.episodes import Episode
from cds_service.fact_kinds import ReadingContext
from cds_service.fhir_dates import DateInterval, Precision
from cds_service.findings import UNKNOWN, Evidence, Finding, Strength
from cds_service.knowledge import Case, Knowledge, Rule
from cds_service.orders import ContrastOrdered, DraftOrder, ImagingProtocol, Priority
from cds_service.records import Chart
from cds_service.review_notes import CaseValue

HOOK_INSTANCE = "00000000-0000-4000-8000-000000000000"
USUAL_ORDER: Mapping[str, str] = {
    "protocol": ImagingProtocol.WITHOUT,
    "priority": Priority.ROUTINE,
    "contrast_only_code": "false",
    "contrast": ContrastOrdered.NOT_STATED,
}
"""The order of a case that says nothing of it."""
_STRENGTHS = {
    CaseValue.TRUE: (True, Strength.STRONG),
    CaseValue.POSSIBLE: (True, Strength.POSSIBLE),
    CaseValue.FALSE: (False, Strength.STRONG),
    CaseValue.POSSIBLE_FALSE: (False, Strength.POSSIBLE),
}
# A case has no chart; where a card needs a date, its facts began three weeks before.
_BEGAN = timedelta(days=21)
_DRAFT_ID = "draft"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """A case, the answer of the tables, and where it differs from the answer wanted."""

    case: Case
    knowledge: Knowledge
    """With the options that the case sets."""
    decision: Decision
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a case says, without the answer that is wanted."""

    today: date
    facts: Mapping[str, CaseValue]
    order: Mapping[str, str]
    """Attributes that differ from the usual order."""
    unreadable: tuple[str, ...] = ()


def decide_on(given: Given, knowledge: Knowledge) -> Decision:
    """Put one situation to the tables."""
    order = _order(given.order, exam_name=knowledge.order.exam_name)
    return decide(knowledge, order, _picture(given, knowledge, order))


def judge(case: Case, knowledge: Knowledge) -> JudgedCase:
    """Put one case to the tables."""
    site = _with_options(knowledge, case.options)
    given = Given(today=case.today, facts=case.facts, order=case.order, unreadable=case.unreadable)
    decision = decide_on(given, site)
    return JudgedCase(
        case=case,
        knowledge=site,
        decision=decision,
        differences=tuple(_differences(case, site, decision)),
    )


def _with_options(knowledge: Knowledge, options: Mapping[str, str]) -> Knowledge:
    if not options:
        return knowledge
    changed = {key: replace(knowledge.options[key], value=value) for key, value in options.items()}
    return replace(knowledge, options={**knowledge.options, **changed})


def _order(attributes: Mapping[str, str], *, exam_name: str) -> DraftOrder:
    said = {**USUAL_ORDER, **attributes}
    priority = Priority(said["priority"])
    return DraftOrder(
        ref=f"ServiceRequest/{_DRAFT_ID}",
        resource={
            "resourceType": "ServiceRequest",
            "id": _DRAFT_ID,
            "status": "draft",
            "intent": "order",
            "priority": priority.value,
            "code": {"text": exam_name},
            "subject": {"reference": "Patient/case"},
        },
        protocol=ImagingProtocol(said["protocol"]),
        contrast_only_by_code=said["contrast_only_code"] == "true",
        priority=priority,
        several_regions_contrast=ContrastOrdered(said["contrast"]),
    )


def _picture(case: Given, knowledge: Knowledge, order: DraftOrder) -> ClinicalPicture:
    chart = Chart(unreadable=dict.fromkeys(case.unreadable, "could not be read"))
    context = ReadingContext(
        chart=chart,
        order=order,
        today=case.today,
        terminology=knowledge.terminology.for_call(),
        episode=Episode(),
        findings={},
        exam_name=knowledge.order.exam_name,
    )
    given = {
        fact: _finding(value, knowledge.fact(fact).says, case.today)
        for fact, value in case.facts.items()
    }
    return ClinicalPicture.supposing(knowledge.facts, given, context)


def _finding(value: CaseValue, says: str, today: date) -> Finding:
    if value is CaseValue.UNKNOWN:
        return UNKNOWN
    truth, strength = _STRENGTHS[value]
    began = today - _BEGAN
    when = DateInterval(began, began, Precision.DAY, "case")
    return Finding(
        value=truth,
        strength=strength,
        evidence=(Evidence(text=says, when=when, resources=()),),
        when=when,
    )


def _differences(case: Case, knowledge: Knowledge, decision: Decision) -> list[str]:
    """Say what is not as wanted: `rule is S4c, wanted S4a`."""
    wanted = case.expect
    verdict = decision.verdict
    leading = leading_rule(knowledge, decision).row if wanted.leading else ""
    pairs = {
        "rule": (decision.rule.id, wanted.rule),
        "repeat rule": (_id(verdict.repeat_rule), wanted.repeat_rule),
        "leading row": (leading, wanted.leading),
        "rating": (decision.rating, wanted.rating),
        "provisional": (decision.is_provisional, wanted.is_provisional),
        "indicator": (decision.indicator, wanted.indicator),
        "variant": (decision.variant, wanted.variant),
        "protocol rule": (_id(verdict.protocol_rule), wanted.protocol_rule),
        "safety rules": (tuple(rule.id for rule in verdict.safety_rules), wanted.safety_rules),
        "indicator of the safety card": (verdict.safety_indicator, wanted.safety_indicator),
        "brakes": (tuple(brake.id for brake in decision.brakes), wanted.brakes),
        "first facts asked for": (
            decision.missing[: len(wanted.missing_first)],
            wanted.missing_first,
        ),
    }
    return [
        f"{name} is {_words(found)}, wanted {_words(expected)}"
        for name, (found, expected) in pairs.items()
        if found != expected
    ]


def _id(rule: Rule | None) -> str:
    return rule.id if rule else ""


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in (None, "") else "none"
