"""The CDS Hooks wire: what is read, what is refused and how it is said, what is sent."""

import copy
import json
from collections.abc import Callable

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from cds_service.errors import MalformedRequest, TooLarge
from cds_service.protocol import (
    HookRequest,
    drafts_in_question,
    hook_answer,
    operation_outcome,
    parse_request,
    strip_empty,
    uuid_in,
)

LUMBAR_MRI = {
    "resourceType": "ServiceRequest",
    "id": "draft-1",
    "status": "draft",
    "intent": "order",
    "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}]},
    "subject": {"reference": "Patient/p1"},
}
NAPROXEN = {"resourceType": "MedicationRequest", "id": "draft-1", "status": "draft"}
REQUEST: dict[str, object] = {
    "hook": "order-select",
    "hookInstance": "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02",
    "fhirServer": "https://ehr.example.org/fhir/",
    "fhirAuthorization": {
        "access_token": "opaque-token",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "user/Patient.read Observation.Read (Labs) (R4)",
        "subject": "lumbar",
    },
    "context": {
        "userId": "PractitionerRole/r1",
        "patientId": "p1",
        "encounterId": "e1",
        "selections": ["ServiceRequest/draft-1"],
        "draftOrders": {
            "resourceType": "Bundle",
            "entry": [{"resource": LUMBAR_MRI}, {"resource": NAPROXEN}],
        },
    },
    "prefetch": {"patient": {"resourceType": "Patient", "id": "p1"}, "reports": None},
}

_ABSENT = object()


def with_member(path: str, value: object) -> dict[str, object]:
    """Return REQUEST with the member at a dotted path replaced, or left out."""
    request = copy.deepcopy(REQUEST)
    node: dict[str, object] = request
    *parents, last = path.split(".")
    for name in parents:
        child = node[name]
        assert isinstance(child, dict)
        node = child
    if value is _ABSENT:
        del node[last]
    else:
        node[last] = value
    return request


def parse(request: object, hook: str = "order-select") -> HookRequest:
    return parse_request(json.dumps(request).encode(), service_hook=hook, service_id="s")


def with_drafts(*entries: object, selections: object = _ABSENT) -> dict[str, object]:
    request = with_member("context.draftOrders", {"resourceType": "Bundle", "entry": list(entries)})
    context = request["context"]
    assert isinstance(context, dict)
    if selections is not _ABSENT:
        context["selections"] = selections
    return request


def refs_in_question(request: object, hook: str = "order-select") -> list[str]:
    return [d.ref for d in drafts_in_question(parse(request, hook))]


def test_a_request_is_read_whole() -> None:
    request = parse(REQUEST)

    assert "order-select" == request.hook
    assert "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02" == request.hook_instance
    assert ("p1", "PractitionerRole/r1", "e1") == (
        request.patient_id,
        request.user_id,
        request.encounter_id,
    )
    assert ("ServiceRequest/draft-1",) == request.selections
    assert ["ServiceRequest/draft-1", "MedicationRequest/draft-1"] == [
        d.ref for d in request.draft_orders
    ]
    assert LUMBAR_MRI == request.draft_orders[0].resource
    assert "https://ehr.example.org/fhir" == request.fhir_server
    assert request.fhir_authorization is not None
    assert "opaque-token" == request.fhir_authorization.access_token


def test_null_under_a_prefetch_key_is_kept_apart_from_an_absent_key() -> None:
    """R-PRE-09, R-PRE-11."""
    prefetch = parse(REQUEST).prefetch

    assert prefetch["reports"] is None
    assert "conditions" not in prefetch


