"""What two folders say differently: numbers, options, value sets, facts, rules, wording.

Pure text against text; what it does to answers is said by `cases.py` and `regions.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from cds_service.knowledge import (
    CardLine,
    DecisionTable,
    FactDefinition,
    IndicatorRule,
    Knowledge,
    Option,
    SuggestionRule,
    Threshold,
    VariantRule,
)
from cds_service.knowledge_review.words import condition, reading_in_words, suggestion_in_words
from cds_service.rule_tests import All, Any, AttributeIs, FactIs, OptionIs
from cds_service.value_sets import ValueSet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Said = TypeVar("Said")
Record = TypeVar("Record", bound="DataclassInstance")
Folders: TypeAlias = tuple[Knowledge, Knowledge]
"""The old one and the new one: each says its members in words of its own."""


_NOT_COMPARED = frozenset({"line", "is_read", "depends_on", "id"})
"""Places in a file, what follows from other members, and the name under which they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One kind of content, and what differs there."""

    title: str
    differences: tuple[str, ...]


def content_differences(old: Knowledge, new: Knowledge) -> tuple[Section, ...]:
    """Return what differs, one section a kind of content; sections without difference too."""
    return (
        Section(title="Numbers", differences=tuple(_numbers(old, new))),
        Section(title="Options", differences=tuple(_options(old, new))),
        Section(title="Facts", differences=tuple(_facts(old, new))),
        Section(title="Value sets", differences=tuple(_value_sets(old, new))),
        Section(title="Rules as written", differences=tuple(_rules(old, new))),
        Section(title="Ratings of the guideline", differences=tuple(_ratings(old, new))),
        Section(title="Wording", differences=tuple(_wording(old, new))),
        Section(title="Service", differences=tuple(_service(old, new))),
    )


def _numbers(old: Knowledge, new: Knowledge) -> Iterator[str]:
    def said(threshold: Threshold) -> str:
        return f"{threshold.value} {threshold.unit} ({threshold.says}; {threshold.source})"

    yield from _named(old.thresholds, new.thresholds, "threshold", said)


def _options(old: Knowledge, new: Knowledge) -> Iterator[str]:
    def said(option: Option) -> str:
        return f"{option.value}, one of {', '.join(option.choices)} ({option.says})"

    yield from _named(old.options, new.options, "option", said)


def _facts(old: Knowledge, new: Knowledge) -> Iterator[str]:
    before = {fact.id: fact for fact in old.facts}
    after = {fact.id: fact for fact in new.facts}
    for name in before | after:
        if name not in after:
            yield f"fact {name}: removed ({before[name].says})"
        elif name not in before:
            yield f"fact {name}: added ({after[name].says})"
        else:
            yield from _fact(before[name], after[name], (old, new))


def _fact(old: FactDefinition, new: FactDefinition, folders: Folders) -> Iterator[str]:
    yield from _readings(old, new, folders)
    for name in (field.name for field in fields(old)):
        if name not in _NOT_COMPARED | {"readings"}:
            was, now = getattr(old, name), getattr(new, name)
            yield from _changed(f"fact {old.id}: {name}", was, now, folders)


def _readings(old: FactDefinition, new: FactDefinition, folders: Folders) -> Iterator[str]:
    before, after = (
        [reading_in_words(reading, folder) for reading in fact.readings]
        for fact, folder in zip((old, new), folders, strict=True)
    )
    yield from (f"fact {old.id}: no longer reads {each}" for each in before if each not in after)
    yield from (f"fact {old.id}: now reads {each}" for each in after if each not in before)


def _value_sets(old: Knowledge, new: Knowledge) -> Iterator[str]:
    for name in sorted(old.value_sets.ids | new.value_sets.ids):
        if name not in new.value_sets.ids:
            yield f"value set {name}: removed"
        elif name not in old.value_sets.ids:
            yield f"value set {name}: added"
        else:
            before, after = _members(old, name), _members(new, name)
            yield from (f"value set {name}: without {each}" for each in before if each not in after)
            yield from (f"value set {name}: with {each}" for each in after if each not in before)


def _members(knowledge: Knowledge, name: str) -> dict[str, None]:
    value_set: ValueSet = knowledge.value_sets.value_set(name)
    patterns = value_set.patterns
    return dict.fromkeys(
        (
            *(f"code {coding.system}|{coding.code}" for coding in value_set.concepts),
            *(f"codes under {coding.system}|{coding.code}" for coding in value_set.prefixes),
            *(f"all of {imported}" for imported in value_set.imports),
            *(f"words /{each.pattern}/" for each in (patterns.includes if patterns else ())),
            *(f"exception /{each.pattern}/" for each in (patterns.excludes if patterns else ())),
            *(f"reading as {each}" for each in sorted(patterns.options if patterns else ())),
        )
    )


def _rules(old: Knowledge, new: Knowledge) -> Iterator[str]:
    for before, after in zip(_tables(old), _tables(new), strict=True):
        first, second = ({rule.id: rule for rule in table.rules} for table in (before, after))
        yield from _members_of(first, second, f"{before.id}: rule", (old, new))
        kept = [name for name in first if name in second]
        if kept != [name for name in second if name in first]:
            yield f"{before.id}: the order of the rules is another: {', '.join(second)}"
    first_brakes, second_brakes = ({b.id: b for b in k.brakes} for k in (old, new))
    yield from _members_of(first_brakes, second_brakes, "brake", (old, new))


def _tables(knowledge: Knowledge) -> tuple[DecisionTable, ...]:
    return (knowledge.appropriateness, knowledge.repeat, knowledge.protocol, knowledge.safety)


def _ratings(old: Knowledge, new: Knowledge) -> Iterator[str]:
    was, now = ({str(number): text for number, text in k.variants.items()} for k in (old, new))
    yield from _named(was, now, "variant", str)
    first, second = ({each.id: each for each in k.procedures} for k in (old, new))
    yield from _members_of(first, second, "procedure", (old, new))


def _wording(old: Knowledge, new: Knowledge) -> Iterator[str]:
    before, after = old.wording, new.wording
    yield from _members_of(before.cards, after.cards, "card", (old, new))
    yield from _members_of(before.choices, after.choices, "choice", (old, new))
    yield from _named(dict(before.override_reasons), dict(after.override_reasons), "override", str)
    yield from _named(before.suggestion_labels, after.suggestion_labels, "label", str)
    yield from _named(before.phrases, after.phrases, "phrase", str)
    yield from _named(before.suggested_codes, after.suggested_codes, "suggested code", str)
    for name in ("source_label", "source_url"):
        yield from _changed(name, getattr(before, name), getattr(after, name), (old, new))


def _service(old: Knowledge, new: Knowledge) -> Iterator[str]:
    """Approval, cases and the reviewers' notes are no part of what is answered."""
    for name in (
        *("version", "title", "owner", "required_sources", "order", "episode", "transparency"),
    ):
        yield from _changed(name, getattr(old, name), getattr(new, name), (old, new))
    first, second = ({each.id: each for each in k.services} for k in (old, new))
    yield from _members_of(first, second, "service", (old, new))
    yield from _named(old.references, new.references, "reference", lambda each: each.text)
    first_said, second_said = ({each.id: each for each in k.statements} for k in (old, new))
    yield from _members_of(first_said, second_said, "statement", (old, new))


