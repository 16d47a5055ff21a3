"""Which row's message a card carries: the contrast row's, the repeat row's or the base row's."""

from cds_service.decision import Decision
from cds_service.knowledge import Indicator, Knowledge, Rule


def leads_with_protocol(knowledge: Knowledge, decision: Decision) -> bool:
    """Whether the message is the contrast row's: it raised an info card to a warning.

    Rows whose own message must stay (emergencies) say so by `summary_contrast_only`.
    """
    card = knowledge.wording.cards[decision.rule.card]
    return (
        decision.protocol_rule is not None
        and decision.verdict.base_indicator is Indicator.INFO
        and decision.indicator is not Indicator.INFO
        and not card.summary_contrast_only
    )


def leading_rule(knowledge: Knowledge, decision: Decision) -> Rule:
    """Return the rule that chose the summary."""
    if leads_with_protocol(knowledge, decision) and decision.protocol_rule is not None:
        return decision.protocol_rule
    if decision.repeat_rule is not None and decision.verdict.repeat_leads:
        return decision.repeat_rule
    return decision.rule
