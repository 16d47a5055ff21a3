"""A timeline in words: sentences for those who cannot see it, lines for a terminal."""

from collections.abc import Iterator

from cds_service.card_text import clean
from cds_service.fhir_dates import Precision
from cds_service.timeline.axis import Axis
from cds_service.timeline.records import Entry, Lane, Shape, Timeline

BAR_COLUMNS = 40
_TITLE_COLUMNS = 18
_MARKS = {
    Shape.EVENT: "●",
    Shape.PERIOD: "●",
    Shape.EXAM: "■",
    Shape.PLANNED: "◇",
    Shape.DENIED: "×",
    Shape.ORDER: "▲",
}
_UNCERTAIN_MARKS = {Shape.EVENT: "○", Shape.PERIOD: "○", Shape.EXAM: "□"}
_LINE_LIMIT = 160


def axis_of(timeline: Timeline, *, left: float, right: float) -> Axis:
    """Return a line for all dates of the timeline, broken where its windows begin."""
    entries = [entry for lane in timeline.lanes for entry in lane.dated]
    dates = [entry.when for entry in entries if entry.when is not None]
    return Axis.over(
        [day for when in dates for day in (when.earliest or when.latest, when.latest)],
        breaks=[window.first for window in timeline.windows],
        today=timeline.today,
        left=left,
        right=right,
    )


def sentences(timeline: Timeline) -> str:
    """Return everything that the picture shows, as sentences."""
    return " ".join(_sentences(timeline))


def _sentences(timeline: Timeline) -> Iterator[str]:
    yield f"{timeline.verdict}."
    for lane in timeline.lanes:
        told = [words_of(entry) for entry in (*lane.dated, *lane.undated)]
        if lane.more:
            told.append(lane.more)
        yield f"{lane.title}: {'; '.join(told) or lane.silence}."
    for window in timeline.windows:
        yield f"Shaded: {window.label}, that is from {window.first.isoformat()} on."
    if timeline.unread:
        yield f"Not read: {timeline.unread}."


def words_of(entry: Entry) -> str:
    """Return the label of an entry with what its mark and place say."""
    notes = []
    if entry.shape is Shape.DENIED:
        notes.append("denied")
    if entry.is_uncertain:
        notes.append("uncertain")
    day = when_of(entry)
    if day not in entry.label:
        notes.append(day)
    return f"{entry.label} ({', '.join(notes)})" if notes else entry.label


def when_of(entry: Entry) -> str:
    """Return the date of an entry as it may be written."""
    when = entry.when
    if when is None:
        return "no date"
    if when.precision is Precision.UNKNOWN and when.earliest is not None:
        return f"on or after {when.earliest.isoformat()}"
    return when.text


def timeline_text(timeline: Timeline) -> str:
    """Return the timeline for a terminal: one line an entry, with its place on a bar."""
    axis = axis_of(timeline, left=0, right=BAR_COLUMNS - 1)
    edges = " | ".join(day.isoformat() for day in axis.marked_days)
    lines = [timeline.title, f"  {timeline.verdict}", f"  scale: {edges}"]
    lines += [f"  | {window.label} ({window.first.isoformat()})" for window in timeline.windows]
    for lane in timeline.lanes:
        lines += _lines_of(lane, timeline, axis)
    if timeline.unread:
        lines.append(f"  Not read: {timeline.unread}")
    return "\n".join(lines)


def _lines_of(lane: Lane, timeline: Timeline, axis: Axis) -> Iterator[str]:
    rows = [(_bar(entry, timeline, axis), entry) for entry in lane.dated]
    rows += [(" " * BAR_COLUMNS, entry) for entry in lane.undated]
    title = lane.title
    for bar, entry in rows:
        words = clean(words_of(entry), _LINE_LIMIT)
        yield f"  {title:{_TITLE_COLUMNS}}{bar}  {words}"
        title = ""
    if lane.more or not rows:
        words = lane.more or lane.silence
        yield f"  {title:{_TITLE_COLUMNS}}{_empty(timeline, axis)}  {words}"


def _empty(timeline: Timeline, axis: Axis) -> str:
    bar = ["·"] * BAR_COLUMNS
    for window in timeline.windows:
        bar[round(axis.place(window.first))] = "|"
    return "".join(bar)


def _bar(entry: Entry, timeline: Timeline, axis: Axis) -> str:
    bar = list(_empty(timeline, axis))
    when = entry.when
    if when is None:
        return "".join(bar)
    start = round(axis.place(when.earliest or axis.pieces[0].start))
    end = round(axis.place(when.latest))
    for column in range(start, end + 1):
        bar[column] = "~"
    if entry.shape is Shape.PERIOD:
        for column in range(end, round(axis.place(timeline.today)) + 1):
            bar[column] = "="
    marks = {**_MARKS, **_UNCERTAIN_MARKS} if entry.is_uncertain else _MARKS
    bar[end] = marks[entry.shape]
    if when.earliest is None:
        bar[0] = "<"
    return "".join(bar)
