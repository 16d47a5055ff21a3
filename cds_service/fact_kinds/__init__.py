"""The closed set of ways in which a fact is read; `facts.yaml` names them with parameters.

Each kind is a frozen dataclass whose fields are its parameters. A new kind of question needs
a new class here; a new fact made of existing kinds needs no Python.
"""

from collections.abc import Mapping

from cds_service.fact_kinds.alarming_words import WordsInBasket, WordsOfPriorReport, WordsOnRecord
from cds_service.fact_kinds.allergies import ContrastReaction
from cds_service.fact_kinds.care import ConservativeCare
from cds_service.fact_kinds.change import (
    ChangeWords,
    NewConditionSincePrior,
    PriorNotEnough,
    ProcedureSincePrior,
    SincePrior,
)
from cds_service.fact_kinds.combined import (
    AllFacts,
    AnyFact,
    Denied,
    EpisodeAtLeast,
    EpisodeShorterThan,
    PlannedAfter,
    SourceUnread,
    UnexplainedBy,
)
from cds_service.fact_kinds.conditions import ConditionOnRecord
from cds_service.fact_kinds.demographics import (
    AgeAtLeast,
    AgeKnown,
    CannotBePregnant,
    PregnancyObserved,
)
from cds_service.fact_kinds.implants import ImplantOnRecord, ImplantStatus
from cds_service.fact_kinds.inflammation import InflammatoryPattern
from cds_service.fact_kinds.kidney import KidneyDisease, LowFiltration, UnclearFiltration
from cds_service.fact_kinds.measurements import (
    AbnormalMarkers,
    Measured,
    ObservedFinding,
    WeightFall,
)
from cds_service.fact_kinds.motor import MotorExam, MotorWords, StraightLegRaise
from cds_service.fact_kinds.observed_signs import ObservedSign
from cds_service.fact_kinds.order_reasons import (
    CodeNamed,
    Indication,
    OrderReason,
    OtherIndication,
    ReasonElsewhere,
    StatedPainScore,
)
from cds_service.fact_kinds.prior_imaging import (
    OrderInBasket,
    OrderInFlight,
    PriorExamOnRecord,
    PriorExamWithin,
    PriorExamWithoutContrast,
)
from cds_service.fact_kinds.reading import FactKind, ReadingContext
from cds_service.fact_kinds.sphincter import SphincterSigns
from cds_service.fact_kinds.surgery import SymptomsAfterSurgery
from cds_service.fact_kinds.treatments import (
    CandidateStatement,
    MedicationDays,
    MedicationOnRecord,
    ProcedureDone,
    ProcedurePlanned,
)

__all__ = ["FACT_KINDS", "FactKind", "ReadingContext"]

FACT_KINDS: Mapping[str, type[FactKind]] = {
    "abnormal_markers": AbnormalMarkers,
    "age_at_least": AgeAtLeast,
    "age_known": AgeKnown,
    "all_facts": AllFacts,
    "any_fact": AnyFact,
    "candidate_statement": CandidateStatement,
    "cannot_be_pregnant": CannotBePregnant,
    "change_words": ChangeWords,
    "code_named": CodeNamed,
    "condition": ConditionOnRecord,
    "conservative_care": ConservativeCare,
    "contrast_reaction": ContrastReaction,
    "denied": Denied,
    "episode_at_least": EpisodeAtLeast,
    "episode_shorter_than": EpisodeShorterThan,
    "implant_on_record": ImplantOnRecord,
    "implant_status": ImplantStatus,
    "indication": Indication,
    "inflammatory_pattern": InflammatoryPattern,
    "kidney_disease": KidneyDisease,
    "low_filtration": LowFiltration,
    "measured": Measured,
    "medication": MedicationOnRecord,
    "medication_days": MedicationDays,
    "motor_exam": MotorExam,
    "motor_words": MotorWords,
    "new_since_prior": NewConditionSincePrior,
    "observed_finding": ObservedFinding,
    "observed_sign": ObservedSign,
    "order_in_basket": OrderInBasket,
    "order_in_flight": OrderInFlight,
    "order_reason": OrderReason,
    "other_indication": OtherIndication,
    "planned_after": PlannedAfter,
    "pregnancy_observed": PregnancyObserved,
    "prior_exam": PriorExamOnRecord,
    "prior_exam_within": PriorExamWithin,
    "prior_exam_without_contrast": PriorExamWithoutContrast,
    "prior_not_enough": PriorNotEnough,
    "procedure_done": ProcedureDone,
    "procedure_planned": ProcedurePlanned,
    "procedure_since_prior": ProcedureSincePrior,
    "reason_elsewhere": ReasonElsewhere,
    "sphincter_signs": SphincterSigns,
    "source_unread": SourceUnread,
    "stated_pain_score": StatedPainScore,
    "straight_leg_raise": StraightLegRaise,
    "symptoms_after_surgery": SymptomsAfterSurgery,
    "unclear_filtration": UnclearFiltration,
    "unexplained_by": UnexplainedBy,
    "weight_fall": WeightFall,
    "since_prior": SincePrior,
    "words_in_basket": WordsInBasket,
    "words_of_prior_report": WordsOfPriorReport,
    "words_on_record": WordsOnRecord,
}
