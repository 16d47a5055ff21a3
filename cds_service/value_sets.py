"""Value sets: (system, code) → the sets it is in, and the text patterns of each set.

Read from FHIR R4 ValueSet files (`hooks/<topic>/value_sets/*.json`). Only the compose
features that these files use are understood; a file that uses another one is refused,
because a member that is silently missed is a finding that is silently lost.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from cds_service.errors import KnowledgeError
from cds_service.records import Coding
from cds_service.text.patterns import ReadingOption, TextPatterns

ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
SNOMED_CT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CPT = "http://www.ama-assn.org/go/cpt"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"

_TEXT_ONLY = "/CodeSystem/text-only"
"""Placeholder system of sets that have no codes: nothing in a chart is a member by it."""

# Quirk 18. Keys are lower case, without scheme, `urn:oid:` and trailing slash.
_ALIASES = {
    **dict.fromkeys(
        (
            "hl7.org/fhir/sid/icd-10-cm",
            # Some senders use the WHO name for the US codes; the codes used here mean the same.
            "hl7.org/fhir/sid/icd-10",
            "2.16.840.1.113883.6.90",
            "icd-10-cm",
            "icd10cm",
        ),
        ICD_10_CM,
    ),
    **dict.fromkeys(
        (
            "www.cms.gov/medicare/coding/icd10",
            "hl7.org/fhir/sid/icd-10-pcs",
            "2.16.840.1.113883.6.4",
        ),
        ICD_10_PCS,
    ),
    **dict.fromkeys(
        ("snomed.info/sct", "2.16.840.1.113883.6.96", "snomed-ct", "snomedct"), SNOMED_CT
    ),
    **dict.fromkeys(("loinc.org", "2.16.840.1.113883.6.1", "loinc"), LOINC),
    **dict.fromkeys(
        ("www.nlm.nih.gov/research/umls/rxnorm", "2.16.840.1.113883.6.88", "rxnorm"), RXNORM
    ),
    **dict.fromkeys(
        ("www.ama-assn.org/go/cpt", "ama-assn.org/go/cpt", "2.16.840.1.113883.6.12", "cpt"), CPT
    ),
    **dict.fromkeys(
        (
            "dicom.nema.org/resources/ontology/dcm",
            "nema.org/dicom/dicm",
            "1.2.840.10008.2.16.4",
            "dcm",
        ),
        DICOM,
    ),
}
_SNOMED_EDITION = re.compile(r"snomed\.info/sct/\d{6,18}(?:/version/\d{8})?")
_SCHEME = re.compile(r"^(?:https?://|urn:oid:)")

_ICD_CODE = re.compile(r"^[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?$")
_PCS_PREFIX = re.compile(r"^([0-9A-HJ-NP-Z]{1,7})\.\*$")

_BARE_CODES = {"MR": Coding(DICOM, "MR")}
"""DICOM modalities that senders write without a system; any other bare code is no match."""

_DESCRIPTIVE = frozenset({"usage-note", "recommended-ecl"})


def canonical_system(system: str) -> str:
    """Return the canonical URL of a code system; an unknown system is returned as it is.

    Accepts OIDs with and without `urn:oid:`, http and https, any case, a trailing slash, the
    URIs of SNOMED CT editions, and `http://hl7.org/fhir/sid/icd-10` as ICD-10-CM (quirk 18).
    """
    given = system.strip()
    key = _SCHEME.sub("", given.lower()).rstrip("/")
    if _SNOMED_EDITION.fullmatch(key):
        return SNOMED_CT
    return _ALIASES.get(key, given)


def _lookup_key(system: str, code: str) -> str:
    """Codes are compared without case; ICD-10-CM also without the dot (quirk 17)."""
    key = code.strip().upper()
    return key.replace(".", "").rstrip("-") if system == ICD_10_CM else key


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """One file."""

    id: str
    title: str
    concepts: tuple[Coding, ...] = ()
    """Enumerated codes in file order."""
    prefixes: tuple[Coding, ...] = ()
    """Codes of which all descendants are members."""
    imports: tuple[str, ...] = ()
    patterns: TextPatterns | None = None


@dataclass(frozen=True, slots=True)
class ValueSets:
    """All value sets of a knowledge folder, indexed for lookup by code."""

    _by_id: Mapping[str, ValueSet]
    _exact: Mapping[tuple[str, str], frozenset[str]] = field(repr=False)
    _prefixes: Mapping[tuple[str, str], frozenset[str]] = field(repr=False)
    _lengths: Mapping[str, tuple[int, ...]] = field(repr=False)
    """By system: lengths at which a prefix may end."""
    _pattern_sets: Mapping[str, tuple[str, ...]] = field(repr=False)

    @classmethod
    def load(cls, folder: Traversable) -> "ValueSets":
        """Read every `.json` file. Raises KnowledgeError with all problems together."""
        problems: list[str] = []
        files = sorted(
            (file for file in folder.iterdir() if file.name.endswith(".json")),
            key=lambda file: file.name,
        )
        raw = {file.name.removesuffix(".json"): _read(file, problems) for file in files}
        urls = {
            str(content["url"]): name
            for name, content in raw.items()
            if content is not None and "url" in content
        }
        sets = [
            _ValueSetFile(name, content, urls, problems).value_set()
            for name, content in raw.items()
            if content is not None
        ]
        if not raw:
            problems.append("value_sets: no .json file in this folder")
        if problems:
            raise KnowledgeError(problems)
        return cls.of(sets)

    @classmethod
    def of(cls, sets: Iterable[ValueSet]) -> "ValueSets":
        """Index value sets. Raises KnowledgeError if they import one another in a circle."""
        by_id = {value_set.id: value_set for value_set in sets}
        importers = _importers(by_id)
        exact: dict[tuple[str, str], frozenset[str]] = {}
        prefixes: dict[tuple[str, str], frozenset[str]] = {}
        for value_set in by_id.values():
            members = importers[value_set.id]
            for index, codings in ((exact, value_set.concepts), (prefixes, value_set.prefixes)):
                for coding in codings:
                    key = (coding.system, _lookup_key(coding.system, coding.code))
                    index[key] = index.get(key, frozenset()) | members
        lengths: dict[str, set[int]] = {}
        for system, prefix in prefixes:
            lengths.setdefault(system, set()).add(len(prefix))
        return cls(
            by_id,
            exact,
            prefixes,
            {system: tuple(sorted(found)) for system, found in lengths.items()},
            {
                set_id: tuple(
                    other
                    for other, value_set in by_id.items()
                    if set_id in importers[other] and value_set.patterns is not None
                )
                for set_id in by_id
            },
        )

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all sets."""
        return frozenset(self._by_id)

    def sets_of(self, system: str, code: str) -> frozenset[str]:
        """Return the ids of the sets that the code is in, importing sets included.

        A code without system is in none (quirk 19), but for the bare modality `MR`.
        """
        if not system.strip():
            bare = _BARE_CODES.get(code.strip().upper())
            return frozenset() if bare is None else self.sets_of(bare.system, bare.code)
        canonical = canonical_system(system)
        key = _lookup_key(canonical, code)
        found = self._exact.get((canonical, key), frozenset())
        for length in self._lengths.get(canonical, ()):
            if length > len(key):
                break
            found |= self._prefixes.get((canonical, key[:length]), frozenset())
        return found

    def value_set(self, set_id: str) -> ValueSet:
        """Return the set as its file has it, what it imports not included."""
        return self._by_id[set_id]

    def concepts(self, set_id: str) -> tuple[Coding, ...]:
        """Return the set's own enumerated codes in file order; a filter enumerates none."""
        return self._by_id[set_id].concepts

    def patterns(self, set_id: str) -> TextPatterns | None:
        """Return the set's own text patterns, if it has any."""
        return self._by_id[set_id].patterns

    def pattern_sets(self, set_id: str) -> tuple[str, ...]:
        """Return the ids of the sets whose patterns speak for this one: itself and its imports."""
        return self._pattern_sets[set_id]

    def title(self, set_id: str) -> str:
        """Return the set's title."""
        return self._by_id[set_id].title


