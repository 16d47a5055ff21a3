"""The sections of the review page on rules, brakes, contrast and ratings."""

from collections.abc import Iterable, Iterator, Mapping

from cds_service.knowledge import (
    RATED_PROTOCOLS,
    DecisionTable,
    IndicatorRule,
    Knowledge,
    Rating,
    Rule,
)
from cds_service.knowledge_review.words import (
    condition,
    condition_lines,
    safe,
    suggestion_in_words,
    table,
)

RATING_WORDS: Mapping[Rating, str] = {
    Rating.USUALLY_APPROPRIATE: "usually appropriate",
    Rating.MAY_BE_APPROPRIATE: "may be appropriate",
    Rating.USUALLY_NOT_APPROPRIATE: "usually not appropriate",
    Rating.NOT_COVERED: "not rated",
    Rating.INSUFFICIENT_INFORMATION: "not enough information",
}


def base_rules(knowledge: Knowledge) -> Iterator[str]:
    """Yield the appropriateness table, one section a rule."""
    rows = knowledge.appropriateness
    yield "## Base rows, in order"
    yield ""
    yield rows.says
    for place, rule in enumerate(rows.rules, start=1):
        yield ""
        yield from _base_rule(place, rule, knowledge)


def _rule_head(place: int, rule: Rule, knowledge: Knowledge) -> Iterator[str]:
    yield f"### {place}. {_name(rule)}: {safe(rule.says)}"
    yield ""
    yield "When"
    yield ""
    yield from condition_lines(rule.when, knowledge)
    yield ""


def _base_rule(place: int, rule: Rule, knowledge: Knowledge) -> Iterator[str]:
    yield from _rule_head(place, rule, knowledge)
    yield from table(
        ("without contrast", "without and with", "with only", "ACR variant", "indicator"),
        [
            (
                *(RATING_WORDS[rule.ratings[protocol]] for protocol in RATED_PROTOCOLS),
                _variant_words(rule, knowledge),
                _indicator_words(rule.indicators, knowledge),
            )
        ],
    )
    yield ""
    if rule.is_against:
        yield "- Advises against the order now: every brake softens it."
    if rule.is_provisional:
        yield "- Provisional."
    yield f"- Card: {rule.card}"
    yield from _rule_lists(rule, knowledge)


def _rule_lists(rule: Rule, knowledge: Knowledge) -> Iterator[str]:
    labels = {procedure.id: procedure.label for procedure in knowledge.procedures}
    for suggestion in rule.suggestions:
        yield f"- Offers {safe(suggestion_in_words(suggestion, knowledge))}"
    if rule.alternatives:
        yield f"- Lists other studies: {'; '.join(labels[name] for name in rule.alternatives)}"
    if rule.supporting_facts:
        yield f"- Gives as reasons: {_labels(rule.supporting_facts, knowledge)}"
    if rule.asks_first:
        yield f"- Asks first for: {_labels(rule.asks_first, knowledge)}"
    yield f"- Sources: {', '.join(rule.sources)}"
    if rule.statements:
        yield f"- Statements: {', '.join(rule.statements)}"


def _labels(facts: Iterable[str], knowledge: Knowledge) -> str:
    return ", ".join(knowledge.fact(fact).label for fact in facts)


def _variant_words(rule: Rule, knowledge: Knowledge) -> str:
    if len(rule.variants) == 1:
        return str(rule.variants[0].variant)
    words = []
    for variant in rule.variants:
        when = condition(variant.when, knowledge)
        words.append(f"{variant.variant}{'' if when == 'always' else f' if {when}'}")
    return ", else ".join(words) or "none"


def _indicator_words(indicators: tuple[IndicatorRule, ...], knowledge: Knowledge) -> str:
    words = []
    for rule in indicators:
        when = condition(rule.when, knowledge)
        shown = rule.indicator.value if rule.indicator else "no card"
        words.append(f"{shown}{'' if when == 'always' else f' if {when}'}")
    return ", else ".join(words)


