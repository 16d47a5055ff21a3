"""Text patterns of a value set: what they match, and proof that matching them is cheap.

Source: decision table §2.5; extensions `text-pattern-include` and `-exclude` of the value set
files. A pattern that could take more than linear time is refused when knowledge is loaded,
because it is run on text that somebody else wrote.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any, TypeAlias

# CPython's own parser of regular expressions: the only one that is sure to read a pattern as
# `re.compile` does. Private, so its names are touched in this module alone.
_PARSER: Any = import_module("re._parser")
_CONSTANTS: Any = import_module("re._constants")

Tree: TypeAlias = Iterable[tuple[Any, Any]]

_REPEATS = frozenset(
    {_CONSTANTS.MAX_REPEAT, _CONSTANTS.MIN_REPEAT, getattr(_CONSTANTS, "POSSESSIVE_REPEAT", None)}
)
_LOOK_AROUND = frozenset({_CONSTANTS.ASSERT, _CONSTANTS.ASSERT_NOT})
_WIDEST_MATCH = 400
"""Characters. Together with "no repeat inside a repeat" it bounds the work at each position."""


_MOST_WORDS = 16
"""Strings that are listed for a part of a pattern."""
_NOTHING_YET = frozenset({""})


class ReadingOption(StrEnum):
    """How a value set's text is read where the common rules of §2.5 would misread it."""

    NAMES_ONLY = "names-only"
    """Names of exams and body sites: "without" is about contrast, a year is a date of exam."""
    COMPLAINT = "complaint"
    """What brings the patient: in "no trauma, LBP" the comma ends what "no" governs."""
    EVENT = "event"
    """Something that happened once: "s/p fall" says that it did, not that it is long over."""
    BRAKE_ONLY = "brake-only"
    """Words that only soften an alarm: naming one of them is no reason for an order."""
    LASTING = "lasting"
    """What stays: "pacemaker 2015", "h/o diabetes" are there today unless resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPatterns:
    """Compiled patterns of one value set."""

    includes: tuple[re.Pattern[str], ...]
    excludes: tuple[re.Pattern[str], ...] = ()
    options: frozenset[ReadingOption] = frozenset()
    stems: frozenset[str] = frozenset()
    """Lower-case strings of which every match holds at least one; `""` where none is certain."""

    @classmethod
    def compile(
        cls,
        includes: Iterable[str],
        excludes: Iterable[str] = (),
        options: Iterable[ReadingOption] = (),
    ) -> "TextPatterns":
        """Compile, case-insensitively. Raises `re.error` or ValueError with the reason."""
        kept = tuple(includes)
        return cls(
            includes=tuple(_compiled(pattern) for pattern in kept),
            excludes=tuple(_compiled(pattern) for pattern in excludes),
            options=frozenset(options),
            stems=frozenset().union(*(stems_of(pattern) for pattern in kept)),
        )

    def matches(self, text: str, parts: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each match in a clause that no exclude pattern speaks against.

        `parts` are the comma parts of the clause; an exclude pattern is tested only on those
        that hold the match. Matches may overlap: one that starts where the concept is denied
        must not hide one that starts where it is stated ("no weakness in EHL, TA 2/5").
        """
        ends = [end for _, end in parts]
        verdicts: dict[tuple[int, int], bool] = {}
        for include in self.includes:
            match = include.search(text)
            while match is not None:
                start, end = match.span()
                match = include.search(text, start + 1)
                held = (bisect_left(ends, start), bisect_left(ends, end))
                if held not in verdicts:
                    verdicts[held] = self._is_excluded(text[parts[held[0]][0] : ends[held[1]]])
                if not verdicts[held]:
                    yield start, end

    def _is_excluded(self, text: str) -> bool:
        return any(exclude.search(text) for exclude in self.excludes)


def _compiled(pattern: str) -> re.Pattern[str]:
    compiled = re.compile(pattern, re.IGNORECASE)
    problem = cost_problem(pattern)
    if problem:
        raise ValueError(problem)
    return compiled


def cost_problem(pattern: str) -> str:
    """Return why matching this pattern might take more than linear time; empty if it cannot."""
    tree = _PARSER.parse(pattern, re.IGNORECASE)
    problem = _repeat_problem(tree, is_repeated=False)
    if not problem and tree.getwidth()[1] > _WIDEST_MATCH:
        return f"a match may be longer than {_WIDEST_MATCH} characters: bound the repeats"
    return problem


