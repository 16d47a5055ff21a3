"""Every entry of the record that says an implant is in, or came out (decision table F81).

Device, use of a device, diagnosis, completed procedure, observation, words of the order. Codes
are strong, words are possible; negated, refuted, resolved and planned entries are nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cds_service.card_text import clean
from cds_service.fact_kinds.conditions import has_code, is_cancelled
from cds_service.fact_kinds.evidence import on_day, order_evidence, words_of
from cds_service.fact_kinds.implant_entries import Implant, ImplantClass, Removal
from cds_service.fact_kinds.reading import ReadingContext
from cds_service.fhir import year_in
from cds_service.fhir_dates import DateInterval
from cds_service.findings import Evidence, Strength
from cds_service.records import (
    NO_CONCEPT,
    Concept,
    Condition,
    Currency,
    Observation,
    ProcedureState,
    Reading,
    Record,
    Verification,
)
from cds_service.text.clauses import LONGEST_TEXT
from cds_service.text.implants import (
    MrStatement,
    Presence,
    mr_statement,
    removals_in,
    without_plans,
)
from cds_service.text.places import AFFIRMED_STATES

_MR_WORDS = {MrStatement.SUITABLE: ", MR Conditional", MrStatement.UNSAFE: ", MR unsafe"}
_NOTE_LIMIT = 80
_THE_DEVICE = re.compile(
    r"\b(?:device|generator|system|implant|it|leads?)\b|^\W{0,3}(?=remov|explant)", re.IGNORECASE
)


def read_implants(
    context: ReadingContext,
    set_id: str,
    classes: tuple[ImplantClass, ...],
    removal_codes: tuple[str, ...],
) -> tuple[list[Implant], list[Removal]]:
    """Return what says "in" and what says "out", of the whole record and the order."""
    reader = _Reader(context, set_id, classes, removal_codes)
    entries = [
        *reader.devices(),
        *reader.conditions(),
        *reader.procedures(),
        *reader.observations(),
        *reader.order(),
    ]
    return (
        [entry for entry in entries if isinstance(entry, Implant)],
        [entry for entry in entries if isinstance(entry, Removal)],
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What a record or a text says of implants of the set."""

    is_in: bool
    classes: frozenset[str]
    out_classes: frozenset[str]
    strength: Strength


