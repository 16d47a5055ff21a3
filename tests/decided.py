"""Decisions for tests of wording: findings are given by hand, the tables decide."""

from collections.abc import Mapping
from dataclasses import replace

from bundled import knowledge
from charts import TODAY, day

from cds_service.clinical_picture import ClinicalPicture
from cds_service.decision import Decision, decide
from cds_service.episodes import Episode
from cds_service.fact_kinds import ReadingContext
from cds_service.fhir_dates import DateInterval
from cds_service.findings import UNKNOWN, Evidence, Finding, Strength
from cds_service.knowledge import Knowledge
from cds_service.orders import DraftOrder, ImagingProtocol
from cds_service.records import Chart, Patient

HOOK_INSTANCE = "8a5f1c2e-0d3b-4c7e-9f60-1b2c3d4e5f60"
DRAFT: dict[str, object] = {
    "resourceType": "ServiceRequest",
    "id": "draft-1",
    "meta": {"profile": ["https://ehr.example/StructureDefinition/order"]},
    "extension": [{"url": "https://ehr.example/queue", "valueString": ""}],
    "status": "draft",
    "intent": "order",
    "code": {
        "coding": [
            {"system": "http://www.ama-assn.org/go/cpt", "code": "72148", "display": "MRI L-SPINE"}
        ],
        "text": "MRI lumbar spine without contrast",
    },
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "Encounter/e1"},
    "requester": {"reference": "Practitioner/d1", "display": "Dr. A"},
    "reasonCode": [{"text": "low back pain"}],
}


def found(
    text: str = "On record",
    *,
    value: bool = True,
    strength: Strength = Strength.STRONG,
    when: DateInterval | None = None,
    resources: tuple[str, ...] = ("Condition/c1",),
) -> Finding:
    """Return a finding with one piece of evidence."""
    evidence = Evidence(text=text, when=when, resources=resources)
    return Finding(value=value, strength=strength, evidence=(evidence,), when=when)


BACK_PAIN = {"age": found("Age 45", resources=("Patient/p1",)), "low_back_indication": found()}
CARE_UNDER_WAY = {
    **BACK_PAIN,
    "conservative_care": found("Care began lately", value=False),
    "care_in_progress": found(
        "Physical therapy, given 2026-02-03",
        when=day("2026-02-03", "performedDateTime"),
        resources=("Procedure/t1",),
    ),
    "episode_duration": found(
        "Low back pain since 2026-01-20 (55 days)", value=False, when=day("2026-01-20")
    ),
}
SHORT_PAIN = {
    **BACK_PAIN,
    "conservative_care": found("Pain is too short", value=False),
    "episode_duration": found("Low back pain since 2026-03-06 (10 days)", when=day("2026-03-06")),
    "episode_acute": found(),
}
FINDINGS: Mapping[str, Mapping[str, Finding]] = {
    "G1": {"pediatric": found(), "cauda_equina": found()},
    "E1": {**BACK_PAIN, "cauda_equina": found("Saddle numbness, recorded 2026-03-15")},
    "E2": {**BACK_PAIN, "motor_deficit": found("Foot drop, onset 2026-03-10")},
    "E3": {"age": found(), "cord_signs": found()},
    "G3-age": {},
    "G3": {"age": found()},
    "R1": {**BACK_PAIN, "spinal_infection": found("Discitis, recorded 2026-03-10")},
    "R2": {**BACK_PAIN, "active_cancer": found("Breast cancer, recorded 2025-11-02")},
    "R3": {**BACK_PAIN, "cancer_history": found("History of breast cancer")},
    "R4": {**BACK_PAIN, "weight_loss": found("Weight loss, recorded 2026-02-02")},
    "R5": {**BACK_PAIN, "high_energy_trauma": found("Car collision")},
    "R6": {**BACK_PAIN, "recent_fracture": found("Fracture of L1")},
    "P1": {
        **BACK_PAIN,
        "prior_lumbar_surgery": found("Discectomy, done 2024-05-05"),
        "symptoms_after_surgery": found("New leg pain"),
    },
    "P2": {**BACK_PAIN, "prior_lumbar_surgery": found("Discectomy, done 2024-05-05")},
    "S1": {**BACK_PAIN, "conservative_care": found(), "procedure_candidate": found()},
    "R6s": {**BACK_PAIN, "osteoporosis": found("Osteoporosis, recorded 2019")},
    "S6": {**BACK_PAIN, "axial_spondyloarthritis": found()},
    "S2": {**BACK_PAIN, "conservative_care": found()},
    "S2n": {
        **BACK_PAIN,
        "conservative_care": found(),
        "procedure_candidate": found("Not a surgical candidate", value=False),
    },
    "S3x": {
        **BACK_PAIN,
        "severe_radicular_pain": found(),
        "procedure_candidate": found(),
        "care_one_week": found(),
    },
    "S3": CARE_UNDER_WAY,
    "S4a": SHORT_PAIN,
    "S4b": {**BACK_PAIN, "episode_duration": found("Low back pain since 2025", value=False)},
    "S4c": BACK_PAIN,
}
"""Findings that lead to each rule with a card of its own."""


def decided(
    findings: Mapping[str, Finding],
    *,
    draft: Mapping[str, object] = DRAFT,
    order: DraftOrder | None = None,
    unreadable: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> tuple[Knowledge, Decision]:
    """Return the knowledge, with other options if given, and what it decides."""
    site = with_options(options or {})
    order = order or order_of(draft)
    known = {fact.id: findings.get(fact.id, UNKNOWN) for fact in site.facts}
    episode = Episode()
    context = ReadingContext(
        chart=Chart(patient=Patient(ref="Patient/p1")),
        order=order,
        today=TODAY,
        terminology=site.terminology.for_call(),
        episode=episode,
        findings=known,
        exam_name=site.order.exam_name,
    )
    picture = ClinicalPicture(
        facts=site.facts,
        findings=known,
        context=context,
        today=TODAY,
        episode=episode,
        unreadable=unreadable or {},
    )
    return site, decide(site, order, picture)


def order_of(
    draft: Mapping[str, object], protocol: ImagingProtocol = ImagingProtocol.WITHOUT
) -> DraftOrder:
    """Return an order of a draft."""
    kind, logical_id = draft.get("resourceType"), draft.get("id", "?")
    return DraftOrder(ref=f"{kind}/{logical_id}", resource=draft, protocol=protocol)


def with_options(options: Mapping[str, str]) -> Knowledge:
    """Return the knowledge as a site with these options has it."""
    changed = {
        key: replace(option, value=options.get(key, option.value))
        for key, option in knowledge().options.items()
    }
    return replace(knowledge(), options=changed)
