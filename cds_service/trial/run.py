"""One trial: a patient read, an order placed, the hook fired; and what came of many."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cds_service.card_text import clean
from cds_service.json_schemas import is_array
from cds_service.knowledge import Knowledge
from cds_service.terminal import print_card, print_decision
from cds_service.trial.open_server import Charted, OpenServer
from cds_service.trial.orders import TrialOrder, request_body
from cds_service.trial.services import TrialAnswer, TrialService

_ERROR_LIMIT = 90
_MISSING_SHOWN = 2
"""Decisive facts in a row of the table; how many more there are is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of the order of one patient."""

    patient_id: str
    charted: Charted
    request: Mapping[str, object]
    answer: TrialAnswer

    @property
    def decision(self) -> Mapping[str, object]:
        """The decision on the order, empty if there is none."""
        return next(iter(self.answer.decisions), {})

    def as_row(self) -> dict[str, object]:
        """Return what the table holds, as JSON; what has no value is left out."""
        decided = {
            name: self.decision[name]
            for name in ("row", "overlay", "rating", "indicator", "missing")
            if name in self.decision
        }
        unread = dict(self.charted.unread)
        row: dict[str, object] = {"patient": self.patient_id, **decided}
        row |= {"unread": unread} if unread else {}
        return row | ({"error": self.answer.error} if self.answer.error else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trier:
    """Places the same order for one patient after the other."""

    server: OpenServer
    service: TrialService
    knowledge: Knowledge
    order: TrialOrder

    def run(self, patient_id: str) -> Trial:
        """Read the chart as an EHR would, and fire."""
        charted = self.server.chart(
            patient_id,
            self.service.published(),
            service_id=self.service.service_id(self.order.hook),
            hook=self.order.hook,
        )
        request = request_body(self.knowledge, self.order, patient_id, charted.prefetch)
        return Trial(
            patient_id=patient_id,
            charted=charted,
            request=request,
            answer=self.service.fire(request),
        )


def print_trial(console: Console, trial: Trial, server: OpenServer) -> None:
    """Print what was read, the cards and the decision."""
    charted = trial.charted
    console.print(
        f"Patient/{trial.patient_id} of {server.base.url}: {len(charted.prefetch)} sources read in "
        f"{charted.seconds:.1f} s",
        soft_wrap=True,
        markup=False,
    )
    if charted.unread:
        console.print(f"Not read: {_named(charted.unread)}", soft_wrap=True, markup=False)
    if trial.answer.error:
        console.print(f"No advice: {trial.answer.error}", soft_wrap=True, markup=False)
        return
    for card in trial.answer.cards:
        print_card(console, card)
    if not trial.answer.cards:
        console.print("No card: the service has nothing to say about this order.")
    for decision in trial.answer.decisions:
        print_decision(console, decision)


def print_table(console: Console, trials: Sequence[Trial]) -> None:
    """Print a row a patient, then the counts."""
    table = Table("patient", "row", "overlay", "rating", "indicator", "missing", box=None)
    for trial in trials:
        decided = trial.decision
        missing = decided.get("missing")
        last = _first_of(missing) if is_array(missing) else ""
        if trial.answer.error:
            last = clean(f"not judged: {trial.answer.error}", _ERROR_LIMIT)
        table.add_row(
            *(
                Text(str(value))
                for value in (
                    trial.patient_id,
                    decided.get("row", "–"),
                    decided.get("overlay", ""),
                    decided.get("rating", "–"),
                    decided.get("indicator", ""),
                    last,
                )
            )
        )
    console.print(table)
    for line in summary_lines(trials):
        console.print(line, soft_wrap=True, markup=False)


def summary_lines(trials: Sequence[Trial]) -> Iterable[str]:
    """Yield the counts: rows, and what could not be read."""
    judged = [trial for trial in trials if not trial.answer.error]
    rows = Counter(str(trial.decision.get("row", "G0")) for trial in judged)
    told = ", ".join(f"{row} {count}" for row, count in sorted(rows.items()))
    yield f"{len(trials)} patients, {len(judged)} judged{': ' if told else ''}{told}"
    unread = Counter(pair for trial in trials for pair in trial.charted.unread.items())
    if unread:
        said = ", ".join(f"{kind} ({why}) {n}" for (kind, why), n in sorted(unread.items()))
        yield f"Not read, by patients: {said}"


def _first_of(missing: Sequence[object]) -> str:
    more = f" +{len(missing) - _MISSING_SHOWN}" if len(missing) > _MISSING_SHOWN else ""
    return ", ".join(map(str, missing[:_MISSING_SHOWN])) + more


def _named(unread: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} ({why})" for kind, why in unread.items())
