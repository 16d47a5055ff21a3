"""Why a decision came out as it did: every rule that was tried, every fact, in words. Pure."""

from collections.abc import Iterator, Mapping

from cds_service.decision import Decision
from cds_service.evaluate import Outcome
from cds_service.findings import Finding
from cds_service.knowledge import DecisionTable, Knowledge, Rule
from cds_service.protocol import strip_empty
from cds_service.situations import holds, unmet
from cds_service.timeline.contents import timeline_of
from cds_service.timeline.drawing import drawn
from cds_service.timeline.words import sentences
from cds_service.verdict import TraceStep


def explanation(knowledge: Knowledge, outcome: Outcome) -> dict[str, object]:
    """Return one object for each order that was judged; what has no value is left out."""
    return {
        "orders": [
            strip_empty(
                {
                    "order": decision.order.ref,
                    "row": decision.row,
                    "missing": [knowledge.fact(fact).label for fact in decision.missing],
                    "brakes": [brake.says for brake in decision.brakes],
                    "unreadable": list(decision.unreadable),
                    "tables": list(_tables(knowledge, decision)),
                    "facts": list(_facts(decision)),
                    **_timeline(knowledge, decision),
                }
            )
            for decision in outcome.judged
        ]
    }


def _timeline(knowledge: Knowledge, decision: Decision) -> Mapping[str, object]:
    """Return the picture, and the same in sentences for who does not see it."""
    timeline = timeline_of(knowledge, decision)
    return {"timeline": drawn(timeline), "timelineText": sentences(timeline)}


def _tables(knowledge: Knowledge, decision: Decision) -> Iterator[Mapping[str, object]]:
    """Yield what was tried of each table, in the order of the tables."""
    tried = {step.rule: step for step in decision.trace}
    for table in (knowledge.appropriateness, knowledge.repeat):
        steps = [tried[rule.id] for rule in table.rules if rule.id in tried]
        yield _table(table, steps)
    first = decision.protocol_rule
    asked = knowledge.protocol.rules
    up_to = asked if first is None else asked[: asked.index(first) + 1]
    yield _table(knowledge.protocol, [_tried(rule, decision) for rule in up_to])
    yield _table(
        knowledge.safety,
        [_tried(rule, decision) for rule in knowledge.safety.rules if rule.is_reported],
    )


def _tried(rule: Rule, decision: Decision) -> TraceStep:
    """Say of a rule whose table keeps no trace whether it holds."""
    held = holds(rule.when, decision.situation)
    return TraceStep(rule.id, held=held, unmet=unmet(rule.when, decision.situation))


def _table(table: DecisionTable, steps: list[TraceStep]) -> Mapping[str, object]:
    rules = {rule.id: rule for rule in table.rules}
    return {
        "table": table.id,
        "says": table.says,
        "steps": [
            {
                "rule": step.rule,
                "row": rules[step.rule].row,
                "says": rules[step.rule].says,
                "held": step.held,
                "unmet": list(step.unmet),
            }
            for step in steps
        ],
    }


def _facts(decision: Decision) -> Iterator[Mapping[str, object]]:
    for fact in decision.picture.facts:
        finding = decision.picture.findings[fact.id]
        if finding.value is None and not finding.evidence:
            continue
        yield {
            "fact": fact.id,
            "number": fact.number,
            "says": fact.says,
            "value": _value(finding),
            "evidence": [
                {
                    "text": evidence.text,
                    "date": evidence.when.fhir if evidence.when else "",
                    "resources": list(evidence.resources),
                }
                for evidence in finding.evidence
            ],
        }


def _value(finding: Finding) -> str:
    if finding.value is None:
        return "unknown"
    strength = f" ({finding.strength})" if finding.strength else ""
    return f"{str(finding.value).lower()}{strength}"
