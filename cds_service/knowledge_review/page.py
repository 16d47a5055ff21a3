"""The page that a clinical committee reads and signs, as Markdown: all of a knowledge folder."""

from collections.abc import Iterator, Mapping

from cds_service.knowledge import (
    CardLine,
    CardText,
    Case,
    FactDefinition,
    Knowledge,
)
from cds_service.knowledge_loading.facts import order_sets
from cds_service.knowledge_review.check import statements_carried
from cds_service.knowledge_review.rules import (
    RATING_WORDS,
    base_rules,
    brakes,
    protocol_rules,
    ratings,
    repeat_rules,
    safety_rules,
)
from cds_service.knowledge_review.words import condition, reading_in_words, safe, table
from cds_service.review_notes import CaseValue, Statement

_CASE_VALUES: Mapping[CaseValue, str] = {
    CaseValue.TRUE: "yes",
    CaseValue.POSSIBLE: "yes (weak)",
    CaseValue.FALSE: "no",
    CaseValue.POSSIBLE_FALSE: "no (weak)",
    CaseValue.UNKNOWN: "not known",
}
_STATEMENT_KINDS = {"C": "computable", "W": "wording", "X": "out of scope"}
_HOW_TO_READ = """\
This page is made from the files of this folder by `cds-service knowledge review --write`; change
the files, not this page. Nothing here blocks an order: cards advise, the clinician decides.

- A **fact** is yes, no or not known. *No* needs a statement; what nobody recorded is *not known*.
- Evidence is **strong** (coded, dated, current) or **weak** (words, unconfirmed, undated). Weak
  evidence can support an order; only strong evidence can raise a warning against it.
- **Base rows** are tried from the top; the first whose conditions all hold decides. A fact that is
  not known never stops a later row.
- The **rating** is that of the ordered MRI: without contrast, without and with, or with contrast
  only. An order that does not say its contrast is rated as without.
- **Provisional** means read across from a neighbouring ACR variant, or resting on weak evidence."""


