"""From a decision to what stands on its timeline.

Lanes follow from the way a fact is read, so a site's own facts find their place; the lengths of
the windows are parameters of the knowledge. Everything that the decision gives as evidence is
there, with what the rules that hold rest on, each piece once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta

from cds_service.card_text import clean
from cds_service.cards.leading import leading_rule
from cds_service.decision import Decision
from cds_service.fact_kinds.care import CareQuestion, ConservativeCare
from cds_service.fact_kinds.combined import EpisodeAtLeast, EpisodeShorterThan
from cds_service.fact_kinds.prior_imaging import (
    IMAGING_TYPES,
    PriorExamWithin,
    exam_evidence,
)
from cds_service.fact_kinds.reading import FactKind
from cds_service.fact_kinds.surgery import SymptomsAfterSurgery
from cds_service.fact_kinds.treatments import ProcedureDone, ProcedurePlanned
from cds_service.fhir_dates import DateInterval, Precision, add_months
from cds_service.findings import Evidence, Finding, Strength
from cds_service.imaging_history.exams import PriorExam
from cds_service.knowledge import FactDefinition, Knowledge
from cds_service.rule_tests import facts_in
from cds_service.timeline.records import Entry, Lane, Shape, Timeline, Window

MOST_ENTRIES = 40
"""Of one lane: the newest; how many are older is said."""
_LABEL_LIMIT = 240
_FACILITY_LIMIT = 40
_DAYS_A_WEEK = 7


def timeline_of(knowledge: Knowledge, decision: Decision) -> Timeline:
    """Return what stands on the timeline of one decision."""
    return _Reading(knowledge, decision).timeline()


class _Reading:
    """Goes through the lanes in their order; what one lane shows, a later one leaves out."""

    def __init__(self, knowledge: Knowledge, decision: Decision) -> None:
        self._knowledge = knowledge
        self._decision = decision
        self._phrases = knowledge.wording.phrases
        self._today = decision.picture.today
        self._shown: set[Evidence] = set()
        self._told: set[tuple[str, DateInterval | None]] = set()

    def timeline(self) -> Timeline:
        decision = self._decision
        ordered = self._phrases[f"protocol.{decision.order.protocol.value}"]
        rows = " + ".join(filter(None, (decision.row, decision.overlay, decision.protocol_row)))
        rating = self._phrases[decision.rating.value]
        says = leading_rule(self._knowledge, decision).says
        # The exams come first: what facts say of them is the same thing again.
        imaging = self._imaging()
        lanes = (
            self._lane("Back pain", self._episode(), {"Condition"}),
            self._lane("Conservative care", self._care(), _CARE_TYPES),
            self._lane("Red flags", self._red_flags(), {"Condition", "Observation"}),
            self._lane("Earlier MRI", imaging, IMAGING_TYPES),
            self._lane("Surgery", self._surgery(), {"Procedure"}),
            self._lane("Other evidence", self._others(), set()),
            self._lane("This order", self._order(), set()),
        )
        return Timeline(
            title=f"Timeline: {ordered}, {self._today.isoformat()}",
            verdict=f"Row {rows}, {rating}: {says}",
            today=self._today,
            lanes=lanes,
            windows=tuple(_windows(self._knowledge, self._today)),
            unread="; ".join(clean(source, _LABEL_LIMIT) for source in decision.unreadable),
        )

    def _lane(self, title: str, entries: Iterable[Entry], sources: Iterable[str]) -> Lane:
        every = tuple(entries)
        dated = sorted((e for e in every if _day_of(e) is not None), key=_by_day)
        undated = tuple(entry for entry in every if _day_of(entry) is None)
        left_out = len(dated[:-MOST_ENTRIES]) + len(undated[MOST_ENTRIES:])
        is_unread = not set(sources).isdisjoint(self._decision.picture.unreadable)
        return Lane(
            title=title,
            dated=tuple(dated[-MOST_ENTRIES:]),
            undated=undated[:MOST_ENTRIES],
            more=f"and {left_out} more" if left_out else "",
            silence="nothing found; not all was read" if is_unread else "nothing found here",
        )

    def _episode(self) -> Iterator[Entry]:
        """Yield the pain as a period until today, then what else its length rests on."""
        episode = self._decision.picture.episode
        for place, evidence in enumerate(episode.evidence):
            when = evidence.when
            if when is not None and not when.element.startswith("onset"):
                # It was there by then; when it began is not known.
                when = when.as_upper_bound()
            shape = Shape.EVENT if place else Shape.PERIOD
            yield from self._entry(replace(evidence, when=when), shape, as_shown=evidence)
        yield from self._of_facts(_is_read_by(EpisodeShorterThan, EpisodeAtLeast))

    def _care(self) -> Iterator[Entry]:
        return self._of_facts(_is_read_by(ConservativeCare))

    def _red_flags(self) -> Iterator[Entry]:
        return self._of_facts(lambda fact: fact.is_red_flag, is_named=True)

    def _surgery(self) -> Iterator[Entry]:
        return self._of_facts(_is_read_by(ProcedureDone, SymptomsAfterSurgery, ProcedurePlanned))

    def _others(self) -> Iterator[Entry]:
        """Yield the rest of what the decision reports, and what the rules that hold rest on."""
        decision = self._decision
        rules = (
            decision.rule,
            decision.repeat_rule,
            decision.protocol_rule,
            *decision.safety_rules,
        )
        held = [rule for rule in rules if rule is not None]
        supporting = {fact for rule in held for fact in rule.supporting_facts}
        supporting |= {fact for rule in held for fact in facts_in(rule.when)}

        def is_wanted(fact: FactDefinition) -> bool:
            is_known = decision.picture.findings[fact.id].value is not None
            return is_known and (not fact.is_internal or fact.id in supporting)

        return self._of_facts(is_wanted, only_new=True)

    def _of_facts(
        self,
        is_wanted: Callable[[FactDefinition], bool],
        *,
        is_named: bool = False,
        only_new: bool = False,
    ) -> Iterator[Entry]:
        """Yield the evidence of facts; `only_new` leaves out records that stand there already."""
        for fact in self._knowledge.facts:
            finding = self._decision.picture.findings[fact.id]
            if not is_wanted(fact):
                continue
            if finding.is_true and not finding.evidence and fact.is_red_flag:
                # An answer of the clinician has no evidence but the order.
                yield Entry(label=fact.label, shape=Shape.EVENT, is_uncertain=True)
            shape = Shape.DENIED if finding.is_false and is_named else Shape.EVENT
            for evidence in finding.evidence:
                if only_new and self._is_told(evidence):
                    continue
                told = replace(evidence, text=_named(fact, evidence)) if is_named else evidence
                yield from self._entry(told, shape, finding, as_shown=evidence)

    def _entry(
        self,
        evidence: Evidence,
        shape: Shape,
        finding: Finding | None = None,
        *,
        as_shown: Evidence,
    ) -> Iterator[Entry]:
        """Yield the entry of a piece of evidence, unless it is on the timeline already."""
        if as_shown in self._shown:
            return
        self._shown.add(as_shown)
        self._told |= _dates_of(as_shown)
        is_uncertain = finding is not None and finding.strength is not Strength.STRONG
        when = evidence.when
        if when is not None and all(ref.startswith("Patient/") for ref in evidence.resources):
            # A date of birth would stretch the picture over a life.
            text, when = f"{evidence.text} (born {when.text})", None
            evidence = replace(evidence, text=text)
        yield Entry(
            label=clean(evidence.text, _LABEL_LIMIT),
            shape=shape,
            when=when,
            is_uncertain=is_uncertain,
        )

    def _is_told(self, evidence: Evidence) -> bool:
        """Whether every record that it names stands there with this date, in other words."""
        named = _dates_of(evidence)
        return bool(named) and named <= self._told

    def _imaging(self) -> tuple[Entry, ...]:
        history = self._decision.history
        entries: list[Entry] = []
        for exam in (*history.exams, *history.uncertain, *history.other):
            evidence = exam_evidence(exam, self._knowledge.order.exam_name)
            self._shown.add(evidence)
            self._told |= _dates_of(evidence)
            entries.append(self._exam(exam, is_mri=exam not in history.other))
        for exam in history.in_flight:
            self._shown.update(self._evidence_from(exam))
            entries.append(_planned(exam))
        return tuple(entries)

    def _evidence_from(self, exam: PriorExam) -> Iterator[Evidence]:
        """Yield what facts say of an exam: the lane says it itself."""
        for finding in self._decision.picture.findings.values():
            for evidence in finding.evidence:
                if evidence.resources == exam.sources:
                    yield evidence

    def _exam(self, exam: PriorExam, *, is_mri: bool) -> Entry:
        kinds = " + ".join(dict.fromkeys(ref.partition("/")[0] for ref in exam.sources))
        facility = clean(exam.facility, _FACILITY_LIMIT)
        elsewhere = self._phrases["prior_outside"] if exam.is_outside else ""
        parts = (
            f"{'MRI' if is_mri else 'CT'} {_dated(exam.when)}".rstrip(),
            self._phrases[f"contrast.{exam.contrast.value}"],
            kinds,
            f"{elsewhere}: {facility}" if elsewhere and facility else elsewhere,
            self._phrases["prior_ordered"] if exam.is_order_only else "",
            "limited" if exam.is_limited else "",
            self._phrases["possible"] if exam.strength is Strength.POSSIBLE else "",
        )
        return Entry(
            label=", ".join(filter(None, parts)),
            shape=Shape.EXAM,
            when=exam.when,
            is_uncertain=exam.strength is Strength.POSSIBLE,
        )

    def _order(self) -> Iterator[Entry]:
        order = self._decision.order
        today = DateInterval(self._today, self._today, Precision.DAY)
        ordered = self._phrases[f"protocol.{order.protocol.value}"]
        rating = self._phrases[self._decision.rating.value]
        label = f"Today {self._today.isoformat()}: {ordered}, {order.priority.value} – {rating}"
        yield Entry(label=label, shape=Shape.ORDER, when=today)
        if order.planned is not None and order.planned > self._today:
            day = DateInterval(order.planned, order.planned, Precision.DAY)
            yield Entry(
                label=f"planned for {order.planned.isoformat()}", shape=Shape.PLANNED, when=day
            )


_CARE_TYPES = ConservativeCare.resource_types


def _windows(knowledge: Knowledge, today: date) -> Iterator[Window]:
    """Yield the windows that repeat imaging and care are measured with, the longest first."""
    readings = [reading for fact in knowledge.facts for reading in fact.readings]
    asked = {fact for rule in knowledge.repeat.rules for fact in facts_in(rule.when)}
    months = [
        reading.months
        for fact in knowledge.facts
        if fact.id in asked
        for reading in fact.readings
        if isinstance(reading, PriorExamWithin) and reading.months and not reading.inclusive
    ]
    days = [
        reading.days
        for reading in readings
        if isinstance(reading, ConservativeCare) and reading.question is CareQuestion.LONG_ENOUGH
    ]
    found: list[Window] = []
    if months:
        length = max(months)
        first = add_months(today, -length) + timedelta(days=1)
        found.append(
            Window(label=f"last {length} months: an MRI in here makes this a repeat", first=first)
        )
    if days:
        first = today - timedelta(days=max(days) - 1)
        label = f"last {_weeks(max(days))}: care begun in here is still too short"
        found.append(Window(label=label, first=first))
    yield from sorted(found, key=lambda window: window.first)


def _weeks(days: int) -> str:
    return f"{days} days" if days % _DAYS_A_WEEK else f"{days // _DAYS_A_WEEK} weeks"


def _planned(exam: PriorExam) -> Entry:
    when = exam.planned or exam.written or exam.when
    written = f" on {exam.written.text}" if exam.written else ""
    planned = f", planned for {exam.planned.text}" if exam.planned else ""
    said = "ordered" if exam.written else "registered or booked"
    old = ", long ago" if exam.is_current is False else ""
    return Entry(
        label=f"Lumbar MRI {said}{written}{planned}, not done{old}",
        shape=Shape.PLANNED,
        when=when,
        is_uncertain=exam.strength is Strength.POSSIBLE,
    )


def _dated(when: DateInterval) -> str:
    if when.precision is not Precision.UNKNOWN:
        return when.text
    return f"on or after {when.earliest.isoformat()}" if when.earliest else "without a date"


def _dates_of(evidence: Evidence) -> set[tuple[str, DateInterval | None]]:
    return {(ref, evidence.when) for ref in evidence.resources}


def _named(fact: FactDefinition, evidence: Evidence) -> str:
    return f"{fact.label}: {evidence.text}"


def _is_read_by(*kinds: type[FactKind]) -> Callable[[FactDefinition], bool]:
    return lambda fact: (
        not fact.is_red_flag and any(isinstance(reading, kinds) for reading in fact.readings)
    )


def _day_of(entry: Entry) -> date | None:
    """Return the day by which an entry is put in order; None if it has no date at all."""
    if entry.when is None:
        return None
    if entry.when.precision is Precision.UNKNOWN and entry.when.earliest is None:
        return None
    return entry.when.latest


def _by_day(entry: Entry) -> tuple[date, str]:
    return _day_of(entry) or date.min, entry.label
