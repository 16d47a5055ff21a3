"""Suggestions A1–A7: valid actions, the EHR's draft left as it was, no suggestion twice."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from bundled import knowledge
from decided import (
    BACK_PAIN,
    CARE_UNDER_WAY,
    DRAFT,
    FINDINGS,
    HOOK_INSTANCE,
    SHORT_PAIN,
    decided,
    found,
    order_of,
)
from fhir.resources.R4B.servicerequest import ServiceRequest

from cds_service.cards.suggestions import suggestions_for
from cds_service.decision import Decision
from cds_service.findings import Finding, Strength
from cds_service.knowledge import Knowledge, SuggestionRule
from cds_service.order_reading import read_orders
from cds_service.orders import DraftOrder, ImagingProtocol, Priority
from cds_service.records import Chart

_CPT = "http://www.ama-assn.org/go/cpt"
_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_INDICATION = "https://lumbar-mri-cds.example/fhir/CodeSystem/indication"


def offered(
    findings: Mapping[str, Finding],
    *,
    draft: Mapping[str, object] = DRAFT,
    other_drafts: tuple[Mapping[str, object], ...] = (),
    order: DraftOrder | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the suggestions by label; the draft is read as the service does."""
    order = order or read(draft)
    return by_label(*decided(findings, order=order), other_drafts)


def by_label(
    site: Knowledge, decision: Decision, other_drafts: tuple[Mapping[str, object], ...] = ()
) -> dict[str, dict[str, Any]]:
    """Return the suggestions of a decision by label."""
    made = suggestions_for(site, decision, hook_instance=HOOK_INSTANCE, other_drafts=other_drafts)
    return {str(suggestion["label"]): suggestion for suggestion in made}


def read(draft: Mapping[str, object]) -> DraftOrder:
    """Read a draft as the service does."""
    site = knowledge()
    (order,) = read_orders(
        [draft],
        patient_id="p1",
        definition=site.order,
        terminology=site.terminology.for_call(),
    )
    return order


