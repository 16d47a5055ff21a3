"""What one Observation says of a value set: by its name and answer, its value, its notes.

An examination with a name of its own ("Foot drop: present") and one that holds words ("Chief
complaint: sudden foot drop") are read alike. Source: decision table §2.2, §2.5 and §12.4.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cds_service.fact_kinds.evidence import value_words
from cds_service.findings import Strength
from cds_service.records import Observation, Reading
from cds_service.terminology import Terminology
from cds_service.text.places import AFFIRMED_STATES
from cds_service.text.reading import TextState


class Answer(StrEnum):
    """Whether what is named is there."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    """Named, and neither stated nor denied: unknown, deferred, of the past, or no value."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that an Observation says of a value set."""

    answer: Answer
    strength: Strength
    words: str


_FAMILY = re.compile(
    r"\b(?:family|FHx?|mother|father|maternal|paternal|sibling|sister|brother)\b", re.IGNORECASE
)
# What is asked, taught, feared or long over is not found; it may still be worth a question.
_NOT_FOUND_NOW = re.compile(
    r"\b(?:screen\w{0,4}|review\w{0,3}|discuss\w{0,3}|educat\w{0,4}|instruct\w{0,4}|advi[cs]e\w?"
    r"|precautions?|counsel\w{0,4}|risk|history|hx|past|prior|previous|protocol|assess\w{0,5})\b",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"^\W{0,2}(?:not (?!present|detected)|unknown|n/?a\b|deferred|pending|unable|cannot|declined"
    r"|refused|resolved|previous|prior|old\b|history|hx\b|h/o)|\?|\b(?:ago|in the past|resolved)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"^\W{0,2}(?:no\b(?! (?:change|improve\w{0,4}|better|relief))|none|nil\b|without|den(?:ies|ied)"
    r"|neg(?:ative)?\b|never|absent|normal|intact|0\b|n$)",
    re.IGNORECASE,
)


def shown_by(observation: Observation, set_id: str, terminology: Terminology) -> Iterator[Shown]:
    """Yield what name, value and notes each say of the set; nothing where they do not name it.

    A code of name or value is strong, words are possible.
    """
    label = observation.exam_label
    if _FAMILY.search(label):
        return
    is_current = _NOT_FOUND_NOW.search(label) is None
    value = observation.value.concept
    if value is not None and set_id in value.sets:
        if observation.reading is not Reading.NORMAL:
            answer = Answer.YES if is_current else Answer.UNCLEAR
            yield Shown(answer, Strength.STRONG, value.label)
        return
    words = value_words(observation)
    named = terminology.in_record(observation.concept, (), set_id)
    if named is not None and named.state in AFFIRMED_STATES:
        answered = answer_of(observation)
        if answered is not None:
            is_open = answered is Answer.YES and not is_current
            yield Shown(
                Answer.UNCLEAR if is_open else answered, named.strength, f"{label} {words}".strip()
            )
    for text in (words, *observation.notes):
        said = terminology.in_words(text, set_id) if text else None
        if said is not None:
            yield Shown(_of_state(said.state, is_current=is_current), said.strength, said.words)


def answer_of(observation: Observation) -> Answer | None:
    """Return the answer to what the name of an Observation asks for; None for a mere number.

    No value is no answer: absent is not normal (quirk 52).
    """
    if observation.reading is Reading.NORMAL:
        return Answer.NO
    if observation.reading is Reading.ABNORMAL:
        return Answer.YES
    if observation.value.number is not None:
        return None
    words = value_words(observation)
    if _DENIED.search(words):
        return Answer.NO
    return Answer.UNCLEAR if not words or _OPEN.search(words) else Answer.YES


def _of_state(state: TextState, *, is_current: bool) -> Answer:
    if state is TextState.NEGATED:
        return Answer.NO
    return Answer.YES if is_current and state in AFFIRMED_STATES else Answer.UNCLEAR
