"""Feedback of a CDS Client about cards: read what CDS Hooks 2.0 defines and what Epic sends.

Source: CDS Hooks 2.0, Feedback; R-FB-01 to R-FB-09; `overrideReasons` as Epic spells it. Free text
(`userComment`) may name a patient, so it is dropped here and never leaves this module.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cds_service import strict_json
from cds_service.errors import MalformedRequest
from cds_service.json_schemas import Schema, is_array, is_object

_SCHEMA = Schema("feedback")


class FeedbackOutcome(StrEnum):
    """What the clinician did with a card."""

    ACCEPTED = "accepted"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One report about one card."""

    card: str
    """uuid of the card, as sent: it may be one that this service never issued (R-FB-07)."""
    outcome: FeedbackOutcome
    at: datetime
    """When it happened, in UTC."""
    accepted_suggestions: tuple[str, ...] = ()
    override_codes: tuple[str, ...] = ()
    """Codes as sent: compare them with our own list before any use."""


def parse_feedback(body: bytes) -> tuple[Feedback, ...]:
    """Return the reports in `body`, in order. Raises MalformedRequest or TooLarge."""
    message = strict_json.loads(body)
    problem = _SCHEMA.problem(message)
    if problem is not None:
        raise MalformedRequest(problem)
    entries = message.get("feedback") if is_object(message) else None
    listed = entries if is_array(entries) else []
    return tuple(_feedback(entry, i) for i, entry in enumerate(listed) if is_object(entry))


def _feedback(entry: dict[str, object], index: int) -> Feedback:
    reasons = [entry.get("overrideReason"), entry.get("overrideReasons")]
    return Feedback(
        card=str(entry["card"]),
        outcome=FeedbackOutcome(str(entry["outcome"])),
        at=_time(str(entry["outcomeTimestamp"]), f"feedback[{index}].outcomeTimestamp"),
        accepted_suggestions=tuple(
            str(s["id"]) for s in _each(entry.get("acceptedSuggestions")) if is_object(s)
        ),
        override_codes=tuple(
            code for reason in reasons for one in _each(reason) if (code := _reason_code(one))
        ),
    )


def _time(sent: str, place: str) -> datetime:
    """Return a time that the schema has found well formed; the day may still not exist."""
    try:
        time = datetime.fromisoformat(sent.strip().upper())
        # In UTC it may lie before the first year or after the last.
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedRequest(f"{place} must be an RFC 3339 time with a zone.") from None


def _each(value: object) -> list[object]:
    """Return a list of what is sent as one or as several."""
    if is_array(value):
        return value
    return [] if value is None else [value]


def _reason_code(override: object) -> str:
    reason = override.get("reason") if is_object(override) else None
    code = reason.get("code") if is_object(reason) else None
    return code if isinstance(code, str) else ""