def _repeat_problem(tree: Tree, *, is_repeated: bool) -> str:
    for kind, argument in tree:
        inside = is_repeated
        if kind in _REPEATS:
            least, most, _ = argument
            if most is _CONSTANTS.MAXREPEAT:
                return "has a repeat without upper bound (`*`, `+` or `{n,}`): write `{0,n}`"
            if is_repeated and most > 1 and least != most:
                return "has a variable repeat inside a repeat"
            inside = is_repeated or most > 1
        for child in _children(kind, argument):
            problem = _repeat_problem(child, is_repeated=inside)
            if problem:
                return problem
    return ""


def _children(kind: object, argument: Any) -> tuple[Tree, ...]:  # noqa: ANN401 — parser's own
    if kind in _REPEATS:
        return (argument[2],)
    if kind is _CONSTANTS.SUBPATTERN:
        return (argument[3],)
    if kind is _CONSTANTS.BRANCH:
        return tuple(argument[1])
    if kind in _LOOK_AROUND:
        return (argument[1],)
    return ()


def stems_of(pattern: str) -> frozenset[str]:
    """Return strings of which every match of the pattern holds one, in lower case.

    The empty string stands for "anything may match". Used to pass over the many texts that
    have nothing to do with a value set without running its patterns.
    """
    found = _stems(_PARSER.parse(pattern, re.IGNORECASE))
    return frozenset(s for s in found if not any(o != s and o in s for o in found))


def _stems(tree: Tree, before: frozenset[str] = _NOTHING_YET) -> frozenset[str]:
    """Pick, among the things that must occur one after the other, the most telling one.

    `before` are the strings of which one stands directly before.
    """
    best, runs = frozenset({""}), before
    for kind, argument in tree:
        words = _words(kind, argument)
        if words is not None and len(words) * len(runs) <= _MOST_WORDS:
            runs = frozenset(run + word for run in runs for word in words)
            best = _more_telling(best, runs)
            continue
        if kind is _CONSTANTS.SUBPATTERN:
            best = _more_telling(best, _stems(argument[3], runs))
        elif kind is _CONSTANTS.BRANCH:
            each = (_stems(branch, runs) for branch in argument[1])
            best = _more_telling(best, frozenset().union(*each))
        elif kind in _REPEATS and argument[0] > 0:
            best = _more_telling(best, _stems(argument[2], runs))
        runs = _NOTHING_YET if words is None else words
    return best


def _words(kind: object, argument: Any) -> frozenset[str] | None:  # noqa: ANN401 — parser's own
    """Return all that this part can match, in lower case; None if that is too much to list."""
    if kind is _CONSTANTS.LITERAL:
        return frozenset({chr(argument).lower()})
    if kind is _CONSTANTS.AT:
        return _NOTHING_YET
    if kind is _CONSTANTS.IN:
        return _all_or_none(_letters(*each) for each in argument)
    if kind is _CONSTANTS.SUBPATTERN:
        return _words_in_a_row(argument[3])
    if kind is _CONSTANTS.BRANCH:
        return _all_or_none(_words_in_a_row(branch) for branch in argument[1])
    if kind in _REPEATS and argument[1] == 1:
        words = _words_in_a_row(argument[2])
        return words if words is None or argument[0] == 1 else words | _NOTHING_YET
    return None


def _letters(kind: object, argument: Any) -> frozenset[str] | None:  # noqa: ANN401 — as above
    if kind is _CONSTANTS.LITERAL:
        return frozenset({chr(argument).lower()})
    if kind is _CONSTANTS.RANGE and argument[1] - argument[0] < _MOST_WORDS:
        return frozenset(chr(sign).lower() for sign in range(argument[0], argument[1] + 1))
    return None


def _words_in_a_row(tree: Tree) -> frozenset[str] | None:
    found = _NOTHING_YET
    for kind, argument in tree:
        words = _words(kind, argument)
        if words is None or len(found) * len(words) > _MOST_WORDS:
            return None
        found = frozenset(one + other for one in found for other in words)
    return found


def _all_or_none(each: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    found: frozenset[str] = frozenset()
    for words in each:
        if words is None or len(found) + len(words) > _MOST_WORDS:
            return None
        found |= words
    return found


def _more_telling(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """The longer its shortest stem, the fewer texts pass; then the fewer stems the better."""
    return max(one, other, key=lambda stems: (min(map(len, stems)), -len(stems)))