def test_the_access_token_is_never_shown() -> None:
    """R-FHIR-03."""
    assert "opaque-token" not in repr(parse(REQUEST))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("hook", _ABSENT, "hook is missing."),
        ("hook", None, "hook must be a string."),
        ("hook", 7, "hook must be a string."),
        ("hook", "", "hook must not be empty."),
        ("hook", "patient-view", 'hook must be "order-select"'),
        ("hook", "order-sign", 'hook must be "order-select"'),
        ("hookInstance", _ABSENT, "hookInstance is missing."),
        ("hookInstance", None, "hookInstance must be a string."),
        ("hookInstance", 12, "hookInstance must be a string."),
        ("hookInstance", "x" * 257, "hookInstance must not have more than 256 characters."),
        ("context", _ABSENT, "context is missing."),
        ("context", None, "context must be an object."),
        ("context", [], "context must be an object."),
        ("context.patientId", _ABSENT, "context.patientId is missing."),
        ("context.patientId", None, "context.patientId must be a string."),
        ("context.patientId", "", "context.patientId must be the id of the patient"),
        ("context.patientId", "p1?x=1", "context.patientId must be the id of the patient"),
        ("context.patientId", "Group/g1", "context.patientId must be the id of the patient"),
        ("context.patientId", "../Patient", "context.patientId must be the id of the patient"),
        ("context.userId", 5, "context.userId must be a string or null."),
        ("context.encounterId", {}, "context.encounterId must be a string or null."),
        ("context.selections", "ServiceRequest/draft-1", "selections must be an array or null."),
        ("context.selections", [1], "context.selections[0] must be a string."),
        ("context.draftOrders", _ABSENT, "context.draftOrders is missing."),
        ("context.draftOrders", None, "context.draftOrders must be an object."),
        ("context.draftOrders", [], "context.draftOrders must be an object."),
        ("context.draftOrders", "x", "context.draftOrders must be an object."),
        ("context.draftOrders", {}, "context.draftOrders.resourceType is missing."),
        ("context.draftOrders", LUMBAR_MRI, "context.draftOrders.resourceType must be Bundle."),
        (
            "context.draftOrders",
            {"resourceType": "Bundle", "entry": {}},
            "context.draftOrders.entry must be an array or null.",
        ),
        (
            "context.draftOrders",
            {"resourceType": "Bundle", "entry": ["x"]},
            "context.draftOrders.entry[0] must be an object or null.",
        ),
        (
            "context.draftOrders",
            {"resourceType": "Bundle", "entry": [{}, {"resource": "{}"}]},
            "context.draftOrders.entry[1].resource must be an object or null.",
        ),
        (
            "context.draftOrders",
            {"resourceType": "Bundle", "entry": [{"resource": {"id": "x"}}]},
            "context.draftOrders.entry[0].resource.resourceType is missing.",
        ),
        ("prefetch", [], "prefetch must be an object or null."),
        ("fhirServer", 7, "fhirServer must be a string or null."),
        ("fhirAuthorization", "token", "fhirAuthorization must be an object or null."),
        ("fhirAuthorization.access_token", _ABSENT, "fhirAuthorization.access_token is missing."),
        ("fhirAuthorization.access_token", 1, "fhirAuthorization.access_token must be a string."),
        ("fhirAuthorization.access_token", "a\r\nb", "must be printable ASCII without spaces."),
        ("fhirAuthorization.expires_in", [], "fhirAuthorization.expires_in must be a whole number"),
    ],
)
def test_a_breach_is_refused_by_its_place(path: str, value: object, says: str) -> None:
    """R-CALL-02 to R-CALL-05, R-CALL-07, R-CTX-01, R-CTX-02."""
    with pytest.raises(MalformedRequest) as caught:
        parse(with_member(path, value))

    assert says in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b"true"])
def test_a_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    """R-CALL-13."""
    with pytest.raises(MalformedRequest, match="The body must be an object"):
        parse_request(body, service_hook="order-sign")


def test_no_error_text_repeats_what_was_sent() -> None:
    """R-CALL-14: every leaf and branch replaced by a name, no name comes back."""
    canary = "Janet-Canary"
    said = []
    for path in [
        "hook",
        "hookInstance",
        "context",
        "context.patientId",
        "context.selections",
        "context.draftOrders",
        "prefetch",
        "fhirAuthorization",
        "fhirAuthorization.expires_in",
    ]:
        for value in (canary, [canary], {canary: canary}, f"{canary} {canary}"):
            try:
                parse(with_member(path, value))
            except MalformedRequest as error:
                said.append(str(error))

    assert len(said) > 20
    assert not [text for text in said if "Canary" in text]


def _nulls(request: dict[str, object]) -> None:
    context = request["context"]
    assert isinstance(context, dict)
    request.update(fhirServer=None, fhirAuthorization=None, prefetch=None)
    context.update(userId=None, encounterId=None, selections=None)


