"""Facts about the kidneys that matter for gadolinium (decision table F82, row SF2).

Source: ACR-NKF consensus 2021, by which only an eGFR below 30 mL/min/1.73 m2, dialysis and
acute kidney injury ask for care; `ehr-integration.md` §5, quirks 52 and 53.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

from cds_service.fact_kinds.conditions import ConditionOnRecord, has_code
from cds_service.fact_kinds.evidence import observation_evidence, treatment_evidence
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir import convert
from cds_service.fhir_dates import DateInterval, after, within_days
from cds_service.findings import Evidence, Finding, Strength, Truth, any_of, false, true
from cds_service.records import Condition, Observation, Procedure, ProcedureState, Reading
from cds_service.text.places import AFFIRMED_STATES

_UNIT = "mL/min/1.73m2"
_SHOWN_UNIT = "mL/min/1.73 m2"
_LEAST_WITHOUT_UNIT = 3
"""Below it a number without a unit may be mL/s (normal: 1.5 to 2): it is not guessed at."""
_MOST = 300
"""A greater rate is no filtration rate but another unit, or a mistake."""
_BOUND_WORDS = {
    **dict.fromkeys(("greater than", "more than", "above", "over"), ">"),
    **dict.fromkeys(("less than", "below", "under"), "<"),
    **dict.fromkeys(("≥", "=>", "> or =", ">/="), ">="),
    **dict.fromkeys(("≤", "=<", "< or =", "</="), "<="),
}
_FLAG = (
    r"(?:\(?(?:very low|low|high|critical|abnormal|normal|LL?|HH?|A|N|\*{1,2}|!|[↓↑])\)?"
    r"(?:\s|$)){0,2}"
)
_CATEGORY = re.compile(r"^(?:(?:CKD )?stage )?G?(?P<grade>[1-5])[ab]?$", re.IGNORECASE)
_CATEGORIES = {"1": (90, 300), "2": (60, 89), "3": (30, 59), "4": (15, 29), "5": (0, 14)}
"""KDIGO categories of the filtration rate; 3a and 3b together."""
_RESULT = re.compile(
    r"^(?:e?GFR\s{0,2}[:=]?\s{0,2})?(?:~|≈|about |approx(?:\.|imately)? |ca\.? )?"
    r"(?:G[1-5][ab]?\s{0,2}[:,]?\s{0,2})?(?P<open>\()?"
    r"(?P<sign><=|>=|=>|=<|</=|>/=|> or =|< or =|<|>|≤|≥|greater than|more than|above|over"
    r"|less than|below|under)?\s{0,2}"
    r"(?P<number>\d{1,3}(?:\.\d{1,3})?)(?:\s{0,2}[-–]\s{0,2}(?P<to>\d{1,3}(?:\.\d{1,3})?))?"
    r"\s{0,2}(?P<unit>mL\s{0,2}/\s{0,2}(?:min|s|sec)\b.{0,16}?)?(?(open)\))\s{0,2}"
    rf"{_FLAG}\s{{0,2}}$",
    re.IGNORECASE,
)
_LONGEST_RESULT = 60


@dataclass(frozen=True, slots=True)
class _Rate:
    """Bounds of a filtration rate in mL/min/1.73 m2; the same number twice if it is exact."""

    least: float
    most: float
    is_open: bool
    """The bounds themselves are excluded: "<30" is below 30."""

    def is_below(self, limit: float) -> Truth:
        """Is every rate that it may be below the limit? None if they disagree."""
        if self.most < limit or (self.is_open and self.most == limit):
            return True
        return False if self.least >= limit else None


@dataclass(frozen=True, slots=True)
class _Result:
    """An eGFR that holds a number, and what it says of the limit."""

    observation: Observation
    when: DateInterval
    is_low: Truth

    @property
    def evidence(self) -> Evidence:
        """Return for example `eGFR 24 mL/min/1.73 m2, 2026-02-01`."""
        value = self.observation.value
        if value.number is not None:
            unit = value.unit if _is_per_second(value.unit) else _SHOWN_UNIT
            said = f"{value.comparator}{value.number:g} {unit}"
        else:
            said = _words_of(self.observation)
        return Evidence(
            text=f"eGFR {said}, {self.when.text}",
            when=self.when,
            resources=(self.observation.ref,),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LowFiltration(FactKind):
    """The newest eGFR of the last `within` days is below `limit` mL/min/1.73 m2 (F82).

    False if it is not. Unknown where a bound leaves both open ("<60") or the unit is not known.
    """

    value_set: str
    limit: int
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Judge the newest; of several of one day the worse one counts."""
        newest = self.newest(context)
        if newest is None:
            return Finding(value=None)
        match newest.is_low:
            case True:
                return true(newest.evidence, strength=Strength.STRONG, when=newest.when)
            case False:
                return false(newest.evidence)
            case None:
                return Finding(value=None, evidence=(newest.evidence,))

    def newest(self, context: ReadingContext) -> _Result | None:
        """Return the result that counts; one without a number is none."""
        return _last(r for r in self.results(context) if _holds_number(r.observation))

    def results(self, context: ReadingContext) -> Iterator[_Result]:
        """Yield what is dated in the window, words without a number too."""
        for observation in _filtrations(context, self.value_set):
            when = observation.effective
            if when is not None and within_days(when, context.today, self.within) is True:
                yield _Result(observation, when, _is_low(observation, self.limit))


