"""HTTP: each address of the contract, errors, modes, headers, logs and metrics."""

import io
import json
import logging
from pathlib import Path

import pytest
from bundled import knowledge
from http_service import (
    KNEE_MRI,
    LUMBAR_MRI,
    NAPROXEN,
    ORDER_SELECT,
    SERVICES,
    body_of,
    client,
    decisions_of,
    error_code,
    fire,
    hook_request,
)

from cds_service.modes import Mode
from cds_service.observability import LOG_KEYS
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file

OPEN = Settings(client_auth=ClientAuth.OFF)
EAP = "urn:oid:1.2.840.114350.1.13.999.2.7.2.696580"


def metric(text: str, start: str) -> float:
    """Return the value of the metric line that starts so; 0 if there is none."""
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("hook", SERVICES)
def test_a_lumbar_mri_is_judged_on_either_hook(hook: str) -> None:
    response = fire(client(), hook_request(hook=hook))

    assert 200 == response.status_code
    assert ["ServiceRequest/draft-mri"] == [d["order"] for d in decisions_of(response)]


def test_other_orders_are_answered_with_an_empty_card_list() -> None:
    response = fire(client(), hook_request(KNEE_MRI, NAPROXEN))

    assert b'{"cards":[]}' == response.get_data()


def test_several_lumbar_mri_orders_are_each_decided_once() -> None:
    second = {**LUMBAR_MRI, "id": "draft-2"}
    response = fire(client(), hook_request(LUMBAR_MRI, KNEE_MRI, second))

    assert ["ServiceRequest/draft-mri", "ServiceRequest/draft-2"] == [
        d["order"] for d in decisions_of(response)
    ]


def test_an_unselected_lumbar_mri_is_background() -> None:
    request = hook_request(LUMBAR_MRI, NAPROXEN, selections=["MedicationRequest/draft-drug"])

    assert b'{"cards":[]}' == fire(client(), request).get_data()


def test_a_local_order_code_is_judged_when_the_site_file_maps_it() -> None:
    local = {**LUMBAR_MRI, "code": {"coding": [{"system": EAP, "code": "IMG4021"}]}}
    site = parse_site_file(f'orderCodes: {{"{EAP}|IMG4021": without}}', name="site.yaml")
    plain, mapped = client(), client(site=site)

    assert b'{"cards":[]}' == fire(plain, hook_request(local)).get_data()
    assert 1 == len(decisions_of(fire(mapped, hook_request(local))))
    assert 1 == metric(plain.get("/metrics").text, "cds_order_codes_unmapped_total")
    assert 0 == metric(mapped.get("/metrics").text, "cds_order_codes_unmapped_total")


def test_neither_patient_nor_conditions_is_answered_with_412() -> None:
    """R-PRE-12."""
    response = fire(client(), hook_request(prefetch={}))

    assert 412 == response.status_code
    assert "evidence-unavailable" == error_code(response)


def test_silent_mode_decides_and_shows_no_cards() -> None:
    silent = client(Settings(client_auth=ClientAuth.OFF, mode=Mode.SILENT))
    response = fire(silent, hook_request())
    extension = body_of(response)["extension"]

    assert [] == body_of(response)["cards"]
    assert 1 == len(decisions_of(response))
    assert isinstance(extension, dict)
    assert "silent" == extension["org.lumbar-mri-cds.mode"]


