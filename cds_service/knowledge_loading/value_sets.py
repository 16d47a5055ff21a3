"""Reads `value_sets/*.json` and what a reviewer needs to know of each."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable

from cds_service import strict_json
from cds_service.errors import KnowledgeError
from cds_service.fhir import object_of, objects, text_of, texts_of
from cds_service.knowledge_loading.yaml import Problems
from cds_service.review_notes import CodeNote, ValueSetNote
from cds_service.value_sets import ValueSets

_PROVENANCE = "PROVENANCE.csv"
_PATTERN = "/text-pattern-include"
_EXCLUDED = "/text-pattern-exclude"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedValueSets:
    """All value sets of a folder."""

    sets: ValueSets
    summaries: Mapping[str, ValueSetNote]

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all value sets."""
        return frozenset(self.summaries)

    def with_included(self, set_ids: Iterable[str]) -> set[str]:
        """Return the value sets and those that they take in whole."""
        reached: set[str] = set()
        waiting = [set_id for set_id in set_ids if set_id in self.summaries]
        while waiting:
            set_id = waiting.pop()
            if set_id not in reached:
                reached.add(set_id)
                waiting.extend(self.summaries[set_id].includes)
        return reached

    def notes(self, kept: Mapping[str, str]) -> tuple[ValueSetNote, ...]:
        """Return the summaries, with the reason for those that nothing reads yet."""
        return tuple(
            replace(summary, use=kept.get(summary.id, ""))
            for _, summary in sorted(self.summaries.items())
        )


def read_value_sets(folder: Traversable, name: str, problems: Problems) -> LoadedValueSets:
    """Read every ValueSet and the provenance of its codes; `name` begins each message."""
    try:
        sets = ValueSets.load(folder)
    except KnowledgeError as error:
        problems.found.extend(f"{name}/{problem}" for problem in error.problems)
        sets = ValueSets.of(())
    members = _members(folder, name, problems)
    summaries = {
        set_id: _summary(folder, set_id, members.get(set_id, ())) for set_id in sorted(sets.ids)
    }
    # Without sets the reason is known; what the rows then miss is noise.
    for set_id in sorted(set(members) - set(summaries)) if summaries else ():
        problems.report_file(f"{name}/value_sets/{_PROVENANCE}", f"unknown value set {set_id!r}")
    return LoadedValueSets(sets=sets, summaries=summaries)


def _summary(folder: Traversable, set_id: str, members: Sequence[CodeNote]) -> ValueSetNote:
    """Count what a file holds that `ValueSets.load` has found to be sound."""
    resource = object_of(strict_json.loads((folder / f"{set_id}.json").read_bytes()))
    include = objects(object_of(resource.get("compose")).get("include"))
    return ValueSetNote(
        id=set_id,
        title=text_of(resource.get("title")),
        codes=sum(len(objects(part.get(key))) for part in include for key in ("concept", "filter")),
        patterns=len(words := _patterns(resource, _PATTERN)),
        includes=tuple(
            url.rsplit("/", 1)[-1] for part in include for url in _texts(part.get("valueSet"))
        ),
        confidence=dict(sorted(Counter(member.confidence for member in members).items())),
        use="",
        members=tuple(members),
        words=words,
        never=_patterns(resource, _EXCLUDED),
    )


def _patterns(resource: Mapping[str, object], kind: str) -> tuple[str, ...]:
    return tuple(
        text_of(extension.get("valueString"))
        for extension in objects(resource.get("extension"))
        if text_of(extension.get("url")).endswith(kind)
    )


def _texts(value: object) -> tuple[str, ...]:
    return texts_of(value) if isinstance(value, list) else ()


def _members(
    folder: Traversable, name: str, problems: Problems
) -> Mapping[str, Sequence[CodeNote]]:
    """Return the codes of each value set with where they were verified."""
    members: dict[str, list[CodeNote]] = {}
    file = folder / _PROVENANCE
    if not file.is_file():
        problems.report_file(f"{name}/value_sets/{_PROVENANCE}", "this file is missing")
        return members
    for row in csv.DictReader(file.read_text("utf-8").splitlines()):
        note = CodeNote(
            system=row["system"],
            code=row["code_or_filter"],
            display=row["display"],
            source=row["source"],
            confidence=row["confidence"][:1],
        )
        members.setdefault(row["valueset"], []).append(note)
    return members
