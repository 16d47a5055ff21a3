"""Real requests changed in structure: nodes replaced, deleted, moved, doubled, retyped, added.

Every change says what it did, so that a failing example can be read.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from fuzzing.corpus import Path_, Seed, fragments, seeds
from fuzzing.sent import Sent
from fuzzing.values import NAMES, ODD, TEXTS, Draw, copied


@dataclass(frozen=True, slots=True)
class Spot:
    """A node of a request: what holds it, and its key or index there."""

    holder: Any
    key: Any
    name: str
    """The member name that it, or the array around it, stands under."""

    @property
    def value(self) -> Any:  # noqa: ANN401  # JSON
        """The node itself."""
        return self.holder[self.key]

    def put(self, value: object) -> str:
        """Replace the node, and say by what."""
        self.holder[self.key] = value
        return f"{value!r:.120}"


@st.composite
def changed_in_structure(draw: Draw) -> Sent:
    """A real request with one to five nodes changed."""
    seed = draw(st.sampled_from(seeds()))
    request = seed.request()
    said = []
    for _ in range(draw(st.integers(1, 5))):
        path = _path(draw, seed)
        change = draw(st.sampled_from(_CHANGES))
        spot = _spot(request, path)
        if spot is not None:
            what = change(draw, spot, lambda: _spot(request, _path(draw, seed)))
            said.append(f"{change.__name__.strip('_')} {'.'.join(map(str, path))}: {what}")
    return Sent(seed=seed, body=json.dumps(request).encode(), changes=tuple(said))


def _path(draw: Draw, seed: Seed) -> Path_:
    chosen: Path_ = draw(st.sampled_from(seed.near if draw(st.booleans()) else seed.far))
    return chosen


def _spot(request: object, path: Path_) -> Spot | None:
    """Return the node at `path`; None if an earlier change took it away."""
    holder: Any = request
    try:
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    if isinstance(holder, str):
        return None
    return Spot(holder, path[-1], next(s for s in reversed(path) if isinstance(s, str)))


Other = Callable[[], Spot | None]


def _replace(draw: Draw, spot: Spot, _other: Other) -> str:
    return spot.put(copied(draw(ODD)))


def _recombine(draw: Draw, spot: Spot, _other: Other) -> str:
    """Put what stands under the same name somewhere else in its place."""
    return spot.put(copied(draw(st.sampled_from(fragments().get(spot.name, (None,))))))


def _delete(_draw: Draw, spot: Spot, _other: Other) -> str:
    del spot.holder[spot.key]
    return "gone"


def _double(draw: Draw, spot: Spot, _other: Other) -> str:
    """Put it beside itself, once or often, or under another name too."""
    if isinstance(spot.holder, list):
        times = draw(st.sampled_from([1, 2, 60]))
        spot.holder[spot.key : spot.key] = [spot.value] * times
        return f"{times} times"
    name = draw(NAMES)
    spot.holder[name] = spot.value
    return f"as {name!r}"


def _take(_draw: Draw, spot: Spot, other: Other) -> str:
    """Put a copy of another node of the request in its place."""
    source = other()
    return "from nowhere" if source is None else spot.put(copied(source.value))


def _retype(draw: Draw, spot: Spot, _other: Other) -> str:
    how = draw(st.sampled_from(sorted(_OTHER_TYPES)))
    return f"{how}: {spot.put(_OTHER_TYPES[how](spot.value))}"


def _insert(draw: Draw, spot: Spot, _other: Other) -> str:
    """Add a member to it or beside it."""
    name = draw(NAMES)
    known = fragments().get(name)
    value = copied(draw(st.sampled_from(known)) if known and draw(st.booleans()) else draw(ODD))
    target = spot.value if isinstance(spot.value, dict) else spot.holder
    if isinstance(target, dict):
        target[name] = value
    else:
        target.append(value)
    return f"{name!r} {value!r:.120}"


def _lengthen(draw: Draw, spot: Spot, _other: Other) -> str:
    """Put odd text before or after what a string says."""
    said, extra = spot.value, draw(TEXTS)
    if not isinstance(said, str):
        return "no text"
    return spot.put(said + extra if draw(st.booleans()) else extra + said)


_CHANGES = (
    *(_replace, _replace, _recombine, _recombine, _delete, _double, _take),
    *(_retype, _insert, _lengthen),
)


def _nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [value]
    return value


def _with_numbers(value: object) -> object:
    return {str(n): item for n, item in enumerate(value)} if isinstance(value, list) else {}


_OTHER_TYPES: Mapping[str, Callable[[Any], object]] = {
    "array": lambda value: [value],
    "array of arrays": lambda value: [[value]],
    "text": lambda value: {"text": value},
    "value": lambda value: {"value": value},
    "concept": lambda value: {"concept": value},
    "first": lambda value: value[0] if isinstance(value, list) and value else value,
    "string": json.dumps,
    "object": _with_numbers,
    "length": lambda value: len(value) if isinstance(value, str | list | dict) else 0,
    "truth": lambda value: not value,
    "60 deep": lambda value: _nested(value, 60),
    "250 deep": lambda value: _nested(value, 250),
}