def written(suggestion: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource that a suggestion writes."""
    (action,) = suggestion["actions"]
    resource: dict[str, Any] = action["resource"]
    return resource


def changed(resource: Mapping[str, object], draft: Mapping[str, object] = DRAFT) -> set[str]:
    """Return the elements in which a resource differs from the draft."""
    return {
        name
        for name in {*resource, *draft}
        if (name in resource, resource.get(name)) != (name in draft, draft.get(name))
    }


def coded(*codings: tuple[str, str], **elements: object) -> dict[str, object]:
    """Return the draft with other codings."""
    code = {"coding": [{"system": system, "code": code} for system, code in codings]}
    return {**DRAFT, "code": code, **elements}


@pytest.mark.parametrize("row", list(FINDINGS))
@pytest.mark.parametrize("protocol", [ImagingProtocol.WITHOUT, ImagingProtocol.WITH])
def test_every_suggestion_is_a_valid_action(row: str, protocol: ImagingProtocol) -> None:
    """R-SUG-01 to -05, R-ACT-01 to -07, R-ACT-10."""
    order = replace(order_of(DRAFT, protocol), contrast_only_by_code=True)
    made = offered(FINDINGS[row], order=order)

    assert sum(s.get("isRecommended", False) for s in made.values()) <= 1
    assert all(s["label"] and s["uuid"] for s in made.values())
    for suggestion in made.values():
        (action,) = suggestion["actions"]
        assert action["description"]
        match action["type"]:
            case "delete":
                assert "ServiceRequest/draft-1" == action["resourceId"]
                assert "resource" not in action
            case "update":
                assert DRAFT["id"] == action["resource"]["id"]
                assert set(DRAFT) <= set(action["resource"])
            case kind:
                assert "create" == kind
                assert DRAFT["subject"] == action["resource"]["subject"]
                assert "draft" == action["resource"]["status"]


def test_the_draft_stays_as_the_ehr_sent_it_but_for_our_element() -> None:
    """R-ACT-04: vendor elements that the R4B model refuses stay, in order."""
    draft = {**DRAFT, "vendorThing": {"empty": ""}, "note": [{"text": "please"}]}
    before = deepcopy(draft)
    resource = written(offered(FINDINGS["E1"], draft=draft)["Set priority STAT"])

    assert {"priority"} == changed(resource, draft)
    assert [*draft, "priority"] == list(resource)
    assert before == draft


def test_cancel_deletes_the_draft_and_is_never_recommended() -> None:
    """R-ACT-05."""
    suggestion = offered(SHORT_PAIN)["Cancel this MRI"]
    (action,) = suggestion["actions"]

    assert "isRecommended" not in suggestion
    assert {"type", "description", "resourceId"} == set(action)


def test_softened_row_does_not_offer_to_cancel() -> None:
    soft = by_label(*decided(SHORT_PAIN, unreadable={"Observation": "503"}))

    assert "Cancel this MRI" not in soft


@pytest.mark.parametrize("row", ["E1", "E2", "R1"])
def test_emergency_has_nothing_to_cancel_defer_or_replace(row: str) -> None:
    kinds = {suggestion["actions"][0]["type"] for suggestion in offered(FINDINGS[row]).values()}

    assert {"update"} == kinds
    assert all(
        "Replace" not in label and "Reassess" not in label for label in offered(FINDINGS[row])
    )


def test_draft_without_an_id_can_be_neither_updated_nor_deleted() -> None:
    draft = {name: value for name, value in DRAFT.items() if name != "id"}
    kinds = [s["actions"][0]["type"] for s in offered(CARE_UNDER_WAY, draft=draft).values()]

    assert ["create"] == kinds


@pytest.mark.parametrize(
    ("codings", "system", "code"),
    [
        pytest.param([(_CPT, "72148")], _CPT, "72100", id="cpt"),
        pytest.param([(_LOINC, "30679-5")], _LOINC, "24972-2", id="loinc"),
        pytest.param([(_SNOMED, "394451000119106")], _SNOMED, "840361000", id="snomed"),
        pytest.param(
            [("urn:oid:2.16.840.1.113883.6.12", "72148")],
            "urn:oid:2.16.840.1.113883.6.12",
            "72100",
            id="the-spelling-of-the-ehr",
        ),
    ],
)
def test_replacement_is_coded_in_the_system_of_the_order(
    codings: list[tuple[str, str]], system: str, code: str
) -> None:
    draft = coded(*codings)
    resource = written(offered(FINDINGS["R6"], draft=draft)["Replace by lumbar X-ray"])

    assert {"code"} == changed(resource, draft)
    assert [(system, code)] == [(c["system"], c["code"]) for c in resource["code"]["coding"]]
    assert "X-ray lumbar spine, 2 or 3 views" == resource["code"]["text"]


def test_replaced_order_keeps_no_local_code_and_says_so() -> None:
    """A local code would still order the old exam."""
    draft = coded(("urn:oid:1.2.840.114350.1.13.0.1.7.2.696580", "IMG123"), (_CPT, "72148"))
    suggestion = offered(FINDINGS["R6"], draft=draft)["Replace by lumbar X-ray"]

    assert ["72100"] == [c["code"] for c in written(suggestion)["code"]["coding"]]
    assert "Other codes of the order are removed" in suggestion["actions"][0]["description"]


def test_order_with_a_local_code_alone_gets_a_standard_one() -> None:
    draft = {
        **DRAFT,
        "code": {
            "coding": [{"system": "urn:x", "code": "L1"}],
            "text": "MRI lumbar spine wo contrast",
        },
    }
    resource = written(offered(FINDINGS["R6"], draft=draft)["Replace by lumbar X-ray"])

    assert ["72100"] == [c["code"] for c in resource["code"]["coding"]]


def test_text_only_order_stays_text_only() -> None:
    draft = {**DRAFT, "code": {"text": "MRI lumbar spine wo contrast"}}
    resource = written(offered(FINDINGS["R6"], draft=draft)["Replace by lumbar X-ray"])

    assert {"text": "X-ray lumbar spine, 2 or 3 views"} == resource["code"]


def test_x_ray_of_the_sacroiliac_joints_is_meant_by_sacroiliac_imaging() -> None:
    resource = written(offered(FINDINGS["S6"])["Replace by sacroiliac X-ray"])

    assert ["783627007"] == [c["code"] for c in resource["code"]["coding"]]


def test_first_line_ct_is_without_contrast() -> None:
    resource = written(offered(FINDINGS["R5"])["Replace by CT without contrast"])

    assert ["72131"] == [c["code"] for c in resource["code"]["coding"]]


@pytest.mark.parametrize("row", ["R5", "R6", "R6s", "P1", "S6"])
def test_pregnancy_takes_away_every_study_with_radiation(row: str) -> None:
    made = offered({**FINDINGS[row], "pregnant": found(strength=Strength.POSSIBLE)})

    assert not [label for label in made if label.startswith("Replace")]


def test_every_code_that_is_written_is_in_its_value_set() -> None:
    sets = knowledge().value_sets
    for target, codings in knowledge().wording.suggested_codes.items():
        set_id = {"referral": "conservative-therapy-referrals", "referral-reason": "low-back-pain"}
        for coding in codings:
            assert set_id.get(target, target) in sets.sets_of(coding.system, coding.code)


def test_contrast_elsewhere_in_the_order_is_pointed_out_and_outweighed_by_a_code() -> None:
    draft = {
        **DRAFT,
        "code": {"text": "MRI lumbar spine"},
        "orderDetail": [{"text": "with contrast only"}],
    }
    site, decision = decided(FINDINGS["S1"], order=order_of(draft, ImagingProtocol.WITH))
    suggestion = by_label(site, decision)["Change to MRI without contrast"]

    assert "still mention contrast" in suggestion["actions"][0]["description"]
    assert ImagingProtocol.WITHOUT == read(written(suggestion)).protocol


@pytest.mark.parametrize(
    ("row", "codings", "label", "protocol"),
    [
        pytest.param("S1", [(_CPT, "72158")], "Change to MRI without contrast", "without", id="D2"),
        pytest.param("S1", [(_CPT, "72149")], "Change to MRI without contrast", "without", id="D1"),
        pytest.param(
            "R2",
            [(_LOINC, "30678-7")],
            "Change to MRI without and with contrast",
            "without-and-with",
            id="D1-loinc",
        ),
        pytest.param(
            "P1",
            [(_SNOMED, "394451000119106")],
            "Change to MRI without and with contrast",
            "without-and-with",
            id="D3-no-snomed-code-of-it",
        ),
    ],
)
def test_changed_contrast_is_read_back_and_not_offered_again(
    row: str, codings: list[tuple[str, str]], label: str, protocol: str
) -> None:
    draft = coded(*codings)
    resource = written(offered(FINDINGS[row], draft=draft)[label])

    assert {"code"} == changed(resource, draft)
    assert protocol == read(resource).protocol
    assert label not in offered(FINDINGS[row], draft=resource)


def test_choice_adds_one_readable_reason_and_is_not_offered_again() -> None:
    label = "Add: suspected cauda equina syndrome"
    resource = written(offered(SHORT_PAIN)[label])

    assert {"reasonCode"} == changed(resource)
    assert [
        {"text": "low back pain"},
        {
            "coding": [
                {
                    "system": _INDICATION,
                    "code": "suspected-cauda-equina",
                    "display": "Suspected cauda equina syndrome",
                }
            ],
            "text": "Suspected cauda equina syndrome",
        },
    ] == resource["reasonCode"]
    assert {"suspected-cauda-equina"} == read(resource).indications
    assert label not in offered(SHORT_PAIN, draft=resource)


def test_order_without_a_reason_gets_one() -> None:
    draft = {name: value for name, value in DRAFT.items() if name != "reasonCode"}
    resource = written(offered(FINDINGS["G3"], draft=draft)["Add: low back pain"])

    assert ["Low back pain"] == [reason["text"] for reason in resource["reasonCode"]]


def test_at_most_four_choices_and_the_decisive_ones_first() -> None:
    site, decision = decided({**CARE_UNDER_WAY, "radiculopathy": found()})
    made = by_label(site, replace(decision, missing=("procedure_candidate", "spinal_infection")))
    choices = [label for label in made if label.startswith("Add: ")]

    assert 4 == len(choices)
    assert [
        "Add: surgery or injection is planned or an option",
        "Add: suspected spinal infection",
    ] == choices[:2]


def test_choice_that_would_change_nothing_is_not_offered() -> None:
    assert "Add: low back pain with radicular leg pain" in offered(FINDINGS["G3"])
    assert "Add: no cord signs" not in offered(FINDINGS["E3"])
    weak = Finding(value=True, strength=Strength.POSSIBLE)
    assert "Add: no cord signs" in offered({**FINDINGS["E3"], "cord_signs": weak})
    assert "Add: low back pain with radicular leg pain" not in offered(
        {**FINDINGS["S3x"], "radiculopathy": found()}
    )


def test_every_answer_has_a_fact_that_hears_it() -> None:
    site = knowledge()

    assert {code for fact in site.facts for code in fact.answers} == set(site.wording.choices)


def test_referral_is_a_valid_draft_for_the_same_patient() -> None:
    resource = written(offered(SHORT_PAIN)["Start non-drug care: physical therapy"])

    assert ServiceRequest.model_validate(resource).model_dump(mode="json") == resource
    assert "308447003" == resource["code"]["coding"][0]["code"]
    assert "proposal" == resource["intent"]
    assert DRAFT["encounter"] == resource["encounter"]
    assert {"reference": "Practitioner/d1"} == resource["requester"]


def test_referral_in_the_basket_is_not_offered_again() -> None:
    label = "Start non-drug care: physical therapy"
    referral = written(offered(SHORT_PAIN)[label])
    by_text = {**referral, "code": {"text": "Referral to physical therapy"}}

    assert label not in offered(SHORT_PAIN, other_drafts=(referral,))
    assert label not in offered(SHORT_PAIN, other_drafts=(by_text,))
    assert label in offered(SHORT_PAIN, other_drafts=({**DRAFT, "id": "other"},))


def test_referral_for_an_order_that_names_no_patient_is_for_the_patient_in_context() -> None:
    draft = {name: value for name, value in DRAFT.items() if name not in ("subject", "encounter")}
    resource = written(offered(SHORT_PAIN, draft=draft)["Start non-drug care: physical therapy"])

    assert {"reference": "Patient/p1"} == resource["subject"]
    assert "encounter" not in resource


@pytest.mark.parametrize(
    ("row", "priority", "label", "is_recommended"),
    [
        ("E1", "routine", "Set priority STAT", True),
        ("E1", "urgent", "Set priority STAT", False),
        ("E1", "asap", "Set priority STAT", False),
        ("E2", "routine", "Set priority urgent", True),
        ("R1", "routine", "Set priority urgent", False),
    ],
)
def test_priority_is_raised_once(
    row: str, priority: str, label: str, *, is_recommended: bool
) -> None:
    draft = {**DRAFT, "priority": priority, "_priority": {"extension": []}}
    suggestion = offered(FINDINGS[row], draft=draft)[label]
    resource = written(suggestion)

    assert is_recommended == suggestion.get("isRecommended", False)
    assert {"priority", "_priority"} == changed(resource, draft)
    assert label not in offered(FINDINGS[row], draft=resource)


def test_priority_is_never_lowered() -> None:
    assert "Set priority urgent" not in offered(
        FINDINGS["E2"], order=replace(order_of(DRAFT), priority=Priority.STAT)
    )


def test_reassessment_dates_the_order_when_six_weeks_are_reached() -> None:
    draft = {**DRAFT, "occurrencePeriod": {"start": "2026-03-18"}}
    label = "Reassess on 2026-03-17: date this MRI then"
    early = {**DRAFT, "occurrencePeriod": {"start": "2026-03-16"}}
    resource = written(offered(CARE_UNDER_WAY, draft=early)[label])

    assert "2026-03-17" == resource["occurrenceDateTime"]
    assert "occurrencePeriod" not in resource
    assert label not in offered(CARE_UNDER_WAY, draft=resource)
    assert label not in offered(CARE_UNDER_WAY, draft=draft)


@pytest.mark.parametrize(
    "occurrence",
    [
        {"occurrenceDateTime": "2026-03-17T08:00:00+01:00"},
        {"occurrenceDateTime": "2026-04"},
        {"occurrenceTiming": {"event": ["2026-05-01"]}},
    ],
)
def test_order_dated_late_enough_needs_no_reassessment(occurrence: dict[str, object]) -> None:
    made = offered(CARE_UNDER_WAY, draft={**DRAFT, **occurrence})

    assert not [label for label in made if label.startswith("Reassess")]


def test_care_without_a_date_gives_no_date_for_reassessment() -> None:
    undated = {
        **CARE_UNDER_WAY,
        "care_in_progress": found(),
        "episode_duration": found(value=False),
    }

    assert not [label for label in offered(undated) if label.startswith("Reassess")]


def test_every_change_names_its_draft_where_the_basket_holds_other_orders() -> None:
    site, decision = decided(CARE_UNDER_WAY)
    beside = by_label(site, decision, ({**DRAFT, "id": "draft-2"},))
    with_drug = by_label(site, decision, ({"resourceType": "MedicationRequest"},))
    named = "MRI lumbar spine without contrast (ServiceRequest/draft-1)"

    assert {True} == {
        action["description"].endswith(named)
        for s in beside.values()
        for action in s["actions"]
        if action["type"] != "create"
    }
    assert not [s for s in with_drug.values() if named in s["actions"][0]["description"]]


def test_requester_inside_the_draft_is_left_out_of_the_referral() -> None:
    draft = {
        **DRAFT,
        "requester": {"reference": "#doctor"},
        "encounter": {"reference": "https://ehr.example/fhir/Encounter/e1/_history/2"},
    }
    resource = written(offered(SHORT_PAIN, draft=draft)["Start non-drug care: physical therapy"])

    assert "requester" not in resource
    assert {"reference": "Encounter/e1"} == resource["encounter"]


def test_referral_needs_a_patient() -> None:
    draft = {name: value for name, value in DRAFT.items() if name != "subject"}
    site, decision = decided(SHORT_PAIN, order=order_of(draft))
    context = replace(decision.picture.context, chart=Chart())
    nobody = replace(decision, picture=replace(decision.picture, context=context))

    assert "Start non-drug care: physical therapy" not in by_label(site, nobody)


def test_what_the_model_refuses_of_ours_costs_only_its_own_suggestion() -> None:
    site, decision = decided(CARE_UNDER_WAY)
    broken = replace(
        site.wording,
        choices={c: replace(x, display="") for c, x in site.wording.choices.items()},
        suggestion_labels={**site.wording.suggestion_labels, "A5.order": ""},
    )
    made = by_label(replace(site, wording=broken), decision)

    assert ["Reassess on 2026-03-17: date this MRI then", "Cancel this MRI"] == list(made)


def test_a8_has_no_action_so_it_is_no_suggestion() -> None:
    site, decision = decided(FINDINGS["S4c"])
    rule = replace(decision.rule, suggestions=(SuggestionRule(kind="A8"),))

    assert {} == by_label(site, replace(decision, verdict=replace(decision.verdict, rule=rule)))


def test_guards_hold_even_where_a_table_forgets_them() -> None:
    """Design, proofs 2 and 6: a site may edit the table."""
    order = replace(order_of(DRAFT), priority=Priority.STAT)
    site, decision = decided({**FINDINGS["R6"], "pregnant": found()}, order=order)
    careless = (
        SuggestionRule(kind="A2", to="lumbar-radiograph"),
        SuggestionRule(kind="A6", to="urgent"),
    )
    rule = replace(decision.rule, suggestions=careless)

    assert {} == by_label(site, replace(decision, verdict=replace(decision.verdict, rule=rule)))


def test_draft_of_r5_shape_is_not_recoded() -> None:
    draft = {**DRAFT, "code": {"concept": {"text": "MRI lumbar spine without contrast"}}}
    site, decision = decided(FINDINGS["R6"], order=order_of(draft))

    assert {} == by_label(site, decision)


def test_contrast_that_is_right_already_is_not_changed() -> None:
    site, decision = decided(FINDINGS["S1"])
    rule = replace(
        decision.rule, suggestions=(SuggestionRule(kind="A3", to="without", is_recommended=True),)
    )

    assert {} == by_label(site, replace(decision, verdict=replace(decision.verdict, rule=rule)))


@pytest.mark.parametrize(
    "elements",
    [
        {"code": {"concept": {"text": "MRI lumbar spine without contrast"}}},
        {"reasonCode": {"text": "low back pain"}},
        {"orderDetail": "with contrast", "note": None, "occurrenceTiming": [1]},
        {"subject": "Patient/p1", "encounter": ["x"], "requester": None},
    ],
    ids=["r5-code", "reason-is-no-list", "details-are-no-list", "references-are-no-objects"],
)
def test_draft_of_another_shape_costs_at_most_its_own_suggestion(
    elements: dict[str, object],
) -> None:
    made = by_label(*decided(SHORT_PAIN, draft={**DRAFT, **elements}))

    assert "Cancel this MRI" in made


def test_only_one_suggestion_is_recommended_and_it_comes_first() -> None:
    """R-SUG-03."""
    made = offered(FINDINGS["E1"], draft=coded((_CPT, "72149")))

    assert ["Set priority STAT", "Change to MRI without and with contrast"] == list(made)
    assert [True, False] == [s.get("isRecommended", False) for s in made.values()]


def test_background_fact_is_no_choice() -> None:
    assert not [label for label in offered({**BACK_PAIN, **FINDINGS["S1"]}) if "Add:" in label]
