"""Cards: what a clinician reads, row by row, and the decision object of the contract."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundled import knowledge
from charts import day
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
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cds_service import cards
from cds_service.cards.card import cards_for, decision_object
from cds_service.cards.values import PLACEHOLDERS
from cds_service.decision import Decision
from cds_service.fhir_dates import DateInterval, Precision
from cds_service.findings import Evidence, Finding, Strength
from cds_service.knowledge import Knowledge, Rating
from cds_service.knowledge_loading.wording import PLACEHOLDER_LENGTHS
from cds_service.orders import DraftOrder, ImagingProtocol, Priority

_HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) | # `y` \u202e"


def card_of(
    site: Knowledge, decision: Decision, other_drafts: tuple[Mapping[str, object], ...] = ()
) -> dict[str, Any]:
    """Return the appropriateness card of a decision."""
    card, *rest = cards_for(site, decision, hook_instance=HOOK_INSTANCE, other_drafts=other_drafts)
    assert all(other["source"]["topic"]["code"].startswith("SF") for other in rest)  # type: ignore[index]  # the object is JSON
    return card


def inline_tokens(text: str) -> list[Token]:
    """Return what a Markdown reader makes of the words of a detail."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [token for block in blocks for token in block.children or ()]


def empty_members(value: object) -> list[object]:
    """Return the empty values anywhere in a JSON value."""
    if isinstance(value, dict):
        members = [found for member in value.values() for found in empty_members(member)]
    elif isinstance(value, list):
        members = [found for member in value for found in empty_members(member)]
    else:
        members = []
    return [value, *members] if value in (None, "", [], {}) else members


@pytest.fixture(params=list(FINDINGS), ids=str)
def row_card(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], Decision]:
    """Return the card of each row, for an order without contrast."""
    site, decision = decided(FINDINGS[request.param], options={"pediatric_card": "info"})
    assert request.param == decision.rule.id
    return request.param, card_of(site, decision), decision


def test_card_is_well_formed(row_card: tuple[str, dict[str, Any], Decision]) -> None:
    """R-CARD-01 to -08, -10 to -13, R-COD-01, R-LINK-06."""
    _, card, decision = row_card

    assert str(uuid.UUID(card["uuid"])) == card["uuid"]
    assert 0 < len(card["summary"]) < 140
    assert not re.search(r"[\n<>{}]", card["summary"].replace("< 6 weeks", ""))
    assert card["indicator"] == decision.indicator
    assert card["source"]["label"]
    assert card["source"]["url"].startswith("https://")
    assert decision.row == card["source"]["topic"]["code"]
    assert card["source"]["topic"]["system"].endswith("/decision-row")
    assert card["source"]["topic"]["display"]
    assert ("suggestions" in card) == (card.get("selectionBehavior") == "at-most-one")
    assert [f"O{number}" for number in range(1, 16)] == [r["code"] for r in card["overrideReasons"]]
    assert all({"code", "system", "display"} == set(r) for r in card["overrideReasons"])


def test_detail_starts_with_the_verdict_and_is_short(
    row_card: tuple[str, dict[str, Any], Decision],
) -> None:
    """A clinician has ten seconds."""
    site = knowledge()
    _, card, decision = row_card
    lines = [line for line in card["detail"].splitlines() if line.strip()]

    rating = f"**{site.wording.phrases[decision.rating]}:**"
    verdict = site.wording.cards[decision.rule.card].verdict.replace("{weeks}", "6")

    assert lines[1 if decision.rule.id in {"E1", "E2", "R1"} else 0].startswith(rating)
    assert verdict.partition("{")[0] in "".join(lines[:2])
    assert len(lines) <= 25
    assert "{" not in card["detail"]
    assert lines[-1].startswith("**Sources:** ")


def test_emergency_cards_neither_reassure_nor_slow_down() -> None:
    for row in ("E1", "E2", "R1"):
        site, decision = decided({**FINDINGS[row], "fever_infection": found(value=False)})
        card = card_of(site, decision)
        text = f"{card['summary']} {card['detail']}"

        assert not re.search(
            r"No record found|Documented absent|Provisional|uncertain|X-ray|first-line|cheaper",
            text,
        )


