"""Builds a frozen dataclass from YAML by its field annotations: the parameters of fact kinds.

The classes in `fact_kinds/` are the contract with `facts.yaml`: what they do not declare is
unknown, what they declare without a default is required.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from typing import TypeVar, Union, get_args, get_origin, get_type_hints

from cds_service.knowledge_loading.conditions import Vocabulary, read_test
from cds_service.knowledge_loading.yaml import (
    Fields,
    Node,
    Problems,
    choice_of,
    decimal_of,
    flag_of,
    integer_of,
    items_of,
    text_of,
)
from cds_service.rule_tests import Test

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class ParameterReader:
    """Reads parameters; whole numbers may be given by the key of a threshold."""

    thresholds: Mapping[str, int]
    vocabulary: Vocabulary
    problems: Problems
    used_thresholds: set[str] = field(default_factory=set)

    def build(self, cls: Callable[..., Built], members: Fields) -> Built | None:
        """Return an instance of a dataclass, or None where its parameters have problems."""
        before = len(self.problems.found)
        hints = get_type_hints(cls)
        values: dict[str, object] = {}
        # A class is passed as what it builds; `fields` takes the class itself.
        for parameter in fields(cls):  # type: ignore[arg-type]
            node = members.need(parameter.name) if _is_required(parameter) else None
            node = node or members.take(parameter.name)
            if node is not None:
                values[parameter.name] = self._value(hints[parameter.name], node)
        members.finish()
        if len(self.problems.found) > before:
            return None
        return cls(**values)

    def _value(self, hint: object, node: Node) -> object:
        if hint == Test:
            return read_test(node, self.vocabulary, self.problems)
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._value(next(arg for arg in args if arg is not types.NoneType), node)
        if origin is tuple:
            return tuple(self._value(args[0], item) for item in items_of(node, self.problems))
        if origin is frozenset:
            return frozenset(self._value(args[0], item) for item in items_of(node, self.problems))
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return choice_of(node, hint, self.problems)
        parse = getattr(hint, "parse", None)
        if callable(parse):
            return self._parsed(parse, node)
        plain: Mapping[object, Callable[[Node], object]] = {
            str: lambda n: text_of(n, self.problems),
            bool: lambda n: flag_of(n, self.problems),
            int: self._number,
            float: lambda n: decimal_of(n, self.problems),
        }
        return plain[hint](node)

    def _parsed(self, parse: Callable[[str], object], node: Node) -> object:
        """Let a type that has its own notation read it."""
        try:
            return parse(text_of(node, self.problems))
        except ValueError as error:
            self.problems.report(node, str(error))
            return None

    def _number(self, node: Node) -> int:
        key = text_of(node, self.problems)
        if key in self.thresholds:
            self.used_thresholds.add(key)
            return self.thresholds[key]
        if key[:1].isalpha():
            self.problems.report(node, f"unknown threshold {key!r}")
            return 0
        return integer_of(node, self.problems)


def _is_required(parameter: "Field[object]") -> bool:
    return parameter.default is MISSING and parameter.default_factory is MISSING
