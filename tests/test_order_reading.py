"""Scope and contrast of draft orders (decision table §3), and the reasons they give."""

from typing import Any

import pytest
from bundled import knowledge

from cds_service.findings import Strength
from cds_service.order_reading import SiteCodes, read_orders
from cds_service.orders import DraftOrder, ImagingProtocol, Priority

CPT = "http://www.ama-assn.org/go/cpt"
LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
EAP = "urn:oid:1.2.840.114350.1.13.999.2.7.2.696580"


def _codings(*codings: tuple[str, str]) -> list[dict[str, str]]:
    return [{"system": system, "code": code} for system, code in codings]


def _read(site: SiteCodes | None = None, **order: object) -> DraftOrder | None:
    resource = {
        "resourceType": "ServiceRequest",
        "id": "mri",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        **order,
    }
    found = read_orders(
        [resource],
        patient_id="p",
        definition=knowledge().order,
        terminology=knowledge().terminology.for_call(),
        site_codes=site or SiteCodes(),
    )
    return found[0] if found else None


@pytest.mark.parametrize(
    ("codings", "protocol"),
    [
        ([(CPT, "72148")], "without"),
        ([(CPT, "72149")], "with"),
        ([(CPT, "72158")], "without-and-with"),
        ([(LOINC, "30679-5")], "without"),
        ([(LOINC, "30678-7")], "with"),
        ([(LOINC, "24967-2")], "without-and-with"),
        ([(LOINC, "24968-0")], "unspecified"),
        ([(SCT, "394451000119106")], "without"),
        ([(SCT, "41333006")], "with"),
        ([(LOINC, "24968-0"), (CPT, "72148")], "without"),
        ([(EAP, "IMG271"), (CPT, "72148")], "without"),
        ([("urn:oid:2.16.840.1.113883.6.12", "72148")], "without"),
        ([(LOINC, "30854-4")], "multiregion"),
    ],
    ids=str,
)
def test_a_code_decides_scope_and_contrast(codings: list[tuple[str, str]], protocol: str) -> None:
    """Steps O1 and O4; quirks 14 and 18: every coding is looked at, whatever its system's name."""
    order = _read(code={"coding": _codings(*codings)})

    assert order is not None
    assert protocol == order.protocol
    assert order.strength is Strength.STRONG


@pytest.mark.parametrize(
    "code",
    [
        {"coding": _codings((CPT, "72131"))},
        {"coding": _codings((CPT, "72100"))},
        {"coding": _codings((CPT, "72131")), "text": "MRI lumbar spine"},
        {"coding": _codings((CPT, "70551")), "text": "MRI brain"},
        {"text": "MRI cervical spine"},
        {"text": "MRA lumbar spine"},
        {"text": "MRI lumbosacral plexus"},
        {"text": "XR knee"},
        {"coding": [{}]},
        {"coding": [{"code": "72148"}]},
        {},
        None,
        "MRI",
        ["x"],
    ],
    ids=str,
)
def test_anything_else_is_out_of_scope(code: object) -> None:
    """Step O5; quirks 19, 20 and 21."""
    assert _read(code=code) is None


@pytest.mark.parametrize(
    ("code", "more", "protocol"),
    [
        ({"text": "MR L-SPINE W/O"}, {}, "without"),
        ({"text": "MRI LUMBAR SPINE W WO CONTRAST"}, {}, "without-and-with"),
        ({"text": "MRI lumbar spine"}, {}, "unspecified"),
        ({"coding": [{"system": EAP, "code": "1", "display": "MRI LS spine C+"}]}, {}, "with"),
        ({"text": "MRI lumbar spine"}, {"orderDetail": [{"text": "with contrast"}]}, "with"),
        ({"text": "MRI spine"}, {"bodySite": [{"text": "lumbar spine"}]}, "unspecified"),
        (
            {"text": "MRI"},
            {"bodySite": [{"coding": _codings((SCT, "122496007"))}]},
            "unspecified",
        ),
        ({}, {"note": [{"text": "MRI lumbar spine without contrast please"}]}, "without"),
        ({"text": "MRI whole spine"}, {}, "multiregion"),
    ],
    ids=str,
)
def test_words_alone_make_a_possible_order(
    code: dict[str, Any], more: dict[str, Any], protocol: str
) -> None:
    """Steps O2 and O3; quirk 12."""
    order = _read(code=code, **more)

    assert order is not None
    assert protocol == order.protocol
    assert order.strength is Strength.POSSIBLE


