"""Which exam a record names: lumbar MRI, lumbar CT, MRI of an unnamed part of the spine, other.

Codes beat text, and text is read only where no coding is recognised. A record whose code and
words disagree is doubtful (quirk 16). Source: decision table §3 and §7.1.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from cds_service.order_reading import NO_SITE_CODES, SiteCodes
from cds_service.orders import ImagingProtocol, OrderDefinition
from cds_service.records import Concept
from cds_service.terminology import Terminology
from cds_service.text.reading import TextState
from cds_service.value_sets import CPT, LOINC, SNOMED_CT

_STANDARD = frozenset({LOINC, CPT, SNOMED_CT})

_MR = re.compile(r"\b(?:MRI?|magnetic resonance)\b", re.IGNORECASE)
_SPINE = re.compile(r"\b(?:spine|spinal|vertebra\w{0,3})\b", re.IGNORECASE)
_OTHER_PART = re.compile(
    r"\b(?:brain|head|neck|orbits?|cervical|c-?spine|thoracic|t-?spine|chest|thorax|abdom\w{0,5}"
    r"|pelvi[sc]|sacro-?iliac|si joints?|plexus|hips?|knees?|shoulder|ankle|foot|wrist|hand"
    r"|elbow|femur|breast|prostate|liver|heart|cardiac|mra|mrv|angio\w{0,6})\b",
    re.IGNORECASE,
)
_OTHER_MODALITY = re.compile(
    r"\b(?:ct|cta|computed tomography|x-?rays?|xr|radiograph\w{0,3}|ultrasound|us|dxa|dexa"
    r"|bone (?:density|scan)|pet|spect|fluoro\w{0,5}|mammo\w{0,5}|echo\w{0,9})\b",
    re.IGNORECASE,
)
_ANGIOGRAPHY = re.compile(r"\b(?:mra|mrv|angio\w{0,6}|venogra\w{1,3})\b", re.IGNORECASE)
_CT = re.compile(r"\b(?:ct|computed tomography)\b", re.IGNORECASE)
# MR that guides a needle shows the needle; a myelogram is not what a repeat is compared with.
_INTERVENTION = re.compile(
    r"\bguid(?:ed|ance)\b|\bbiops(?:y|ies)\b|\bdrainage\b|\bablation\b"
    r"|(?<!contrast )(?<!gad )(?<!gadolinium )(?<!IV )(?<!post )(?<!post-)(?<!after )"
    r"\binjections?\b(?! of (?:contrast|gad))",
    re.IGNORECASE,
)
_MYELOGRAM = re.compile(r"\bmyelogra\w{1,3}\b", re.IGNORECASE)
_LUMBAR = re.compile(
    r"\b(?:lumb\w{0,8}|l[ /-]?s?[ -]?spine|l/s|l[1-5])\b|\bspine,? lumbar", re.IGNORECASE
)
_COMPARISON = re.compile(
    r"\b(?:compar\w{1,6}|prior|previous\w{0,2}|recommend\w{0,5}|consider|suggest\w{0,3}|follow-?up"
    r"|history|since|advised?|correlat\w{1,5})\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;\n]+")
_NARRATIVE_HEAD = 200
"""A report's narrative names its own exam at its top; below, it may speak of others."""