def _named(
    old: Mapping[str, Said], new: Mapping[str, Said], what: str, said: Callable[[Said], str]
) -> Iterator[str]:
    """Compare members of two mappings by what is said of them."""
    for name in {**old, **new}:
        if name not in new:
            yield f"{what} {name}: removed, was {said(old[name])}"
        elif name not in old:
            yield f"{what} {name}: added, {said(new[name])}"
        elif said(old[name]) != said(new[name]):
            yield f"{what} {name} is {said(new[name])}, was {said(old[name])}"


def _members_of(
    old: Mapping[str, Record], new: Mapping[str, Record], what: str, folders: Folders
) -> Iterator[str]:
    """Compare records member by member."""
    for name in {**old, **new}:
        if name not in new:
            yield f"{what} {name}: removed"
        elif name not in old:
            yield f"{what} {name}: added"
        else:
            for field in (f.name for f in fields(old[name]) if f.name not in _NOT_COMPARED):
                was, now = getattr(old[name], field), getattr(new[name], field)
                yield from _changed(f"{what} {name}: {field}", was, now, folders)


def _changed(what: str, old: object, new: object, folders: Folders) -> Iterator[str]:
    if old != new:
        was, now = (_in_words(each, k) for each, k in zip((old, new), folders, strict=True))
        yield f"{what} is {now}, was {was}"


def _in_words(value: object, knowledge: Knowledge) -> str:
    """Say a member of a rule or card as the review page does."""
    match value:
        case FactIs() | AttributeIs() | OptionIs() | All() | Any():
            return condition(value, knowledge)
        case SuggestionRule():
            return suggestion_in_words(value, knowledge)
        case IndicatorRule(when=when, indicator=said):
            return f"{said or 'none'} if {condition(when, knowledge)}"
        case VariantRule(when=when, variant=variant):
            return f"{variant} if {condition(when, knowledge)}"
        case CardLine(text=text, when=when):
            return f"“{text}” if {condition(when, knowledge)}"
        case tuple():
            return "; ".join(_in_words(each, knowledge) for each in value) or "none"
        case Mapping():
            return ", ".join(f"{key}: {_in_words(value[key], knowledge)}" for key in value)
        case str():
            return f"“{value}”" if " " in value else value or "nothing"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
