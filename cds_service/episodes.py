"""The current episode of back pain: how long it has lasted at least, and at most.

Source: decision table §2.4. Onset is known from `onset[x]` only; a recorded date says that
the pain was there by then, so it bounds the duration from below and never from above.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from cds_service.card_text import clean
from cds_service.fhir_dates import DateInterval, days_since
from cds_service.findings import Evidence, Finding, Strength, Truth, false, true
from cds_service.orders import DraftOrder
from cds_service.records import Chart, Condition, Currency, Encounter, Verification
from cds_service.terminology import Terminology
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import says_acute, says_chronic, stated_duration_days

CHRONIC_DAYS = 84
ACUTE_BELOW_DAYS = 28
# "Chronic low back pain" and "Acute low back pain" say how long without a date (§2.4).
_CHRONIC_CODE = "278860009"
_ACUTE_CODE = "278862001"
_WORDS_LIMIT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeDefinition:
    """Which value sets are back pain, and how long a gap ends an episode."""

    value_sets: tuple[str, ...]
    gap_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Duration in days: `least` and `most` by dates (strong), the others by words (possible)."""

    start: DateInterval | None = None
    """Earliest onset of the chain, where an onset is given."""
    least: int | None = None
    most: int | None = None
    possible_least: int | None = None
    possible_most: int | None = None
    evidence: tuple[Evidence, ...] = ()

    def is_shorter_than(self, days: int) -> Finding:
        """Has the episode lasted less than `days` days?"""
        answer = _shorter(self.least, self.most, days)
        strength = Strength.STRONG
        if answer and self.possible_least is not None and self.possible_least >= days:
            # The record says a short time, somebody says a long one: nobody may be told "short".
            return Finding(value=None, evidence=self.evidence)
        if answer is None:
            answer = _shorter(self.possible_least, self.possible_most, days)
            strength = Strength.POSSIBLE
        if answer is None:
            return Finding(value=None, evidence=self.evidence)
        if answer:
            return true(*self.evidence, strength=strength, when=self.start)
        return false(*self.evidence, strength=strength)


def _shorter(least: int | None, most: int | None, days: int) -> Truth:
    if most is not None and most < days:
        return True
    if least is not None and least >= days:
        return False
    return None


@dataclass(frozen=True, slots=True)
class _Link:
    """One condition or encounter as a stretch of time that back pain was present."""

    ref: str
    words: str
    onset: DateInterval | None
    seen: DateInterval | None
    """A day on which it was certainly present, if no onset is given."""
    last: date | None
    """Last day present; None when that is not known."""
    is_firm: bool
    """Coded, confirmed and surely current: an alarm may rest on it."""


def current_episode(
    definition: EpisodeDefinition,
    chart: Chart,
    order: DraftOrder,
    terminology: Terminology,
    today: date,
) -> Episode:
    """Chain the links back from today and return the duration of the chain."""
    matched = [c for c in chart.conditions if _is_back_pain(definition, c, terminology)]
    links = [_condition_link(c, definition, today) for c in matched]
    links += [_encounter_link(e) for e in chart.encounters if _is_for(definition, e, terminology)]
    chain = _chain(links, definition.gap_days, today)
    firm = _by_dates([link for link in chain if link.is_firm], today)
    dated = _by_dates(chain, today)
    possible_least, possible_most = _by_words(matched, order, terminology, definition, today)
    return Episode(
        start=dated.start,
        least=firm.least,
        # A weaker entry that goes further back takes the edge off: so it bounds from above too.
        most=_longer(firm.most, dated.most) if firm.evidence else None,
        possible_least=max(
            (n for n in (dated.least, possible_least) if n is not None), default=None
        ),
        possible_most=possible_most if dated.most is None else dated.most,
        evidence=dated.evidence,
    )