def _importers(by_id: Mapping[str, ValueSet]) -> dict[str, frozenset[str]]:
    """For each set: itself and all sets that import it, directly or not."""
    direct: dict[str, set[str]] = {set_id: set() for set_id in by_id}
    for value_set in by_id.values():
        for imported in value_set.imports:
            direct[imported].add(value_set.id)
    reached: dict[str, frozenset[str]] = {}
    for set_id in by_id:
        found, rest = {set_id}, list(direct[set_id])
        while rest:
            importer = rest.pop()
            if importer == set_id:
                raise KnowledgeError([f"value_sets/{set_id}.json: imports itself in a circle"])
            if importer not in found:
                found.add(importer)
                rest.extend(direct[importer])
        reached[set_id] = frozenset(found)
    return reached


def _read(file: Traversable, problems: list[str]) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        problems.append(f"value_sets/{file.name}: not JSON: {error}")
        return None
    if not isinstance(content, dict) or content.get("resourceType") != "ValueSet":
        problems.append(f"value_sets/{file.name}: resourceType: expected a FHIR ValueSet")
        return None
    return content


class _ValueSetFile:
    """One file while it is read; collects problems instead of stopping at the first."""

    def __init__(
        self, name: str, content: Mapping[str, Any], urls: Mapping[str, str], problems: list[str]
    ) -> None:
        self._name = name
        self._content = content
        self._urls = urls
        self._problems = problems
        self._concepts: list[Coding] = []
        self._prefixes: list[Coding] = []
        self._imports: list[str] = []

    def value_set(self) -> ValueSet:
        """Return what the file says; it is complete only if no problem was added."""
        if self._content.get("id") != self._name:
            self._refuse("id", f"is {self._content.get('id')!r}, not the file name")
        title = self._content.get("title")
        if not isinstance(title, str) or not title.strip():
            self._refuse("title", "is missing")
        compose = self._content.get("compose")
        if not isinstance(compose, dict) or set(compose) != {"include"}:
            self._refuse("compose", "expected `include` and nothing else")
        else:
            for position, include in enumerate(compose["include"]):
                self._include(f"compose.include[{position}]", include)
        return ValueSet(
            id=self._name,
            title=str(title),
            concepts=tuple(self._concepts),
            prefixes=tuple(self._prefixes),
            imports=tuple(self._imports),
            patterns=self._patterns(),
        )

    def _refuse(self, place: str, problem: str) -> None:
        self._problems.append(f"value_sets/{self._name}.json: {place}: {problem}")

    def _include(self, place: str, include: Mapping[str, Any]) -> None:
        match sorted(include):
            case ["valueSet"]:
                self._import(f"{place}.valueSet", include["valueSet"])
            case ["concept", "system"]:
                self._enumerate(place, include["system"], include["concept"])
            case ["filter", "system"]:
                self._filter(place, include["system"], include["filter"])
            case keys:
                self._refuse(place, f"the combination of {', '.join(keys)} is not understood")

    def _import(self, place: str, urls: list[str]) -> None:
        if len(urls) != 1:
            self._refuse(
                place, "several sets in one include mean what they share; write one include each"
            )
        for url in urls:
            if url in self._urls:
                self._imports.append(self._urls[url])
            else:
                self._refuse(place, f"no file has the url {url}")

    def _system(self, place: str, system: str) -> None:
        if canonical_system(system) != system:
            self._refuse(f"{place}.system", f"write {canonical_system(system)}")

    def _enumerate(self, place: str, system: str, concepts: list[Mapping[str, Any]]) -> None:
        self._system(place, system)
        for position, concept in enumerate(concepts):
            code = concept.get("code")
            if not isinstance(code, str) or not code or code != code.strip():
                self._refuse(f"{place}.concept[{position}]", "has no code")
            elif system == ICD_10_CM and not _ICD_CODE.match(code):
                self._refuse(f"{place}.concept[{position}]", f"{code!r} is no ICD-10-CM code")
            elif not system.endswith(_TEXT_ONLY):
                self._concepts.append(Coding(system, code, str(concept.get("display", ""))))

    def _filter(self, place: str, system: str, filters: list[Mapping[str, Any]]) -> None:
        self._system(place, system)
        if len(filters) != 1:
            self._refuse(f"{place}.filter", "several filters in one include are not understood")
        for each in filters:
            value = str(each.get("value"))
            match (system, each.get("property"), each.get("op")):
                case (str(), "concept", "is-a") if system == ICD_10_CM and _ICD_CODE.match(value):
                    self._prefixes.append(Coding(system, value))
                case (str(), "code", "regex") if system == ICD_10_PCS and (
                    prefix := _PCS_PREFIX.match(value)
                ):
                    self._prefixes.append(Coding(system, prefix.group(1)))
                case (_, named, op):
                    self._refuse(
                        f"{place}.filter", f"{named} {op} {value} on {system} is not understood"
                    )

    def _patterns(self) -> TextPatterns | None:
        includes: list[str] = []
        excludes: list[str] = []
        options: list[ReadingOption] = []
        for position, extension in enumerate(self._content.get("extension", ())):
            place = f"extension[{position}]"
            kind = str(extension.get("url")).rpartition("/")[2]
            match kind:
                case "text-pattern-include" | "text-pattern-exclude":
                    patterns = includes if kind == "text-pattern-include" else excludes
                    pattern = str(extension.get("valueString"))
                    if self._is_sound(place, pattern):
                        patterns.append(pattern)
                case "text-reading-option":
                    try:
                        options.append(ReadingOption(str(extension.get("valueCode"))))
                    except ValueError as error:
                        self._refuse(place, str(error))
                case _ if kind not in _DESCRIPTIVE:
                    self._refuse(place, f"{kind} is not understood")
        if not includes:
            if excludes or options:
                self._refuse("extension", "how text is read, but no include pattern")
            return None
        return TextPatterns.compile(includes, excludes, options)

    def _is_sound(self, place: str, pattern: str) -> bool:
        try:
            TextPatterns.compile((pattern,))
        except (re.error, ValueError) as error:
            self._refuse(place, str(error))
            return False
        return True
