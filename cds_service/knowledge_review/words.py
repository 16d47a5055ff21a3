"""Conditions, readings and suggestions of a knowledge folder in words that a committee reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import StrEnum

from cds_service.fact_kinds import FACT_KINDS, FactKind
from cds_service.fact_kinds.measurements import Marker
from cds_service.knowledge import Knowledge, SuggestionRule
from cds_service.rule_tests import (
    ALWAYS,
    All,
    Any,
    AttributeIs,
    FactIs,
    FactState,
    OptionIs,
    Test,
)

STATES: Mapping[FactState, str] = {
    FactState.TRUE: "yes",
    FactState.STRONG: "yes, on strong evidence",
    FactState.FALSE: "no (stated absent)",
    FactState.STRONG_FALSE: "no (stated absent, on strong evidence)",
    FactState.UNKNOWN: "not known",
    FactState.NOT_TRUE: "no, or not known",
    FactState.NOT_STRONG: "no, not known, or on weak evidence only",
}

ATTRIBUTES: Mapping[str, str] = {
    "protocol": "contrast of the order",
    "priority": "priority of the order",
    "contrast_only_code": "a CPT or LOINC code says contrast only",
    "contrast": "contrast is ordered",
    "row": "base row",
    "variant": "ACR variant of the base row",
    "covered": "the base row is rated by these criteria",
    "unread": "some source could not be read completely",
}

_YES_OR_NO = frozenset({"contrast_only_code", "covered", "unread"})

SUGGESTIONS: Mapping[str, str] = {
    "A1": "cancel this MRI",
    "A2": "replace by another study",
    "A3": "change the contrast",
    "A4": "add to the order reason",
    "A5": "start non-drug care",
    "A6": "set the priority",
    "A7": "reassess when six weeks of care are reached",
    "A8": "ask for data",
}

_EXAM = "lumbar MRI"
"""In the words below: the exam of the topic, whatever it is called."""
KINDS: Mapping[str, str] = {
    "abnormal_markers": "a laboratory marker is over its limit, or above its own reference range",
    "age_at_least": "age from the date of birth, in completed years",
    "age_known": "the date of birth is known well enough",
    "all_facts": "all of these facts hold",
    "any_fact": "one of these facts holds",
    "candidate_statement": "the order says that the patient is, or is not, a candidate",
    "cannot_be_pregnant": "says no: male, or above an age",
    "change_words": "words of the order about change, else of stability on record",
    "code_named": "a code that is a reason of the order or began lately",
    "condition": "a diagnosis or problem on record",
    "conservative_care": "care on record in this episode",
    "contrast_reaction": "an allergy, or words that speak of a reaction to a contrast medium",
    "denied": "says no where another fact is stated absent",
    "episode_at_least": "the current episode has lasted at least so long",
    "episode_shorter_than": "the current episode has lasted less than so long",
    "implant_on_record": "an implant on record: device, problem, procedure, observation, words",
    "implant_status": (
        "implants by device, problem, procedure, observation, words of the order; at most one "
        "answer holds: not cleared for MR, came out or contradicted, or all MR Conditional"
    ),
    "indication": "a reason of the order, or an active problem, that is about the low back",
    "inflammatory_pattern": "chronic back pain that began young, with a positive HLA-B27",
    "kidney_disease": "a kidney problem or dialysis on record, unless a later eGFR is high enough",
    "low_filtration": "the newest eGFR; of one day the lowest; “<60” and unknown units are open",
    "measured": "a measured value",
    "medication": "a medication on record",
    "medication_days": "days of medication, added up",
    "motor_exam": "strength of the legs by examination: grade, foot drop, both sides, decline",
    "motor_words": "words of the order name a severe or progressive leg weakness",
    "new_since_prior": "a diagnosis newer than the earlier MRI, and none on record before it",
    "observed_finding": "an observation on record",
    "observed_sign": (
        "a sign that the name, value or note of an observation states: a code is strong, words "
        "are weak evidence"
    ),
    "order_in_basket": "a more urgent, or earlier, draft of the same basket for the same region",
    "order_in_flight": "a lumbar MRI that is ordered, booked or registered, and not done",
    "order_reason": "a reason of the order: coded is strong, in words is weak evidence",
    "other_indication": "every reason of the order is outside these criteria",
    "planned_after": "the order is for a day at least so long after another fact began",
    "pregnancy_observed": "a pregnancy status or test",
    "prior_exam": "an earlier lumbar MRI on record",
    "prior_exam_within": "an earlier lumbar MRI whose date lies wholly in the window",
    "prior_exam_without_contrast": "the earlier lumbar MRI is said to be without contrast",
    "prior_not_enough": "the report of the earlier lumbar MRI, or words of the order about it",
    "procedure_done": "a procedure that was done",
    "procedure_planned": "a procedure, or a referral for one, that is ordered or booked",
    "procedure_since_prior": (
        "a procedure done after the earlier lumbar MRI, or dated so by words of the order"
    ),
    "reason_elsewhere": "every reason of the order is coded, and none is about the low back",
    "since_prior": "one of these facts, on evidence newer than the earlier lumbar MRI",
    "source_unread": "a source could not be read completely; never says no",
    "sphincter_signs": (
        "a new bladder, bowel or saddle symptom with back or leg pain, and no other cause"
    ),
    "stated_pain_score": "the words of the order give a pain score",
    "straight_leg_raise": "a positive straight leg raise; a negative one says nothing",
    "symptoms_after_surgery": (
        "back or leg symptoms that began well after the last operation; words of the order decide"
    ),
    "unclear_filtration": "the newest eGFR cannot be read, or may be on either side of the limit",
    "unexplained_by": "a fact holds and none of the others explains it",
    "weight_fall": "a measured fall of weight: only a question, never an answer",
    "words_in_basket": "reasons and words of other drafts in the basket; weak evidence at most",
    "words_of_prior_report": "the conclusion of the earlier lumbar MRI; weak evidence at most",
    "words_on_record": (
        "words of observations and diagnoses of late, or newer than the earlier lumbar MRI; weak "
        "evidence at most"
    ),
}
"""By name of the kind in `facts.yaml`."""

_PARAMETERS: Mapping[str, str] = {
    "value_sets": "value sets {}",
    "word_sets": "words of the order: {}",
    "value_set": "value set {}",
    "exam_sets": "examinations in {}",
    "beside_sets": "words beside codes only of {}",
    "unclear_sets": "also without a clear answer {}",
    "affirming_sets": "words of the value in {}",
    "title_sets": "of titles only {}",
    "names": "also by name alone, as weak evidence: {}",
    "except_sets": "not where also in {}",
    "within": "in the last {} days",
    "within_months": "in the last {} months",
    "status": "status {}",
    "undated": "without a date: {}",
    "only_codes": "only codes that begin with {}",
    "except_codes": "not codes that begin with {}",
    "possible_codes": "weak evidence only: {}",
    "refuted_within": "a refutation says no for {} days",
    "facts": "{}",
    "fact": "{}",
    "only_if_unknown": "only while {} is not known",
    "explained_by": "explained by {}",
    "with_facts": "together with {}",
    "shorter_fact": "never longer than {}",
    "chronic_fact": "with {}",
    "unless_false": "unless {} is stated absent",
    "days": "{} days",
    "years": "{} years",
    "months": "{} months",
    "below": "no: below {}",
    "older_than": "older than {} years",
    "began_below": "began before the age of {}",
    "grade_at_most": "grade {} or less",
    "unit": "in {}",
    "settle_days": "more than {} days after it",
    "after_operation_days": "another operation in the {} days before is a cause",
    "known_onset_days": "too little care is certain only in pain of less than {} days",
    "at_least": "{} or more",
    "at_most": "{} or less",
    "above": "no: above {}",
    "not_above": "no: {} or less",
    "percent": "{} percent",
    "question": "asked: {}",
    "lookback_months": "looking back {} months",
    "seventh": "ICD-10-CM seventh character {}",
    "seventh_not": "not with seventh character {}",
    "except_routes": "not by these routes or forms: {}",
    "except_words": "not with these words: {}",
    "other_level_words": "not with words of another level: {}",
    "codes": "codes that begin with {}",
    "markers": "{}",
    "classes": "classes of implant, within which a device or a removal speaks for an entry: {}",
    "types": "of {}",
    "removal_codes": "codes of a removal: {}",
    "screened_within_months": "a screening that found no implants says no for {} months",
    "amount_codes": "amounts of hCG by codes {}",
    "amount_positive": "yes from {} IU/L",
    "amount_negative": "no below {} IU/L",
    "filtration_set": "eGFR in {}",
    "limit": "below {}",
    "named_codes": "codes that name gadolinium: {}",
    "unnamed_words": "words for any contrast medium: {}",
    "other_agents": "not with words of other agents: {}",
    "reaction_words": "words of a reaction: {}",
    "severe_codes": "severe by codes: {}",
    "severe_words": "severe by words: {}",
}
_FLAGS: Mapping[str, str] = {
    "any_value": "any value in that time counts, not only the newest",
    "below": "younger than that",
    "ever_in_window": "also if it has ended",
    "history_counts": "history (“h/o”, “s/p”) counts",
    "recorded_counts": "a recorded date in that time is enough",
    "without_unit": "only where the unit is missing; never asserts anything",
    "follow_up": "it recommends further imaging",
    "inclusive": "the first day counts",
    "says_no": "no, if all that are true are older",
    "only_planned": "only what is said to be planned; strong evidence",
    "words_are_strong": "words of the order are strong evidence",
    "never_false": "a refutation says nothing here",
    "only_history": "only words of history count",
    "only_possible": "weak evidence at most",
}
_FACT_PARAMETERS = frozenset(
    {
        "facts",
        "fact",
        "only_if_unknown",
        "explained_by",
        "with_facts",
        "shorter_fact",
        "chronic_fact",
        "unless_false",
    }
)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; a pipe or a line break would end a cell."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = (safe(text).replace("|", "\\|") for text in row)
        yield f"| {' | '.join(cells)} |"


def safe(text: str) -> str:
    """Return a text on one line; what looks like a tag is shown as it is."""
    return " ".join(text.split()).replace("<", "&lt;")


def condition_lines(test: Test, knowledge: Knowledge, depth: int = 0) -> list[str]:
    """Return a condition as nested Markdown list items."""
    indent = "  " * depth
    match test:
        case All(members=members) if test == ALWAYS and not members:
            return [f"{indent}- always (no earlier rule holds)"]
        case All(members=members) if depth == 0:
            return [line for member in members for line in condition_lines(member, knowledge)]
        case All(members=members):
            head = f"{indent}- all of"
        case Any(members=members):
            head = f"{indent}- at least one of"
        case _:
            return [f"{indent}- {safe(condition(test, knowledge))}"]
    inner = (line for member in members for line in condition_lines(member, knowledge, depth + 1))
    return [head, *inner]


def condition(test: Test, knowledge: Knowledge) -> str:
    """Return a condition in one line."""
    match test:
        case FactIs(fact=fact, state=state):
            return f"{_statement(fact, knowledge)}: **{STATES[state]}**"
        case AttributeIs(
            attribute="contrast_only_code" | "covered" | "unread" as attribute, values=values
        ):
            answer = "yes" if "true" in values else "no"
            return f"{ATTRIBUTES[attribute]}: **{answer}**"
        case AttributeIs(attribute="row", values=values):
            return f"{ATTRIBUTES['row']}: **{_rows(values, knowledge)}**"
        case AttributeIs(attribute=attribute, values=values):
            return f"{ATTRIBUTES[attribute]}: **{' or '.join(sorted(values))}**"
        case OptionIs(option=option, values=values):
            return f"site option `{option}`: **{' or '.join(sorted(values))}**"
        case All(members=members):
            return " and ".join(_inner(member, knowledge) for member in members) or "always"
        case Any(members=members):
            return " or ".join(_inner(member, knowledge) for member in members)


def reading_in_words(reading: FactKind, knowledge: Knowledge) -> str:
    """Return one way of reading a fact, with its parameters."""
    name = next(key for key, kind in FACT_KINDS.items() if type(reading) is kind)
    said = [words for words in _parameters(reading, knowledge) if words]
    exam = knowledge.order.exam_name
    kind = KINDS[name].replace(_EXAM, exam if exam[:2].isupper() else exam[:1].lower() + exam[1:])
    return f"{kind}: {'; '.join(said)}" if said else kind


def suggestion_in_words(suggestion: SuggestionRule, knowledge: Knowledge) -> str:
    """Return one suggestion, when it is offered and what it changes."""
    words = f"{suggestion.kind} {SUGGESTIONS[suggestion.kind]}"
    if suggestion.to:
        words += f" ({suggestion.to})"
    if suggestion.choices:
        displays = (knowledge.wording.choices[code].display for code in suggestion.choices)
        words += f": {'; '.join(displays)}"
    if suggestion.is_recommended:
        words += ", recommended"
    if suggestion.when != ALWAYS:
        words += f" - if {condition(suggestion.when, knowledge)}"
    return words


def _rows(values: frozenset[str], knowledge: Knowledge) -> str:
    """Name rows in the order of the table; many of them by those that are left out."""
    rows = dict.fromkeys(rule.row for rule in knowledge.appropriateness.rules)
    others = [row for row in rows if row not in values]
    if len(others) < len(values):
        return f"any but {', '.join(others)}"
    return " or ".join(row for row in rows if row in values)


def _inner(test: Test, knowledge: Knowledge) -> str:
    words = condition(test, knowledge)
    return f"({words})" if isinstance(test, All | Any) else words


def _statement(fact: str, knowledge: Knowledge) -> str:
    return knowledge.fact(fact).says.rstrip(".")


def _parameters(reading: FactKind, knowledge: Knowledge) -> list[str]:
    said = []
    # Every fact kind is a dataclass of its parameters; the protocol cannot say so.
    for parameter in fields(reading):  # type: ignore[arg-type]
        value: object = getattr(reading, parameter.name)
        usual = parameter.default
        if (usual is not MISSING and value == usual) or value in ((), "", None):
            continue
        said.append(_parameter(parameter.name, value, knowledge))
    return said


def _parameter(name: str, value: object, knowledge: Knowledge) -> str:
    plain = name.replace("_", " ")
    if isinstance(value, bool):
        return _FLAGS.get(name, plain if value else f"not {plain}")
    usual = f"{plain.removesuffix(' within')} in the last {{}} days"
    if not name.endswith("_within"):
        usual = f"{plain}: {{}}"
    return _PARAMETERS.get(name, usual).format(_value(name, value, knowledge))


def _value(name: str, value: object, knowledge: Knowledge) -> str:
    if isinstance(value, StrEnum):
        return value.value.replace("-", " ")
    items: Sequence[object] = value if isinstance(value, tuple) else (value,)
    if name in _FACT_PARAMETERS:
        return ", ".join(f"“{_statement(str(item), knowledge)}”" for item in items)
    return ", ".join(_item(item) for item in items)


def _item(item: object) -> str:
    if isinstance(item, Marker):
        return f"{item.code} {'>' if item.is_strict else '≥'} {item.limit:g} {item.unit}"
    return str(item)
