"""Whether the service can answer hook calls, with what, and what an operator should know."""

from collections.abc import Iterable

from cds_service import __version__
from cds_service.client_auth.gate import Gate
from cds_service.knowledge import Knowledge
from cds_service.mode_switch import ModeSwitch
from cds_service.settings import Mode, Settings


def readiness(
    knowledge: Knowledge,
    settings: Settings,
    switch: ModeSwitch,
    gate: Gate,
    dead_fhir_servers: Iterable[str],
) -> tuple[bool, dict[str, object]]:
    """Return whether hook calls are answered, and the body of the readiness answer; no secrets.

    `dead_fhir_servers` are origins of the allow-list.
    """
    problems = gate.problems()
    dead = [
        f"FHIR server {origin} does not answer; sources are read as unreadable."
        for origin in dead_fhir_servers
    ]
    return not problems, {
        "status": "not-ready" if problems else "ready",
        "version": __version__,
        "knowledge": {
            "id": knowledge.id,
            "version": knowledge.version,
            "digest": knowledge.digest,
            "approval": knowledge.approval.state,
        },
        "mode": switch.current().value,
        "clientAuth": settings.client_auth.value,
        **gate.state(),
        "warnings": [*problems, *_other_warnings(switch, gate), *dead],
    }


def warnings_of(switch: ModeSwitch, gate: Gate) -> list[str]:
    """Return what an operator should know, the worst first."""
    return [*gate.problems(), *_other_warnings(switch, gate)]


def _other_warnings(switch: ModeSwitch, gate: Gate) -> list[str]:
    warnings = gate.warnings()
    mode = switch.current()
    if mode is not Mode.LIVE:
        warnings.append(f"The mode is {mode.value}: no cards are shown.")
    if switch.problem:
        warnings.append(f"CDS_SWITCH_FILE: {switch.problem}.")
    return warnings