def _absent(request: dict[str, object]) -> None:
    context = request["context"]
    assert isinstance(context, dict)
    for name in ("fhirServer", "fhirAuthorization", "prefetch"):
        del request[name]
    for name in ("userId", "encounterId", "selections"):
        del context[name]


def _unknown_members(request: dict[str, object]) -> None:
    context = request["context"]
    assert isinstance(context, dict)
    request.update(user="Practitioner/1", extension="text", internal={"epic": [None]}, version="3")
    context.update(extension={"com.example": "x"}, services=None)


def _epic_authorization(request: dict[str, object]) -> None:
    request["fhirAuthorization"] = {"access_token": "t", "expires_in": "300", "scope": None}


@pytest.mark.parametrize("change", [_nulls, _absent, _unknown_members, _epic_authorization])
def test_what_real_clients_send_is_tolerated(change: Callable[[dict[str, object]], None]) -> None:
    """R-CALL-06, R-CALL-08, R-CALL-09, R-CALL-15, R-CTX-07."""
    request = copy.deepcopy(REQUEST)
    change(request)

    assert 2 == len(parse(request).draft_orders)


def test_a_hook_instance_that_is_no_uuid_is_taken() -> None:
    """R-CALL-16."""
    assert "abc" == parse(with_member("hookInstance", "abc")).hook_instance


@pytest.mark.parametrize(
    "sent",
    [
        "p1",
        "Patient/p1",
        "Patient/p1/_history/3",
        "https://ehr.example.org/fhir/Patient/p1",
        " p1"[1:],
    ],
)
def test_the_patient_id_is_bare_however_it_was_sent(sent: str) -> None:
    """R-CTX-11."""
    assert "p1" == parse(with_member("context.patientId", sent)).patient_id


def test_ids_of_194_characters_are_taken() -> None:
    """R-CTX-11."""
    long_id = "eIdR.-" * 32 + "ab"
    order = {**LUMBAR_MRI, "id": long_id}

    assert [f"ServiceRequest/{long_id}"] == refs_in_question(
        with_drafts({"resource": order}, selections=[f"ServiceRequest/{long_id}"])
    )


@pytest.mark.parametrize(
    "sent", ["", "  ", "file:///etc/passwd", "ftp://a.example", "javascript:1"]
)
def test_a_fhir_server_that_cannot_be_called_counts_as_absent(sent: str) -> None:
    """R-FHIR-06."""
    assert parse(with_member("fhirServer", sent)).fhir_server is None


def test_a_token_that_is_not_a_bearer_token_is_not_used() -> None:
    """R-CALL-07."""
    assert parse(with_member("fhirAuthorization.token_type", "mac")).fhir_authorization is None


def test_order_sign_puts_every_draft_in_question_and_has_no_selections() -> None:
    """R-CTX-10."""
    request = with_member("hook", "order-sign")

    assert ["ServiceRequest/draft-1", "MedicationRequest/draft-1"] == refs_in_question(
        request, "order-sign"
    )
    assert parse(request, "order-sign").selections is None


OTHER = {**LUMBAR_MRI, "id": "draft-2"}
URN = "urn:uuid:0b9c1c9e-6f0e-4f3b-9a57-2f6c3e0d7a11"


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        pytest.param(["ServiceRequest/draft-2"], ["draft-2"], id="one"),
        pytest.param(["ServiceRequest/draft-1", "ServiceRequest/draft-2"], ["draft-1", "draft-2"]),
        pytest.param(["https://e.example/fhir/ServiceRequest/draft-2"], ["draft-2"], id="absolute"),
        pytest.param(["ServiceRequest/draft-2/_history/1"], ["draft-2"], id="versioned"),
        pytest.param([URN], ["draft-1"], id="by fullUrl"),
        pytest.param(["ServiceRequest/x", "ServiceRequest/draft-2"], ["draft-2"], id="one dangles"),
        pytest.param(["MedicationRequest/draft-2"], ["draft-1", "draft-2"], id="type differs"),
        pytest.param(["ServiceRequest/x"], ["draft-1", "draft-2"], id="all dangle"),
        pytest.param(["draft-2", "", "/", "#x"], ["draft-1", "draft-2"], id="bare, malformed"),
        pytest.param([], ["draft-1", "draft-2"], id="empty"),
        pytest.param(None, ["draft-1", "draft-2"], id="null"),
    ],
)
def test_order_select_puts_the_selected_drafts_in_question(
    selections: object, expected: list[str]
) -> None:
    """R-CTX-03, R-CTX-04; none that matches: every draft is judged."""
    request = with_drafts(
        {"resource": LUMBAR_MRI, "fullUrl": URN}, {"resource": OTHER}, selections=selections
    )

    assert [f"ServiceRequest/{i}" for i in expected] == refs_in_question(request)


