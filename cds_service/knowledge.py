"""A knowledge folder in memory: thresholds, facts, tables, ratings, wording, references.

Frozen types only; `knowledge_loading` builds them and refuses a folder that is not perfectly
well formed. If a rule wants a new operator, add a fact kind in Python (house style §2.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from cds_service.episodes import EpisodeDefinition
from cds_service.fact_kinds import FactKind
from cds_service.orders import ImagingProtocol, OrderDefinition
from cds_service.records import Coding
from cds_service.review_notes import NOT_TOLD, CaseValue, Statement, Transparency, ValueSetNote
from cds_service.rule_tests import ALWAYS, Test, facts_in
from cds_service.terminology import Terminology
from cds_service.value_sets import ValueSets


class Rating(StrEnum):
    """ACR category of the ordered protocol, or why there is none."""

    USUALLY_APPROPRIATE = "usually-appropriate"
    MAY_BE_APPROPRIATE = "may-be-appropriate"
    USUALLY_NOT_APPROPRIATE = "usually-not-appropriate"
    NOT_COVERED = "not-covered"
    INSUFFICIENT_INFORMATION = "insufficient-information"


RATED_PROTOCOLS = (
    ImagingProtocol.WITHOUT,
    ImagingProtocol.WITHOUT_AND_WITH,
    ImagingProtocol.WITH,
)
"""Protocols that a rule rates, in the order in which people list them."""


class Indicator(StrEnum):
    """CDS Hooks card indicator, in rising order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One number of §1, with its unit and where it comes from."""

    key: str
    value: int
    unit: str
    says: str
    source: str
    line: int = 0
    is_read: bool = True
    """Whether a fact reads it; changing one that none reads changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A closed choice that a site may set (`confirm_cards`, `weak_cancer_flags` …)."""

    key: str
    value: str
    choices: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactDefinition:
    """One fact: a sentence, how it is read, and how a clinician may answer it."""

    id: str
    number: str
    """F-number of the decision table."""
    says: str
    """The fact as a statement: "Cauda equina syndrome is suspected or known, recently"."""
    label: str
    """Short words for lists in cards: "cauda equina syndrome"."""
    readings: tuple[FactKind, ...]
    """Combined by `findings.any_of`: each reads the same fact from a different place."""
    answers: Mapping[str, bool]
    """Indication code → value it sets, strength possible, dated today."""
    is_red_flag: bool = False
    is_emergency: bool = False
    """Nothing may delay the order while it is true, on whatever evidence (proof 2)."""
    is_internal: bool = False
    """A part of other facts: never asked, never listed in `missing`."""
    has_card_line: bool = True
    """Whether its evidence is shown; false for facts that merely restate another."""
    implies: Mapping[str, bool] = field(default_factory=dict)
    """Facts that have this value whenever this one is true, at least as strongly; the proofs
    leave out what contradicts it."""
    depends_on: frozenset[str] = field(init=False)
    """Ids of the facts that its readings look at."""

    def __post_init__(self) -> None:
        """Collect once what is asked for in every call."""
        looked_at = frozenset[str]().union(*(reading.depends_on for reading in self.readings))
        object.__setattr__(self, "depends_on", looked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorRule:
    """The indicator of a row in the case that `when` holds; None shows no card."""

    when: Test
    indicator: Indicator | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRule:
    """The ACR variant of a row in the case that `when` holds."""

    when: Test
    variant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionRule:
    """One suggestion that a row offers, if `when` holds."""

    kind: str
    """`A1` … `A8` of the decision table §9."""
    when: Test = ALWAYS
    to: str = ""
    """A2: a value set to order from; A3: the protocol to change to; A6: the priority."""
    choices: tuple[str, ...] = ()
    """A4: indication codes, at most four are offered."""
    is_recommended: bool = False


SUMMARY_LIMIT = 139
"""CDS Hooks: a summary has fewer than 140 characters (R-CARD-02)."""
NOT_REPORTED = "-"
"""Row of a safety rule that only adds a line to the detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of a decision table. Permanent id; the first row that holds wins."""

    id: str
    row: str
    """Contract row (`E1` …); several rules may share one (`G3`, `G3-age`)."""
    says: str
    when: Test
    ratings: Mapping[ImagingProtocol, Rating]
    """By protocol; `unspecified` is rated as `without`. Empty where the row changes no rating."""
    is_provisional: bool
    variants: tuple[VariantRule, ...]
    indicators: tuple[IndicatorRule, ...]
    card: str
    suggestions: tuple[SuggestionRule, ...]
    sources: tuple[str, ...]
    statements: tuple[str, ...]
    """Statements of `sources/statements.csv` that this rule carries out (`S000-13`)."""
    supporting_facts: tuple[str, ...]
    """Facts whose evidence the card gives as the reason, in order."""
    asks_first: tuple[str, ...] = ()
    """Facts that come first in `missing` when they would change the row."""
    is_against: bool = False
    """Advises against the order now: softened by the brakes and by unreadable sources."""
    alternatives: tuple[str, ...] = ()
    """Procedures of `ratings.yaml` to list, in order; empty lists none."""
    is_covered: bool = False
    """Whether D1 (contrast-only) applies."""
    leads: Test | None = None
    """Repeat table: while it holds, this row's message takes the place of the base row's."""

    @property
    def is_reported(self) -> bool:
        """Whether the decision names the row; a rule that only adds a line is not reported."""
        return self.row != NOT_REPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTable:
    """Ordered rules.

    The first that holds decides; the last of the appropriateness table always holds. Of the
    safety table the first that holds decides for each row.
    """

    id: str
    says: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """Softens rows that advise against the order while `when` holds, and asks a question."""

    id: str
    says: str
    when: Test
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One line of the ACR rating table."""

    id: str
    label: str
    radiation: str
    """ACR relative radiation level, `O` or ☢ symbols."""
    ratings: Mapping[int, Rating]
    """By variant number."""
    value_set: str = ""
    """Where a replacement order's code comes from; empty if it is never suggested."""
    confidence: Mapping[int, str]
    """By variant: `high` or `medium` (by omission from the patient summary)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A cited source."""

    id: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLine:
    """A paragraph of the detail, shown while `when` holds."""

    text: str
    when: Test = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """Wording of one card; placeholders in braces are filled by `cards/values.py`."""

    id: str
    summary: str
    verdict: str
    """One or two sentences that say what the guideline says; starts the detail."""
    lines: tuple[CardLine, ...] = ()
    """Further paragraphs of the detail: evidence, advice, caveats."""
    asks: str = ""
    """The question put to the clinician, where there is one."""
    summary_softened: str = ""
    """Summary under a brake, where the plain one would be too hard."""
    summary_contrast_only: str = ""
    """Summary when D1 stands beside the row and the row's own message must stay."""
    statements: tuple[str, ...] = ()
    """Statements of `sources/statements.csv` that this wording uses (`S002-07`)."""
    label: str = ""
    """Of a safety card: names it in the summary of another one that leads."""
    summary_when: tuple[CardLine, ...] = ()
    """Summaries for special cases, tried before `summary`; the first that holds is used."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text of the card."""
        lines = (line.text for line in (*self.lines, *self.summary_when))
        special = (self.summary_softened, self.summary_contrast_only, self.label)
        return (self.summary, *special, self.verdict, self.asks, *lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An indication code that A4 writes."""

    code: str
    display: str
    label: str
    """Text of the suggestion's button."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Everything in `cards.yaml`."""

    cards: Mapping[str, CardText]
    choices: Mapping[str, Choice]
    override_reasons: tuple[tuple[str, str], ...]
    suggestion_labels: Mapping[str, str]
    """By kind and target, with placeholders (`A3.without`: "Change to MRI without contrast")."""
    phrases: Mapping[str, str]
    """Section headings and fixed sentences of the detail."""
    source_label: str
    source_url: str
    suggested_codes: Mapping[str, tuple[Coding, ...]] = field(default_factory=dict)
    """By value set id, `referral` or `referral-reason`: the one code of each system that a
    suggestion may write. A value set alone would also offer, say, CT with contrast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDescription:
    """One discovery entry."""

    id: str
    hook: str
    title: str
    description: str
    usage_requirements: str
    prefetch: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who signed this folder, and what exactly."""

    state: str
    by: str = ""
    on: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the tables must answer to a case."""

    rule: str
    rating: Rating
    indicator: Indicator | None
    variant: int | None = None
    is_provisional: bool = False
    repeat_rule: str = ""
    """Id of the rule of the repeat table; empty if none holds."""
    protocol_rule: str = ""
    """Id of the protocol rule; empty if none holds."""
    safety_rules: tuple[str, ...] = ()
    """Ids of the safety rules that hold, in the order of the table."""
    safety_indicator: Indicator | None = None
    """Of the safety card; None if there is none."""
    leading: str = ""
    """Row or overlay that chose the summary; empty is not checked."""
    brakes: tuple[str, ...] = ()
    missing_first: tuple[str, ...] = ()
    """The first facts asked for; empty is not checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A situation in words and facts, and the answer that the committee wants."""

    id: str
    says: str
    today: date
    order: Mapping[str, str]
    """Attributes of the order that differ from a plain routine MRI without contrast."""
    facts: Mapping[str, CaseValue]
    options: Mapping[str, str]
    unreadable: tuple[str, ...]
    """FHIR types that could not be read."""
    expect: Expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """A loaded knowledge folder."""

    id: str
    version: str
    digest: str
    """`sha256:` over all files of the folder but the approval, CHANGELOG and REVIEW pages."""
    title: str
    approval: Approval
    services: tuple[ServiceDescription, ...]
    required_sources: tuple[str, ...]
    """Prefetch keys of which at least one must be had, else 412."""
    prefetch_types: Mapping[str, str]
    """Prefetch key → FHIR resource type it supplies."""
    thresholds: Mapping[str, Threshold]
    options: Mapping[str, Option]
    value_sets: ValueSets
    order: OrderDefinition
    episode: EpisodeDefinition
    facts: tuple[FactDefinition, ...]
    """In order: a fact may look only at facts before it."""
    appropriateness: DecisionTable
    repeat: DecisionTable
    """Repeat imaging: laid over the base row."""
    protocol: DecisionTable
    safety: DecisionTable
    variants: Mapping[int, str]
    """ACR variant number → its scope in words."""
    brakes: tuple[Brake, ...]
    procedures: tuple[Procedure, ...]
    references: Mapping[str, Reference]
    wording: Wording
    owner: str = ""
    statements: tuple[Statement, ...] = ()
    value_set_notes: tuple[ValueSetNote, ...] = ()
    cases: tuple[Case, ...] = ()
    transparency: Transparency = NOT_TOLD

    terminology: Terminology = field(init=False, repr=False, compare=False)
    """Recognises by `value_sets`; take `for_call()` for each call."""

    facts_of_base: frozenset[str] = field(init=False, repr=False, compare=False)
    """Facts that the base rows ask about, and all facts that those look at."""

    def __post_init__(self) -> None:
        """Index the value sets and the base rows once, at load."""
        object.__setattr__(self, "terminology", Terminology(self.value_sets))
        wanted = {fact for rule in self.appropriateness.rules for fact in facts_in(rule.when)}
        for fact in reversed(self.facts):
            if fact.id in wanted:
                wanted |= fact.depends_on
        object.__setattr__(self, "facts_of_base", frozenset(wanted))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all tables."""
        tables = (self.appropriateness, self.repeat, self.protocol, self.safety)
        return tuple(rule for table in tables for rule in table.rules)

    def fact(self, fact_id: str) -> FactDefinition:
        """Return the definition of a fact that the loader has checked to exist."""
        return next(f for f in self.facts if f.id == fact_id)