def brakes(knowledge: Knowledge) -> Iterator[str]:
    """Yield what softens rows that advise against the order."""
    yield "## Brakes"
    yield ""
    yield (
        "A row that advises against the order becomes an info card that is provisional and offers "
        "no cancellation while a brake holds, or while any source could not be read completely."
    )
    yield ""
    yield from table(
        ("brake", "holds when", "question"),
        ((f"{b.id}: {b.says}", condition(b.when, knowledge), b.question) for b in knowledge.brakes),
    )


def repeat_rules(knowledge: Knowledge) -> Iterator[str]:
    """Yield the repeat imaging table, one section a rule."""
    rows = knowledge.repeat
    yield "## Repeat imaging rows, in order"
    yield ""
    yield f"{rows.says} At most one holds; emergencies (E1 to E3) have none."
    for place, rule in enumerate(rows.rules, start=1):
        yield ""
        yield from _repeat_rule(place, rule, knowledge)


def _repeat_rule(place: int, rule: Rule, knowledge: Knowledge) -> Iterator[str]:
    yield from _rule_head(place, rule, knowledge)
    rated = [
        f"{protocol}: {RATING_WORDS[rule.ratings[protocol]]}"
        for protocol in RATED_PROTOCOLS
        if protocol in rule.ratings
    ]
    yield f"- Rating: {'; '.join(rated) or 'that of the base row'}"
    yield f"- Indicator: {_indicator_words(rule.indicators, knowledge)}"
    if rule.is_against:
        yield "- Advises against the order now: every brake softens it."
    if rule.is_provisional:
        yield "- Provisional."
    if rule.leads is None:
        yield f"- Card: {rule.card}, as lines of the base row's card"
    else:
        where = condition(rule.leads, knowledge)
        yield f"- Card: {rule.card}, in place of the base row's message: {safe(where)}"
    yield from _rule_lists(rule, knowledge)


def safety_rules(knowledge: Knowledge) -> Iterator[str]:
    """Yield the safety table."""
    rows = knowledge.safety
    yield "## Safety rows"
    yield ""
    yield (
        f"{rows.says} Of the rules of one row the first that holds applies; rows together make one "
        "card with the highest indicator. “No card” adds a line to the card that is shown."
    )
    yield ""
    yield from _rule_table(rows, knowledge)


def _name(rule: Rule) -> str:
    if not rule.is_reported:
        return f"{rule.id} (not reported)"
    return rule.id if rule.id == rule.row else f"{rule.id} (row {rule.row})"


def _rule_table(rows: DecisionTable, knowledge: Knowledge) -> Iterator[str]:
    yield from table(
        ("rule", "says", "when", "indicator", "offers", "sources", "statements"),
        (
            (
                _name(rule),
                rule.says,
                condition(rule.when, knowledge),
                _indicator_words(rule.indicators, knowledge),
                "; ".join(suggestion_in_words(s, knowledge) for s in rule.suggestions),
                ", ".join(rule.sources),
                ", ".join(rule.statements),
            )
            for rule in rows.rules
        ),
    )


def protocol_rules(knowledge: Knowledge) -> Iterator[str]:
    """Yield the contrast table."""
    rows = knowledge.protocol
    yield "## Contrast rows, in order"
    yield ""
    yield f"{rows.says} At most one holds, beside the base row."
    yield ""
    yield from _rule_table(rows, knowledge)


def ratings(knowledge: Knowledge) -> Iterator[str]:
    """Yield the ACR table."""
    yield "## ACR ratings by variant"
    yield ""
    yield from table(
        ("variant", "scope"), ((str(n), scope) for n, scope in knowledge.variants.items())
    )
    yield ""
    yield "A rating marked ° is read from a summary that omits the procedure (medium confidence)."
    yield ""
    yield from table(
        ("study", "radiation", *(f"V{n}" for n in knowledge.variants)),
        (
            (
                p.label,
                p.radiation,
                *(
                    RATING_WORDS[p.ratings[n]] + ("°" if p.confidence[n] == "medium" else "")
                    for n in knowledge.variants
                ),
            )
            for p in knowledge.procedures
        ),
    )
