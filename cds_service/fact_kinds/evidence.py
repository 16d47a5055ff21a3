"""Evidence in words: what a record says, cleaned, cut and dated."""

from datetime import date

from cds_service.card_text import clean
from cds_service.fhir_dates import DateInterval, Precision
from cds_service.findings import Evidence
from cds_service.orders import DraftOrder
from cds_service.records import (
    Concept,
    Condition,
    Medication,
    Observation,
    Procedure,
    Verification,
)
from cds_service.records import ServiceRequest as ChartOrder

_WORDS_LIMIT = 80


def words_of(concept: Concept, fallback: str = "entry without a name") -> str:
    """Return the name of a concept, fit to be shown."""
    return clean(concept.label, _WORDS_LIMIT) or fallback


def on_day(today: date) -> DateInterval:
    """Return today as an interval: what the order says is said today."""
    return DateInterval(today, today, Precision.DAY, "order")


def condition_evidence(condition: Condition) -> Evidence:
    """Return for example `Sciatica, unconfirmed, onset 2026-01-04`."""
    parts = [words_of(condition.concept)]
    if condition.verification is Verification.UNCONFIRMED:
        parts.append("unconfirmed")
    if condition.onset is not None:
        parts.append(f"onset {condition.onset.text}")
    elif condition.recorded is not None:
        parts.append(f"recorded {condition.recorded.text}")
    else:
        parts.append("no date")
    return Evidence(text=", ".join(parts), when=condition.began, resources=(condition.ref,))


def refuted_evidence(condition: Condition) -> Evidence:
    """Return for example `Cauda equina syndrome: refuted, recorded 2026-03-10`."""
    when = condition.recorded or condition.onset
    dated = f", {when.text}" if when else ""
    text = f"{words_of(condition.concept)}: refuted{dated}"
    return Evidence(text=text, when=when, resources=(condition.ref,))


def observation_evidence(observation: Observation, said: str = "") -> Evidence:
    """Return for example `Body temperature 38.6 Cel, 2026-03-14`."""
    value = said or value_words(observation)
    dated = f", {observation.effective.text}" if observation.effective else ", no date"
    return Evidence(
        text=f"{words_of(observation.concept, 'Observation')} {value}".rstrip() + dated,
        when=observation.effective,
        resources=(observation.ref,),
    )


def value_words(observation: Observation) -> str:
    """Return the value of an observation in words, or nothing."""
    value = observation.value
    if value.number is not None:
        return f"{value.comparator}{value.number:g} {clean(value.unit, 20)}".rstrip()
    if value.concept is not None:
        return words_of(value.concept, "")
    if value.boolean is not None:
        return "yes" if value.boolean else "no"
    return clean(value.text, _WORDS_LIMIT)


def treatment_evidence(
    record: Procedure | Medication | ChartOrder, when: DateInterval | None, verb: str
) -> Evidence:
    """Return for example `Physical therapy procedure, done 2026-02-02`."""
    dated = when.text if when else "on a date not given"
    return Evidence(
        text=f"{words_of(record.concept)}, {verb} {dated}", when=when, resources=(record.ref,)
    )


def order_evidence(order: DraftOrder, said: str, today: date) -> Evidence:
    """Return what the order itself says, for example `Order: "r/o cauda equina"`."""
    return Evidence(
        text=f"Order: “{clean(said, _WORDS_LIMIT)}”", when=on_day(today), resources=(order.ref,)
    )