_SUMMARIES = {
    "E1": "Possible cauda equina syndrome: emergency MRI is supported – do not delay; "
    "set priority STAT",
    "E2": "Severe or progressive leg weakness: prompt MRI is supported – consider urgent priority",
    "R6": "Fracture risk (recent vertebral fracture): MRI without contrast, X-ray and CT are "
    "rated equally; X-ray often comes first",
    "R6s": "Fracture risk on record (osteoporosis): MRI without contrast, X-ray or CT are "
    "rated equally",
    "S1": "≥ 6 weeks of care and a planned procedure: MRI without contrast is usually appropriate",
    "S3": "Conservative care started 2026-02-03 (5 of 6 weeks): MRI usually not appropriate "
    "yet; 6 weeks reached 2026-03-17",
    "S4a": "Back pain < 6 weeks, no red flags on record: MRI usually not appropriate",
    "S4b": "No 6-week treatment trial found here: if done elsewhere, please record it; "
    "otherwise try care first",
}


@pytest.mark.parametrize(("row", "summary"), _SUMMARIES.items(), ids=_SUMMARIES)
def test_summary_is_that_of_the_decision_table(row: str, summary: str) -> None:
    assert summary == card_of(*decided(FINDINGS[row]))["summary"]


def test_summary_names_fewer_reasons_rather_than_growing_too_long() -> None:
    flags = ("osteoporosis", "chronic_steroids", "elderly")
    site, decision = decided({**BACK_PAIN, **{flag: found() for flag in flags}})
    facts = tuple(
        replace(fact, label=fact.label * 3) if fact.id in flags else fact for fact in site.facts
    )
    summary = card_of(replace(site, facts=facts), decision)["summary"]

    assert len(summary) < 140
    assert "osteoporosisosteoporosisosteoporosis and more" in summary


def test_order_dated_for_when_it_is_due_is_told_so() -> None:
    later = {**DRAFT, "occurrenceDateTime": "2026-03-20"}

    assert (
        "late enough for this: 2026-03-20."
        in card_of(*decided(CARE_UNDER_WAY, draft=later))["detail"]
    )
    assert "late enough" not in card_of(*decided(CARE_UNDER_WAY))["detail"]


def test_emergency_that_is_stat_already_is_not_told_to_become_stat() -> None:
    order = replace(order_of(DRAFT), priority=Priority.STAT)
    card = card_of(*decided(FINDINGS["E1"], order=order))

    assert "info" == card["indicator"]
    assert "STAT" not in card["summary"]


def test_evidence_line_gives_text_source_and_kind_of_date() -> None:
    recorded = DateInterval(None, day("2026-03-06").latest, Precision.UPPER_BOUND, "recordedDate")
    findings = {**FINDINGS["R2"], "active_cancer": found("Breast cancer", when=recorded)}
    detail = card_of(*decided(findings))["detail"]

    assert "- Breast cancer (Condition, recorded 2026-03-06)" in detail


def test_date_that_the_evidence_already_tells_is_not_repeated() -> None:
    detail = card_of(*decided(SHORT_PAIN))["detail"]

    assert "- Low back pain since 2026-03-06 (10 days) (Condition)" in detail


def test_uncertain_evidence_is_marked() -> None:
    weak = found("Weight loss mentioned", strength=Strength.POSSIBLE)
    detail = card_of(*decided({**BACK_PAIN, "weight_loss": weak}))["detail"]

    assert "- Weight loss mentioned (Condition, uncertain)" in detail
    assert "Provisional" in detail


def test_answer_given_in_the_order_is_shown_as_stated_there() -> None:
    said = Finding(value=True, strength=Strength.POSSIBLE)
    detail = card_of(*decided({**BACK_PAIN, "cauda_equina": said}))["detail"]

    assert "- Cauda equina syndrome (stated in this order)" in detail


def test_answer_is_told_in_the_words_in_which_it_was_given() -> None:
    said = Finding(value=True, strength=Strength.POSSIBLE)
    order = replace(order_of(DRAFT), indications=frozenset({"suspected-or-known-cancer"}))
    card = card_of(*decided({**BACK_PAIN, "active_cancer": said}, order=order))

    assert "- Suspected or known cancer (stated in this order)" in card["detail"]
    assert card["summary"].startswith("Suspected or active cancer")


def test_child_in_an_emergency_is_not_told_what_is_absent() -> None:
    denied = found("No fever", value=False, resources=("Observation/o1",))
    site, decision = decided(
        {**FINDINGS["G1"], "fever_infection": denied}, options={"pediatric_card": "info"}
    )

    assert "Documented absent" not in card_of(site, decision)["detail"]


