"""What an entry of the record says of an implant, and the classes that implants fall into."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cds_service.fact_kinds.conditions import has_code
from cds_service.fhir_dates import DateInterval
from cds_service.findings import Evidence, Strength
from cds_service.records import Concept
from cds_service.text.implants import MrStatement


@dataclass(frozen=True, slots=True)
class ImplantClass:
    """Implants of one kind: `pacemaker: Z95.0 14106009 | pacemaker, ppm`."""

    name: str
    codes: tuple[str, ...]
    words: tuple[str, ...]
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    """What names it in a text."""

    def __post_init__(self) -> None:
        """Compile once what every text of a chart is asked."""
        words = "|".join(re.escape(word) for word in self.words)
        pattern = re.compile(rf"\b(?:{words})s?\b", re.IGNORECASE)
        object.__setattr__(self, "pattern", pattern)

    @classmethod
    def parse(cls, text: str) -> "ImplantClass":
        """Read `name: codes | words`; raise ValueError with the expected form."""
        name, colon, rest = text.partition(":")
        codes, bar, words = rest.partition("|")
        kept = tuple(word.strip() for word in words.split(",") if word.strip())
        if not (colon and bar and name.strip() and kept):
            message = f"{text!r} is not of the form `pacemaker: Z95.0 14106009 | pacemaker, ppm`"
            raise ValueError(message)
        return cls(name.strip(), tuple(codes.split()), kept)

    def __str__(self) -> str:
        """Return it as a committee reads it: its name and its words."""
        return f"{self.name} ({' / '.join(self.words)})"

    def holds(self, concept: Concept, texts: Iterable[str]) -> bool:
        """Is it named by a code, or in words?"""
        if self.codes and has_code(concept, self.codes):
            return True
        return any(self.pattern.search(text) for text in (*concept.words, *texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Implant:
    """An entry that says an implant is in."""

    evidence: Evidence
    strength: Strength
    classes: frozenset[str]
    when: DateInterval | None
    mr: MrStatement
    device: str = ""
    """Reference of the Device, or of its use; empty for any other entry."""
    is_standing: bool = False
    """Says that it is in today, rather than that it was put in once."""
    is_contradictory: bool = False

    @property
    def is_device(self) -> bool:
        """A Device or a use of one: its MR statement speaks for its class."""
        return bool(self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """An entry that says an implant came out."""

    evidence: Evidence
    strength: Strength
    classes: frozenset[str]
    when: DateInterval | None
    of_device: str = ""
    """The Device that is no longer in use; empty for a removal that may be of any."""
