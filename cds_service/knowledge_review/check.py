"""What `cds-service knowledge check` proves of a knowledge folder, in words for its committee.

Cases are at the level of facts: they prove the tables, the ratings and the wording. How a fact
is read from a chart, and on which day a window closes, is proved on whole charts by the tests
of the software; the report says so.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cds_service.cards.card import cards_for
from cds_service.knowledge import (
    CardLine,
    Case,
    Knowledge,
    Procedure,
    Rating,
    Rule,
)
from cds_service.knowledge_review.cases import HOOK_INSTANCE, USUAL_ORDER, JudgedCase, judge
from cds_service.review_notes import CaseValue
from cds_service.rule_tests import ALWAYS
from cds_service.situations import Situation, holds

_CASES = "Every case ends as it should."
_RULES = (
    "Every rule decides at least one case, and a case that differs in one thing ends elsewhere."
)
_WORDING = (
    "Every card, and every sentence of a card that has a condition, is shown by a case; "
    "no summary is cut."
)
_RATINGS = "Ratings agree with the ACR table of the variant, or the rule calls them provisional."
_STUDIES = "No study is proposed that the ACR rates usually not appropriate for the variant."
CHECKED = (_CASES, _RULES, _WORDING, _RATINGS, _STUDIES)
"""What every check holds, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was checked, what failed, and what cases cannot prove."""

    knowledge: str
    """Id, version and digest."""
    checked: tuple[str, ...]
    failures: tuple[str, ...]
    limits: tuple[str, ...]
    near_misses: tuple[str, ...]
    """For each rule: a case that it decides, and one differing in one thing that it does not."""
    proved: tuple[str, ...] = ()
    """Properties that hold for all combinations of fact values (`knowledge_proofs`)."""
    counterexamples: tuple[str, ...] = ()
    """Cases in YAML that show where a property fails; they can be pasted into `cases/`."""
    proofs: Mapping[str, object] | None = None
    """Size of the fact space, times and counterexamples, for scripts; None if not tried."""

    @property
    def is_passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def as_text(self) -> str:
        """Return the report for people."""
        sections = (
            ("Checked", self.checked),
            ("Proved for all combinations of fact values", self.proved),
            ("What decides between neighbours", self.near_misses),
            ("Not proved here", self.limits),
            ("FAILED", self.failures),
        )
        lines = [self.knowledge]
        for title, entries in sections:
            if entries:
                lines += ["", title, *(f"  - {entry}" for entry in entries)]
        if self.counterexamples:
            title = "Counterexamples as cases, expecting what the tables answer now"
            lines += ["", title, "cases:", *self.counterexamples]
        lines += ["", "Passed." if self.is_passed else f"{len(self.failures)} failed."]
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return the report for scripts."""
        return json.dumps(
            {
                "knowledge": self.knowledge,
                "passed": self.is_passed,
                "checked": self.checked,
                "failures": self.failures,
                "limits": self.limits,
                "nearMisses": self.near_misses,
                "proofs": self.proofs,
            },
            indent=2,
            ensure_ascii=False,
        )


def check(knowledge: Knowledge) -> CheckReport:
    """Run every case, then look for rules, cards and wording that no case reaches.

    The folder itself is already well formed: `load_knowledge` refuses any other.
    """
    judged = tuple(judge(case, knowledge) for case in knowledge.cases)
    pairs = dict(_near_misses(knowledge, judged))
    proofs = (
        (_CASES, tuple(f"case {j.case.id}: {text}" for j in judged for text in j.differences)),
        (_RULES, tuple(_rules_without_case(knowledge, judged, pairs))),
        (_WORDING, (*_wording_without_case(knowledge, judged), *_cut_summaries(judged))),
        (_RATINGS, tuple(_ratings_against_the_acr(knowledge))),
        (_STUDIES, tuple(_studies_against_the_acr(knowledge))),
    )
    return CheckReport(
        knowledge=f"{knowledge.id} {knowledge.version} ({knowledge.approval.state}), "
        f"{knowledge.digest}",
        checked=(
            *_counted(knowledge, judged),
            *(claim for claim, failures in proofs if not failures),
        ),
        failures=tuple(failure for _, failures in proofs for failure in failures),
        limits=_limits(knowledge),
        near_misses=tuple(pairs.values()),
    )