def test_the_kill_switch_answers_every_call_without_cards_and_says_so(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("off\n")
    off = client(Settings(client_auth=ClientAuth.OFF, switch_file=switch))
    answer = {"cards": [], "extension": {"org.lumbar-mri-cds.mode": "off"}}

    assert answer == body_of(fire(off, hook_request()))
    assert answer == body_of(off.post(ORDER_SELECT, data=b"not JSON"))
    assert 404 == off.post("/cds-services/other", json={}).status_code


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/cds-services/no-such-service", 404, "unknown-service"),
        ("POST", "/cds-services/no-such-service/feedback", 404, "unknown-service"),
        ("GET", "/no/such/page", 404, "not-found"),
        ("GET", "/cds-services/", 404, "not-found"),
        ("GET", "/knowledge/other", 404, "unknown-service"),
        ("GET", ORDER_SELECT, 405, "method-not-allowed"),
        ("PUT", ORDER_SELECT, 405, "method-not-allowed"),
        ("DELETE", "/cds-services", 405, "method-not-allowed"),
        ("POST", "/cds-services", 405, "method-not-allowed"),
        ("GET", f"{ORDER_SELECT}/feedback", 405, "method-not-allowed"),
        ("POST", "/health/live", 405, "method-not-allowed"),
    ],
)
def test_wrong_addresses_and_methods_are_operation_outcomes(
    method: str, path: str, status: int, code: str
) -> None:
    """R-CALL-10, R-CALL-11, R-RESP-04."""
    response = client().open(path, method=method, json={})

    assert status == response.status_code
    assert code == error_code(response)
    assert (status == 405) == ("Allow" in response.headers)


def test_a_body_over_the_limit_is_413() -> None:
    """R-ROB-01."""
    small = client(Settings(client_auth=ClientAuth.OFF, max_body_bytes=1024))
    response = small.post(
        ORDER_SELECT, data=b'"' + b"x" * 2000 + b'"', content_type="application/json"
    )

    assert 413 == response.status_code
    assert "too-large" == error_code(response)
    assert "1024 bytes" in response.text