def review_page(knowledge: Knowledge) -> str:
    """Return the whole page; the same folder always gives the same text."""
    sections = (
        _head(knowledge),
        _thresholds(knowledge),
        _options(knowledge),
        _orders(knowledge),
        _facts(knowledge),
        base_rules(knowledge),
        brakes(knowledge),
        repeat_rules(knowledge),
        protocol_rules(knowledge),
        safety_rules(knowledge),
        ratings(knowledge),
        _cards(knowledge),
        _choices(knowledge),
        _value_sets(knowledge),
        _cases(knowledge),
        _references(knowledge),
        _transparency(knowledge),
        _statements(knowledge),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(knowledge: Knowledge) -> Iterator[str]:
    approval = knowledge.approval
    signed = f", signed by {approval.by} on {approval.on}" if approval.by else ""
    yield f"# {knowledge.title}: review page"
    yield ""
    yield from table(
        ("folder", "version", "owner", "approval", "digest of what is signed"),
        [
            (
                knowledge.id,
                knowledge.version,
                knowledge.owner,
                f"{approval.state}{signed}",
                f"`{knowledge.digest}`",
            )
        ],
    )
    yield ""
    yield _HOW_TO_READ


def _transparency(knowledge: Knowledge) -> Iterator[str]:
    told = knowledge.transparency
    yield "## Intended use, source attributes and limits"
    yield ""
    yield from table(
        ("", ""),
        [
            ("intended use", told.intended_use),
            ("users", told.users),
            ("population", told.population),
            ("validation", told.validation),
            *(("limit", limit) for limit in told.limits),
        ],
    )
    yield ""
    yield "Source attributes of an evidence-based intervention (45 CFR 170.315(b)(11), HTI-1):"
    yield ""
    yield from table(("attribute", "of this intervention"), told.source_attributes)
    yield ""
    yield "Criteria for software that is no device (section 520(o)(1)(E) of the FD&C Act):"
    yield ""
    yield from table(("criterion", "how it is met"), told.non_device_criteria)


def _thresholds(knowledge: Knowledge) -> Iterator[str]:
    yield "## Numbers"
    yield ""
    yield from table(
        ("number", "value", "meaning", "source"),
        (
            (
                f"`{t.key}`",
                f"{t.value} {t.unit}",
                t.says if t.is_read else f"{t.says} (no fact reads this number)",
                t.source,
            )
            for t in knowledge.thresholds.values()
        ),
    )


def _options(knowledge: Knowledge) -> Iterator[str]:
    yield "## Options of the site"
    yield ""
    yield from table(
        ("option", "as shipped", "choices", "meaning"),
        ((f"`{o.key}`", o.value, ", ".join(o.choices), o.says) for o in knowledge.options.values()),
    )


def _orders(knowledge: Knowledge) -> Iterator[str]:
    order, episode = knowledge.order, knowledge.episode
    yield "## Which orders, and which episode"
    yield ""
    yield f"An order is judged if it is in one of: {', '.join(order_sets(order)[:5])}."
    yield (
        f"Codes that name no region count only with a body site in {order.body_site_set}: "
        f"{', '.join(order.generic_codes)}."
    )
    yield ""
    yield (
        f"The current episode is the chain of {', '.join(episode.value_sets)} up to today in which "
        f"neighbours are at most {episode.gap_days} days apart."
    )


def _facts(knowledge: Knowledge) -> Iterator[str]:
    yield "## Facts"
    yield ""
    yield (
        "One way of reading that says yes makes a fact yes; else one that says no makes it no; "
        "else it is not known."
    )
    for fact in knowledge.facts:
        yield ""
        yield from _fact(fact, knowledge)


def _fact(fact: FactDefinition, knowledge: Knowledge) -> Iterator[str]:
    marks = [
        word
        for word, holds in (
            ("red flag", fact.is_red_flag),
            ("building block of other facts, never asked", fact.is_internal),
        )
        if holds
    ]
    yield f"### {fact.says.rstrip('.')} (`{fact.id}`, {fact.number})"
    yield ""
    if marks:
        yield f"*{'; '.join(marks)}*"
        yield ""
    yield from (f"- {safe(reading_in_words(reading, knowledge))}" for reading in fact.readings)
    for code, value in fact.answers.items():
        display = knowledge.wording.choices[code].display
        yield f"- the answer “{safe(display)}” in the order: {'yes' if value else 'no'} (weak)"


def _cards(knowledge: Knowledge) -> Iterator[str]:
    yield "## Wording of the cards"
    for card in knowledge.wording.cards.values():
        yield ""
        yield from _card(card, knowledge)


def _card(card: CardText, knowledge: Knowledge) -> Iterator[str]:
    yield f"### Card {card.id}"
    yield ""
    yield f"- Summary: {safe(card.summary)}"
    yield from (f"- Summary {_said(line, knowledge)}" for line in card.summary_when)
    if card.summary_softened:
        yield f"- Summary under a brake: {safe(card.summary_softened)}"
    if card.summary_contrast_only:
        yield f"- Summary beside D1: {safe(card.summary_contrast_only)}"
    yield f"- Verdict: {safe(card.verdict)}"
    yield from (f"- Line {_said(line, knowledge)}" for line in card.lines)
    if card.asks:
        yield f"- Asks: {safe(card.asks)}"
    if card.statements:
        yield f"- Statements: {', '.join(card.statements)}"


def _said(line: CardLine, knowledge: Knowledge) -> str:
    when = condition(line.when, knowledge)
    return safe(f"always: {line.text}" if when == "always" else f"if {when}: {line.text}")


def _choices(knowledge: Knowledge) -> Iterator[str]:
    wording = knowledge.wording
    answered: dict[str, list[str]] = {}
    for fact in knowledge.facts:
        for code, value in fact.answers.items():
            answered.setdefault(code, []).append(f"{fact.label}: {'yes' if value else 'no'}")
    yield "## Answers that a suggestion writes into the order"
    yield ""
    yield from table(
        ("code", "written as", "button", "sets"),
        (
            (
                f"`{choice.code}`",
                choice.display,
                choice.label,
                "; ".join(answered[choice.code]),
            )
            for choice in wording.choices.values()
        ),
    )
    yield ""
    yield "## Override reasons"
    yield ""
    yield from table(("code", "text"), wording.override_reasons)
    yield ""
    yield "## Words of the suggestions"
    yield ""
    yield from table(
        ("key", "text"), ((f"`{key}`", text) for key, text in wording.suggestion_labels.items())
    )


def _value_sets(knowledge: Knowledge) -> Iterator[str]:
    used: dict[str, list[str]] = {}
    for fact in knowledge.facts:
        for set_id in frozenset[str]().union(*(r.value_set_ids for r in fact.readings)):
            used.setdefault(set_id, []).append(fact.id)
    yield "## Value sets"
    yield ""
    yield (
        "Codes count as listed; a code filter counts once. A: listed with its label in a curated "
        "source. B: listed there without label, or label in secondary sources only. C: several "
        "independent secondary sources agree. Codes and patterns: `value_sets/`; sources: "
        "`value_sets/PROVENANCE.csv`."
    )
    yield ""
    yield from table(
        ("value set", "title", "codes", "text patterns", "confidence", "read by"),
        (
            (
                f"[{note.id}](value_sets/{note.id}.json)",
                note.title,
                str(note.codes) if note.codes else f"those of {', '.join(note.includes)}",
                str(note.patterns),
                ", ".join(f"{letter} {count}" for letter, count in note.confidence.items()),
                note.use or ", ".join(used.get(note.id, ["orders, suggestions or other sets"])),
            )
            for note in knowledge.value_set_notes
        ),
    )


def _cases(knowledge: Knowledge) -> Iterator[str]:
    yield "## Cases"
    yield ""
    yield "Every fact that a case does not name, and that does not follow, is not known."
    yield ""
    yield from table(
        ("case", "situation", "facts and order", "ends in", "rating", "indicator"),
        (_case(case) for case in knowledge.cases),
    )


def _case(case: Case) -> tuple[str, ...]:
    wanted = case.expect
    given = [f"{fact}: {_CASE_VALUES[value]}" for fact, value in case.facts.items()]
    given += [f"order {key}: {value}" for key, value in case.order.items()]
    given += [f"option {key}: {value}" for key, value in case.options.items()]
    given += [f"not readable: {kind}" for kind in case.unreadable]
    ends = [wanted.rule, wanted.repeat_rule, wanted.protocol_rule, *wanted.safety_rules]
    ends = [rule for rule in ends if rule]
    ends += [f"brake {brake}" for brake in wanted.brakes]
    ends += [f"asks for {', '.join(wanted.missing_first)}"] if wanted.missing_first else []
    return (
        case.id,
        case.says,
        "; ".join(given),
        "; ".join(ends),
        RATING_WORDS[wanted.rating] + (" (provisional)" if wanted.is_provisional else ""),
        (wanted.indicator.value if wanted.indicator else "no card")
        + (f"; safety card {wanted.safety_indicator}" if wanted.safety_indicator else ""),
    )


def _references(knowledge: Knowledge) -> Iterator[str]:
    yield "## References"
    yield ""
    yield from table(
        ("id", "reference"),
        (
            (r.id, f"{r.text} [{r.url}]({r.url})" if r.url else r.text)
            for r in knowledge.references.values()
        ),
    )


def _statements(knowledge: Knowledge) -> Iterator[str]:
    carried = statements_carried(knowledge)
    yield "## Where every clinical statement ends"
    yield ""
    yield from table(
        ("statement", "class", "says", "sent to", "ends in"),
        (
            (s.id, _STATEMENT_KINDS[s.kind], s.says, s.goes_to, _end(s, carried.get(s.id, ())))
            for s in knowledge.statements
        ),
    )


def _end(statement: Statement, carried: tuple[str, ...]) -> str:
    return "; ".join((*carried, *([statement.note] if statement.note else [])))
