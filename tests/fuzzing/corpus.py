"""Requests to start from, and the fragments of them that are put together anew."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from answers import with_prefetch
from fixture_stories import Story, as_of, stories
from http_service import client_on, decisions_of, post

Path_ = tuple[str | int, ...]

EMERGENCY_ROWS = frozenset({"E1", "E2"})
_TEXTS = Path(__file__).parents[2] / "hooks" / "lumbar-mri" / "cases"
_KEPT_OF_A_KEY = 60
_LONGEST_FRAGMENT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Seed:
    """A request that is answered with 200."""

    name: str
    service: str
    day: str
    site_file: Path | None
    body: bytes
    near: tuple[Path_, ...]
    """Places in the context: the drafts decide most of what happens."""
    far: tuple[Path_, ...]
    """Places everywhere else."""
    decisions: tuple[dict[str, object], ...]
    """What is decided on it as it is."""
    emergencies: frozenset[str]
    """Orders that are an emergency, where all are: `ServiceRequest/id`."""

    def __repr__(self) -> str:
        """Say which it is; its content would fill screens."""
        return self.name

    def request(self) -> dict[str, object]:
        """Return a copy that may be changed."""
        loaded = json.loads(self.body)
        assert isinstance(loaded, dict)
        return loaded


def places(value: object, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every leaf and branch."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from places(member, (*path, index))


@cache
def seeds() -> tuple[Seed, ...]:
    """Return one seed for each story with a chart of its own, and all emergencies."""
    found = (_seed(story) for story in stories() if not story.based_on or _may_be_urgent(story))
    return tuple(s for s in found if s.emergencies or s.name in _own_charts())


@cache
def emergencies() -> tuple[Seed, ...]:
    """Return the seeds in which every lumbar MRI order is an emergency."""
    return tuple(seed for seed in seeds() if seed.emergencies)


@cache
def _own_charts() -> frozenset[str]:
    return frozenset(story.name for story in stories() if not story.based_on)


def _may_be_urgent(story: Story) -> bool:
    return any(expected.row in EMERGENCY_ROWS for expected in story.expected)


def _seed(story: Story) -> Seed:
    request = with_prefetch(story)
    answer = post(request, day=as_of(), site_file=story.site_file)
    assert answer.status_code == 200, story.name
    decisions = decisions_of(answer)
    rows = {str(d["row"]) for d in decisions}
    near = tuple(("context", *path) for path in places(request["context"]))
    urgent = decisions if rows and rows <= EMERGENCY_ROWS else []
    return Seed(
        name=story.name,
        service=story.service,
        day=as_of(),
        site_file=story.site_file,
        body=json.dumps(request, separators=(",", ":")).encode(),
        near=near,
        far=tuple(path for path in places(request) if path[0] != "context"),
        decisions=tuple(decisions),
        emergencies=frozenset(str(d["order"]) for d in urgent),
    )


@cache
def fragments() -> dict[str, tuple[object, ...]]:
    """Return what stands under each member name in the seeds, each value once, small ones only."""
    found: dict[str, dict[str, object]] = {}
    for seed in seeds():
        for name, value in _members(seed.request()):
            kept = found.setdefault(name, {})
            text = json.dumps(value)
            if len(kept) < _KEPT_OF_A_KEY and len(text) <= _LONGEST_FRAGMENT:
                kept[text] = value
    return {name: tuple(kept.values()) for name, kept in sorted(found.items()) if kept}


@cache
def resources() -> tuple[dict[str, object], ...]:
    """Return resources of all seeds, each once."""
    found: dict[str, dict[str, object]] = {}
    for seed in seeds():
        for name, value in _members(seed.request()):
            if name == "resource" and isinstance(value, dict):
                found.setdefault(json.dumps({**value, "id": ""}), value)
    return tuple(found.values())


@cache
def clinical_texts() -> tuple[str, ...]:
    """Return what clinicians write, from the examples of the knowledge."""
    files = ("text-examples.csv", "text-reading-examples.csv")
    rows = (
        row
        for name in files
        for row in csv.DictReader((_TEXTS / name).read_text("utf-8").splitlines())
    )
    return tuple(dict.fromkeys(row["text"] for row in rows))


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from _members(member)
    elif isinstance(value, list):
        for member in value:
            yield from _members(member)


__all__ = [
    "EMERGENCY_ROWS",
    "Path_",
    "Seed",
    "client_on",
    "clinical_texts",
    "emergencies",
    "fragments",
    "places",
    "resources",
    "seeds",
]