def test_more_evidence_than_fits_is_said_to_be_more() -> None:
    pieces = tuple(Evidence(text=f"Entry {n}") for n in range(2))
    many = Finding(value=True, strength=Strength.STRONG, evidence=pieces)
    flags = ("spinal_infection", "fever_infection", "injection_drug_use", "immunosuppression")
    findings = {
        flag: replace(
            many, evidence=tuple(replace(e, text=f"{flag} {e.text}") for e in many.evidence)
        )
        for flag in flags
    }
    detail = card_of(*decided({**BACK_PAIN, **findings}))["detail"]

    assert 6 == len(re.findall(r"^- .*Entry \d", detail, re.MULTILINE))
    assert "- and more" in detail


def test_evidence_without_a_date_says_so() -> None:
    undated = DateInterval(None, day("2026-03-16").latest, Precision.UNKNOWN)
    cancer = found("Breast cancer", when=undated)

    assert (
        "- Breast cancer (Condition, date unknown)"
        in card_of(*decided({**BACK_PAIN, "active_cancer": cancer}))["detail"]
    )


def test_summary_too_long_with_one_reason_is_cut() -> None:
    site, decision = decided(FINDINGS["R6s"])
    facts = tuple(replace(f, label="x" * 200) if f.id == "osteoporosis" else f for f in site.facts)
    summary = card_of(replace(site, facts=facts), decision)["summary"]

    assert 139 == len(summary)
    assert summary.endswith("…")


def test_long_chart_does_not_make_a_long_card() -> None:
    many = Finding(
        value=True,
        strength=Strength.STRONG,
        evidence=tuple(Evidence(text=f"Entry {n} " + "x" * 900) for n in range(500)),
    )
    everything = {fact.id: many for fact in knowledge().facts if fact.id != "pediatric"}
    detail = card_of(*decided(everything))["detail"]

    assert len(detail.splitlines()) <= 25
    assert len(detail) < 5_000


def test_chart_text_is_never_markup() -> None:
    """R-CARD-05, R-CARD-14, quirk 54."""
    draft = {**DRAFT, "code": {"text": _HOSTILE}}
    findings = {
        **FINDINGS["R2"],
        "active_cancer": found(_HOSTILE),
        "conservative_care": Finding(value=None, evidence=(Evidence(text=_HOSTILE),)),
    }
    site, decision = decided(findings, draft=draft, unreadable={"Observation": _HOSTILE})
    card = card_of(site, decision, other_drafts=({"resourceType": "ServiceRequest"},))

    assert "<" not in card["summary"].replace("< 6", "")
    assert "<" not in card["detail"]
    assert "\u202e" not in card["detail"]
    assert {"strong_open", "strong_close", "text", "link_open", "link_close", "softbreak"} >= {
        token.type.replace("text_special", "text") for token in inline_tokens(card["detail"])
    }
    assert all(
        str(token.attrs["href"]).startswith("https://doi.org/")
        for token in inline_tokens(card["detail"])
        if token.type == "link_open"
    )


def test_what_was_looked_for_and_not_found_is_named_and_never_called_absent() -> None:
    detail = card_of(*decided(SHORT_PAIN))["detail"]
    line = next(line for line in detail.splitlines() if "No record found here of" in line)

    assert "cauda equina syndrome" in line
    assert "active cancer" in line
    assert "records kept elsewhere are not seen" in line
    assert "none" not in detail.lower()


def test_unreadable_source_is_named_and_nothing_it_feeds_is_called_not_found() -> None:
    site, decision = decided(SHORT_PAIN, unreadable={"Condition": "503"})
    card = card_of(site, decision)
    lines = card["detail"].splitlines()
    unread = next(line for line in lines if "Could not be read" in line)
    not_found = " ".join(line for line in lines if "No record found here of" in line)

    assert "Condition (503)" in unread
    assert "cauda equina syndrome" in unread
    assert "cauda equina syndrome" not in not_found
    assert "info" == card["indicator"]
    assert "please check for red flags before deciding" in card["summary"]


def test_documented_absence_is_told_apart_from_silence() -> None:
    denied = found(
        "No fever, 2026-03-15",
        value=False,
        when=day("2026-03-15", "effectiveDateTime"),
        resources=("Observation/o1",),
    )
    young = found("Age 45", value=False, resources=("Patient/p1",))
    detail = card_of(*decided({**SHORT_PAIN, "fever_infection": denied, "elderly": young}))[
        "detail"
    ]

    assert "- **Documented absent:** fever or systemic infection (2026-03-15)\n" in detail