def test_a_body_of_unknown_length_over_the_limit_is_413_and_not_cut() -> None:
    """R-ROB-01, R-ROB-05: as a server hands on a chunked body."""
    small = client(Settings(client_auth=ClientAuth.OFF, max_body_bytes=1024))
    response = small.post(
        ORDER_SELECT,
        input_stream=io.BytesIO(b'"' + b"x" * 2000 + b'"'),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert 413 == response.status_code
    assert "1024 bytes" in response.text


class _BrokenOff(io.RawIOBase):
    """A connection whose client has gone."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise ConnectionResetError


def test_a_body_that_breaks_off_is_a_client_error() -> None:
    """R-ROB-05."""
    response = client().post(
        ORDER_SELECT,
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "100", "wsgi.input": _BrokenOff()},
    )

    assert 400 == response.status_code
    assert "not framed as announced" in response.text


@pytest.mark.parametrize("hook", SERVICES)
def test_without_token_checks_required_refuses_every_call_before_the_body_is_read(
    hook: str,
) -> None:
    """R-SEC-16: fail closed; the same bare answer for a good body, a bad one, and feedback."""
    closed = client(Settings())
    answers = [
        fire(closed, hook_request(hook=hook)),
        closed.post(SERVICES[hook], data=b"{", content_type="text/plain"),
        closed.post(f"{SERVICES[hook]}/feedback", json={"feedback": []}),
        closed.post("/cds-services/no-such-service", json={}),
        fire(closed, hook_request(hook=hook), headers={"Authorization": "Bearer a.b.c"}),
    ]

    assert [401] * 5 == [a.status_code for a in answers]
    assert 1 == len({a.get_data() for a in answers})
    assert {"Bearer"} == {a.headers["WWW-Authenticate"] for a in answers}
    assert 200 == closed.get("/cds-services").status_code


def test_readiness_says_why_a_closed_service_is_not_ready() -> None:
    response = client(Settings()).get("/health/ready")
    body = body_of(response)

    assert 503 == response.status_code
    assert "not-ready" == body["status"]
    assert "registers no client" in response.text


def test_readiness_names_the_knowledge_and_is_loud_about_open_access() -> None:
    response = client().get("/health/ready")
    body = body_of(response)

    assert 200 == response.status_code
    assert {
        "id": "lumbar-mri",
        "version": knowledge().version,
        "digest": knowledge().digest,
        "approval": knowledge().approval.state,
    } == body["knowledge"]
    assert "CDS_CLIENT_AUTH is off" in response.text


def test_readiness_names_mode_and_a_faulty_switch_file(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    switch.write_text("hush")
    settings = Settings(client_auth=ClientAuth.OFF, mode=Mode.SILENT, switch_file=switch)
    text = client(settings).get("/health/ready").text

    assert "The mode is silent" in text
    assert "CDS_SWITCH_FILE: the switch file holds none of" in text


def test_readiness_shows_no_secret() -> None:
    settings = Settings(client_auth=ClientAuth.OFF, database_url="postgresql://cds:secret@db/cds")

    assert "secret" not in client(settings).get("/health/ready").text


def test_liveness_needs_nothing() -> None:
    assert {"status": "alive"} == body_of(client(Settings()).get("/health/live"))


def test_the_front_page_names_services_knowledge_and_open_access() -> None:
    page = client().get("/")

    assert "text/html; charset=utf-8" == page.content_type
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha")
    assert "CDS_CLIENT_AUTH is off" in page.text
    assert knowledge().digest in page.text
    assert all(f"/cds-services/{s.id}" in page.text for s in knowledge().services)
    assert "//" not in page.text.replace("<!doctype", "")


def test_review_page_links_to_no_file_that_is_not_served() -> None:
    text = "| [hiv](value_sets/hiv.json) | [paper](https://doi.org/10.1) |"

    page = client(review=text).get("/knowledge/lumbar-mri").get_data(as_text=True)

    assert 'href="lumbar-mri/value-sets#hiv"' in page
    assert "value_sets/" not in page
    assert 'href="https://doi.org/10.1"' in page


def test_the_review_page_shows_tables_and_never_interprets_html() -> None:
    text = "# Rules\n\n| row | says |\n|---|---|\n| E1 | <script>alert(1)</script> |\n"
    page = client(review=text).get("/knowledge/lumbar-mri")

    assert 200 == page.status_code
    assert "<td>E1</td>" in page.text
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize(
    "path", ["/cds-services", "/health/live", "/health/ready", "/metrics", "/", "/none"]
)
def test_no_answer_may_be_cached_or_sniffed(path: str) -> None:
    """R-RESP-07."""
    response = client().get(path)

    assert "no-store" == response.headers["Cache-Control"]
    assert "nosniff" == response.headers["X-Content-Type-Options"]


def test_one_line_is_logged_for_a_call_with_keys_of_the_allow_list_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="cds_service")
    fire(client(), hook_request())
    (line,) = [r for r in caplog.records if r.msg == "hook call"]
    extras = set(vars(line)) - set(vars(logging.makeLogRecord({}))) - {"message", "asctime"}

    assert extras <= set(LOG_KEYS)
    assert {"service", "hook", "hookInstance", "status", "rows", "duration_ms"} <= extras
    assert knowledge().version == vars(line)["knowledge"]


def test_a_hook_instance_that_is_no_uuid_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="cds_service")
    fire(client(), {**hook_request(), "hookInstance": "Janet Doe"})

    assert "Janet" not in repr([vars(r) for r in caplog.records])


def test_calls_decisions_and_errors_are_counted() -> None:
    to = client()
    fire(to, hook_request())
    fire(to, hook_request(KNEE_MRI))
    fire(to, {"hook": "order-select"})
    to.post("/cds-services/Janet-Doe", json={})
    text = to.get("/metrics").text
    call = 'cds_calls_total{hook="order-select",service="lumbar-mri-order-select",status='

    assert 2 == metric(text, call + '"200"')
    assert 1 == metric(text, call + '"400"')
    assert 1 == metric(text, 'cds_calls_total{hook="other",service="other",status="404"')
    assert 1 == metric(text, "cds_decisions_total{")
    assert 4 == metric(text, "cds_call_seconds_count")
    assert 1 == metric(text, 'cds_requests_refused_total{code="unknown-service"')
    assert "Janet" not in text


def test_unreadable_sources_are_counted_by_resource_type() -> None:
    to = client()
    prefetch = hook_request()["prefetch"]
    assert isinstance(prefetch, dict)
    kept = {k: v for k, v in prefetch.items() if knowledge().prefetch_types[k] != "Observation"}
    fire(to, hook_request(prefetch=kept))

    assert 1 == metric(
        to.get("/metrics").text, 'cds_unreadable_sources_total{resource_type="Observation"}'
    )


def test_feedback_is_counted_by_outcome_and_our_own_codes_only() -> None:
    to = client()
    ours = knowledge().wording.override_reasons[0][0]
    card = "2b2f8c1a-0d0b-5c84-9a42-7f1d43b1ef10"
    at = "2026-03-16T09:30:00Z"
    overridden = {"card": card, "outcome": "overridden", "outcomeTimestamp": at}
    response = to.post(
        f"{ORDER_SELECT}/feedback",
        json={
            "feedback": [
                {**overridden, "overrideReason": {"reason": {"code": ours}}},
                {**overridden, "overrideReasons": {"reason": {"code": "Janet Doe"}}},
                {**overridden, "overrideReason": {"userComment": "Janet Doe"}},
                {
                    "card": card,
                    "outcome": "accepted",
                    "outcomeTimestamp": at,
                    "acceptedSuggestions": [{"id": card}],
                },
            ]
        },
    )
    text = to.get("/metrics").text
    start = 'cds_feedback_total{outcome="overridden",override_code='

    assert 200 == response.status_code
    counts = {"received": 4, "new": 4, "unknownCards": 4}
    assert {"extension": {"org.lumbar-mri-cds.feedback": counts}} == body_of(response)
    assert [1, 1, 1] == [metric(text, f'{start}"{code}"') for code in (ours, "other", "none")]
    assert 1 == metric(text, 'cds_feedback_total{outcome="accepted"')
    assert "Janet" not in text


CORS = Settings(client_auth=ClientAuth.OFF, cors_origins=("https://sandbox.example",))


@pytest.mark.parametrize("path", ["/cds-services", ORDER_SELECT, f"{ORDER_SELECT}/feedback"])
def test_a_preflight_of_an_allowed_origin_is_answered(path: str) -> None:
    """R-CORS-01, also where tokens are required."""
    closed = Settings(cors_origins=CORS.cors_origins)
    for settings in (CORS, closed):
        response = client(settings).options(
            path,
            headers={
                "Origin": "https://sandbox.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type, authorization",
            },
        )
        allowed = response.headers["Access-Control-Allow-Headers"].lower()

        assert 200 == response.status_code
        assert "https://sandbox.example" == response.headers["Access-Control-Allow-Origin"]
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "content-type" in allowed
        assert "authorization" in allowed
        assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("request_body", [hook_request, dict], ids=["success", "error"])
def test_the_real_answer_may_be_read_by_the_allowed_origin(request_body: type[object]) -> None:
    """R-CORS-02."""
    response = fire(client(CORS), request_body(), headers={"Origin": "https://sandbox.example"})

    assert "https://sandbox.example" == response.headers["Access-Control-Allow-Origin"]
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("settings", [CORS, OPEN], ids=["other origin allowed", "none allowed"])
def test_a_foreign_origin_is_not_reflected(settings: Settings) -> None:
    """R-CORS-03."""
    response = fire(client(settings), hook_request(), headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_failure_of_our_own_is_500_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    """R-CALL-14: a clock that fails stands for any bug of ours."""
    to = client()

    @to.application.get("/fails")
    def fails() -> str:
        raise RuntimeError("Janet Doe, secret")

    response = to.get("/fails")
    (line,) = [r for r in caplog.records if r.msg == "internal error"]

    assert 500 == response.status_code
    assert "internal-error" == error_code(response)
    assert "Janet" not in response.text
    assert line.exc_info is not None


def test_head_is_answered_where_get_is() -> None:
    """R-DISC-15."""
    for path in ("/cds-services", "/health/live", "/"):
        response = client().head(path)

        assert 200 == response.status_code
        assert b"" == response.get_data()


def test_the_catalogue_is_json_without_spare_members() -> None:
    services = json.loads(client().get("/cds-services").get_data())["services"]
    allowed = {"hook", "title", "description", "id", "prefetch", "usageRequirements", "extension"}

    assert ["lumbar-mri-order-select", "lumbar-mri-order-sign"] == [s["id"] for s in services]
    assert all(set(s) <= allowed for s in services)
