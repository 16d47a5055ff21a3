"""Reads `decision_tables/`: ordered rules, brakes, and the ACR ratings by variant."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cds_service.knowledge import (
    RATED_PROTOCOLS,
    Brake,
    DecisionTable,
    Indicator,
    IndicatorRule,
    Procedure,
    Rating,
    Rule,
    SuggestionRule,
    VariantRule,
)
from cds_service.knowledge_loading.conditions import Vocabulary, read_test, read_when
from cds_service.knowledge_loading.facts import check_known, report_repeated
from cds_service.knowledge_loading.yaml import (
    Fields,
    Node,
    Problems,
    choice_of,
    integer_of,
    text_of,
)
from cds_service.orders import ImagingProtocol, Priority
from cds_service.rule_tests import ALWAYS, Test

_OTHERWISE = "otherwise"


class TableKind(StrEnum):
    """The tables of `decision_tables/`, by the name of their file; each has keys of its own."""

    BASE = "appropriateness"
    REPEAT = "repeat"
    CONTRAST = "protocol"
    SAFETY = "safety"


_KEYS_OF: Mapping[TableKind, frozenset[str]] = {
    TableKind.BASE: frozenset(
        {"ratings", "provisional", "variant", "covered", "against", "alternatives"}
        | {"because", "asks_first"}
    ),
    TableKind.REPEAT: frozenset(
        {"ratings", "provisional", "against", "leads", "because", "asks_first"}
    ),
    TableKind.CONTRAST: frozenset(),
    TableKind.SAFETY: frozenset({"because", "alternatives"}),
}
"""Keys of a rule beside those that every rule has."""

_ABBREVIATIONS = {
    "UA": Rating.USUALLY_APPROPRIATE,
    "MBA": Rating.MAY_BE_APPROPRIATE,
    "UNA": Rating.USUALLY_NOT_APPROPRIATE,
}
_MOST_CHOICES = 4
_ALWAYS_LEADS = "always"
_DUPLICATE = "duplicate"
"""A1: this draft goes because another order of the same exam stays."""


class SuggestionKind(StrEnum):
    """Suggestions of the decision table §9."""

    CANCEL = "A1"
    REPLACE = "A2"
    CHANGE_CONTRAST = "A3"
    ADD_INDICATION = "A4"
    START_CARE = "A5"
    RAISE_PRIORITY = "A6"
    REASSESS = "A7"
    ASK_FOR_DATA = "A8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """Everything in `ratings.yaml`."""

    variants: Mapping[int, str]
    procedures: tuple[Procedure, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What rules may refer to."""

    facts: Collection[str]
    choices: Collection[str]
    cards: Collection[str]
    value_sets: Collection[str]
    references: Collection[str]
    statements: Collection[str]
    procedures: Collection[str] = ()
    variants: Collection[int] = ()

    def rated_by(self, ratings: Ratings) -> "Names":
        """Add the procedures and variants of the ACR table."""
        procedures = frozenset(procedure.id for procedure in ratings.procedures)
        return replace(self, procedures=procedures, variants=frozenset(ratings.variants))


def read_ratings(root: Node, names: Names, problems: Problems) -> Ratings:
    """Read the ACR table: every procedure is rated for every variant."""
    top = Fields(root, problems)
    source = top.text("source")
    check_known(top.at("source"), "reference", [source], names.references, problems)
    variants = {
        _variant_number(key, node, problems): text_of(node, problems)
        for key, node in top.mapping("variants", required=True).items()
    }
    nodes = top.items("procedures", required=True)
    procedures = tuple(_procedure(node, variants, names, problems) for node in nodes)
    report_repeated(nodes, "procedure", problems)
    top.finish()
    return Ratings(variants=variants, procedures=procedures, source=source)


def read_table(
    root: Node, kind: TableKind, names: Names, vocabulary: Vocabulary, problems: Problems
) -> DecisionTable:
    """Read an ordered table; that of base rows ends with `otherwise`, the others need not."""
    top = Fields(root, problems)
    table_id = top.text("table")
    if table_id and table_id != kind:
        problems.report(top.at("table"), f"must be {kind.value!r}, as the file is named")
    nodes = top.items("rules", required=True)
    if kind is TableKind.BASE:
        _check_otherwise(root, nodes, problems)
    reader = _RuleReader(names, vocabulary, problems, _KEYS_OF[kind])
    rules = tuple(reader.rule(node) for node in nodes)
    report_repeated(nodes, "rule", problems)
    says = top.text("says")
    top.take("brakes")
    top.finish()
    return DecisionTable(id=table_id, says=says, rules=rules)