def _last(found: Iterable[_Result]) -> _Result | None:
    results = list(found)
    last = max((r.when for r in results), key=lambda when: when.latest, default=None)
    if last is None:
        return None
    # What may be of the same day competes: "2026-02" and 2026-02-10 cannot be ordered.
    rivals = [r for r in results if after(last, r.when) is not True]
    return min(rivals, key=_by_severity)


def _filtrations(context: ReadingContext, set_id: str) -> Iterator[Observation]:
    """Yield the eGFRs: by code, or by name where no code is known."""
    for observation in context.observations_of(set_id):
        if context.terminology.in_record(observation.concept, (), set_id) is not None:
            yield observation


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclearFiltration(FactKind):
    """The newest eGFR cannot be read, or may be on either side of the limit; never false.

    One without a date counts unless it is surely not low: nothing tells that it is old.
    """

    value_set: str
    limit: int
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation"})

    def read(self, context: ReadingContext) -> Finding:
        """Look at the newest with a date, then at those without one."""
        dated = LowFiltration(value_set=self.value_set, limit=self.limit, within=self.within)
        last = _last(r for r in dated.results(context) if _says_something(r.observation))
        if last is not None and last.is_low is None:
            return true(last.evidence, strength=Strength.POSSIBLE, when=last.when)
        return any_of(
            true(observation_evidence(observation), strength=Strength.POSSIBLE)
            for observation in _filtrations(context, self.value_set)
            if observation.effective is None
            and _says_something(observation)
            and _is_low(observation, self.limit) is not False
        )


def _says_something(observation: Observation) -> bool:
    """Tell whether there is a result; "normal" answers, and a reason for none is none."""
    return (
        _holds_number(observation) or bool(_words_of(observation))
    ) and observation.reading is not Reading.NORMAL


def _by_severity(result: _Result) -> tuple[int, int, str]:
    """Low before not low before unclear: another result of that day has answered."""
    rank = {True: 0, False: 1, None: 2}[result.is_low]
    return rank, -result.when.latest.toordinal(), result.observation.ref


def _holds_number(observation: Observation) -> bool:
    return observation.value.number is not None or any(
        character.isdecimal() for character in _words_of(observation)
    )


def _words_of(observation: Observation) -> str:
    value = observation.value
    words = value.text or (value.concept.label if value.concept is not None else "")
    return " ".join(words.split())[:_LONGEST_RESULT]


def _is_low(observation: Observation, limit: int) -> Truth:
    value = observation.value
    if value.number is not None:
        rate = _rate(value.comparator, value.number, value.number, value.unit)
    else:
        rate = _rate_in(_words_of(observation), value.unit)
    return None if rate is None else rate.is_below(limit)


