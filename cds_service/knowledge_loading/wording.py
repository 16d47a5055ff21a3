"""Reads `cards.yaml`: what each card says, the choices, override reasons and suggested codes."""

import string
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from cds_service.knowledge import SUMMARY_LIMIT, CardLine, CardText, Choice, Wording
from cds_service.knowledge_loading.conditions import Vocabulary, read_when
from cds_service.knowledge_loading.facts import check_known, report_repeated
from cds_service.knowledge_loading.yaml import Fields, Node, Problems, text_of
from cds_service.records import Coding

# What `cards/values.py` fills, with the longest text that it puts there.
PLACEHOLDER_LENGTHS: Mapping[str, int] = {
    "which": 40,
    "date": 10,
    "due": 10,
    "n": 1,
    "weeks": 2,
    "choice": 80,
    "prior": 13,
    "prior_days": 2,
    "prior_ago": 23,
    "ordered": 13,
    "open": 36,
    "found": 48,
}


@dataclass(frozen=True, slots=True)
class WordingNames:
    """What wording may refer to."""

    value_sets: Collection[str]
    statements: Collection[str]


def card_ids(root: Node) -> frozenset[str]:
    """Return the ids of the cards, before the file is read in full."""
    return frozenset(card.text_at("card") for card in root.items_at("cards")) - {""}


def choice_codes(root: Node) -> frozenset[str]:
    """Return the indication codes, before the file is read in full."""
    return frozenset(choice.text_at("code") for choice in root.items_at("choices")) - {""}


def read_wording(
    root: Node, vocabulary: Vocabulary, names: WordingNames, problems: Problems
) -> Wording:
    """Read the whole file."""
    top = Fields(root, problems)
    reader = _WordingReader(vocabulary, names, problems)
    source = top.need("source")
    label, url = reader.source(source) if source else ("", "")
    card_nodes, choice_nodes = top.items("cards", required=True), top.items("choices")
    reason_nodes = top.items("override_reasons", required=True)
    code_nodes = top.items("suggested_codes")
    for nodes, key in (
        (card_nodes, "card"),
        (choice_nodes, "code"),
        (reason_nodes, "code"),
        (code_nodes, "for"),
    ):
        report_repeated(nodes, key, problems)
    wording = Wording(
        cards={card.id: card for card in map(reader.card, card_nodes)},
        choices={choice.code: choice for choice in map(reader.choice, choice_nodes)},
        override_reasons=tuple(map(reader.override_reason, reason_nodes)),
        suggestion_labels={
            key: reader.filled(node)
            for key, node in top.mapping("suggestion_labels", required=True).items()
        },
        phrases={
            key: text_of(node, problems)
            for key, node in top.mapping("phrases", required=True).items()
        },
        source_label=label,
        source_url=url,
        suggested_codes=dict(map(reader.suggested, code_nodes)),
    )
    top.finish()
    return wording


@dataclass(frozen=True, slots=True)
class _WordingReader:
    vocabulary: Vocabulary
    names: WordingNames
    problems: Problems

    def source(self, node: Node) -> tuple[str, str]:
        members = Fields(node, self.problems)
        label, url = members.text("label"), members.text("url")
        members.finish()
        return label, url

    def card(self, node: Node) -> CardText:
        members = Fields(node, self.problems)
        statements = members.texts("statements")
        card = CardText(
            id=members.text("card"),
            summary=self._summary(members, "summary", required=True),
            summary_when=self._lines(members, "summary_when"),
            summary_softened=self._summary(members, "summary_softened"),
            summary_contrast_only=self._summary(members, "summary_contrast_only"),
            label=self._text(members, "label"),
            verdict=self._text(members, "verdict", required=True),
            lines=self._lines(members, "lines"),
            asks=self._text(members, "asks"),
            statements=statements,
        )
        for item, line in zip(members.items("summary_when"), card.summary_when, strict=True):
            self._check_length(item, line.text)
        check_known(
            members.at("statements"),
            "statement",
            statements,
            self.names.statements,
            self.problems,
        )
        members.finish()
        return card

    def choice(self, node: Node) -> Choice:
        members = Fields(node, self.problems)
        choice = Choice(
            code=members.text("code"), display=members.text("display"), label=members.text("label")
        )
        members.finish()
        return choice

    def override_reason(self, node: Node) -> tuple[str, str]:
        members = Fields(node, self.problems)
        code, display = members.text("code"), members.text("display")
        members.finish()
        return code, display

    def suggested(self, node: Node) -> tuple[str, tuple[Coding, ...]]:
        members = Fields(node, self.problems)
        target = members.text("for")
        codings = tuple(map(self._coding, members.items("codes", required=True)))
        if not target.startswith("referral"):
            check_known(node, "value set", [target], self.names.value_sets, self.problems)
        members.finish()
        return target, codings

    def filled(self, node: Node) -> str:
        """Return a text after checking its placeholders."""
        text = text_of(node, self.problems)
        for name in self._placeholders(node, text):
            if name not in PLACEHOLDER_LENGTHS:
                known = ", ".join(f"{{{known}}}" for known in PLACEHOLDER_LENGTHS)
                self.problems.report(node, f"nothing fills {{{name}}}; known: {known}")
        return text

    def _coding(self, node: Node) -> Coding:
        members = Fields(node, self.problems)
        coding = Coding(
            system=members.text("system"),
            code=members.text("code"),
            display=members.text("display"),
        )
        members.finish()
        return coding

    def _text(self, members: Fields, key: str, *, required: bool = False) -> str:
        node = members.need(key) if required else members.take(key)
        return self.filled(node) if node else ""

    def _summary(self, members: Fields, key: str, *, required: bool = False) -> str:
        text = self._text(members, key, required=required)
        self._check_length(members.at(key), text)
        return text

    def _check_length(self, node: Node, text: str) -> None:
        length = len(text) + sum(
            PLACEHOLDER_LENGTHS.get(name, 0) - len(f"{{{name}}}")
            for name in self._placeholders(node, text)
        )
        if length > SUMMARY_LIMIT:
            self.problems.report(node, f"{length} characters when filled, limit {SUMMARY_LIMIT}")

    def _lines(self, members: Fields, key: str) -> tuple[CardLine, ...]:
        return tuple(self._line(item) for item in members.items(key))

    def _line(self, node: Node) -> CardLine:
        if isinstance(node.value, str):
            return CardLine(text=self.filled(node))
        members = Fields(node, self.problems)
        line = CardLine(
            text=self._text(members, "text", required=True),
            when=read_when(members, self.vocabulary),
        )
        members.finish()
        return line

    def _placeholders(self, node: Node, text: str) -> Iterator[str]:
        try:
            parsed = tuple(string.Formatter().parse(text))
        except ValueError:
            self.problems.report(node, "a brace stands alone")
            return
        yield from (name for _, name, _, _ in parsed if name is not None)
