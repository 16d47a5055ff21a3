"""Adds the proofs to the report of `knowledge check`, where the solver is installed."""

from dataclasses import replace
from importlib.util import find_spec

from cds_service.fact_kinds.combined import UnexplainedBy
from cds_service.knowledge import Knowledge
from cds_service.knowledge_review.check import CheckReport

_LEFT_OUT = "What holds of every combination of fact values: left out (--no-proofs)."
_NO_SOLVER = (
    "What holds of every combination of fact values: z3-solver, a development dependency, is not "
    "installed here. Install it beside this service with `pip install z3-solver`."
)


def has_solver() -> bool:
    """Whether z3 is installed: it is no part of the service, only of its development."""
    return find_spec("z3") is not None


def _assumed(knowledge: Knowledge) -> tuple[str, ...]:
    """Say what proof 4 takes for granted of the way in which facts are read."""
    explained = [
        fact.id
        for fact in knowledge.facts
        if any(isinstance(reading, UnexplainedBy) for reading in fact.readings)
    ]
    said = (
        "A red flag that becomes true makes other facts true or leaves them, which a test holds "
        f"for every story; left out is what explains {', '.join(explained)} away, and what rests "
        "on that alone."
    )
    return (said,) if explained else ()


def with_proofs(report: CheckReport, knowledge: Knowledge, *, is_wanted: bool) -> CheckReport:
    """Return the report with what was proved, or with the reason why nothing was tried."""
    if not is_wanted or not has_solver():
        reason = _NO_SOLVER if is_wanted else _LEFT_OUT
        return replace(report, limits=(*report.limits, reason))
    from cds_service.knowledge_proofs.proofs import prove  # noqa: PLC0415

    proofs = prove(knowledge)
    return replace(
        report,
        limits=(*report.limits, *_assumed(knowledge), *proofs.left_out),
        proved=proofs.proved,
        failures=(*report.failures, *proofs.failures),
        counterexamples=proofs.cases,
        proofs=proofs.as_data(),
    )