def _counted(knowledge: Knowledge, judged: tuple[JudgedCase, ...]) -> tuple[str, ...]:
    carried = statements_carried(knowledge)
    computable = [s for s in knowledge.statements if s.kind == "C"]
    used = [s for s in computable if s.id in carried]
    folder = (
        f"{len(knowledge.facts)} facts, {len(knowledge.rules)} rules, "
        f"{len(knowledge.wording.cards)} cards and {len(knowledge.value_set_notes)} value sets "
        "are well formed and refer only to what exists; none is left unused without a reason."
    )
    statements = (
        f"{len(used)} of {len(computable)} computable statements are carried by a rule or a card; "
        f"{len(computable) - len(used)} have a recorded reason why not."
    )
    right = sum(not j.differences for j in judged)
    return (folder, statements, f"{right} of {len(judged)} cases end as they should.")


def _limits(knowledge: Knowledge) -> tuple[str, ...]:
    windows = (
        f"{len(knowledge.thresholds)} numbers (days, years, percent): cases name facts, not dates. "
        "The first and last day of each window are proved on whole charts by the tests of the "
        "software, with the numbers as shipped."
    )
    codes = "Whether a code belongs in a value set: see the confidence letters in REVIEW.md."
    idle = [threshold.key for threshold in knowledge.thresholds.values() if not threshold.is_read]
    unread = f"No fact reads these numbers, so changing them changes nothing: {', '.join(idle)}."
    return (windows, codes, *([unread] if idle else []))


def statements_carried(knowledge: Knowledge) -> Mapping[str, tuple[str, ...]]:
    """Return for each statement the rules, then the cards that carry it, in words."""
    carried: dict[str, tuple[str, ...]] = {}
    for rule in knowledge.rules:
        for statement in rule.statements:
            carried[statement] = (*carried.get(statement, ()), f"rule {rule.id}")
    for card in knowledge.wording.cards.values():
        for statement in card.statements:
            carried[statement] = (*carried.get(statement, ()), f"wording of card {card.id}")
    return carried


def deciding(judged: JudgedCase) -> tuple[Rule, ...]:
    """Return every rule that holds in a case: base, repeat, contrast, safety."""
    verdict = judged.decision.verdict
    beside = (verdict.repeat_rule, verdict.protocol_rule, *verdict.safety_rules)
    return (verdict.rule, *(rule for rule in beside if rule is not None))


def _near_misses(knowledge: Knowledge, judged: tuple[JudgedCase, ...]) -> Iterator[tuple[str, str]]:
    """Yield for each rule one pair of cases that differ in one thing, and what that is."""
    for rule in knowledge.rules:
        hits = [j for j in judged if rule in deciding(j)]
        misses = [j for j in judged if rule not in deciding(j)]
        pair = next(
            ((hit, miss) for hit in hits for miss in misses if _only_difference(hit, miss)), None
        )
        if pair is not None:
            hit, miss = pair
            difference = _only_difference(hit, miss)
            ends = "+".join(r.id for r in deciding(miss))
            yield (
                rule.id,
                f"{rule.id}: {hit.case.id} ends here, {miss.case.id} in {ends} ({difference})",
            )


def _only_difference(one: JudgedCase, other: JudgedCase) -> str:
    """Return the one thing in which two cases differ: `night_pain: true / unknown`."""
    first, second = _situation(one.case), _situation(other.case)
    changed = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    if len(changed) != 1:
        return ""
    key = changed[0]
    usual = _usual(key, one.knowledge)
    return f"{key}: {first.get(key, usual)} / {second.get(key, usual)}"