def test_a_note_about_another_exam_brings_nothing_into_scope() -> None:
    assert _read(code={"text": "XR hip"}, note=[{"text": "compare with MRI lumbar spine"}]) is None


def test_two_codings_that_disagree_leave_the_contrast_open() -> None:
    """Step O6."""
    order = _read(code={"coding": _codings((CPT, "72148"), (LOINC, "24967-2"))})

    assert order is not None
    assert order.protocol is ImagingProtocol.UNSPECIFIED
    assert order.contrast_conflict


def test_a_title_that_contradicts_the_code_is_mentioned_and_the_code_stands() -> None:
    """Quirk 16."""
    order = _read(
        code={"coding": _codings((CPT, "72148")), "text": "MRI lumbar spine with and without"}
    )

    assert order is not None
    assert order.protocol is ImagingProtocol.WITHOUT
    assert order.contrast_conflict


@pytest.mark.parametrize(
    ("codings", "is_trusted"),
    [([(CPT, "72149")], True), ([(LOINC, "30678-7")], True), ([(SCT, "41333006")], False)],
    ids=str,
)
def test_contrast_only_is_trusted_by_cpt_or_loinc(
    codings: list[tuple[str, str]], *, is_trusted: bool
) -> None:
    """D1: SNOMED 41333006 alone is asked about."""
    order = _read(code={"coding": _codings(*codings)})

    assert order is not None
    assert is_trusted is order.contrast_only_by_code


def test_a_local_code_means_what_the_site_file_says() -> None:
    """Quirk 13."""
    site = SiteCodes(
        by_code={(EAP, "IMG271"): ImagingProtocol.WITHOUT, (EAP, "IMG9"): None},
        by_title={"mri l spine local": ImagingProtocol.WITH},
    )

    mapped = _read(site, code={"coding": _codings((EAP, "IMG271"))})
    titled = _read(site, code={"text": "MRI L Spine Local"})

    assert mapped is not None
    assert mapped.protocol is ImagingProtocol.WITHOUT
    assert titled is not None
    assert titled.protocol is ImagingProtocol.WITH
    assert _read(site, code={"coding": _codings((EAP, "IMG9")), "text": "MRI lumbar"}) is None


@pytest.mark.parametrize(
    "order",
    [
        {"subject": {"reference": "Patient/other"}},
        {"subject": {"reference": "https://ehr.example/fhir/Patient/other/_history/3"}},
        {"status": "revoked"},
        {"status": "entered-in-error"},
        {"doNotPerform": True},
        {"resourceType": "MedicationRequest"},
    ],
    ids=str,
)
def test_an_order_that_is_not_to_be_judged_is_left_out(order: dict[str, Any]) -> None:
    """R-CTX-13."""
    assert _read(code={"coding": _codings((CPT, "72148"))}, **order) is None


@pytest.mark.parametrize(
    "order",
    [
        {"subject": {"reference": "https://ehr.example/fhir/Patient/p/_history/1"}},
        {"subject": {}},
        {"subject": None},
        {"status": "active"},
        {"resourceType": "ProcedureRequest"},
        {"intent": "plan"},
    ],
    ids=str,
)
def test_an_order_with_odd_but_legal_parts_is_judged(order: dict[str, Any]) -> None:
    """R-CTX-06, R-CTX-10, quirks 34, 36 and 50."""
    assert _read(code={"coding": _codings((CPT, "72148"))}, **order) is not None


@pytest.mark.parametrize(
    ("sent", "read"),
    [("stat", Priority.STAT), (None, Priority.ROUTINE), ("soon", Priority.ROUTINE)],
)
def test_an_absent_or_unknown_priority_is_routine(sent: object, read: Priority) -> None:
    order = _read(code={"coding": _codings((CPT, "72148"))}, priority=sent)

    assert order is not None
    assert read is order.priority


def test_our_own_codes_are_answers_and_their_text_is_not_read_as_words() -> None:
    own = "https://lumbar-mri-cds.example/fhir/CodeSystem/indication"
    order = _read(
        code={"coding": _codings((CPT, "72148"))},
        reasonCode=[
            {"coding": _codings((own, "symptoms-stable")), "text": "Symptoms stable"},
            {"text": "LBP"},
        ],
    )

    assert order is not None
    assert {"symptoms-stable"} == order.indications
    assert ("LBP",) == order.words
