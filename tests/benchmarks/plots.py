"""The figures as plots: plain SVG, one file each, readable on white."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.figures import Summary, curves, slope, summaries
from benchmarks.growth import UNITS
from benchmarks.results import Results
from benchmarks.targets import Name

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8c5e99", "#c77d0a", "#4d4d4d", "#17a2a2")
_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 50, 60
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values to places: from `low` to `high` over so many pixels, by logarithm if so asked."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def at(self, value: float) -> float:
        """Return the place of a value."""
        low, high, here = self.low, self.high, value
        if self.is_log:
            low, high, here = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        share = (here - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values along the scale."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**p for p in powers if self.low <= 10.0**p <= self.high]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw) if raw > 0 else 1.0


def log_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a logarithmic scale from one power of ten to another that holds all values."""
    low = 10.0 ** math.floor(math.log10(min(values)))
    high = 10.0 ** math.ceil(math.log10(max(values)))
    return Scale(low=low, high=max(high, low * 10), start=start, end=end, is_log=True)


def write_plots(results: Results, folder: Path) -> list[Path]:
    """Write a plot for each part that has one; return the files."""
    written = []
    if results.rounds:
        made = summaries(results.rounds, limit=Name.LIMIT)
        written.append(_write(folder / "calls.svg", ratio_plot(made)))
    if results.growth:
        written.append(_write(folder / "growth.svg", growth_plot(results)))
    if len(results.memory) > 1:
        written.append(_write(folder / "memory.svg", memory_plot(results)))
    return written


def ratio_plot(made: Sequence[Summary]) -> str:
    """Return bars: processor time a call as a multiple of the limit's, by request and target."""
    requests = list(dict.fromkeys(one.request for one in made))
    targets = list(dict.fromkeys(one.target for one in made))
    values = [value for one in made for value in (one.least_ratio, one.most_ratio)]
    up = log_scale([*values, 1.0], _HEIGHT - _BOTTOM, _TOP)
    group = _PLOT_WIDTH / len(requests)
    width = group * 0.8 / len(targets)
    parts = [*_axis_up(up, "x limit"), _line_across(up.at(1), "limit")]
    for one in made:
        place = requests.index(one.request), targets.index(one.target)
        x = _LEFT + place[0] * group + group * 0.1 + place[1] * width
        top, foot = sorted((up.at(one.ratio), up.at(1)))
        parts.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width - 2:.1f}" '
            f'height="{max(foot - top, 1):.1f}" fill="{_COLOURS[place[1]]}"/>'
        )
        middle = x + width / 2 - 1
        parts.append(
            f'<path d="M{middle:.1f} {up.at(one.least_ratio):.1f}V{up.at(one.most_ratio):.1f}" '
            'stroke="#111"/>'
        )
        parts.append(_text(middle, top - 4, f"{one.ratio:.1f}", anchor="middle", size=9))
    for number, request in enumerate(requests):
        x = _LEFT + (number + 0.5) * group
        parts.append(_text(x, _HEIGHT - _BOTTOM + 20, request, anchor="middle"))
    return _svg(
        "CPU a call, as a multiple of the limit (median; line: least to most)", parts, targets
    )


def growth_plot(results: Results) -> str:
    """Return a curve for each axis, both scales logarithmic."""
    by_axis = curves(results.growth)
    across = log_scale([point.size for point in results.growth], _LEFT, _WIDTH - _RIGHT)
    up = log_scale([point.cpu_ms for point in results.growth], _HEIGHT - _BOTTOM, _TOP)
    parts = [*_axis_up(up, "CPU ms a call"), *_axis_across(across, "size")]
    names = []
    for number, (axis, points) in enumerate(by_axis.items()):
        places = [(across.at(point.size), up.at(point.cpu_ms)) for point in points]
        parts.extend(_curve(places, _COLOURS[number % len(_COLOURS)]))
        names.append(f"{UNITS.get(axis, axis)}: {slope(points):.2f}")
    return _svg("Growth, with the power over the upper half (1 is linear)", parts, names)


def memory_plot(results: Results) -> str:
    """Return the memory of the worker against the calls that it has answered."""
    most = results.memory[-1].calls
    values = [value for one in results.memory for value in (one.resident_mb, one.own_mb)]
    across = Scale(low=0, high=most, start=_LEFT, end=_WIDTH - _RIGHT, is_log=False)
    up = Scale(low=0, high=max(values) * 1.1, start=_HEIGHT - _BOTTOM, end=_TOP, is_log=False)
    parts = [*_axis_up(up, "MB"), *_axis_across(across, "calls")]
    for number, name in enumerate(("resident_mb", "own_mb")):
        places = [(across.at(one.calls), up.at(getattr(one, name))) for one in results.memory]
        parts.extend(_curve(places, _COLOURS[number]))
    return _svg("Memory of one worker", parts, ["resident", "proportional"])


def _curve(places: Sequence[tuple[float, float]], colour: str) -> Iterator[str]:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _axis_up(scale: Scale, name: str) -> Iterator[str]:
    yield _text(_LEFT - 50, _TOP - 12, name)
    for tick in scale.ticks():
        y = scale.at(tick)
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        yield _text(_LEFT - 6, y + 4, _number(tick), anchor="end")


def _axis_across(scale: Scale, name: str) -> Iterator[str]:
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 15, name, anchor="end")
    for tick in scale.ticks():
        x = scale.at(tick)
        yield f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>'
        yield _text(x, _HEIGHT - _BOTTOM + 18, _number(tick), anchor="middle")


def _number(tick: float) -> str:
    """Return a tick in words: no power of ten, no digits that say nothing."""
    return f"{tick:,.0f}" if tick >= 1 else f"{tick:g}"


def _line_across(y: float, name: str) -> str:
    return (
        f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#111" stroke-dasharray="4"/>'
        + _text(_WIDTH - _RIGHT + 4, y + 4, name)
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(words)}</text>"
    )


def _svg(title: str, parts: Sequence[str], names: Sequence[str]) -> str:
    legend = []
    for number, name in enumerate(names):
        y = _TOP + 40 + number * 22
        x = _WIDTH - _RIGHT + 16
        colour = _COLOURS[number % len(_COLOURS)]
        legend.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        legend.append(_text(x + 18, y, name))
    body = "\n".join([_text(_LEFT, 22, title, size=15), *parts, *legend])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" role="img">\n'
        f'<title>{escape(title)}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )


def _write(file: Path, svg: str) -> Path:
    file.write_text(svg, "utf-8")
    return file