class ExamKind(StrEnum):
    """What an imaging record is an exam of."""

    LUMBAR_MRI = "lumbar-mri"
    LUMBAR_CT = "lumbar-ct"
    UNCERTAIN = "uncertain"
    """MRI of the spine without a region: never an alarm (§7.1, site rules)."""
    UNNAMED = "unnamed"
    """A generic name, such as "Radiology report": its links may say more (quirk 15)."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ExamName:
    """What a record is an exam of, and how it says so."""

    kind: ExamKind
    protocol: ImagingProtocol = ImagingProtocol.UNSPECIFIED
    by_code: bool = False
    is_doubtful: bool = False
    """Code and words disagree, or only a passing mention says it."""


_UNNAMED = ExamName(ExamKind.UNNAMED)
_OTHER = ExamName(ExamKind.OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamWords:
    """What a record says of its exam: names (codes with their text), free words, sites."""

    names: tuple[Concept, ...] = ()
    words: tuple[str, ...] = ()
    sites: tuple[Concept, ...] = ()
    is_mr: bool = False
    """The modality is MR, so words need not say so (quirk 47)."""
    is_other_modality: bool = False
    """The modality is known and not MR."""
    is_ct: bool = False

    @property
    def all_words(self) -> str:
        """Everything it says of the exam, in words."""
        return " ".join((*(w for name in self.names for w in name.words), *self.words))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamNames:
    """How exams are recognised: the topic's value sets, the site's exam codes, and words."""

    definition: OrderDefinition
    terminology: Terminology
    ct_sets: frozenset[str]
    site: SiteCodes = NO_SITE_CODES

    @property
    def has_site_codes(self) -> bool:
        """The site names exams of its own, in words that nobody else knows."""
        return bool(self.site.by_code or self.site.by_title)

    def read(self, said: ExamWords) -> ExamName:
        """Return what the exam is of: the site's own codes, standard codes, words, body site."""
        return (
            self._by_site_code(said)
            or self._by_code(said)
            or self._by_words(said)
            or self._by_site(said)
            or self._something_else(said)
        )

    def read_with_comments(self, said: ExamWords, comments: tuple[str, ...]) -> ExamName:
        """Return what the exam is of; comments are read only where its name leaves that open.

        A comment may speak of another exam ("compare with MRI of 2019"), so what only it says
        is doubtful (§3).
        """
        name = self.read(said)
        words = said.all_words
        is_open = name.kind in {ExamKind.UNNAMED, ExamKind.UNCERTAIN}
        if not comments or not is_open or not (said.is_mr or not words or _MR.search(words)):
            return name
        return replace(self.read(replace(said, words=said.words + comments)), is_doubtful=True)

    def read_narrative(self, narrative: str) -> ExamName:
        """Return what a narrative says the exam is; doubtful if it says so below its head."""
        place = 0
        if _MR.search(narrative) is None:
            return _UNNAMED
        for clause in _CLAUSE.split(narrative):
            protocol = None
            if _COMPARISON.search(clause) is None:
                protocol = self._protocol(clause)
            if protocol is not None:
                is_below = place > _NARRATIVE_HEAD
                return ExamName(ExamKind.LUMBAR_MRI, protocol, is_doubtful=is_below)
            place += len(clause) + 1
        return _UNNAMED

    def _by_site_code(self, said: ExamWords) -> ExamName | None:
        found: list[ImagingProtocol | None] = []
        for name in said.names:
            keys = ((c.system, c.code) for c in name.codings)
            found.extend(self.site.by_code[key] for key in keys if key in self.site.by_code)
        titles = [name.text.strip().lower() for name in said.names if not name.is_recognised]
        if not found:
            found.extend(self.site.by_title[t] for t in titles if t in self.site.by_title)
        if not found:
            return None
        protocols = {protocol for protocol in found if protocol is not None}
        if not protocols:
            return _OTHER
        protocol = protocols.pop() if len(protocols) == 1 else ImagingProtocol.UNSPECIFIED
        return ExamName(ExamKind.LUMBAR_MRI, protocol, by_code=True)

    def _by_code(self, said: ExamWords) -> ExamName | None:
        """Read recognised codes; two of different contrast leave the contrast open (O6)."""
        topic = self.definition
        recognised = [name for name in said.names if name.is_recognised]
        sets = frozenset[str]().union(*(name.sets for name in recognised))
        contrasts = [protocol for set_id, protocol in topic.contrast_sets if set_id in sets]
        if contrasts or topic.unspecified_set in sets:
            words = tuple(w for name in recognised for w in name.words)
            is_doubtful = said.is_other_modality or self._disagree(words)
            protocol = contrasts[0] if len(contrasts) == 1 else ImagingProtocol.UNSPECIFIED
            if not contrasts:
                # The code leaves contrast open, so the words beside it may close it.
                protocol = self._first_protocol((*words, *said.words), is_mr=True) or protocol
            return ExamName(ExamKind.LUMBAR_MRI, protocol, by_code=True, is_doubtful=is_doubtful)
        if topic.multiregion_set in sets:
            return self._several_regions(recognised, said)
        if not sets.isdisjoint(self.ct_sets):
            return ExamName(ExamKind.LUMBAR_CT, by_code=True)
        return _OTHER if sets - {topic.modality_set, topic.body_site_set} else None

    def _several_regions(self, recognised: list[Concept], said: ExamWords) -> ExamName:
        """Several regions with the lumbar one count; "MRI of spine" needs a site to say so."""
        codes = {c.code for name in recognised for c in name.codings}
        if codes.isdisjoint(self.definition.generic_codes):
            return ExamName(ExamKind.LUMBAR_MRI, ImagingProtocol.MULTIREGION, by_code=True)
        if self._is_lumbar_site(said):
            return ExamName(ExamKind.LUMBAR_MRI, by_code=True)
        return ExamName(ExamKind.UNCERTAIN, by_code=True)

    def _by_words(self, said: ExamWords) -> ExamName | None:
        """Read text, then displays of codings that are not recognised, then free words."""
        unknown = [name for name in said.names if not name.is_recognised]
        words = (*(w for name in unknown for w in name.words), *said.words)
        protocol = self._first_protocol(words, is_mr=said.is_mr)
        if protocol is None:
            return None
        naming = [w for w in words if self._first_protocol((w,), is_mr=said.is_mr) is not None]
        if all(_INTERVENTION.search(word) for word in naming):
            return _OTHER
        is_doubtful = (
            said.is_other_modality
            or any(self._is_wrong_code(name) for name in unknown)
            or all(_MYELOGRAM.search(word) for word in naming)
            or (protocol is not ImagingProtocol.MULTIREGION and all(map(_leads_elsewhere, naming)))
        )
        return ExamName(ExamKind.LUMBAR_MRI, protocol, is_doubtful=is_doubtful)

    def _is_wrong_code(self, name: Concept) -> bool:
        """A standard code that is no lumbar MRI, yet carries the words of one (quirk 16).

        Public data uses LOINC 24531-6 and 36139-5 so. Every CPT imaging code names its exam.
        """
        return any(
            coding.system == CPT
            or (coding.system in _STANDARD and self._protocol(coding.display) is not None)
            for coding in name.codings
        )

    def _by_site(self, said: ExamWords) -> ExamName | None:
        """MR of a lumbar body site is a lumbar MRI; of "the spine" it is uncertain."""
        words = said.all_words
        named = (*(word for name in said.names for word in name.words), *said.words[:1])
        if _ANGIOGRAPHY.search(words) or any(map(_INTERVENTION.search, named)):
            return None
        is_mr = said.is_mr or bool(_MR.search(words))
        is_ct = said.is_ct or (not is_mr and bool(_CT.search(words)))
        is_elsewhere = bool(_OTHER_PART.search(words))
        if (is_mr or is_ct) and self._is_lumbar_site(said):
            kind = ExamKind.LUMBAR_MRI if is_mr else ExamKind.LUMBAR_CT
            return ExamName(kind, is_doubtful=is_elsewhere)
        sites = " ".join(site.label for site in said.sites)
        if is_mr and not is_elsewhere and _SPINE.search(f"{words} {sites}"):
            return None if _OTHER_PART.search(sites) else ExamName(ExamKind.UNCERTAIN)
        return None

    def _something_else(self, said: ExamWords) -> ExamName:
        words = said.all_words
        names_another = any(
            pattern.search(words) for pattern in (_OTHER_PART, _OTHER_MODALITY, _INTERVENTION)
        )
        return _OTHER if names_another or said.is_other_modality else _UNNAMED

    def _is_lumbar_site(self, said: ExamWords) -> bool:
        site_set = self.definition.body_site_set
        if any(site_set in site.sets for site in said.sites):
            return True
        sites = (site.label for site in said.sites if not site.is_recognised)
        names = (word for name in said.names for word in name.words)
        return any(self._says(word, site_set) for word in (*sites, *names, *said.words))

    def _disagree(self, words: tuple[str, ...]) -> bool:
        """True if words name another exam and none of them a lumbar one."""
        if any(_INTERVENTION.search(w) for w in words):
            return True
        if not any(_OTHER_PART.search(w) or _OTHER_MODALITY.search(w) for w in words):
            return False
        return self._first_protocol(words, is_mr=False) is None

    def _first_protocol(self, words: Iterable[str], *, is_mr: bool) -> ImagingProtocol | None:
        """Return the contrast of the first words that name it, else what the first ones name."""
        first = None
        for word in words:
            protocol = self._protocol(f"MRI {word}" if is_mr and not _MR.search(word) else word)
            if protocol not in {None, ImagingProtocol.UNSPECIFIED}:
                return protocol
            first = first or protocol
        return first

    def _protocol(self, text: str) -> ImagingProtocol | None:
        """Return the protocol of the lumbar MRI that the text names, several regions first."""
        if not _MR.search(text):
            return None
        topic = self.definition
        for set_id, protocol in (
            (topic.multiregion_set, ImagingProtocol.MULTIREGION),
            *topic.contrast_sets,
            (topic.unspecified_set, ImagingProtocol.UNSPECIFIED),
        ):
            if self._says(text, set_id):
                return protocol
        return None

    def _says(self, text: str, set_id: str) -> bool:
        said = self.terminology.in_words(text, set_id)
        return said is not None and said.state is TextState.CURRENT


def _leads_elsewhere(words: str) -> bool:
    """Another region is named before the lumbar spine: "MRI abdomen, lumbar spine incidental"."""
    other, lumbar = _OTHER_PART.search(words), _LUMBAR.search(words)
    return other is not None and (lumbar is None or other.start() < lumbar.start())
