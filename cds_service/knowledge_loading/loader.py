"""Loads a knowledge folder: frozen `Knowledge`, or every problem of it at once.

A folder that is not perfectly well formed never starts a service. Each problem reads
`lumbar-mri/facts.yaml:12: key: what is wrong`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from cds_service.errors import KnowledgeError
from cds_service.knowledge import (
    Case,
    DecisionTable,
    Knowledge,
    Rule,
    Wording,
)
from cds_service.knowledge_loading.cases import CaseNames, read_cases
from cds_service.knowledge_loading.conditions import ORDER_ATTRIBUTES, Vocabulary
from cds_service.knowledge_loading.facts import (
    FactsFile,
    Surroundings,
    order_sets,
    read_facts,
    report_repeated,
)
from cds_service.knowledge_loading.folders import ALLOWED_TYPES, digest_of, files_of
from cds_service.knowledge_loading.needed import WholeFolder, missing_names
from cds_service.knowledge_loading.service import ServiceFile, read_service, read_statements
from cds_service.knowledge_loading.tables import (
    Names,
    Ratings,
    TableKind,
    read_brakes,
    read_ratings,
    read_table,
)
from cds_service.knowledge_loading.transparency import read_transparency
from cds_service.knowledge_loading.value_sets import LoadedValueSets, read_value_sets
from cds_service.knowledge_loading.wording import WordingNames, card_ids, choice_codes, read_wording
from cds_service.knowledge_loading.yaml import Node, Problems, read_yaml
from cds_service.review_notes import Statement

_SERVICE = "service.yaml"
_FACTS = "facts.yaml"
_CARDS = "cards.yaml"
_RATINGS = "decision_tables/ratings.yaml"
_TABLES = {kind: f"decision_tables/{kind.value}.yaml" for kind in TableKind}
_APPROPRIATENESS = _TABLES[TableKind.BASE]
_STATEMENTS = "statements.csv"
_CASES = "cases/"
_VALUE_SETS = "value_sets/"
_FOUND = "{found}"
_TRANSPARENCY = "transparency.yaml"
_NEEDED = (_SERVICE, _FACTS, _CARDS, _RATINGS, *_TABLES.values(), _STATEMENTS, _TRANSPARENCY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What was read, before it is checked as a whole."""

    service: ServiceFile
    value_sets: LoadedValueSets
    statements: tuple[Statement, ...]
    facts: FactsFile
    ratings: Ratings
    tables: Mapping[TableKind, DecisionTable]
    wording: Wording

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all tables."""
        return tuple(rule for table in self.tables.values() for rule in table.rules)


def load_knowledge(folder: Traversable) -> Knowledge:
    """Return the knowledge of a folder.

    Raises KnowledgeError with every problem found, in the order of the files.
    """
    problems = Problems()
    files = files_of(folder)
    _check_files(folder.name, files, problems)
    if problems.found:
        raise KnowledgeError(problems.found)
    return _Loader(folder, folder.name, files, problems).load()


def _check_files(name: str, files: Mapping[str, Traversable], problems: Problems) -> None:
    for needed in _NEEDED:
        if needed not in files:
            problems.report_file(f"{name}/{needed}", "this file is missing")
    for file in files:
        if not file.endswith(ALLOWED_TYPES):
            allowed = " ".join(ALLOWED_TYPES)
            problems.report_file(f"{name}/{file}", f"only files of these types: {allowed}")
        elif file.endswith(".yaml") and file not in _NEEDED and not file.startswith(_CASES):
            problems.report_file(f"{name}/{file}", "nothing reads a file of this name")


@dataclass(frozen=True, slots=True)
class _Loader:
    folder: Traversable
    name: str
    files: Mapping[str, Traversable]
    problems: Problems

    def load(self) -> Knowledge:
        digest = digest_of(self.files)
        roots = {file: self._yaml(file) for file in _NEEDED if file.endswith(".yaml")}
        if not all(root.value for root in roots.values()):
            # What an unreadable file leaves unknown in the others is noise.
            raise KnowledgeError(self.problems.found)
        parts = self._parts(roots, digest)
        brakes = read_brakes(roots[_APPROPRIATENESS], self._vocabulary(parts.facts), self.problems)
        cases = self._cases(parts, [brake.id for brake in brakes])
        transparency = read_transparency(roots[_TRANSPARENCY], self.problems)
        self._check_whole(parts, roots)
        order, episode = parts.facts.order, parts.facts.episode
        if self.problems.found or order is None or episode is None:
            raise KnowledgeError(self.problems.found)
        return Knowledge(
            id=parts.service.id,
            version=parts.service.version,
            digest=digest,
            title=parts.service.title,
            owner=parts.service.owner,
            approval=parts.service.approval,
            services=parts.service.services,
            required_sources=parts.service.required_sources,
            prefetch_types=parts.service.prefetch_types,
            thresholds=parts.facts.thresholds,
            options=parts.facts.options,
            value_sets=parts.value_sets.sets,
            value_set_notes=parts.value_sets.notes(parts.service.other_value_sets),
            order=order,
            episode=episode,
            facts=parts.facts.facts,
            appropriateness=parts.tables[TableKind.BASE],
            repeat=parts.tables[TableKind.REPEAT],
            protocol=parts.tables[TableKind.CONTRAST],
            safety=parts.tables[TableKind.SAFETY],
            variants=parts.ratings.variants,
            brakes=brakes,
            procedures=parts.ratings.procedures,
            references=parts.service.references,
            wording=parts.wording,
            statements=parts.statements,
            cases=cases,
            transparency=transparency,
        )

    def _parts(self, roots: Mapping[str, Node], digest: str) -> _Parts:
        problems = self.problems
        service = read_service(roots[_SERVICE], digest, self.name, problems)
        statements = read_statements(
            self.files[_STATEMENTS].read_text("utf-8"), f"{self.name}/{_STATEMENTS}", problems
        )
        value_sets = read_value_sets(self.folder / "value_sets", self.name, problems)
        choices = choice_codes(roots[_CARDS])
        facts = read_facts(roots[_FACTS], Surroundings(value_sets.ids, choices), problems)
        names = Names(
            facts=frozenset(fact.id for fact in facts.facts),
            choices=choices,
            cards=card_ids(roots[_CARDS]),
            value_sets=value_sets.ids,
            references=frozenset(service.references),
            statements=frozenset(statement.id for statement in statements),
        )
        ratings = read_ratings(roots[_RATINGS], names, problems)
        names = names.rated_by(ratings)
        vocabulary = self._vocabulary(facts)
        base = read_table(roots[_APPROPRIATENESS], TableKind.BASE, names, vocabulary, problems)
        beside = vocabulary.with_decision({rule.row for rule in base.rules}, ratings.variants)
        tables = {TableKind.BASE: base}
        for kind in (TableKind.REPEAT, TableKind.CONTRAST, TableKind.SAFETY):
            tables[kind] = read_table(roots[_TABLES[kind]], kind, names, beside, problems)
        return _Parts(
            service=service,
            value_sets=value_sets,
            statements=statements,
            facts=facts,
            ratings=ratings,
            tables=tables,
            wording=read_wording(
                roots[_CARDS],
                beside,
                WordingNames(value_sets.ids, names.statements),
                problems,
            ),
        )

    def _vocabulary(self, facts: FactsFile) -> Vocabulary:
        return Vocabulary(
            facts=frozenset(fact.id for fact in facts.facts),
            options={key: option.choices for key, option in facts.options.items()},
            attributes=ORDER_ATTRIBUTES,
        )

    def _cases(self, parts: _Parts, brakes: list[str]) -> tuple[Case, ...]:
        names = CaseNames(
            facts=frozenset(fact.id for fact in parts.facts.facts),
            options={key: option.choices for key, option in parts.facts.options.items()},
            tables=parts.tables,
            brakes=brakes,
        )
        files = (f for f in self.files if f.startswith(_CASES) and f.endswith(".yaml"))
        roots = [self._yaml(file) for file in files]
        report_repeated(
            (node for root in roots for node in root.items_at("cases")), "case", self.problems
        )
        return tuple(case for root in roots for case in read_cases(root, names, self.problems))

    def _check_whole(self, parts: _Parts, roots: Mapping[str, Node]) -> None:
        """Report what only the whole folder shows: what is unused, or leads nowhere."""
        rules = parts.rules
        self._check_rule_ids(parts, roots)
        self._check_cards(rules, roots)
        self._check_found(parts, roots)
        self._check_suggestions(parts, rules, roots)
        self._check_value_sets(parts, roots)
        self._check_statements(parts, rules)
        self._check_needed(parts)

    def _check_rule_ids(self, parts: _Parts, roots: Mapping[str, Node]) -> None:
        seen: set[str] = set()
        for kind, table in parts.tables.items():
            for node in roots[_TABLES[kind]].items_at("rules"):
                if (rule := node.text_at("rule")) in seen:
                    self.problems.report(node, f"rule {rule!r} stands in another table too")
            seen.update(rule.id for rule in table.rules)

    def _check_cards(self, rules: tuple[Rule, ...], roots: Mapping[str, Node]) -> None:
        used = {rule.card for rule in rules}
        for node in roots[_CARDS].items_at("cards"):
            if (card := node.text_at("card")) not in used:
                self.problems.report(node, f"no rule shows card {card!r}")

    def _check_found(self, parts: _Parts, roots: Mapping[str, Node]) -> None:
        """What is on record, in its own words, is told by safety cards only."""
        others = {
            rule.card
            for kind, table in parts.tables.items()
            if kind is not TableKind.SAFETY
            for rule in table.rules
        }
        for card in parts.wording.cards.values():
            if card.id in others and any(_FOUND in text for text in card.texts):
                node = _member(roots[_CARDS], "cards", "card", card.id)
                self.problems.report(node, f"nothing fills {_FOUND} here; it is for safety cards")

    def _check_suggestions(
        self, parts: _Parts, rules: tuple[Rule, ...], roots: Mapping[str, Node]
    ) -> None:
        """Every button has its words, every choice sets a fact when it is read back."""
        answers = {code for fact in parts.facts.facts for code in fact.answers}
        labels = parts.wording.suggestion_labels
        for rule in rules:
            node = _member(roots[_file_of(rule, parts)], "rules", "rule", rule.id)
            for suggestion in rule.suggestions:
                for choice in suggestion.choices:
                    if choice not in answers:
                        self.problems.report(node, f"choice {choice!r} answers no fact")
                target = f".{suggestion.to}" if suggestion.to else ""
                label = f"{suggestion.kind}{target}.label"
                if not suggestion.choices and label not in labels:
                    self.problems.report(node, f"cards.yaml has no suggestion_labels: {label}")
                if suggestion.kind == "A2" and suggestion.to not in parts.wording.suggested_codes:
                    self.problems.report(
                        node, f"cards.yaml has no suggested_codes for {target[1:]}"
                    )

    def _check_value_sets(self, parts: _Parts, roots: Mapping[str, Node]) -> None:
        used = parts.value_sets.with_included(_named_value_sets(parts))
        kept = parts.service.other_value_sets
        for set_id in sorted(parts.value_sets.ids - used - set(kept)):
            self.problems.report_file(
                f"{self.name}/{_VALUE_SETS}{set_id}.json",
                "nothing uses this value set; remove it, or say why it stays "
                f"under other_value_sets in {_SERVICE}",
            )
        for node in roots[_SERVICE].items_at("other_value_sets"):
            set_id = node.text_at("value_set")
            if set_id not in parts.value_sets.ids:
                self.problems.report(node, f"unknown value set {set_id!r}")
            elif set_id in used:
                self.problems.report(node, f"{set_id!r} is used; take it off this list")

    def _check_statements(self, parts: _Parts, rules: tuple[Rule, ...]) -> None:
        carried = {statement for rule in rules for statement in rule.statements}
        carried |= {s for card in parts.wording.cards.values() for s in card.statements}
        for statement in parts.statements:
            if statement.id not in carried and not statement.note:
                self.problems.report_file(
                    f"{self.name}/{_STATEMENTS}",
                    f"{statement.id}: no rule or card carries it; add it to one, or note why not",
                )

    def _check_needed(self, parts: _Parts) -> None:
        if parts.facts.order is None:
            return
        whole = WholeFolder(
            topic=self.name,
            facts=parts.facts.facts,
            fetched=frozenset(parts.service.prefetch_types.values()),
            thresholds=frozenset(parts.facts.thresholds),
            order=parts.facts.order,
            rules=parts.rules,
            procedures=parts.ratings.procedures,
            wording=parts.wording,
        )
        for file, says in missing_names(whole):
            self.problems.report_file(f"{self.name}/{file}", says)

    def _yaml(self, file: str) -> Node:
        path = f"{self.name}/{file}"
        try:
            text = self.files[file].read_text("utf-8")
        except UnicodeDecodeError:
            self.problems.report_file(path, "not UTF-8 text")
            text = "{}"
        return read_yaml(text, path, self.problems)


def _file_of(rule: Rule, parts: _Parts) -> str:
    return next(_TABLES[kind] for kind, table in parts.tables.items() if rule in table.rules)


def _named_value_sets(parts: _Parts) -> set[str]:
    """Return every value set that a fact, the order, the episode or a suggestion names."""
    named = {
        set_id for fact in parts.facts.facts for r in fact.readings for set_id in r.value_set_ids
    }
    if parts.facts.order is not None:
        named.update(order_sets(parts.facts.order))
    if parts.facts.episode is not None:
        named.update(parts.facts.episode.value_sets)
    named.update(procedure.value_set for procedure in parts.ratings.procedures)
    named.update(parts.wording.suggested_codes)
    return named


def _member(root: Node, section: str, key: str, name: str) -> Node:
    """Return the list member of this name; the root where there is none."""
    named = (node for node in root.items_at(section) if node.text_at(key) == name)
    return next(named, root)