def read_brakes(root: Node, vocabulary: Vocabulary, problems: Problems) -> tuple[Brake, ...]:
    """Read what softens rows that advise against the order."""
    nodes = Fields(root, problems).items("brakes") if isinstance(root.value, dict) else ()
    report_repeated(nodes, "brake", problems)
    return tuple(_brake(node, vocabulary, problems) for node in nodes)


def _brake(node: Node, vocabulary: Vocabulary, problems: Problems) -> Brake:
    members = Fields(node, problems)
    when = members.need("when")
    brake = Brake(
        id=members.text("brake"),
        says=members.text("says"),
        when=read_test(when, vocabulary, problems) if when else ALWAYS,
        question=members.text("question"),
    )
    members.finish()
    return brake


def _variant_number(key: str, node: Node, problems: Problems) -> int:
    return integer_of(Node(node.file, node.line, node.path, key), problems)


def _procedure(
    node: Node, variants: Mapping[int, str], names: Names, problems: Problems
) -> Procedure:
    members = Fields(node, problems)
    ratings: dict[int, Rating] = {}
    for key, rated in members.mapping("ratings", required=True).items():
        short = text_of(rated, problems)
        if short not in _ABBREVIATIONS:
            problems.report(rated, f"{short!r} is not one of: {', '.join(_ABBREVIATIONS)}")
        ratings[_variant_number(key, rated, problems)] = _ABBREVIATIONS.get(
            short, Rating.USUALLY_NOT_APPROPRIATE
        )
    if set(ratings) != set(variants):
        problems.report(node, f"must be rated for variants {', '.join(map(str, variants))}")
    medium = {integer_of(item, problems) for item in members.items("medium")}
    for number in sorted(medium - set(variants)):
        problems.report(node, f"unknown variant {number}")
    value_set = members.text("value_set", "")
    if value_set:
        check_known(node, "value set", [value_set], names.value_sets, problems)
    procedure = Procedure(
        id=members.text("procedure"),
        label=members.text("label"),
        radiation=members.text("radiation"),
        ratings=ratings,
        value_set=value_set,
        confidence={number: "medium" if number in medium else "high" for number in variants},
    )
    members.finish()
    return procedure


def _check_otherwise(root: Node, nodes: tuple[Node, ...], problems: Problems) -> None:
    for place, node in enumerate(nodes, start=1):
        says_otherwise = node.text_at("when") == _OTHERWISE
        if says_otherwise and place < len(nodes):
            problems.report(node, "`otherwise` may stand in the last rule only")
        if not says_otherwise and place == len(nodes):
            problems.report(node, "the last rule must be `when: otherwise`")
    if not nodes:
        problems.report(root, "the table has no rules")