def test_evidence_too_thin_to_decide_is_told() -> None:
    running = Finding(
        value=None,
        evidence=(
            Evidence(text="Ibuprofen, prescribed 2026-03-01", resources=("MedicationRequest/m",)),
        ),
    )
    findings = {**FINDINGS["S4b"], "conservative_care": running}
    detail = card_of(*decided(findings))["detail"]

    assert "not enough to decide:** Ibuprofen, prescribed 2026-03-01 (MedicationRequest)" in detail
    assert "six weeks of conservative care" not in detail


def test_denied_red_flag_is_no_reason() -> None:
    normal = found("Temperature 36.8", value=False, resources=("Observation/t",))
    detail = card_of(*decided({**FINDINGS["R1"], "fever_infection": normal}))["detail"]

    assert "36.8" not in detail


def test_other_facts_are_told_as_recorded_and_only_once() -> None:
    pain = found("Low back pain since 2026-03-06 (10 days)")
    findings = {
        **FINDINGS["R2"],
        "episode_duration": pain,
        "symptoms_after_surgery": FINDINGS["R2"]["active_cancer"],
        "prior_lumbar_surgery": pain,
        "high_energy_trauma": found(strength=Strength.POSSIBLE),
    }
    lines = card_of(*decided({**findings, "prior_lumbar_surgery": found(value=False)}))["detail"]

    assert (
        "**Also on record:** high-energy trauma; "
        "Low back pain since 2026-03-06 (10 days) (Condition)\n"
    ) in lines


def test_facts_of_rows_that_were_not_chosen_are_mentioned() -> None:
    aged = {**FINDINGS["R2"], "osteoporosis": found("Osteoporosis", when=day("2019-05-01"))}
    detail = card_of(*decided(aged))["detail"]

    assert "**Also on record:** osteoporosis (2019-05-01)" in detail


def test_brake_softens_the_card_and_asks_its_question() -> None:
    site, decision = decided({**SHORT_PAIN, "motor_deficit_component": found()})
    card = card_of(site, decision)

    assert "info" == card["indicator"]
    assert "**Question:** Is the leg weakness on record new or worse?" in card["detail"]
    assert "Cancel this MRI" not in [s["label"] for s in card["suggestions"]]
    assert "leaves a question open" in card["summary"]


def test_other_studies_come_with_rating_and_radiation() -> None:
    detail = card_of(*decided(FINDINGS["R6"]))["detail"]

    assert (
        "**Other studies:** Radiography lumbar spine (usually appropriate, radiation ☢☢☢); "
        "CT lumbar spine without IV contrast (usually appropriate, radiation ☢☢☢)"
    ) in detail


def test_emergency_names_other_studies_only_for_when_mri_is_impossible() -> None:
    assert (
        "**If MRI is not possible:** CT myelography" in card_of(*decided(FINDINGS["E1"]))["detail"]
    )
    assert (
        "**If MRI is not possible:** CT myelography" in card_of(*decided(FINDINGS["E2"]))["detail"]
    )


@pytest.mark.parametrize("row", ["R4", "R5", "R6", "R6s", "P1", "S1", "S6", "E1"])
def test_pregnancy_takes_x_ray_and_ct_out_of_the_card(row: str) -> None:
    card = card_of(*decided({**FINDINGS[row], "pregnant": found()}))
    text = f"{card['summary']} {card['detail'].partition('**Sources:**')[0]}"
    proposals = [s["label"] for s in card.get("suggestions", [])]

    assert "☢" not in text
    assert not re.search(r"\bCT\b|radiograph is|X-ray (and|or|often|comes)", text)
    assert not re.search(r"\bCT\b|X-ray", " ".join(proposals))


def test_age_alone_is_told_with_the_cohort_that_found_no_benefit() -> None:
    detail = card_of(*decided({**BACK_PAIN, "elderly": found("Age 74")}))["detail"]

    assert "Jarvik 2015" in detail
    assert "Jarvik 2015)" not in card_of(*decided(FINDINGS["R6s"]))["detail"].split("**Sources")[0]


def test_stenosis_changes_the_wording_only() -> None:
    assert "walking" in card_of(*decided({**CARE_UNDER_WAY, "stenosis": found()}))["detail"]
    assert "walking" not in card_of(*decided(CARE_UNDER_WAY))["detail"]


def contrast_only(*, by_code: bool = True) -> DraftOrder:
    """Return an order for contrast only."""
    return replace(order_of(DRAFT, ImagingProtocol.WITH), contrast_only_by_code=by_code)


