"""Texts on which a regular expression would take long, if it is one that can.

Made from the pattern's own parse tree: what stands before a repeat, then what is repeated, over and
over, then a character that matches nothing.
"""

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, TypeAlias

# Private names of CPython, as in `cds_service/text/patterns.py`.
_PARSER: Any = import_module("re._parser")
_C: Any = import_module("re._constants")

Tree: TypeAlias = Iterable[tuple[Any, Any]]

_REPEATS = frozenset({_C.MAX_REPEAT, _C.MIN_REPEAT, _C.POSSESSIVE_REPEAT})
_CANDIDATES = "a1 -,.:;/\n(x<é_Z~"
ENDS = ("\x00", ",", "\n", "!a")
"""What spoils a match at the very end: at least one of them for each kind of class."""
_COMMON = (
    *("a", " ", "a ", "1", "1 ", "1/", ",", ".", "-", "\n", "<", "(", ")", "/", "?", "_", ":"),
    *(
        "é",
        "\t",
        "&",
        "no ",
        "the ",
        "x, ",
        "a.",
        "a-",
        "no pain ",
        "2 weeks ",
        "[x](",
        "low back ",
    ),
)


def attacks(pattern: "re.Pattern[str]") -> set[tuple[str, str]]:
    """Return (what comes first, what is repeated) for every repeat in it, and common ones."""
    tree = _PARSER.parse(pattern.pattern, pattern.flags)
    found = {("", piece) for piece in _COMMON}
    for before, piece in _repeats(tree, ""):
        if piece:
            found |= {(before, piece), ("", piece), ("", before + piece)}
    return found


def text_of(before: str, piece: str, length: int, end: str) -> str:
    """Return a text of about so many characters that almost matches."""
    return before + piece * (length // len(piece)) + end


def _repeats(tree: Tree, before: str) -> Iterator[tuple[str, str]]:
    for kind, argument in tree:
        if kind in _REPEATS:
            piece = _example(argument[2])
            yield before, piece
            yield from _repeats(argument[2], before)
            before += piece * argument[0]
        else:
            for child in _children(kind, argument):
                yield from _repeats(child, before)
            before += _example([(kind, argument)])


def _children(kind: object, argument: Any) -> tuple[Tree, ...]:  # noqa: ANN401  # the parser's own
    if kind is _C.SUBPATTERN:
        return (argument[3],)
    if kind is _C.BRANCH:
        return tuple(argument[1])
    if kind in {_C.ASSERT, _C.ASSERT_NOT}:
        return (argument[1],)
    return (argument,) if kind is _C.ATOMIC_GROUP else ()


def _example(tree: Tree) -> str:
    """Return a short text that the tree would match, look-arounds left out of account."""
    text = ""
    for kind, argument in tree:
        if kind is _C.LITERAL:
            text += chr(argument)
        elif kind in {_C.IN, _C.ANY, _C.NOT_LITERAL}:
            text += _character(kind, argument)
        elif kind in _REPEATS:
            text += _example(argument[2]) * argument[0]
        elif kind is _C.BRANCH:
            text += max(map(_example, argument[1]), key=len)
        elif kind in {_C.SUBPATTERN, _C.ATOMIC_GROUP}:
            text += "".join(map(_example, _children(kind, argument)))
    return text


def _character(kind: object, argument: Any) -> str:  # noqa: ANN401  # as above
    """Return a character of a class, by trying: the parser's classes have many forms."""
    if kind is _C.ANY:
        return "a"
    if kind is _C.NOT_LITERAL:
        return next(c for c in _CANDIDATES if ord(c) != argument)
    literals = [chr(a) for k, a in argument if k is _C.LITERAL]
    ranges = [chr(a[0]) for k, a in argument if k is _C.RANGE]
    is_negated = any(k is _C.NEGATE for k, _ in argument)
    chosen = (c for c in (*literals, *ranges, *_CANDIDATES) if _is_in(c, argument) != is_negated)
    return next(chosen, "a")


def _is_in(character: str, members: Tree) -> bool:
    classes = {
        _C.CATEGORY_DIGIT: r"\d",
        _C.CATEGORY_NOT_DIGIT: r"\D",
        _C.CATEGORY_SPACE: r"\s",
        _C.CATEGORY_NOT_SPACE: r"\S",
        _C.CATEGORY_WORD: r"\w",
        _C.CATEGORY_NOT_WORD: r"\W",
    }
    for kind, argument in members:
        if kind is _C.LITERAL and ord(character) == argument:
            return True
        if kind is _C.RANGE and argument[0] <= ord(character) <= argument[1]:
            return True
        if kind is _C.CATEGORY and re.match(classes[argument], character):
            return True
    return False
