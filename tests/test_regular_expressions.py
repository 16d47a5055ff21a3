"""No regular expression takes more than linear time, whatever text it is run on.

All of the package and of the knowledge are found by looking: nobody has to list a new one.
"""

import ast
import dataclasses
import json
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from bundled import knowledge
from fuzzing.patterns import ENDS, attacks, text_of

import cds_service

pytestmark = pytest.mark.xdist_group("timed")

PACKAGE = Path(cds_service.__file__).parent

FEW = (8, 12, 18, 27, 40)
"""Repeats: a pattern that explodes is seen here, before it takes for ever."""
SHORT, LONG = 1_000, 4_000
"""Characters; the text of a chart that is read at once has at most 2,000."""
WORTH_COMPARING = 0.002
"""Seconds of processor time: what reads the short text faster is not quadratic in it."""
MOST_GROWTH = 8.0
"""From SHORT to LONG linear is 4, quadratic 16; from few repeats to half as many again 1.5."""
TRIES = 6

MADE_WHEN_CALLED = {
    "text/patterns.py": "patterns of the value sets: looked at below, and refused when not linear",
    "fact_kinds/implant_entries.py": "alternatives of escaped words, without a repeat",
    "fact_kinds/allergies.py": "as above",
    "text/implants.py": "a constant",
}
"""Files that make a pattern inside a function, and why that is sure."""


WAYS_TO_RUN = frozenset({"match", "fullmatch", "search", "finditer", "sub"})


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A pattern, and how it is run."""

    pattern: "re.Pattern[str]"
    methods: frozenset[str]

    def cost(self, text: str) -> float:
        """Return the seconds of processor time that reading a text takes."""
        methods = self.methods or frozenset({"finditer"})
        began = time.process_time()
        for name in methods:
            found = (
                getattr(self.pattern, name)(text) if name != "sub" else self.pattern.sub("", text)
            )
            if name == "finditer":
                for _ in found:
                    pass
        return time.process_time() - began


def modules() -> list[str]:
    walked = pkgutil.walk_packages(cds_service.__path__, "cds_service.")
    return [each.name for each in walked if not each.name.endswith("__main__")]


def patterns_in(value: object, depth: int = 0) -> "Iterator[re.Pattern[str]]":
    """Yield every pattern in a value: in containers and dataclasses too."""
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif depth > 6:
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from patterns_in(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from patterns_in(item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from patterns_in(getattr(value, field.name, None), depth + 1)


def source_of(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text("utf-8")


def methods_of(name: str) -> frozenset[str]:
    """Return the methods by which the pattern of that name is run, wherever it is."""
    used = re.findall(rf"(?<!\w){re.escape(name)}\.([a-z]+)\(", _all_sources())
    return frozenset(used) & WAYS_TO_RUN


@cache
def _all_sources() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py")))


@cache
def of_module(name: str) -> tuple[Found, ...]:
    """Return the patterns that a module holds in its variables, and those it writes in calls."""
    module = import_module(name)
    held = [
        Found(pattern, methods_of(variable))
        for variable, value in vars(module).items()
        for pattern in patterns_in(value)
    ]
    written = [
        Found(re.compile(call.args[0].value), frozenset())
        for call in calls(ast.parse(source_of(module)))
        if call.func.attr != "compile"  # type: ignore[attr-defined]  # an attribute, as found
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
    return tuple(held + written)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of functions of `re`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr != "escape"
        ):
            yield node


def growth(found: Found, before: str, piece: str) -> float:
    """Return by how much the cost grows with the text; 0 if it is next to none."""
    texts = [
        [text_of(before, piece, number * len(piece), end) for number in FEW] for end in ENDS
    ] + [[text_of(before, piece, length, ENDS[0]) for length in (SHORT, LONG)]]
    for short, long in (pair for row in texts for pair in pairwise(row)):
        if found.cost(short if len(long) >= LONG else long) < WORTH_COMPARING:
            continue
        if (grown := least_growth(found, short, long)) > MOST_GROWTH:
            return grown
    return 0.0


def least_growth(found: Found, short: str, long: str) -> float:
    """Compare two texts, again while the longer one seems to cost too much."""
    least = float("inf")
    for _ in range(TRIES):
        least = min(least, found.cost(long) / max(found.cost(short), 1e-6))
        if least <= MOST_GROWTH:
            break
    return least


def slow_text(found: Found) -> str:
    """Return the first text found that takes too long, and how it grows; empty if there is none."""
    for before, piece in sorted(attacks(found.pattern)):
        if (grown := growth(found, before, piece)) > MOST_GROWTH:
            return f"{found.pattern.pattern[:80]!r} on {before[:40]!r} {piece[:40]!r}…: {grown:.0f}"
    return ""


def slow_ones(all_found: Iterable[Found]) -> list[str]:
    return list(filter(None, map(slow_text, all_found)))


@pytest.mark.parametrize("name", [name for name in modules() if of_module(name)])
def test_patterns_of_the_package_are_linear(name: str) -> None:
    assert [] == slow_ones(of_module(name))


def test_patterns_of_the_knowledge_are_linear() -> None:
    sets = (knowledge().value_sets.patterns(i) for i in knowledge().value_sets.ids)
    each = {p.pattern: p for one in sets if one for p in (*one.includes, *one.excludes)}

    assert len(each) > 400
    assert [] == slow_ones(Found(pattern, frozenset({"search"})) for pattern in each.values())


def _schema_patterns(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(pattern := value.get("pattern"), str):
            yield pattern
        for member in value.values():
            yield from _schema_patterns(member)
    elif isinstance(value, list):
        for member in value:
            yield from _schema_patterns(member)


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("schemas/*.json")), ids=lambda f: f.stem)
def test_patterns_of_the_schemas_are_linear(file: Path) -> None:
    found = set(_schema_patterns(json.loads(file.read_text("utf-8"))))
    run = [Found(re.compile(pattern), frozenset({"search"})) for pattern in sorted(found)]

    assert [] == slow_ones(run)


def test_no_pattern_is_made_where_it_would_not_be_found() -> None:
    hidden = {
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.Lambda)
        for call in calls(node)
        if not (call.args and isinstance(call.args[0], ast.Constant))
    }

    assert set(MADE_WHEN_CALLED) == hidden


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a+)+$", "match"),
        (r"(?:a|a)*b", "match"),
        (r"\s+$", "search"),
        (r"(?:\w{1,9} ?){1,30}!", "match"),
        (r"x*y*z*!", "search"),
    ],
)
def test_a_pattern_that_is_slow_is_seen(pattern: str, method: str) -> None:
    assert slow_text(Found(re.compile(pattern), frozenset({method})))