@dataclass(frozen=True, slots=True)
class _RuleReader:
    names: Names
    vocabulary: Vocabulary
    problems: Problems
    keys: frozenset[str]
    """What a rule of this table may have beside what every rule has."""

    def rule(self, node: Node) -> Rule:
        members = Fields(node, self.problems)
        rule_id = members.text("rule")
        when = members.need("when")
        card = members.text("card")
        rule = Rule(
            id=rule_id,
            row=members.text("row", rule_id),
            says=members.text("says"),
            when=(
                ALWAYS
                if when is None or when.value == _OTHERWISE
                else read_test(when, self.vocabulary, self.problems)
            ),
            ratings=self._ratings(members),
            is_provisional=self._flag(members, "provisional"),
            variants=self._variants(members) if "variant" in self.keys else (),
            indicators=self._indicators(members),
            card=card,
            suggestions=tuple(self._suggestion(item) for item in members.items("suggest")),
            sources=self._known(members, "source", "reference", self.names.references, needed=True),
            statements=self._known(members, "statements", "statement", self.names.statements),
            supporting_facts=self._named(members, "because", "fact", self.names.facts),
            asks_first=self._named(members, "asks_first", "fact", self.names.facts),
            is_against=self._flag(members, "against"),
            alternatives=self._named(members, "alternatives", "procedure", self.names.procedures),
            is_covered=self._flag(members, "covered"),
            leads=self._leads(members),
        )
        check_known(members.at("card"), "card", [card], self.names.cards, self.problems)
        members.finish()
        return rule

    def _flag(self, members: Fields, key: str) -> bool:
        return members.flag(key) if key in self.keys else False

    def _named(
        self, members: Fields, key: str, what: str, known: Collection[str]
    ) -> tuple[str, ...]:
        return self._known(members, key, what, known) if key in self.keys else ()

    def _leads(self, members: Fields) -> Test | None:
        node = members.take("leads") if "leads" in self.keys else None
        if node is None:
            return None
        if node.value == _ALWAYS_LEADS:
            return ALWAYS
        return read_test(node, self.vocabulary, self.problems)

    def _known(
        self,
        members: Fields,
        key: str,
        what: str,
        known: Collection[str],
        *,
        needed: bool = False,
    ) -> tuple[str, ...]:
        names = members.texts(key, required=needed)
        check_known(members.at(key), what, names, known, self.problems)
        return names

    def _ratings(self, members: Fields) -> dict[ImagingProtocol, Rating]:
        """Read the ratings; a base row needs them, a repeat row may leave those of the base."""
        if "ratings" not in self.keys:
            return {}
        nodes = members.mapping("ratings", required="variant" in self.keys)
        if not nodes:
            return {}
        if set(nodes) == {"all"}:
            rating = choice_of(nodes["all"], Rating, self.problems) or Rating.NOT_COVERED
            return dict.fromkeys(ImagingProtocol, rating)
        ratings: dict[ImagingProtocol, Rating] = {}
        for key, node in nodes.items():
            if key not in RATED_PROTOCOLS:
                self.problems.report(
                    node, f"{key!r} is not one of: all, {', '.join(RATED_PROTOCOLS)}"
                )
                continue
            rated = choice_of(node, Rating, self.problems)
            ratings[ImagingProtocol(key)] = rated or Rating.NOT_COVERED
        for protocol in RATED_PROTOCOLS:
            if protocol not in ratings:
                self.problems.report(members.at("ratings"), f"{protocol} is not rated")
        return ratings

    def _variants(self, members: Fields) -> tuple[VariantRule, ...]:
        node = members.take("variant")
        if node is None:
            return ()
        if isinstance(node.value, str):
            return (VariantRule(when=ALWAYS, variant=self._variant(node)),)
        rules = []
        for item in members.items("variant"):
            inner = Fields(item, self.problems)
            number = inner.need("is")
            rules.append(
                VariantRule(
                    when=read_when(inner, self.vocabulary),
                    variant=self._variant(number) if number else 0,
                )
            )
            inner.finish()
        self._check_last(node, [rule.when == ALWAYS for rule in rules])
        return tuple(rules)

    def _variant(self, node: Node) -> int:
        number = integer_of(node, self.problems)
        if number not in self.names.variants:
            self.problems.report(node, f"unknown variant {number}")
        return number

    def _indicators(self, members: Fields) -> tuple[IndicatorRule, ...]:
        rules = []
        for item in members.items("indicator", required=True):
            inner = Fields(item, self.problems)
            said = inner.need("is")
            is_none = said is not None and said.value == "none"
            rules.append(
                IndicatorRule(
                    when=read_when(inner, self.vocabulary),
                    indicator=(
                        None
                        if said is None or is_none
                        else choice_of(said, Indicator, self.problems)
                    ),
                )
            )
            inner.finish()
        self._check_last(members.at("indicator"), [rule.when == ALWAYS for rule in rules])
        return tuple(rules)

    def _check_last(self, node: Node, always: list[bool]) -> None:
        """Exactly the last choice holds without a condition."""
        if always and (always.count(True) != 1 or not always[-1]):
            self.problems.report(node, "the last entry, and only it, must be without `when`")

    def _suggestion(self, node: Node) -> SuggestionRule:
        members = Fields(node, self.problems)
        kind_node = members.need("kind")
        kind = choice_of(kind_node, SuggestionKind, self.problems) if kind_node else None
        suggestion = SuggestionRule(
            kind=kind.value if kind else "",
            when=read_when(members, self.vocabulary),
            to=members.text("to", ""),
            choices=members.texts("choices"),
            is_recommended=members.flag("recommended"),
        )
        if kind is not None:
            self._check_suggestion(members, kind, suggestion)
        members.finish()
        return suggestion

    def _check_suggestion(
        self, members: Fields, kind: SuggestionKind, suggestion: SuggestionRule
    ) -> None:
        targets: Mapping[SuggestionKind, Collection[str]] = {
            SuggestionKind.CANCEL: ("", _DUPLICATE),
            SuggestionKind.REPLACE: self.names.value_sets,
            SuggestionKind.CHANGE_CONTRAST: RATED_PROTOCOLS,
            SuggestionKind.RAISE_PRIORITY: tuple(Priority),
        }
        if kind in targets and suggestion.to not in targets[kind]:
            self.problems.report(members.at("to"), f"{kind} cannot change to {suggestion.to!r}")
        if kind not in targets and suggestion.to:
            self.problems.report(members.at("to"), f"{kind} takes no `to`")
        if (kind is SuggestionKind.ADD_INDICATION) != bool(suggestion.choices):
            self.problems.report(members.node, "A4, and only A4, has `choices`")
        if len(suggestion.choices) > _MOST_CHOICES:
            self.problems.report(members.at("choices"), f"at most {_MOST_CHOICES} choices")
        check_known(
            members.at("choices"), "choice", suggestion.choices, self.names.choices, self.problems
        )
