"""The stories of `fhir_fixtures/`, their dates moved to today: for the demo and its test EHR."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cds_service.date_shift import shift_dates
from cds_service.errors import SettingsError

PLACEHOLDER_SERVER = "https://ehr.example/fhir"
"""Stands in the fixtures where the address of the FHIR server belongs."""
_COMPARED = ("row", "overlay", "protocolRow", "safety")
_NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStory:
    """One story, its dates moved from the fixtures' day to today."""

    name: str
    says: str
    chart: object
    request: Mapping[str, object]
    expected: Mapping[str, object]
    """Members of the decision as worked out by hand; row `G0` for an order out of scope."""
    is_marked: bool
    """`make demo` fires it."""

    @property
    def service_id(self) -> str:
        """The service that the hook belongs to."""
        return f"lumbar-mri-{self.request['hook']}"

    def is_met_by(self, decisions: Sequence[Mapping[str, object]]) -> bool:
        """Whether one of the decisions has every row that was worked out by hand."""
        judged = decisions or [{"row": "G0"}]
        return any(
            all(decision.get(name) == value for name, value in self.expected.items())
            for decision in judged
        )


def load_stories(folder: Path, today: date) -> tuple[DemoStory, ...]:
    """Return the stories that have a patient of their own; variants and site files are left out.

    Raises SettingsError if the folder holds none that is marked `demo`.
    """
    indexes = sorted(folder.glob("stories*.yaml"), key=lambda path: (len(path.name), path.name))
    if not indexes:
        message = (
            f"{folder / 'stories.yaml'} not found: run the demo in the project's folder, "
            "or give --fixtures"
        )
        raise SettingsError(message)
    stories: list[DemoStory] = []
    for index in indexes:
        content = _content(index)
        days = (today - date.fromisoformat(content["as_of"])).days
        whole = (raw for raw in content["stories"] if "patient" in raw and "request" in raw)
        stories.extend(
            _story(folder, raw, days) for raw in whole if raw.get("site_file", _NONE) == _NONE
        )
    if not any(story.is_marked for story in stories):
        message = f"{indexes[0]}: no story is marked `demo: true`"
        raise SettingsError(message)
    return tuple(stories)


def marked(stories: Sequence[DemoStory]) -> tuple[DemoStory, ...]:
    """Return the stories that `make demo` fires."""
    return tuple(story for story in stories if story.is_marked)


def write_stories(file: Path, stories: Sequence[DemoStory]) -> None:
    """Write stories to a file, from which another process takes them: reading YAML is slow."""
    file.write_text(json.dumps([asdict(story) for story in stories]), "utf-8")


def written_stories(file: Path) -> tuple[DemoStory, ...]:
    """Return the stories that `write_stories` has written."""
    return tuple(DemoStory(**story) for story in json.loads(file.read_text("utf-8")))


@cache
def _content(index: Path) -> Mapping[str, Any]:
    """Read an index once in a process: it takes seconds."""
    content: Mapping[str, Any] = yaml.load(
        index.read_text("utf-8"),
        Loader=yaml.BaseLoader,  # noqa: S506 - makes text only
    )
    return content


def _story(folder: Path, raw: Mapping[str, Any], days: int) -> DemoStory:
    request = shift_dates(json.loads((folder / raw["request"]).read_text("utf-8")), days)
    if not isinstance(request, dict):
        message = f"{raw['request']}: not a hook request"
        raise SettingsError(message)
    return DemoStory(
        name=raw["story"],
        says=" ".join(raw["says"].split()),
        chart=shift_dates(json.loads((folder / raw["patient"]).read_text("utf-8")), days),
        request=request,
        expected=_expected(raw["expect"]),
        is_marked=raw.get("demo") == "true",
    )


def _expected(expect: object) -> Mapping[str, object]:
    """Return the rows that a story expects; what it leaves open is left out."""
    members = expect if isinstance(expect, Mapping) else {}
    named = {name: members[name] for name in _COMPARED if name in members}
    return {name: None if value == _NONE else value for name, value in named.items()}
