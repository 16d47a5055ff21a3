"""The rating of an order, written into the order itself: the Argonaut PAMA extension.

Source: argonautproject/cds-hooks-for-pama, extension table and "Response"; decision table §9 for
the ratings. An interoperability format: the Medicare programme behind it is paused, and nothing
here makes a modifier for a claim. Only for clients for whom the site claims it. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from cds_service.cards.order_writing import Wire
from cds_service.cards.suggestions import stable_uuid
from cds_service.client_profiles import PamaClaim
from cds_service.decision import Decision
from cds_service.fhir import text_of
from cds_service.knowledge import Knowledge, Rating

RATING_SYSTEM = "http://fhir.org/argonaut/CodeSystem/pama-rating"
RATING = "http://fhir.org/argonaut/Extension/pama-rating"
QCDSM_CONSULTED = f"{RATING}-qcdsm-consulted"
CONSULT_ID = f"{RATING}-consult-id"
AUC_APPLIED = f"{RATING}-auc-applied"
_OURS = frozenset({RATING, QCDSM_CONSULTED, CONSULT_ID, AUC_APPLIED})


class PamaRating(StrEnum):
    """Codes of the guide's value set (R-PAMA-02)."""

    APPROPRIATE = "appropriate"
    NOT_APPROPRIATE = "not-appropriate"
    NO_CRITERIA_APPLY = "no-criteria-apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedOrder:
    """The rating of one order: the handle of the consultation, and what the client is to do."""

    consult_id: str
    """UUID."""
    action: Mapping[str, object]
    """System action of CDS Hooks 2.0."""


def rated_orders(
    knowledge: Knowledge,
    decisions: Sequence[Decision],
    claim: PamaClaim | None,
    *,
    consultation: str,
) -> tuple[RatedOrder | None, ...]:
    """Return the rating of each order; None for one that cannot be rated, or not in place.

    Without a claim nothing is rated. `consultation` names this call among all calls ever
    answered: consult ids are made of it.
    """
    return tuple(
        None if claim is None else _rated(knowledge, decision, claim, consultation=consultation)
        for decision in decisions
    )


def pama_rating(knowledge: Knowledge, decision: Decision) -> PamaRating | None:
    """Return the rating in the guide's words; None where none can be reached (R-PAMA-07).

    `not-appropriate` travels without the card that explains it, so it is kept for what is certain:
    never while a rating is provisional or a source is unread, and never in an emergency, where it
    could only be the contrast that is wrong (decision table §0, principles 1 and 3).
    """
    match decision.rating:
        case Rating.USUALLY_APPROPRIATE | Rating.MAY_BE_APPROPRIATE:
            return PamaRating.APPROPRIATE
        case Rating.NOT_COVERED:
            return PamaRating.NO_CRITERIA_APPLY
        case Rating.INSUFFICIENT_INFORMATION:
            return None
        case Rating.USUALLY_NOT_APPROPRIATE:
            if _is_emergency(knowledge, decision):
                return PamaRating.APPROPRIATE
            if decision.is_provisional or decision.unreadable:
                return None
            return PamaRating.NOT_APPROPRIATE
        case never:
            assert_never(never)


def _is_emergency(knowledge: Knowledge, decision: Decision) -> bool:
    findings = decision.picture.findings
    return any(findings[fact.id].is_true for fact in knowledge.facts if fact.is_emergency)


def _rated(
    knowledge: Knowledge, decision: Decision, claim: PamaClaim, *, consultation: str
) -> RatedOrder | None:
    order = decision.order
    stated = order.resource.get("extension")
    stated = [] if stated is None else stated
    if (
        order.resource.get("resourceType") != "ServiceRequest"
        or order.ref.endswith("/?")
        or not isinstance(stated, list)
    ):
        # Without an id nothing can be updated, and what is no list cannot be added to.
        return None
    rating = pama_rating(knowledge, decision)
    if rating is None:
        return None
    consult_id = stable_uuid(consultation, order, "pama.consult")
    # An earlier rating is replaced whole, its criteria included (R-PAMA-09).
    kept = [extension for extension in stated if not _is_ours(extension)]
    resource = {**order.resource, "extension": [*kept, *_extensions(rating, claim, consult_id)]}
    action: Wire = {
        "type": "update",
        "description": f"Note in the order how the imaging criteria rate it: {rating}. "
        "Nothing else is changed.",
        "resource": resource,
    }
    return RatedOrder(consult_id=consult_id, action=action)


def _is_ours(extension: object) -> bool:
    return isinstance(extension, Mapping) and text_of(extension.get("url")) in _OURS


def _extensions(rating: PamaRating, claim: PamaClaim, consult_id: str) -> list[Wire]:
    concept = {"coding": [{"system": RATING_SYSTEM, "code": rating.value}]}
    written: list[Wire] = [
        {"url": RATING, "valueCodeableConcept": concept},
        {"url": QCDSM_CONSULTED, "valueString": claim.qcdsm},
        {"url": CONSULT_ID, "valueUri": f"urn:uuid:{consult_id}"},
    ]
    if claim.auc_applied:
        written.append({"url": AUC_APPLIED, "valueUri": claim.auc_applied})
    return written
