"""Words that may be a red flag, wherever in the call they stand. Only for brakes.

In the order's own words they may support it; in the record, in other drafts of the basket and
in the report of the earlier MRI they do no more than take the edge off an alarm (§0, asymmetry;
§12.1 and §12.4). What is denied, asked of the family, or past never counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from cds_service.card_text import clean
from cds_service.fact_kinds.answers import Answer, shown_by
from cds_service.fact_kinds.evidence import (
    condition_evidence,
    observation_evidence,
    on_day,
    value_words,
)
from cds_service.fact_kinds.prior_imaging import IMAGING_TYPES, prior_of
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fhir_dates import DateInterval, after, within_days
from cds_service.findings import Evidence, Finding, Strength, any_of, true
from cds_service.records import Condition, Currency, Observation, Reading, Verification
from cds_service.terminology import Terminology
from cds_service.text.places import AFFIRMED_STATES

_SHOWN_LETTERS = 80

# Names under which every ward writes something, and answers that report nothing new.
_ROUTINE_NAME = re.compile(
    r"\b(?:risk|scales?|scores?|screen\w{0,4}|index|sounds?|colou?r|clarity|output|intake|gravity"
    r"|questionnaire|educat\w{0,4}|precautions?|history|hx|culture of urine|urine|urinalysis|UA"
    r"|arms?|hands?|grip|shoulder|elbow|wrist|fingers?|upper|density|HIV|goals?"
    r"|program|management|care|regimen|last (?:bowel|void|BM)|movements?)\b",
    re.IGNORECASE,
)
_ROUTINE_ANSWER = re.compile(
    r"^\W{0,2}(?:low|active|steady|stable|regular|clear|yellow|void\w{0,3}|continent|independent"
    r"|self|ad lib|ambulat\w{1,5}|able\b|perform\w{0,3}"
    r"|antalgic|down-?going|flexor|full|good|equal|symmetric\w{0,4}|2 ?\+?(?: ?/ ?4)?(?:\s|$)"
    r"|within (?:normal|defined)|WFL|WDL|at baseline|no growth"
    r"|not (?:done|applicable|assessed)|n/?a|unknown|deferred|declined|pending)",
    re.IGNORECASE,
)


_NOTHING_FOUND = re.compile(
    r"^\W{0,2}(?:no|without|den(?:ies|ied)|normal|intact)\b.{2}", re.IGNORECASE
)
"""Not the mere word "absent": an absent reflex may be a loss."""
_MERE_GRADE = re.compile(r"^\W{0,2}[0-5][+-]? ?(?:/|(?:out )?of) ?5\W{0,2}$", re.IGNORECASE)
"""Says nothing without its name: strength of the leg is read as such, a pain score is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsOnRecord(FactKind):
    """Observations and diagnoses of late, or newer than the earlier MRI, name what is in the sets.

    Of an observation its name (unless its answer is no, or a mere number), value and notes; of a
    diagnosis that is neither refuted nor past all words. What has no date may be of late. An
    examination in `exam_sets` that is newer than the earlier MRI counts where its result is
    unclear, too.
    """

    value_sets: tuple[str, ...]
    unclear_sets: tuple[str, ...]
    """A sign of these sets that an observation names without a clear answer counts, too."""
    exam_sets: tuple[str, ...]
    beside_sets: tuple[str, ...]
    """Words beside a known code of a diagnosis are read only where it is in these sets: other
    facts know the rest, with windows of their own."""
    within: int
    resource_types: ClassVar[frozenset[str]] = frozenset({"Observation", "Condition"})

    def read(self, context: ReadingContext) -> Finding:
        """Read what is recent; possible at most."""
        return any_of(
            true(evidence, strength=Strength.POSSIBLE, when=evidence.when)
            for evidence in (*self._observed(context), *self._diagnosed(context))
        )

    def _observed(self, context: ReadingContext) -> Iterator[Evidence]:
        asked = (*self.unclear_sets, *self.value_sets, *self.exam_sets)
        for observation in context.observations_of(*asked):
            when = observation.effective
            if (self._is_recent(when, context) and self._is_named(observation, context)) or (
                _is_since_prior(when, context) and self._is_unclear_exam(observation, context)
            ):
                yield observation_evidence(observation)

    def _is_named(self, observation: Observation, context: ReadingContext) -> bool:
        terminology = context.terminology
        if any(
            shown.answer is Answer.UNCLEAR
            for set_id in self.unclear_sets
            for shown in shown_by(observation, set_id, terminology)
        ):
            return True
        is_routine = _is_routine(observation)
        return any(
            shown.answer is Answer.YES
            for set_id in self.value_sets
            if not is_routine or _is_written(observation)
            for shown in shown_by(observation, set_id, terminology)
            if not (is_routine and shown.words.startswith(observation.exam_label))
            and not _MERE_GRADE.match(shown.words)
        )

    def _is_unclear_exam(self, observation: Observation, context: ReadingContext) -> bool:
        """Reflexes of "2+" are normal, a number is not judged, and neither is silence."""
        words = value_words(observation)
        if (
            observation.reading is not Reading.UNCLEAR
            or observation.value.number is not None
            or not words
            or _ROUTINE_ANSWER.search(words)
            or _NOTHING_FOUND.search(words)
        ):
            return False
        return any(
            (said := context.terminology.in_record(observation.concept, (), set_id)) is not None
            and said.state in AFFIRMED_STATES
            for set_id in self.exam_sets
        )

    def _diagnosed(self, context: ReadingContext) -> Iterator[Evidence]:
        for condition in context.chart.conditions:
            if (
                condition.verification is not Verification.REFUTED
                and condition.currency is not Currency.PAST
                and self._is_recent(condition.began, context)
                and self._is_said(condition, context.terminology)
            ):
                yield condition_evidence(condition)

    def _is_said(self, condition: Condition, terminology: Terminology) -> bool:
        concept = condition.concept
        if not concept.sets <= frozenset(self.beside_sets):
            return False
        texts = (*concept.words, *condition.notes)
        return any(
            _names(text, set_id, terminology) for text in texts for set_id in self.value_sets
        )

    def _is_recent(self, when: DateInterval | None, context: ReadingContext) -> bool:
        is_of_late = within_days(when, context.today, self.within) is not False
        return is_of_late or _is_since_prior(when, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsInBasket(FactKind):
    """Another draft of the same basket gives a reason, or says something, that is in the sets.

    Of its title only the `title_sets` are asked: a draft for a CRP is no infection.
    """

    value_sets: tuple[str, ...]
    title_sets: tuple[str, ...]

    def read(self, context: ReadingContext) -> Finding:
        """Look at codes, then at words; possible at most."""
        today = on_day(context.today)
        return any_of(
            true(
                Evidence(
                    text=f"Another draft: “{clean(said, _SHOWN_LETTERS)}”",
                    when=today,
                    resources=(draft.ref,),
                ),
                strength=Strength.POSSIBLE,
                when=today,
            )
            for draft in context.other_drafts
            for said in (
                *(c.label for c in draft.reasons if not c.sets.isdisjoint(self.value_sets)),
                *_naming(draft.words, self.value_sets, context.terminology),
                *_naming(draft.titles, self.title_sets, context.terminology),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsOfPriorReport(FactKind):
    """The conclusion of the exam that a repeat is compared with names what is in the sets."""

    value_sets: tuple[str, ...]
    resource_types: ClassVar[frozenset[str]] = IMAGING_TYPES

    def read(self, context: ReadingContext) -> Finding:
        """Read the conclusion; possible at most."""
        prior = prior_of(context.history)
        if prior is None or not prior.conclusion:
            return Finding(value=None)
        return any_of(
            true(
                Evidence(
                    text=f"Report of the {context.exam_in_sentence} {prior.when.text}: "
                    f"“{clean(said.words, _SHOWN_LETTERS)}”",
                    when=prior.when,
                    resources=prior.sources,
                ),
                strength=Strength.POSSIBLE,
                when=prior.when,
            )
            for set_id in self.value_sets
            if (said := context.terminology.in_words(prior.conclusion, set_id)) is not None
            and said.state in AFFIRMED_STATES
        )


def _naming(texts: tuple[str, ...], sets: tuple[str, ...], terminology: Terminology) -> list[str]:
    return [text for text in texts if any(_names(text, set_id, terminology) for set_id in sets)]


def _names(text: str, set_id: str, terminology: Terminology) -> bool:
    said = terminology.in_words(text, set_id)
    return said is not None and said.state in AFFIRMED_STATES


def _is_since_prior(when: DateInterval | None, context: ReadingContext) -> bool:
    prior = prior_of(context.history)
    return prior is not None and after(when, prior.when) is True


def _is_routine(observation: Observation) -> bool:
    """A name that every ward fills in, or an answer that reports nothing new."""
    return (
        _ROUTINE_NAME.search(observation.exam_label) is not None
        or _ROUTINE_ANSWER.search(value_words(observation)) is not None
    )


def _is_written(observation: Observation) -> bool:
    """Words beside the name: a value that is text, or a note."""
    return bool(observation.value.text or observation.notes or observation.value.concept)