def test_contrast_only_order_makes_the_message_about_contrast() -> None:
    card = card_of(*decided(FINDINGS["R2"], order=contrast_only()))

    assert "warning" == card["indicator"]
    assert "D1" == card["source"]["topic"]["code"]
    assert (
        "Contrast-only lumbar MRI is rarely useful: order without, or without and with contrast"
        == card["summary"]
    )
    assert card["detail"].startswith("**Contrast:** ")


@pytest.mark.parametrize("row", ["E1", "E2", "R1"])
def test_emergency_keeps_its_own_message_when_contrast_is_wrong(row: str) -> None:
    card = card_of(*decided(FINDINGS[row], order=contrast_only()))

    assert row == card["source"]["topic"]["code"]
    assert re.search(r"without and with", card["summary"])
    assert "**Contrast:** " in card["detail"]


@pytest.mark.parametrize("row", ["S3", "S4a"])
def test_row_against_the_mri_keeps_its_message_when_contrast_is_wrong(row: str) -> None:
    plain = card_of(*decided(FINDINGS[row]))
    card = card_of(*decided(FINDINGS[row], order=contrast_only()))

    assert plain["summary"] == card["summary"]
    assert row == card["source"]["topic"]["code"]
    assert "**Contrast:** the order is for contrast only" in card["detail"]


def test_contrast_only_by_text_is_asked_not_warned() -> None:
    card = card_of(*decided(FINDINGS["S1"], order=contrast_only(by_code=False)))

    assert "info" == card["indicator"]
    assert "S1" == card["source"]["topic"]["code"]
    assert "reads as contrast only" in card["detail"]


def test_needless_contrast_is_a_line_and_a_suggestion() -> None:
    order = order_of(DRAFT, ImagingProtocol.WITHOUT_AND_WITH)
    card = card_of(*decided(FINDINGS["S1"], order=order))

    assert "**Contrast:** adds little here; MRI without contrast is rated higher." in card["detail"]
    assert ["Change to MRI without contrast"] == [s["label"] for s in card["suggestions"]]


@pytest.mark.parametrize(
    ("row", "asks"),
    [
        ("E1", True),
        ("R1", True),
        ("R2", True),
        ("R3", True),
        ("R4", True),
        ("P1", True),
        ("S1", False),
        ("S4a", False),
        ("R6", False),
    ],
)
def test_unstated_contrast_is_asked_only_where_it_matters(row: str, *, asks: bool) -> None:
    order = order_of(DRAFT, ImagingProtocol.UNSPECIFIED)
    detail = card_of(*decided(FINDINGS[row], order=order))["detail"]

    assert asks == ("does not say whether contrast is meant" in detail)


def test_codes_that_disagree_on_contrast_are_mentioned() -> None:
    order = replace(order_of(DRAFT, ImagingProtocol.UNSPECIFIED), contrast_conflict=True)

    assert (
        "name different contrast: which protocol is meant?"
        in card_of(*decided(FINDINGS["S1"], order=order))["detail"]
    )


def test_card_says_which_of_several_drafts_it_is_about() -> None:
    site, decision = decided(FINDINGS["S1"])
    several = card_of(site, decision, other_drafts=({"resourceType": "ServiceRequest"},))

    assert "MRI lumbar spine without contrast (ServiceRequest/draft-1)" in several["detail"]
    assert "This card is about" not in card_of(site, decision)["detail"]


def test_same_call_gives_the_same_card_and_other_calls_other_ids() -> None:
    """R-CARD-01, R-SUG-02; `ehr-integration.md` §4.20."""
    site, decision = decided(FINDINGS["S4a"])
    card = card_of(site, decision)
    (other,) = cards_for(site, decision, hook_instance="another")
    ids = [card["uuid"], *(s["uuid"] for s in card["suggestions"])]

    assert card == card_of(site, decision)
    assert len(ids) == len(set(ids))
    assert {other["uuid"]}.isdisjoint(ids)


@pytest.mark.parametrize(
    ("row", "option", "is_shown"),
    [
        ("S1", "always", True),
        ("S1", "when_helpful", False),
        ("S1", "never", False),
        ("R6s", "when_helpful", True),
        ("R6s", "never", False),
        ("S2", "when_helpful", True),
        ("S2", "never", True),
        ("S4a", "never", True),
        ("E1", "never", True),
    ],
)
def test_site_chooses_how_many_confirmations_are_shown(
    row: str, option: str, *, is_shown: bool
) -> None:
    site, decision = decided(FINDINGS[row], options={"confirm_cards": option})

    assert is_shown == bool(cards_for(site, decision, hook_instance=HOOK_INSTANCE))


