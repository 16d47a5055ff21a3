"""The answer for one order: its picture and imaging history, and what the tables say. Pure."""

from dataclasses import dataclass

from cds_service.clinical_picture import ClinicalPicture
from cds_service.imaging_history.exams import NO_HISTORY, ImagingHistory
from cds_service.knowledge import Brake, Indicator, Knowledge, Rating, Rule
from cds_service.missing_facts import missing_facts
from cds_service.orders import DraftOrder
from cds_service.situations import Situation
from cds_service.verdict import TraceStep, Verdict, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one order."""

    order: DraftOrder
    picture: ClinicalPicture
    verdict: Verdict
    missing: tuple[str, ...]
    """Unknown facts whose value would change the row, most decisive first."""
    unreadable: tuple[str, ...]
    """`Type: reason` of each source that could not be read completely."""
    history: ImagingHistory
    """Prior exams."""

    @property
    def rule(self) -> Rule:
        """The base rule."""
        return self.verdict.rule

    @property
    def repeat_rule(self) -> Rule | None:
        """The rule of the repeat table that holds, if any."""
        return self.verdict.repeat_rule

    @property
    def protocol_rule(self) -> Rule | None:
        """The contrast rule that holds, if any."""
        return self.verdict.protocol_rule

    @property
    def safety_rules(self) -> tuple[Rule, ...]:
        """The safety rules that hold."""
        return self.verdict.safety_rules

    @property
    def rating(self) -> Rating:
        """Of the ordered protocol."""
        return self.verdict.rating

    @property
    def is_provisional(self) -> bool:
        """Whether the rating is only provisional."""
        return self.verdict.is_provisional

    @property
    def variant(self) -> int | None:
        """ACR variant of the base row."""
        return self.verdict.variant

    @property
    def indicator(self) -> Indicator | None:
        """Of the appropriateness card; None shows no card."""
        return self.verdict.indicator

    @property
    def brakes(self) -> tuple[Brake, ...]:
        """What softens a row against the order here."""
        return self.verdict.brakes

    @property
    def is_softened(self) -> bool:
        """A brake or an unreadable source took the edge off a row against the order."""
        return self.verdict.is_softened

    @property
    def situation(self) -> Situation:
        """What wording and suggestions ask about."""
        return self.verdict.situation

    @property
    def trace(self) -> tuple[TraceStep, ...]:
        """The rules that were tried."""
        return self.verdict.trace

    @property
    def row(self) -> str:
        """Base row of the contract."""
        return self.rule.row

    @property
    def overlay(self) -> str | None:
        """Overlay of the contract, if one applies."""
        return self.repeat_rule.row if self.repeat_rule else None

    @property
    def protocol_row(self) -> str | None:
        """Protocol row of the contract, if one holds."""
        return self.protocol_rule.row if self.protocol_rule else None

    @property
    def safety_rows(self) -> tuple[str, ...]:
        """Safety rows of the contract."""
        return tuple(rule.row for rule in self.safety_rules if rule.is_reported)


def decide(
    knowledge: Knowledge,
    order: DraftOrder,
    picture: ClinicalPicture,
    history: ImagingHistory = NO_HISTORY,
) -> Decision:
    """Apply the tables to one order, and find what to ask for."""
    situation = Situation(
        picture.findings,
        {
            "protocol": order.protocol.value,
            "priority": order.priority.value,
            "contrast_only_code": str(order.contrast_only_by_code).lower(),
            "contrast": order.contrast.value,
        },
        {key: option.value for key, option in knowledge.options.items()},
    )
    is_unread = bool(picture.unreadable)
    verdict = judge(knowledge, order.protocol, situation, is_unread=is_unread)
    return Decision(
        order=order,
        picture=picture,
        verdict=verdict,
        missing=missing_facts(knowledge, order.protocol, picture, verdict),
        unreadable=tuple(f"{kind}: {why}" for kind, why in picture.unreadable.items()),
        history=history,
    )