def test_selected_and_background_drafts_with_one_id_are_told_apart_by_type() -> None:
    assert ["ServiceRequest/draft-1"] == refs_in_question(REQUEST)


def test_entries_without_a_resource_are_skipped_and_places_kept() -> None:
    """R-CTX-08."""
    request = parse(with_drafts({}, None, {"resource": None}, {"resource": LUMBAR_MRI}))

    assert [3] == [d.position for d in request.draft_orders]


def test_an_order_that_stands_twice_is_judged_once_as_it_stands_last() -> None:
    newer = {**LUMBAR_MRI, "priority": "urgent"}
    nameless = {"resourceType": "ServiceRequest"}
    request = parse(
        with_drafts(
            {"resource": LUMBAR_MRI},
            {"resource": nameless},
            {"resource": newer},
            {"resource": nameless},
            selections=None,
        )
    )

    assert [1, 2, 3] == [d.position for d in drafts_in_question(request)]


def test_a_bundle_without_entries_has_no_drafts() -> None:
    assert () == parse(with_member("context.draftOrders.entry", None)).draft_orders


def test_more_drafts_than_an_array_may_hold_are_too_large() -> None:
    with pytest.raises(TooLarge):
        parse(with_drafts(*[{}] * 20_001))


def test_an_answer_without_decisions_is_an_empty_card_list() -> None:
    """R-RESP-01, R-RESP-03."""
    assert {"cards": []} == hook_answer([])


def test_decisions_and_mode_stand_in_the_response_level_extension() -> None:
    """R-EXT-01, R-EXT-02."""
    decision: dict[str, object] = {
        "order": "ServiceRequest/draft-1",
        "row": "G4",
        "missing": [],
        "overlay": None,
    }

    assert {
        "cards": [],
        "extension": {
            "org.lumbar-mri-cds.decisions": [{"order": "ServiceRequest/draft-1", "row": "G4"}],
            "org.lumbar-mri-cds.mode": "silent",
        },
    } == hook_answer([], [decision], mode="silent")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            {"a": None, "b": "", "c": [], "d": {}, "e": 0, "f": False}, {"e": 0, "f": False}
        ),
        pytest.param({"a": {"b": [{"c": None}, ""]}}, {}, id="what becomes empty goes too"),
        pytest.param({"cards": [], "services": []}, {"cards": [], "services": []}),
        pytest.param({"cards": None}, {}, id="null is never allowed"),
        pytest.param(
            {"given": ["A", None], "_given": [None, {"id": "x"}]},
            {"given": ["A", None], "_given": [None, {"id": "x"}]},
            id="FHIR primitive arrays keep their padding",
        ),
    ],
)
def test_null_and_empty_are_left_out(value: object, expected: object) -> None:
    """R-GEN-02."""
    assert expected == strip_empty(value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 412, 413, 415, 429, 500, 503])
def test_every_error_body_is_a_valid_operation_outcome(status: int) -> None:
    """R-RESP-04."""
    body = operation_outcome(status, "some-code", "Say what to change.")

    written = OperationOutcome.model_validate(body).model_dump()
    assert body == written
    assert "some-code" == written["issue"][0]["details"]["coding"][0]["code"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02", "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02"),
        ("5D0A6A1E-3A0D-4C9E-8F43-1F1F2C7B9C02", "5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02"),
        ("5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02\n", None),
        ("5d0a6a1e-3a0d-4c9e-8f43-1f1f2c7b9c02\nx", None),
        ("Janet Doe", None),
        ("", None),
    ],
)
def test_only_a_uuid_is_kept_of_an_id(sent: str, kept: str | None) -> None:
    assert kept == uuid_in(sent)
