"""Strict YAML: every scalar stays text, every node knows its file, line and key.

Plain YAML turns `no` into false, `0721` into 465 and keeps the last of two equal keys. Here
repeated keys, tags, anchors and aliases are refused, and a caller turns text into a number
where a number is meant. Problems are collected, so that an author mends them in one round.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, TypeVar

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Choice = TypeVar("Choice", bound=StrEnum)

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML comes with it, as its wheels do: twenty times as fast, the same events."""
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")


@dataclass(slots=True)
class Problems:
    """Everything wrong with a folder, each as `file:line: key: what is wrong`."""

    found: list[str] = field(default_factory=list)

    def report(self, node: "Node", text: str) -> None:
        """Note a problem at a node."""
        place = ": ".join(part for part in (f"{node.file}:{node.line}", node.path) if part)
        self.found.append(f"{place}: {text}")

    def report_file(self, file: str, text: str) -> None:
        """Note a problem of a whole file."""
        self.found.append(f"{file}: {text}")


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar (text), a list (tuple) or a mapping (dict) with its place."""

    file: str
    line: int
    path: str
    value: "NodeValue"

    @property
    def kind(self) -> str:
        """What this node is, in an author's words."""
        match self.value:
            case str():
                return "text"
            case tuple():
                return "a list"
            case _:
                return "a mapping"

    def member(self, key: str) -> "Node | None":
        """Return the member of this key; None where there is none, or no mapping."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def text_at(self, key: str) -> str:
        """Return the text under a key; empty where there is none. Reports nothing."""
        member = self.member(key)
        return member.value if member and isinstance(member.value, str) else ""

    def items_at(self, key: str) -> "tuple[Node, ...]":
        """Return the list under a key; empty where there is none. Reports nothing."""
        member = self.member(key)
        return member.value if member and isinstance(member.value, tuple) else ()


NodeValue: TypeAlias = "str | tuple[Node, ...] | dict[str, Node]"


def read_yaml(text: str, file: str, problems: Problems) -> Node:
    """Return the root node of a YAML document; an empty mapping where it cannot be read."""
    reader = _Reader(file, problems)
    try:
        return reader.document(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problems.report(Node(file, line, "", ""), f"not YAML: {error.problem}")
    except yaml.YAMLError:
        problems.report(Node(file, 1, "", ""), "not YAML: a character that YAML does not allow")
    return Node(file, 1, "", {})


@dataclass(slots=True)
class _Reader:
    file: str
    problems: Problems

    def document(self, text: str) -> Node:
        events: Iterator[Event] = yaml.parse(text, Loader=_Loader)
        root = Node(self.file, 1, "", {})
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                node = self._node(next(events), events, "", None)
                root = node if documents == 1 else root
        if documents > 1:
            self.problems.report(root, "more than one document; keep one")
        return root

    def _node(self, event: Event, events: Iterator[Event], path: str, line: int | None) -> Node:
        """Build the node that begins with this event; `line` is that of its key, if it has one."""
        line = _line_of(event) if line is None else line
        here = Node(self.file, line, path, "")
        if isinstance(event, AliasEvent):
            self.problems.report(here, f"alias *{event.anchor} is not allowed; write it out")
            return here
        if isinstance(event, NodeEvent) and event.anchor:
            self.problems.report(here, f"anchor &{event.anchor} is not allowed")
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag:
            self.problems.report(here, f"tag {event.tag} is not allowed")
        if isinstance(event, SequenceStartEvent):
            return Node(self.file, line, path, self._items(events, path))
        if isinstance(event, MappingStartEvent):
            return Node(self.file, line, path, self._members(events, path))
        text = event.value.strip() if isinstance(event, ScalarEvent) else ""
        if not text and not getattr(event, "style", None):
            self.problems.report(here, "no value; leave the key out instead")
        return Node(self.file, line, path, text)

    def _items(self, events: Iterator[Event], path: str) -> tuple[Node, ...]:
        items: list[Node] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            item = self._node(event, events, f"{path}[{len(items)}]", None)
            items.append(_named(item, path))
        return tuple(items)

    def _members(self, events: Iterator[Event], path: str) -> dict[str, Node]:
        members: dict[str, Node] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            line = _line_of(event)
            key_node = self._node(event, events, path, line)
            key = key_node.value if isinstance(key_node.value, str) else ""
            if not key:
                self.problems.report(key_node, "a key must be text")
            inner = f"{path}.{key}" if path else key
            member = self._node(next(events), events, inner, line)
            if key in members:
                self.problems.report(member, "this key stands twice")
            members[key] = member
        return members


def _line_of(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _named(item: Node, path: str) -> Node:
    """Name a list item after its first key (`rule: R1` is `rules.R1`), where it has one."""
    if not isinstance(item.value, dict) or not item.value:
        return item
    first = next(iter(item.value.values()))
    if not isinstance(first.value, str):
        return item
    return _moved(item, item.path, f"{path}.{first.value}" if path else first.value)


def _moved(node: Node, old: str, new: str) -> Node:
    value: NodeValue
    match node.value:
        case str():
            value = node.value
        case tuple():
            value = tuple(_moved(item, old, new) for item in node.value)
        case _:
            value = {key: _moved(member, old, new) for key, member in node.value.items()}
    return Node(node.file, node.line, new + node.path.removeprefix(old), value)


@dataclass(slots=True)
class Fields:
    """The members of one mapping, taken one by one; what is left over is unknown."""

    node: Node
    problems: Problems
    _members: dict[str, Node] = field(init=False)
    _taken: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Accept a mapping only."""
        if isinstance(self.node.value, dict):
            self._members = self.node.value
            return
        self.problems.report(self.node, f"must be a mapping, not {self.node.kind}")
        self._members = {}

    def at(self, key: str) -> Node:
        """Return the node of a key, or that of the mapping where the key is absent."""
        return self._members.get(key, self.node)

    def take(self, key: str) -> Node | None:
        """Return the node of an optional key."""
        self._taken.add(key)
        return self._members.get(key)

    def need(self, key: str) -> Node | None:
        """Return the node of a required key; report it missing."""
        node = self.take(key)
        if node is None and isinstance(self.node.value, dict):
            self.problems.report(self.node, f"{key} is missing")
        return node

    def text(self, key: str, default: str | None = None) -> str:
        """Return the text of a key; required if there is no default."""
        node = self.take(key) if default is not None else self.need(key)
        return text_of(node, self.problems) if node else default or ""

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return `true` or `false`."""
        node = self.take(key)
        return flag_of(node, self.problems) if node else default

    def choice(self, key: str, choices: type[Choice], default: Choice) -> Choice:
        """Return one of a closed choice; `default` where the key is absent or wrong."""
        node = self.take(key)
        return (choice_of(node, choices, self.problems) or default) if node else default

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """Return a list of texts; empty where an optional key is absent."""
        return tuple(text_of(node, self.problems) for node in self.items(key, required=required))

    def items(self, key: str, *, required: bool = False) -> tuple[Node, ...]:
        """Return the members of a list; empty where an optional key is absent."""
        node = self.need(key) if required else self.take(key)
        return items_of(node, self.problems) if node else ()

    def mapping(self, key: str, *, required: bool = False) -> dict[str, Node]:
        """Return the members of a mapping; empty where an optional key is absent."""
        node = self.need(key) if required else self.take(key)
        if node is None:
            return {}
        if isinstance(node.value, dict):
            return node.value
        self.problems.report(node, f"must be a mapping, not {node.kind}")
        return {}

    def finish(self) -> None:
        """Report every key that nobody took."""
        for key, node in self._members.items():
            if key not in self._taken:
                known = ", ".join(sorted(self._taken))
                self.problems.report(node, f"unknown key; known here: {known}")


def text_of(node: Node, problems: Problems) -> str:
    """Return the text of a scalar."""
    if isinstance(node.value, str):
        return node.value
    problems.report(node, f"must be text, not {node.kind}")
    return ""


def items_of(node: Node, problems: Problems) -> tuple[Node, ...]:
    """Return the members of a list."""
    if isinstance(node.value, tuple):
        return node.value
    problems.report(node, f"must be a list, not {node.kind}")
    return ()


def flag_of(node: Node, problems: Problems) -> bool:
    """Return the truth that `true` or `false` says; no other spelling counts."""
    text = text_of(node, problems)
    if text not in ("true", "false"):
        problems.report(node, f"must be true or false, not {text!r}")
    return text == "true"


def integer_of(node: Node, problems: Problems) -> int:
    """Return a whole number."""
    text = text_of(node, problems)
    if _INTEGER.fullmatch(text) is None:
        problems.report(node, f"must be a whole number, not {text!r}")
        return 0
    return int(text)


def decimal_of(node: Node, problems: Problems) -> float:
    """Return a number."""
    text = text_of(node, problems)
    if _DECIMAL.fullmatch(text) is None:
        problems.report(node, f"must be a number, not {text!r}")
        return 0.0
    return float(text)


def choice_of(node: Node, choices: type[Choice], problems: Problems) -> Choice | None:
    """Return one of a closed choice; None where the text is none of them."""
    text = text_of(node, problems)
    known = {choice.value: choice for choice in choices}
    if text not in known:
        problems.report(node, f"{text!r} is not one of: {', '.join(known)}")
    return known.get(text)
