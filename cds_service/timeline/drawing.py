"""The timeline as SVG: black, white and grey, every word escaped, nothing from elsewhere.

Shape and hatching carry the meaning, never colour alone. Each entry has a row of its own, with
its words above its mark, so nothing overlaps; presentation attributes only, because pages that
embed it may forbid inline styles. Source: SVG 1.1, https://www.w3.org/TR/SVG11/; WAI-ARIA
Graphics Module 1.0.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator
from html import escape
from textwrap import wrap

from cds_service.card_text import clean
from cds_service.decision import Decision
from cds_service.knowledge import Knowledge
from cds_service.timeline.axis import Axis
from cds_service.timeline.contents import timeline_of
from cds_service.timeline.marks import LEGEND, Mark, hatching, mark_of
from cds_service.timeline.records import Entry, Lane, Timeline
from cds_service.timeline.words import axis_of, sentences, words_of

WIDTH = 1000
_MARGIN = 10
_LEFT, _RIGHT = 140.0, 770.0
_SIDE = 790
_SIDE_CHARACTERS = 32
_ROW, _LINE = 32, 14
_SIZE = 11
_LEAST_GAP = 70.0
"""Between two dates on the line."""
_LONGEST = 2_000
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def timeline_svg(knowledge: Knowledge, decision: Decision) -> str:
    """Return the timeline of a decision as one `svg` element: a document, or part of a page."""
    return drawn(timeline_of(knowledge, decision))


def drawn(timeline: Timeline) -> str:
    """Draw what stands on a timeline."""
    return _Drawing(timeline).svg()


class _Drawing:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._axis: Axis = axis_of(timeline, left=_LEFT, right=_RIGHT)
        self._told = sentences(timeline)
        # Two pictures on one page need ids of their own.
        shown = (timeline.title + self._told).encode("utf-8", "replace")
        self._id = f"timeline-{zlib.crc32(shown):08x}"
        self._top = 62 + _LINE * len(timeline.windows)

    def svg(self) -> str:
        lanes, bottom = self._lanes()
        body = [*self._windows(bottom), *lanes, *self._line(bottom), *self._below(bottom)]
        height = bottom + 74 + (_LINE if self._timeline.unread else 0)
        named = f'aria-labelledby="{self._id}-title {self._id}-desc"'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {named}',
            f'viewBox="0 0 {WIDTH} {height:g}" width="100%"',
            f'font-family="sans-serif" font-size="{_SIZE}" fill="black">',
            f'<title id="{self._id}-title">{_escaped(self._timeline.title)}</title>',
            f'<desc id="{self._id}-desc">{_escaped(self._told)}</desc>',
            hatching(self._id),
            f'<rect x="0" y="0" width="{WIDTH}" height="{height:g}" fill="white"/>',
            _text(_MARGIN, 22, self._timeline.title, size=15, bold=True),
            _text(_MARGIN, 42, self._timeline.verdict, room=WIDTH - 2 * _MARGIN, size=12),
        )
        return "\n".join((*head, *body, "</svg>\n"))

    def _windows(self, bottom: float) -> Iterator[str]:
        """Shade each window; where two overlap, the shade is darker."""
        today = self._axis.place(self._timeline.today)
        for place, window in enumerate(self._timeline.windows):
            left, top = self._axis.place(window.first), 50 + _LINE * place
            yield (
                f'<rect x="{left:.1f}" y="{top}" width="{today - left:.1f}" '
                f'height="{bottom - top:g}" fill="black" fill-opacity="0.07"/>'
            )
            yield _rule(left, top, left, bottom, dash="4 3")
            room = today - _LEFT - 4
            yield _text(today - 4, top + 11, window.label, room=room, anchor="end", halo=True)

    def _lanes(self) -> tuple[list[str], float]:
        """Draw the lanes from top to bottom; return them, and where they end."""
        parts: list[str] = []
        top = float(self._top)
        for lane in self._timeline.lanes:
            parts.append(_rule(_MARGIN, top, WIDTH - _MARGIN, top, width=0.5))
            parts.append(_text(_MARGIN, top + 15, lane.title, size=12, bold=True))
            for row, entry in enumerate(lane.dated):
                parts.extend(self._entry(entry, top + row * _ROW))
            side = _side_of(lane)
            parts.extend(
                _text(_SIDE, top + 14 + _LINE * line, words, room=WIDTH - _MARGIN - _SIDE)
                for line, words in enumerate(side)
            )
            top += max(_ROW * len(lane.dated), _LINE * len(side) + 8, _ROW - 8)
        return parts, top

    def _entry(self, entry: Entry, top: float) -> Iterator[str]:
        mark = mark_of(entry, self._axis)
        room = _RIGHT - _LEFT
        words, width = _fitting(words_of(entry), room, _SIZE)
        is_too_far_right = mark.left + width > _RIGHT
        # A halo keeps the words readable on the dashed edge of a window.
        yield f"<g><title>{_escaped(words_of(entry))}</title>"
        if is_too_far_right and mark.right - width >= _LEFT:
            yield _text(mark.right, top + 13, words, anchor="end", halo=True)
        else:
            left = _LEFT if is_too_far_right else mark.left
            yield _text(left, top + 13, words, halo=True)
        yield from mark.drawn(top + 23, self._id)
        yield "</g>"

    def _line(self, bottom: float) -> Iterator[str]:
        """Draw the line of days, its breaks and the dates of its ends and breaks."""
        y = bottom + 10
        axis = self._axis
        yield _rule(axis.left, bottom, axis.right, bottom, width=1.5)
        today = axis.place(self._timeline.today)
        yield _rule(today, self._top, today, bottom + 4, width=1.5)
        written = float("-inf")
        for day in sorted(axis.marked_days, reverse=True, key=lambda day: day == axis.today):
            x = axis.place(day)
            if day != axis.today and abs(x - today) < _LEAST_GAP:
                continue
            if day != axis.today and x - written < _LEAST_GAP:
                continue
            anchor = "start" if x - _LEFT < 1 else "end" if _RIGHT - x < 1 else "middle"
            said = f"{day.isoformat()} (today)" if day == axis.today else day.isoformat()
            yield _text(x, y + 10, said, anchor=anchor, bold=day == axis.today)
            if day != axis.today:
                written = x
        for piece in axis.pieces[1:]:
            if piece.start != axis.today:
                yield from _break(piece.left, bottom)

    def _below(self, bottom: float) -> Iterator[str]:
        yield _text(
            _MARGIN,
            bottom + 40,
            "Hatched: on some day in there. The scale changes at each // on the line of days.",
            room=WIDTH - 2 * _MARGIN,
        )
        x = float(_MARGIN)
        for mark, words in LEGEND:
            yield from Mark(left=x + 5, right=x + 5, mark=mark).drawn(bottom + 54, self._id)
            yield _text(x + 16, bottom + 58, words)
            x += 30 + _width(words, _SIZE)
        if self._timeline.unread:
            said = f"Not read: {self._timeline.unread}"
            yield _text(_MARGIN, bottom + 74, said, room=WIDTH - 2 * _MARGIN)


def _side_of(lane: Lane) -> list[str]:
    """Return the lines at the side of a lane: what has no date, what is left out, or silence."""
    said = [f"– {words_of(entry)}" for entry in lane.undated]
    if lane.more:
        said.append(lane.more)
    if not lane.dated and not said:
        said.append(lane.silence)
    return [line for words in said for line in wrap(_visible(words), _SIDE_CHARACTERS)]


def _break(x: float, y: float) -> Iterator[str]:
    yield f'<rect x="{x - 4:.1f}" y="{y - 3:g}" width="8" height="6" fill="white"/>'
    for offset in (-4, 2):
        yield _rule(x + offset, y + 5, x + offset + 3, y - 5, width=1.2)


def _rule(x1: float, y1: float, x2: float, y2: float, *, width: float = 1.0, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="black" stroke-width="{width:g}"{dashed}/>'
    )


def _text(  # noqa: PLR0913  # a place, the words and how they look
    x: float,
    y: float,
    words: str,
    *,
    room: float = WIDTH,
    anchor: str = "start",
    size: int = _SIZE,
    bold: bool = False,
    halo: bool = False,
) -> str:
    """Write words, cut to the room there is."""
    fitting, _ = _fitting(words, room, size)
    look = f' font-size="{size}"' if size != _SIZE else ""
    look += ' font-weight="bold"' if bold else ""
    look += f' text-anchor="{anchor}"' if anchor != "start" else ""
    look += ' stroke="white" stroke-width="3" paint-order="stroke"' if halo else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}>{_escaped(fitting)}</text>'


def _fitting(words: str, room: float, size: int) -> tuple[str, float]:
    """Return words cut to a width, and the width that they need at most."""
    words = _visible(words)
    width = _width(words, size)
    if width <= room:
        return words, width
    kept = len(words)
    while kept and width > room:
        kept -= 1
        width = _width(words[:kept], size) + size
    return words[:kept].rstrip() + "…", width


def _width(words: str, size: int) -> float:
    """Return how wide words are at most in the usual sans-serif fonts."""
    return sum(map(_width_of, words)) * size


def _width_of(character: str) -> float:
    """Return the width of a character in parts of the font size, at most."""
    if character in "ijl.,;:'|!()[]/ft ":
        return 0.4
    if character in "mwMW%@–—…" or unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.75 if character.isupper() or not character.isascii() else 0.62


def _visible(words: str) -> str:
    return clean(words, _LONGEST)


def _escaped(words: str) -> str:
    """Return words as XML text: what XML 1.0 cannot hold is dropped, what has a meaning escaped."""
    return escape(_NOT_XML.sub("", words))