def _longer(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _is_back_pain(
    definition: EpisodeDefinition, condition: Condition, terminology: Terminology
) -> bool:
    if condition.verification is Verification.REFUTED:
        return False
    for set_id in definition.value_sets:
        said = terminology.in_record(condition.concept, condition.notes, set_id)
        if said is not None and said.state in AFFIRMED_STATES:
            return True
    return False


def _is_for(definition: EpisodeDefinition, encounter: Encounter, terminology: Terminology) -> bool:
    return any(
        terminology.in_record(reason, (), set_id) is not None
        for reason in encounter.reasons
        for set_id in definition.value_sets
    )


def _condition_link(condition: Condition, definition: EpisodeDefinition, today: date) -> _Link:
    """A current condition is present today, whatever its onset; a past one until it abated."""
    if condition.currency is Currency.CURRENT:
        last: date | None = today
    elif condition.abated is not None:
        last = condition.abated.latest
    else:
        last = condition.recorded.latest if condition.recorded else None
    return _Link(
        condition.ref,
        clean(condition.concept.label, _WORDS_LIMIT),
        None if condition.onset is None or condition.onset.is_future(today) else condition.onset,
        condition.recorded,
        last,
        is_firm=condition.verification is Verification.CONFIRMED
        and condition.currency is not Currency.CONTRADICTORY
        and condition.currency_strength is Strength.STRONG
        and not condition.concept.sets.isdisjoint(definition.value_sets),
    )


def _encounter_link(encounter: Encounter) -> _Link:
    words = next((r.label for r in encounter.reasons if r.label), "back pain visit")
    last = encounter.period.latest if encounter.period else None
    return _Link(
        encounter.ref, clean(words, _WORDS_LIMIT), None, encounter.period, last, is_firm=True
    )


def _chain(links: Iterable[_Link], gap_days: int, today: date) -> tuple[_Link, ...]:
    """Keep the links that reach back from today without a gap of more than `gap_days`."""
    kept: list[_Link] = []
    reach = today
    for link in sorted(links, key=lambda link: link.last or date.min, reverse=True):
        if link.last is None or link.last < reach - timedelta(days=gap_days):
            continue
        kept.append(link)
        begins = link.onset or link.seen
        if begins is not None:
            reach = min(reach, begins.latest)
    return tuple(kept)


def _by_dates(chain: Sequence[_Link], today: date) -> Episode:
    """Least days from every date given; most days only if every link has an onset."""
    if not chain:
        return Episode()
    least: list[int] = []
    most: list[int | None] = []
    evidence: list[Evidence] = []
    onsets: list[DateInterval] = []
    for link in sorted(chain, key=_begins):
        begins = link.onset or link.seen
        if begins is None:
            most.append(None)
            continue
        shortest, longest = days_since(begins, today)
        least.append(max(shortest, 0))
        most.append(longest if link.onset is not None else None)
        if link.onset is not None:
            onsets.append(link.onset)
            text = f"{link.words} since {link.onset.text}{_in_days(shortest, longest)}"
        else:
            text = f"{link.words}, on record since {begins.latest.isoformat()}, onset not given"
        evidence.append(Evidence(text=text, when=begins, resources=(link.ref,)))
    start = min(onsets, key=lambda onset: onset.latest) if onsets else None
    bounded = [days for days in most if days is not None]
    return Episode(
        start=start,
        least=max(least, default=0),
        most=max(bounded) if len(bounded) == len(chain) else None,
        evidence=tuple(evidence),
    )


def _begins(link: _Link) -> tuple[date, str]:
    """Longest ago first: the entry that sets the duration leads the evidence."""
    begins = link.onset or link.seen
    return (begins.latest if begins else date.max), link.ref


def _in_days(shortest: int, longest: int | None) -> str:
    return f" ({shortest} days)" if shortest == longest else ""


def _by_words(
    matched: Iterable[Condition],
    order: DraftOrder,
    terminology: Terminology,
    definition: EpisodeDefinition,
    today: date,
) -> tuple[int | None, int | None]:
    """Durations said in words or by a code without a date: possible at best."""
    least: list[int] = []
    most: list[int] = []
    texts = [
        word
        for word in order.words
        if any(_says_pain(terminology, word, set_id) for set_id in definition.value_sets)
    ]
    for condition in matched:
        if condition.onset is None and condition.currency is Currency.CURRENT:
            codes = {coding.code for coding in condition.concept.codings}
            texts.append(condition.concept.label)
            if _CHRONIC_CODE in codes:
                least.append(CHRONIC_DAYS)
            if _ACUTE_CODE in codes and _is_recent(condition, today):
                most.append(ACUTE_BELOW_DAYS - 1)
    for text in texts:
        stated = stated_duration_days(text)
        if stated is not None:
            least.append(stated[0])
            if stated[1] is not None:
                most.append(stated[1])
        elif says_chronic(text):
            least.append(CHRONIC_DAYS)
        elif says_acute(text):
            most.append(ACUTE_BELOW_DAYS - 1)
    return max(least, default=None), max(most, default=None)


def _says_pain(terminology: Terminology, word: str, set_id: str) -> bool:
    said = terminology.in_words(word, set_id)
    return said is not None and said.state in AFFIRMED_STATES


def _is_recent(condition: Condition, today: date) -> bool:
    """An "acute" entry recorded long ago says nothing about the pain of today."""
    return condition.recorded is None or (
        days_since(condition.recorded, today)[0] < ACUTE_BELOW_DAYS
    )
