"""Facts about implants that matter for MR safety (decision table F81, rows SF1 and SF6).

One reading of the record answers three questions, of which at most one is true: an implant is
not cleared; or it may have come out; or all that are on record are MR Conditional.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from cds_service.fact_kinds.evidence import observation_evidence
from cds_service.fact_kinds.implant_entries import Implant, ImplantClass, Removal
from cds_service.fact_kinds.implant_record import read_implants
from cds_service.fact_kinds.reading import FactKind, ReadingContext, Window
from cds_service.fhir_dates import after, on_or_after
from cds_service.findings import Finding, Strength, any_of, false, true
from cds_service.records import Observation, Reading
from cds_service.text.implants import MrStatement, denies_implants, names_implants

_TYPES = frozenset({"Device", "Condition", "Procedure", "Observation"})


class ImplantQuestion(StrEnum):
    """Which of the three facts is read."""

    UNSAFE = "unsafe"
    """An implant without an MR Conditional statement, not known to be out."""
    CONDITIONAL = "conditional"
    """Implants are on record, and every one is stated to be MR Conditional or MR Safe."""
    REMOVED = "removed"
    """It came out after it was put in, or the record contradicts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplantStatus(FactKind):
    """What the record says of the implants of a set: not cleared, conditional, or removed.

    An MR statement of a Device speaks for procedures and diagnoses of the same class. A
    removal answers for what was put in before it. A screening that found no implants, newer
    than all dated entries, makes `unsafe` false; what is said to be in today still asks.
    """

    value_set: str
    question: ImplantQuestion
    classes: tuple[ImplantClass, ...]
    removal_codes: tuple[str, ...]
    screened_within_months: int
    resource_types: ClassVar[frozenset[str]] = _TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Sort the implants, and answer the question that was asked."""
        sorted_ = self._sorted(context)
        match self.question:
            case ImplantQuestion.UNSAFE:
                if sorted_.unsafe:
                    return _found(sorted_.unsafe)
                screening = sorted_.screening
                return Finding(value=None) if screening is None else screening
            case ImplantQuestion.REMOVED:
                if sorted_.unsafe or not sorted_.asked:
                    return Finding(value=None)
                return any_of(sorted_.asked)
            case ImplantQuestion.CONDITIONAL:
                if sorted_.unsafe or sorted_.asked:
                    return Finding(value=None)
                return _found(sorted_.conditional)

    def _sorted(self, context: ReadingContext) -> "_Sorted":
        implants, removals = read_implants(
            context, self.value_set, self.classes, self.removal_codes
        )
        screening = self._screening(context, implants, removals)
        current = [r for r in removals if not any(_stands_after(i, r) for i in implants)]
        sorted_ = _Sorted(
            [], [], [], None if screening is None else false(observation_evidence(screening))
        )
        for implant in implants:
            against = _contradicting(implant, implants, current)
            if against:
                sorted_.asked.append(_asked(implant, against))
            elif implant.is_contradictory:
                sorted_.asked.append(_found([implant]))
            elif _is_conditional(implant, implants):
                sorted_.conditional.append(implant)
            elif screening is None:
                sorted_.unsafe.append(implant)
            elif implant.is_standing:
                denial = true(observation_evidence(screening), strength=Strength.POSSIBLE)
                sorted_.asked.append(any_of((_found([implant]), denial)))
        return sorted_

    def _screening(
        self, context: ReadingContext, implants: list[Implant], removals: list[Removal]
    ) -> Observation | None:
        """Return the newest screening, if it found no implants and is newer than all of them."""
        window = Window(months=self.screened_within_months)
        answers = [
            (answer, observation)
            for observation in context.chart.observations
            if (answer := _screened(observation)) is not None
            and window.holds(observation.effective, context.today) is True
        ]
        newest = max(
            (o.effective.latest for _, o in answers if o.effective is not None), default=None
        )
        last = [
            (answer, o) for answer, o in answers if o.effective and o.effective.latest == newest
        ]
        if not last or not all(answer for answer, _ in last):
            return None
        screening = min((o for _, o in last), key=lambda o: o.ref)
        dates = [*(i.when for i in implants), *(r.when for r in removals)]
        is_last = all(after(screening.effective, when) is True for when in dates)
        return screening if is_last else None


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The implants on record by what is to be done about them."""

    unsafe: list[Implant]
    asked: list[Finding]
    conditional: list[Implant]
    screening: Finding | None
    """False, from a screening that found no implants."""


def _found(implants: Iterable[Implant]) -> Finding:
    return any_of(
        true(implant.evidence, strength=implant.strength, when=implant.when) for implant in implants
    )


def _asked(implant: Implant, against: list[Removal]) -> Finding:
    """Say that it was put in and that it came out: the clinician has to tell which holds."""
    removals = (
        true(removal.evidence, strength=removal.strength, when=removal.when) for removal in against
    )
    return any_of((_found([implant]), *removals))


def _stands_after(implant: Implant, removal: Removal) -> bool:
    """Tell whether it was put in, or said to be in, on the day of the removal or later.

    A generator is exchanged in one session: what was put in on that day is still in.
    """
    if implant.classes.isdisjoint(removal.classes) or removal.when is None:
        return False
    return on_or_after(implant.when, removal.when.latest) is True


def _contradicting(
    implant: Implant, implants: list[Implant], removals: list[Removal]
) -> list[Removal]:
    """Return what says that this implant is out.

    A Device that is inactive is one device: while another of its class is in use it was
    replaced, and it never speaks of another Device.
    """
    in_use = any(
        other.is_device and not other.classes.isdisjoint(implant.classes) for other in implants
    )
    return [
        removal
        for removal in removals
        if (removal.of_device and removal.of_device == implant.device)
        or (not removal.classes.isdisjoint(implant.classes) and not (removal.of_device and in_use))
    ]


def _is_conditional(implant: Implant, implants: list[Implant]) -> bool:
    if implant.is_device or implant.mr in {MrStatement.SUITABLE, MrStatement.UNSAFE}:
        return implant.mr is MrStatement.SUITABLE
    devices = [
        other
        for other in implants
        if other.is_device and not other.classes.isdisjoint(implant.classes)
    ]
    return bool(devices) and all(device.mr is MrStatement.SUITABLE for device in devices)


def _screened(observation: Observation) -> bool | None:
    """Tell whether a screening found no implants; None if the entry is no such screening.

    Explicit only: "Implants: none", "MRI screening: no implants". "Cleared" is no such answer.
    """
    value = observation.value
    words = value.text or (value.concept.label if value.concept is not None else "")
    if names_implants(words):
        return denies_implants(words)
    if not any(names_implants(text) for text in observation.concept.words):
        return None
    if any(denies_implants(text) for text in observation.concept.words):
        # "No implants: yes" and "No implants: no" are too easily taken for each other.
        return observation.reading is Reading.ABNORMAL
    return observation.reading is Reading.NORMAL if observation.has_value else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplantOnRecord(FactKind):
    """An implant of the sets is on record, whatever is stated of it (SF6: only a question)."""

    value_set: str
    removal_codes: tuple[str, ...] = ()
    resource_types: ClassVar[frozenset[str]] = _TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Return all of them, the surest first."""
        implants, _ = read_implants(context, self.value_set, (), self.removal_codes)
        return _found(implants)