def _rate_in(text: str, unit: str) -> _Rate | None:
    """Read "24", "<15", ">= 60 mL/min/1.73m2", "15-29", "greater than 60"."""
    category = _CATEGORY.match(text) if text[:1].isalpha() else None
    if category is not None:
        least, most = _CATEGORIES[category["grade"]]
        return _Rate(least, most, is_open=False)
    found = _RESULT.match(text)
    if found is None or (found["sign"] and found["to"]):
        return None
    sign = (found["sign"] or "").lower()
    number = float(found["number"])
    upper = float(found["to"]) if found["to"] else number
    return _rate(_BOUND_WORDS.get(sign, sign), number, upper, found["unit"] or unit)


def _rate(sign: str, lower: float, upper: float, unit: str) -> _Rate | None:
    """Return the rate in mL/min/1.73 m2; None if the unit is not known or cannot be meant."""
    least, most = _converted(lower, unit), _converted(upper, unit)
    if least is None or most is None or not 0 <= least <= most <= _MOST:
        return None
    if sign.startswith("<"):
        return _Rate(0, most, is_open=sign == "<")
    if sign.startswith(">"):
        return _Rate(least, float("inf"), is_open=sign == ">")
    return _Rate(least, most, is_open=False)


def _converted(number: float, unit: str) -> float | None:
    if unit:
        return convert(number, unit, _UNIT)
    return number if number >= _LEAST_WITHOUT_UNIT else None


def _is_per_second(unit: str) -> bool:
    return "/s" in unit.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class KidneyDisease(FactKind):
    """A kidney disease or dialysis of the set is on record, and no newer eGFR speaks against it.

    An eGFR of at least `limit` in the last `within` days that is later than the entry makes it
    false (F82); a date that cannot be compared leaves it true, as possible evidence.
    """

    value_set: str
    except_codes: tuple[str, ...]
    filtration_set: str
    limit: int
    within: int
    """Days: of the eGFR, and of a dialysis that was done."""
    resource_types: ClassVar[frozenset[str]] = frozenset({"Condition", "Observation", "Procedure"})

    def read(self, context: ReadingContext) -> Finding:
        """Read the record; if it says yes, read again without what an eGFR has outdated."""
        whole = self._on_record(context)
        filtration = LowFiltration(
            value_set=self.filtration_set, limit=self.limit, within=self.within
        ).newest(context)
        if not whole.is_true or filtration is None or filtration.is_low is not False:
            return whole
        chart = replace(
            context.chart,
            conditions=tuple(
                c
                for c in context.chart.conditions
                if after(filtration.when, _entered(c)) is not True
            ),
            procedures=tuple(
                p
                for p in context.chart.procedures
                if after(filtration.when, p.performed) is not True
            ),
        )
        kept = self._on_record(replace(context, chart=chart))
        if not kept.is_true:
            return false(filtration.evidence, *whole.evidence)
        is_later = after(kept.when, filtration.when) is True
        strength = kept.strength if is_later and kept.strength else Strength.POSSIBLE
        return true(*kept.evidence, strength=strength, when=kept.when)

    def _on_record(self, context: ReadingContext) -> Finding:
        conditions = ConditionOnRecord(
            value_sets=(self.value_set,), except_codes=self.except_codes
        ).read(context)
        return any_of((conditions, *(self._done(p, context) for p in context.chart.procedures)))

    def _done(self, procedure: Procedure, context: ReadingContext) -> Finding:
        """Dialysis is charted as a procedure more often than as a diagnosis."""
        said = context.terminology.in_record(procedure.concept, procedure.notes, self.value_set)
        if said is None or said.state not in AFFIRMED_STATES:
            return Finding(value=None)
        if said.by == "code" and has_code(procedure.concept, self.except_codes):
            return Finding(value=None)
        is_done = procedure.state is ProcedureState.DONE and (
            within_days(procedure.performed, context.today, self.within) is True
        )
        if not is_done and procedure.state is not ProcedureState.ONGOING:
            return Finding(value=None)
        return true(
            treatment_evidence(procedure, procedure.performed, "done"),
            strength=procedure.strength if said.by == "code" else Strength.POSSIBLE,
            when=procedure.performed,
        )


def _entered(condition: Condition) -> DateInterval | None:
    """Return when the code was last stated: a recorded date outdoes an earlier onset."""
    dates = [when for when in (condition.onset, condition.recorded) if when is not None]
    return max(dates, key=lambda when: (when.latest, when.earliest or date.min), default=None)