def _situation(case: Case) -> dict[str, str]:
    named = {fact: value for fact, value in case.facts.items() if value is not CaseValue.UNKNOWN}
    return {
        **named,
        **{key: value for key, value in case.order.items() if value != USUAL_ORDER[key]},
        **{f"option {key}": value for key, value in case.options.items()},
        **dict.fromkeys(case.unreadable, "unreadable"),
    }


def _usual(key: str, knowledge: Knowledge) -> str:
    if key in {fact.id for fact in knowledge.facts}:
        return "unknown"
    return USUAL_ORDER.get(key, "as shipped")


def _rules_without_case(
    knowledge: Knowledge, judged: tuple[JudgedCase, ...], pairs: Mapping[str, str]
) -> Iterator[str]:
    counted = Counter(rule.id for j in judged for rule in deciding(j))
    for rule in knowledge.rules:
        if not counted[rule.id]:
            yield f"rule {rule.id}: no case ends here"
        elif rule.id not in pairs:
            yield f"rule {rule.id}: no near miss, that is a case differing in one thing"


def _wording_without_case(knowledge: Knowledge, judged: tuple[JudgedCase, ...]) -> Iterator[str]:
    """A rule whose every indicator is `none` shows its card to nobody; it needs no case."""
    silent = {
        rule.card
        for rule in knowledge.rules
        if all(shown.indicator is None for shown in rule.indicators)
    }
    for card in knowledge.wording.cards.values():
        situations = [
            j.decision.situation
            for j in judged
            if (j.decision.indicator or j.decision.verdict.safety_indicator) is not None
            and any(rule.card == card.id for rule in deciding(j))
        ]
        if not situations and card.id not in silent:
            yield f"card {card.id}: no case shows it"
        for line in (*card.summary_when, *card.lines) if situations else ():
            if not _is_reached(line, situations):
                yield f"card {card.id}: no case shows “{line.text}”"


def _is_reached(line: CardLine, situations: list[Situation]) -> bool:
    return line.when == ALWAYS or any(holds(line.when, situation) for situation in situations)


def _cut_summaries(judged: tuple[JudgedCase, ...]) -> Iterator[str]:
    """The loader reckons with the longest usual values; here the card is made."""
    for j in judged:
        for card in cards_for(j.knowledge, j.decision, hook_instance=HOOK_INSTANCE):
            if str(card["summary"]).endswith("…"):
                yield f"case {j.case.id}: the summary is too long and is cut: {card['summary']}"


def _ratings_against_the_acr(knowledge: Knowledge) -> Iterator[str]:
    by_set = {procedure.value_set: procedure for procedure in knowledge.procedures}
    for rule in knowledge.appropriateness.rules:
        for variant in {v.variant for v in rule.variants} if not rule.is_provisional else ():
            for set_id, protocol in knowledge.order.contrast_sets:
                given, wanted = rule.ratings[protocol], by_set[set_id].ratings[variant]
                if given is not wanted:
                    yield (
                        f"rule {rule.id}: {protocol} is {given}, "
                        f"in variant {variant} of the ACR {wanted}"
                    )


def _studies_against_the_acr(knowledge: Knowledge) -> Iterator[str]:
    for rule in knowledge.appropriateness.rules:
        proposed = {s.to for s in rule.suggestions if s.kind == "A2"}
        for procedure in knowledge.procedures:
            if procedure.id in rule.alternatives or procedure.value_set in proposed - {""}:
                yield from _rated_against(rule, procedure)


def _rated_against(rule: Rule, procedure: Procedure) -> Iterator[str]:
    for variant in {v.variant for v in rule.variants}:
        if procedure.ratings[variant] is Rating.USUALLY_NOT_APPROPRIATE:
            yield (
                f"rule {rule.id}: proposes {procedure.id}, "
                f"in variant {variant} usually not appropriate"
            )
