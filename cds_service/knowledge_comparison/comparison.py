"""`cds-service knowledge compare`: everything that differs between two folders, in one report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cds_service.errors import KnowledgeError
from cds_service.knowledge import Knowledge
from cds_service.knowledge_comparison.cases import ChangedCase, case_differences, cases_of_both
from cds_service.knowledge_comparison.content import Section, content_differences
from cds_service.knowledge_loading.folders import bundled
from cds_service.knowledge_loading.loader import load_knowledge
from cds_service.knowledge_proofs.checked import has_solver

_NO_SOLVER = (
    "Which combinations of facts are answered differently was not looked for: z3-solver, a "
    "development dependency, is not installed here. Only cases and content are compared."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionReport:
    """One change of an answer over part of the fact space."""

    says: str
    case: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """What differs between two folders."""

    old: str
    new: str
    """Id, version and digest."""
    cases: int
    """How many were put to both."""
    changed_cases: tuple[ChangedCase, ...]
    regions: tuple[RegionReport, ...] | None
    """None where no solver is installed."""
    content: tuple[Section, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        differs = self.changed_cases or self.regions or any(s.differences for s in self.content)
        return not differs

    def as_text(self) -> str:
        """Return the report for people."""
        changed = (f"  - {each.case}: {'; '.join(each.changes)}" for each in self.changed_cases)
        lines = [
            f"old: {self.old}",
            f"new: {self.new}",
            "",
            f"{len(self.changed_cases)} of {self.cases} cases are answered differently.",
            *changed,
            "",
            *self._regions(),
        ]
        for section in self.content:
            if section.differences:
                lines += ["", section.title, *(f"  - {each}" for each in section.differences)]
        lines += ["", "No difference." if self.is_same else "The folders differ."]
        return "\n".join(lines)

    def _regions(self) -> list[str]:
        if self.regions is None:
            return [_NO_SOLVER]
        if not self.regions:
            return ["Every combination of facts is answered alike (proved with a solver)."]
        lines = [f"{len(self.regions)} changes over all combinations of facts"]
        lines += [f"  - {region.says}" for region in self.regions]
        lines += ["", "One example of each, expecting what the new folder answers", "cases:"]
        return [*lines, *(region.case for region in self.regions)]

    def as_json(self) -> str:
        """Return the report for scripts."""
        regions = self.regions
        return json.dumps(
            {
                "old": self.old,
                "new": self.new,
                "same": self.is_same,
                "cases": self.cases,
                "changedCases": [
                    {"case": each.case, "says": each.says, "changes": each.changes}
                    for each in self.changed_cases
                ],
                "regions": None
                if regions is None
                else [{"says": each.says, "case": each.case} for each in regions],
                "content": self._content(),
            },
            indent=2,
            ensure_ascii=False,
        )

    def _content(self) -> Mapping[str, tuple[str, ...]]:
        return {section.title: section.differences for section in self.content}


def compare(old: Knowledge, new: Knowledge) -> ComparisonReport:
    """Compare two folders; without the solver, cases and content only."""
    return ComparisonReport(
        old=_named(old),
        new=_named(new),
        cases=len(tuple(cases_of_both(old, new))),
        changed_cases=case_differences(old, new),
        regions=_regions(old, new) if has_solver() else None,
        content=content_differences(old, new),
    )


def knowledge_at(place: str) -> Knowledge:
    """Load the folder at a path, or the bundled one of that id.

    Raises KnowledgeError if there is neither, or if it is not well formed.
    """
    shipped = bundled() / place
    if "/" not in place and (shipped / "service.yaml").is_file():
        return load_knowledge(shipped)
    folder = Path(place).resolve()
    if not (folder / "service.yaml").is_file():
        raise KnowledgeError([f"{place}: neither a knowledge folder nor the id of a bundled one"])
    return load_knowledge(folder)


def _regions(old: Knowledge, new: Knowledge) -> tuple[RegionReport, ...]:
    from cds_service.knowledge_comparison.regions import region_differences  # noqa: PLC0415

    found = region_differences(old, new)
    return tuple(RegionReport(says=region.in_words, case=region.case) for region in found)


def _named(knowledge: Knowledge) -> str:
    return f"{knowledge.id} {knowledge.version} ({knowledge.approval.state}), {knowledge.digest}"