def test_no_indicator_means_no_card() -> None:
    site, decision = decided({"pediatric": found()})

    assert [] == cards_for(site, decision, hook_instance=HOOK_INSTANCE)
    assert "indicator" not in decision_object(site, decision)


def test_source_without_an_https_address_has_none() -> None:
    """R-LINK-06."""
    site, decision = decided(FINDINGS["S1"])
    wording = replace(site.wording, source_url="http://example.org")

    assert "url" not in card_of(replace(site, wording=wording), decision)["source"]


def test_no_member_of_any_card_is_empty(row_card: tuple[str, dict[str, Any], Decision]) -> None:
    """CDS Hooks: no null, "", [] or {} but in the EHR's own resources."""
    _, card, _ = row_card
    suggestions = card.pop("suggestions", [])

    assert [] == empty_members(card)
    assert not [e for s in suggestions for e in empty_members({**s, "actions": "a"})]


def test_decision_object_is_that_of_the_contract() -> None:
    site, decision = decided(SHORT_PAIN, unreadable={"Observation": "503"})
    told = decision_object(site, replace(decision, missing=("cauda_equina",)))
    evidence = told.pop("evidence")

    assert {
        "order": "ServiceRequest/draft-1",
        "protocol": "without",
        "row": "S4a",
        "variant": 1,
        "rating": "usually-not-appropriate",
        "provisional": True,
        "indicator": "info",
        "missing": ["cauda_equina"],
        "unreadable": ["Observation: 503"],
        "knowledge": {"id": site.id, "version": site.version, "digest": site.digest},
    } == told
    assert {
        "fact": "episode_duration",
        "value": "true",
        "strength": "strong",
        "date": "2026-03-06",
        "resources": ["Condition/c1"],
        "text": "Low back pain since 2026-03-06 (10 days)",
    } in evidence  # type: ignore[operator]  # the object is JSON


def test_decision_object_leaves_out_what_has_no_value() -> None:
    site, decision = decided(
        {**BACK_PAIN, "cauda_equina": Finding(value=True, strength=Strength.POSSIBLE)}
    )
    told = decision_object(site, decision)

    assert [] == empty_members(told)
    assert "protocolRow" not in told
    assert {"fact": "cauda_equina", "value": "true", "strength": "possible"} in told["evidence"]  # type: ignore[operator]


def test_evidence_date_keeps_the_precision_that_is_known() -> None:
    month = DateInterval(day("2026-02-01").latest, day("2026-02-28").latest, Precision.MONTH)
    bound = DateInterval(None, day("2026-02-28").latest, Precision.UPPER_BOUND)
    unknown = DateInterval(None, day("2026-03-16").latest, Precision.UNKNOWN)
    pieces = tuple(Evidence(text=f"e{n}", when=w) for n, w in enumerate((month, bound, unknown)))
    cancer = Finding(value=True, strength=Strength.STRONG, evidence=pieces)
    site, decision = decided({**BACK_PAIN, "active_cancer": cancer})
    evidence = decision_object(site, decision)["evidence"]
    dates = [e.get("date") for e in evidence if e["fact"] == "active_cancer"]  # type: ignore[attr-defined]

    assert ["2026-02", "2026-02-28", None] == dates


def test_loader_and_cards_agree_on_the_placeholders() -> None:
    assert PLACEHOLDERS | {"choice", "found"} == set(PLACEHOLDER_LENGTHS)


def test_every_phrase_of_the_wording_is_used_and_none_is_missing() -> None:
    code = "".join(path.read_text() for path in Path(cards.__file__ or "").parent.glob("*.py"))
    named = set(re.findall(r"""["']([a-z]+(?:_[a-z]+)*)["']""", code))
    asked = set(re.findall(r"""(?:phrase|heading|phrases)[(\[]["']([a-z_]+)["']""", code))
    phrases = set(knowledge().wording.phrases)
    computed = re.compile(r"(protocol|alternatives|element|contrast|prior_date)\.")

    assert {p for p in phrases if not computed.match(p)} <= named | set(Rating)
    assert asked | set(Rating) <= phrases
    assert {f"protocol.{protocol}" for protocol in ImagingProtocol} <= phrases
