"""Whether the service can answer hook calls, with what, and what an operator should know."""

from cds_service import __version__
from cds_service.knowledge import Knowledge
from cds_service.modes import Mode
from cds_service.store.rest import StoreDown
from cds_service.wiring import Wiring

UNRECORDED = (
    "The database cannot be written to ({fault}): cards leave without their record, and feedback "
    "is refused with 503 until it can."
)


def readiness(wiring: Wiring) -> tuple[bool, dict[str, object]]:
    """Return whether hook calls are answered, and the body of the readiness answer; no secrets."""
    first, *others = (_state(topic.knowledge) for topic in wiring.topics)
    problems = wiring.gate.problems()
    fault = fault_of_database(wiring)
    # Addresses inside the hospital: not for the page, which anybody may see.
    dead = [
        f"FHIR server {origin} does not answer; its sources are unreadable."
        for origin in wiring.reader.dead_servers()
    ]
    return not problems, {
        "status": "not-ready" if problems else "ready",
        "version": __version__,
        "knowledge": first,
        "otherKnowledge": others,
        "siteFile": {"digest": wiring.site.digest},
        "mode": wiring.switch.current().value,
        "clientAuth": wiring.settings.client_auth.value,
        "database": {"kind": wiring.database.kind, "state": "down" if fault else "up"},
        **wiring.gate.state(),
        "warnings": [*problems, *_warnings(wiring, fault), *dead],
    }


def _state(knowledge: Knowledge) -> dict[str, object]:
    return {
        "id": knowledge.id,
        "version": knowledge.version,
        "digest": knowledge.digest,
        "approval": knowledge.approval.state,
    }


def warnings_of(wiring: Wiring) -> list[str]:
    """Return what an operator should know, the worst first."""
    return [*wiring.gate.problems(), *_warnings(wiring, fault_of_database(wiring))]


def fault_of_database(wiring: Wiring) -> str:
    """Return why no record can be written, in a word; empty when it can."""
    try:
        wiring.database.check()
    except StoreDown as fault:
        return str(fault)
    return "the last call was not recorded" if wiring.decisions.has_failed else ""


def _warnings(wiring: Wiring, fault: str) -> list[str]:
    warnings = [UNRECORDED.format(fault=fault)] if fault else []
    warnings += [*wiring.gate.warnings(), *wiring.limits.warnings()]
    mode = wiring.switch.current()
    if mode is not Mode.LIVE:
        warnings.append(f"The mode is {mode.value}: no cards are shown.")
    if wiring.switch.problem:
        warnings.append(f"CDS_SWITCH_FILE: {wiring.switch.problem}.")
    return warnings