@dataclass(frozen=True, slots=True)
class _Reader:
    context: ReadingContext
    set_id: str
    classes: tuple[ImplantClass, ...]
    removal_codes: tuple[str, ...]

    def devices(self) -> Iterator[Implant | Removal]:
        for device in self.context.chart.devices:
            said = self._of(device)
            if said is None:
                continue
            if not device.is_in_use or not said.is_in:
                removal = self._removal(device, said, device.recorded, "Device, not in use")
                yield replace(removal, of_device=device.device)
                continue
            implant = self._implant(device, said, device.recorded, "Device")
            yield replace(
                implant,
                device=device.device,
                is_standing=True,
                is_contradictory=any(
                    removals_in(text, _THE_DEVICE) is Presence.OUT for text in device.notes
                ),
            )

    def conditions(self) -> Iterator[Implant | Removal]:
        entries = [
            (c, said) for c in self.context.chart.conditions if (said := self._of(c)) is not None
        ]
        refuted = [(c, s) for c, s in entries if c.verification is Verification.REFUTED]
        for condition, said in entries:
            like = [c for c, theirs in refuted if theirs.classes & said.classes]
            is_doubtful = condition.verification is Verification.UNCONFIRMED
            if (
                condition.verification is Verification.REFUTED
                or condition.currency is Currency.PAST
                or (is_doubtful and is_cancelled(condition, like))
            ):
                continue
            if said.out_classes:
                when = _year_of(condition) or condition.began
                yield self._removal(condition, said, when, "Condition")
            if said.is_in:
                implant = self._implant(condition, said, condition.began, "Condition")
                is_firm = not is_doubtful and condition.currency_strength is Strength.STRONG
                yield replace(
                    implant,
                    strength=implant.strength if is_firm else Strength.POSSIBLE,
                    is_standing=True,
                    is_contradictory=condition.currency is Currency.CONTRADICTORY,
                )

    def procedures(self) -> Iterator[Implant | Removal]:
        for procedure in self.context.chart.procedures:
            said = self._of(procedure) or self._worded(procedure.focal_devices)
            if said is None or procedure.state is not ProcedureState.DONE:
                continue
            when = procedure.performed
            if when is not None and when.is_future(self.context.today):
                when = None
            if said.out_classes:
                yield self._removal(procedure, said, when, "Procedure")
            if said.is_in:
                implant = self._implant(procedure, said, when, "Procedure")
                is_firm = procedure.strength is Strength.STRONG
                yield implant if is_firm else replace(implant, strength=Strength.POSSIBLE)

    def observations(self) -> Iterator[Implant | Removal]:
        """Take "Pacemaker: yes" and "Implant: pacemaker"; a number is a measurement (5 ppm)."""
        for observation in self.context.chart.observations:
            value = observation.value
            if value.number is not None:
                continue
            said = self._value(observation)
            if said is None and observation.reading is Reading.ABNORMAL:
                said = self._of(observation)
            if said is not None and said.is_in:
                implant = self._implant(observation, said, observation.effective, "Observation")
                yield replace(implant, strength=Strength.POSSIBLE)

    def _value(self, observation: Observation) -> _Said | None:
        value = observation.value
        if value.concept is not None:
            return self._of(Record(ref=observation.ref, concept=value.concept))
        return self._worded((value.text,)) if value.text else None

    def order(self) -> Iterator[Implant | Removal]:
        """Read codes and words; a reason that refers to a Condition is read there."""
        order, today = self.context.order, on_day(self.context.today)
        for reason in order.reasons:
            said = self._coded(reason.concept) if reason.condition is None else None
            if said is not None:
                record = Record(ref=order.ref, concept=reason.concept)
                evidence = order_evidence(order, words_of(reason.concept), self.context.today)
                yield replace(self._implant(record, said, today, ""), evidence=evidence)
        for text in order.words:
            said = self._worded((text,))
            record = Record(ref=order.ref, concept=Concept(text=text))
            evidence = order_evidence(order, text, self.context.today)
            if said is not None and said.out_classes:
                yield replace(self._removal(record, said, today, ""), evidence=evidence)
            if said is not None and said.is_in:
                yield replace(self._implant(record, said, today, ""), evidence=evidence)

    def _of(self, record: Record) -> _Said | None:
        """Read the codes; words only where no code is recognised (§2.5)."""
        concept = record.concept
        if has_code(concept, self.removal_codes) and self.removal_codes:
            classes = self._classes(concept, ())
            return _Said(
                is_in=False, classes=classes, out_classes=classes, strength=Strength.STRONG
            )
        coded = self._coded(concept)
        if coded is not None or concept.is_recognised:
            return coded
        return self._worded((*concept.words, *record.notes))

    def _coded(self, concept: Concept) -> _Said | None:
        if self.set_id not in concept.sets:
            return None
        classes = self._classes(concept, ())
        return _Said(is_in=True, classes=classes, out_classes=frozenset(), strength=Strength.STRONG)

    def _worded(self, texts: Iterable[str]) -> _Said | None:
        """Read texts: the set's patterns say "in", the words of a class may say "out"."""
        kept = tuple(text for text in texts if self._may_name(text))
        for implant_class in self.classes:
            kept = tuple(without_plans(text, implant_class.pattern) for text in kept)
        is_in = False
        for text in kept:
            said = self.context.terminology.in_words(text, self.set_id)
            is_in = is_in or (said is not None and said.state in AFFIRMED_STATES)
        spoken = {
            c.name: presence
            for c in self.classes
            for text in kept
            if (presence := removals_in(text, c.pattern)) is not None
        }
        out = frozenset(name for name, presence in spoken.items() if presence is Presence.OUT)
        named = self._classes(NO_CONCEPT, kept)
        is_in = is_in and not (named and named <= out)
        is_in = is_in or Presence.IN in spoken.values()
        if not is_in and not out:
            return None
        return _Said(is_in=is_in, classes=named, out_classes=out, strength=Strength.POSSIBLE)

    def _may_name(self, text: str) -> bool:
        """Whether any class or pattern finds something: most texts of a chart name no implant."""
        return (
            any(c.pattern.search(text[:LONGEST_TEXT]) for c in self.classes)
            or self.context.terminology.in_words(text, self.set_id) is not None
        )

    def _classes(self, concept: Concept, texts: tuple[str, ...]) -> frozenset[str]:
        return frozenset(c.name for c in self.classes if c.holds(concept, texts))

    def _implant(
        self, record: Record, said: _Said, when: DateInterval | None, source: str
    ) -> Implant:
        mr = mr_statement((*record.concept.words, *record.notes))
        return Implant(
            evidence=_evidence(record, f"({source}){_MR_WORDS.get(mr, '')}", when),
            strength=said.strength,
            classes=said.classes - said.out_classes or said.classes,
            when=when,
            mr=mr,
        )

    def _removal(
        self, record: Record, said: _Said, when: DateInterval | None, source: str
    ) -> Removal:
        return Removal(
            evidence=_evidence(record, f"({source})", when),
            strength=said.strength,
            classes=said.out_classes or said.classes,
            when=when,
        )


def _evidence(record: Record, said: str, when: DateInterval | None) -> Evidence:
    """Return for example `Pacemaker (Device), MR Conditional`, with the date if there is one."""
    name = words_of(record.concept, clean(next(iter(record.notes), "implant"), _NOTE_LIMIT))
    dated = f", {when.text}" if when is not None else ""
    return Evidence(text=f"{name} {said}{dated}", when=when, resources=(record.ref,))


def _year_of(condition: Condition) -> DateInterval | None:
    """Return the year that the words give: the onset of "explanted 2020" is another date."""
    return next((y for t in condition.concept.words if (y := year_in(t, "text")) is not None), None)
