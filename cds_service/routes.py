"""HTTP: discovery, the hook call, feedback, health, metrics and two pages for people.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#http-request_1, and the table of the contract.
`call_service` is the whole story of one call.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, Flask, Response, current_app, g, request
from gunicorn.http.errors import InvalidChunkSize, ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from cds_service import __version__, pages, strict_json
from cds_service.client_auth.gate import Credentials, Gate
from cds_service.error_translation import translate
from cds_service.errors import (
    CdsError,
    MalformedRequest,
    TooLarge,
    UnknownService,
    WrongMediaType,
)
from cds_service.evaluate import evaluate, orders_in_scope
from cds_service.feedback import parse_feedback
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.mode_switch import ModeSwitch
from cds_service.observability import (
    METRICS_CONTENT_TYPE,
    Metrics,
    loggable_hook_instance,
    unreadable_types,
    words_of,
)
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.protocol import (
    drafts_in_question,
    hook_answer,
    operation_outcome,
    parse_request,
    strip_empty,
)
from cds_service.readiness import readiness, warnings_of
from cds_service.registered_clients import RegisteredClient
from cds_service.settings import Mode, Settings
from cds_service.site_file import SiteFile
from cds_service.unmapped_codes import count_unmapped

logger = logging.getLogger(__name__)

FEEDBACK_EXTENSION = "org.lumbar-mri-cds.feedback"
KNOWLEDGE_EXTENSION = "org.lumbar-mri-cds.knowledge"

_SECONDS_FOR_JUDGING = 0.05
_JSON_TYPES = frozenset({"application/json", "application/fhir+json"})
_EXTENSION = "cds-service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything that the routes need; `app.py` puts it together once."""

    settings: Settings
    knowledge: Knowledge
    site: SiteFile
    switch: ModeSwitch
    metrics: Metrics
    reader: FhirReader
    gate: Gate
    clock: Callable[[], datetime]
    """Aware time of now."""
    review: str
    """The review page of the knowledge, Markdown."""
    discovery: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Write the catalogue once: it never changes while the process runs (R-DISC-12)."""
        object.__setattr__(self, "discovery", strict_json.dumps(_catalogue(self.knowledge)))


@dataclass(slots=True)
class _Call:
    """What the log line of the call in progress will say."""

    service_id: str
    started: float
    is_hook_call: bool = True
    details: dict[str, object] = field(default_factory=dict)


hooks = Blueprint("hooks", __name__)


def install(app: Flask, wiring: Wiring) -> None:
    """Add all routes and error answers to the application."""
    app.extensions[_EXTENSION] = wiring
    app.register_blueprint(hooks)
    app.register_error_handler(Exception, _error_answer)
    app.after_request(_finish)


@hooks.get("/cds-services")
def discovery() -> Response:
    """Answer which services there are (R-DISC-01)."""
    return Response(_wiring().discovery, content_type="application/json")


@hooks.post("/cds-services/<service_id>")
def call_service(service_id: str) -> Response:
    """Answer one hook call: the whole story."""
    wiring = _wiring()
    call = _begin(service_id)
    client = _admit(wiring, call)
    service = _service(wiring.knowledge, service_id)
    mode = wiring.switch.current()
    call.details |= {"hook": service.hook, "mode": mode.value}
    if mode is Mode.OFF:
        return _json(hook_answer([], mode=mode.value))
    hook_request = parse_request(_json_body(), service_hook=service.hook, service_id=service.id)
    call.details["hookInstance"] = loggable_hook_instance(hook_request.hook_instance)
    drafts = [draft.resource for draft in drafts_in_question(hook_request)]
    wiring.metrics.count_unmapped(count_unmapped(drafts, wiring.site.order_codes))
    if not orders_in_scope(wiring.knowledge, hook_request, wiring.site):
        return _json(_answer([], [], mode))
    sources = complete(
        hook_request,
        wiring.knowledge,
        allowed_servers=client.fhir_servers if client else wiring.settings.fhir_servers,
        reader=wiring.reader,
        budget_seconds=_seconds_for_reading(wiring.settings, call),
        monotonic=time.monotonic,
        client_id=client.id if client else "",
    )
    outcome = evaluate(
        wiring.knowledge,
        hook_request,
        sources,
        today=wiring.clock().astimezone(wiring.settings.time_zone).date(),
        zone=wiring.settings.time_zone,
        site=wiring.site,
    )
    wiring.metrics.count_foreign(outcome.foreign_resources)
    shown = outcome.cards if mode is Mode.LIVE else ()
    _record(call, wiring.metrics, shown, outcome.decisions)
    return _json(_answer(shown, outcome.decisions, mode))


@hooks.post("/cds-services/<service_id>/feedback")
def feedback(service_id: str) -> Response:
    """Take feedback (R-FB-01). It is counted; nothing of it is stored yet."""
    wiring = _wiring()
    call = _begin(service_id, is_hook_call=False)
    _admit(wiring, call)
    service = _service(wiring.knowledge, service_id)
    entries = parse_feedback(_json_body())
    for entry in entries:
        wiring.metrics.count_feedback(service.id, entry.outcome.value, entry.override_codes)
    call.details["entries"] = len(entries)
    # An empty object would break R-GEN-02, so the answer says how many entries were taken.
    return _json({"extension": {FEEDBACK_EXTENSION: {"received": len(entries)}}})


@hooks.get("/health/live")
def live() -> Response:
    """Answer that the process runs."""
    return _json({"status": "alive"})


@hooks.get("/health/ready")
def ready() -> Response:
    """Answer whether hook calls can be served, with what, and what an operator should know."""
    wiring = _wiring()
    is_ready, body = readiness(
        wiring.knowledge,
        wiring.settings,
        wiring.switch,
        wiring.gate,
        wiring.reader.dead_servers(),
    )
    return _json(strip_empty(body), status=200 if is_ready else 503)


@hooks.get("/metrics")
def metrics() -> Response:
    """Answer all metrics in Prometheus text form."""
    return Response(_wiring().metrics.text(), content_type=METRICS_CONTENT_TYPE)


@hooks.get("/")
def front_page() -> Response:
    """Answer the page for people."""
    wiring = _wiring()
    warnings = warnings_of(wiring.switch, wiring.gate)
    return _page(pages.front_page(wiring.knowledge, __version__, warnings))


@hooks.get("/knowledge/<knowledge_id>")
def review(knowledge_id: str) -> Response:
    """Answer the review page of the running knowledge, for clinicians."""
    wiring = _wiring()
    if knowledge_id != wiring.knowledge.id:
        raise UnknownService("There is no knowledge with this id; see /.")
    return _page(pages.review_page(wiring.knowledge, wiring.review))


def _wiring() -> Wiring:
    wiring = current_app.extensions[_EXTENSION]
    assert isinstance(wiring, Wiring)  # noqa: S101  # tells the type checker what `install` put there
    return wiring


def _begin(service_id: str, *, is_hook_call: bool = True) -> _Call:
    call = _Call(service_id, time.perf_counter(), is_hook_call)
    g.call = call
    return call


def _seconds_for_reading(settings: Settings, call: _Call) -> float:
    """Return what is left of the budget of the whole call, less what the judgement itself takes."""
    spent = time.perf_counter() - call.started
    return max(settings.time_budget_ms / 1000 - spent - _SECONDS_FOR_JUDGING, 0.0)


def _admit(wiring: Wiring, call: _Call) -> RegisteredClient | None:
    """Return who calls, before the body is read (R-SEC-16); None when nobody is asked."""
    client = wiring.gate.admit(
        Credentials(
            header=request.headers.get,
            sender=request.remote_addr or "",
            service_id=call.service_id,
            is_feedback=not call.is_hook_call,
        )
    )
    if client is not None:
        call.details["client"] = client.id
    return client


def _service(knowledge: Knowledge, service_id: str) -> ServiceDescription:
    for service in knowledge.services:
        if service.id == service_id:
            return service
    raise UnknownService("There is no service with this id; see /cds-services.")


def _json_body() -> bytes:
    """Return the body. Raises WrongMediaType or TooLarge (R-CALL-12, R-ROB-01)."""
    if request.mimetype.lower() not in _JSON_TYPES:
        raise WrongMediaType("Send the body as Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMediaType("Send the body without Content-Encoding.")
    limit = _wiring().settings.max_body_bytes
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(limit) from None
    except (ClientDisconnected, OSError, InvalidChunkSize, ParseException):
        raise MalformedRequest("The body is not framed as announced, or came too slowly.") from None
    if request.content_length is None and len(body) >= limit:
        # Werkzeug cuts a body of unknown length off at the limit, without a word.
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body has more than {limit} bytes.")


def _answer(
    cards: Sequence[Mapping[str, object]], decisions: Sequence[Mapping[str, object]], mode: Mode
) -> dict[str, object]:
    return hook_answer(cards, decisions, mode="" if mode is Mode.LIVE else mode.value)


def _record(
    call: _Call,
    metrics: Metrics,
    cards: Sequence[Mapping[str, object]],
    decisions: Sequence[Mapping[str, object]],
) -> None:
    """Count the decisions and note them for the log line: ids of rules, nothing of the chart."""
    metrics.count_outcome(cards, decisions)
    call.details |= {
        "rows": words_of(decisions, "row"),
        "overlays": words_of(decisions, "overlay"),
        "indicators": words_of(cards, "indicator"),
        "unreadable": list(unreadable_types(decisions)),
    }


def _catalogue(knowledge: Knowledge) -> object:
    known = {"id": knowledge.id, "version": knowledge.version, "digest": knowledge.digest}
    return strip_empty(
        {
            "services": [
                {
                    "hook": service.hook,
                    "title": service.title,
                    "description": service.description,
                    "id": service.id,
                    "prefetch": dict(service.prefetch),
                    "usageRequirements": service.usage_requirements,
                    "extension": {KNOWLEDGE_EXTENSION: known},
                }
                for service in knowledge.services
            ]
        }
    )


def _json(body: object, *, status: int = 200) -> Response:
    return Response(strict_json.dumps(body), status=status, content_type="application/json")


def _page(html: str) -> Response:
    answer = Response(html, content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = pages.CONTENT_SECURITY_POLICY
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _error_answer(error: Exception) -> Response:
    """Answer an error as an OperationOutcome, count it, and name its code in the log line."""
    failure = translate(error)
    if failure.is_ours:
        logger.error("internal error", exc_info=error)
    _wiring().metrics.count_refused(failure.status, failure.code)
    details: dict[str, object] = {"error": failure.code}
    if isinstance(error, CdsError) and error.reason:
        _wiring().metrics.count_client_refusal(error.reason)
        details |= {"reason": error.reason, "client": error.client}
    if (call := g.get("call")) is not None:
        call.details |= details
    answer = Response(
        strict_json.dumps(operation_outcome(failure.status, failure.code, failure.text)),
        status=failure.status,
        content_type="application/fhir+json",
    )
    answer.headers.update(failure.headers)
    return answer


def _finish(answer: Response) -> Response:
    """Add the headers that every answer has, and write the line of the call."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    wiring = _wiring()
    _allow_origin(answer, wiring.settings.cors_origins)
    call = g.get("call")
    if isinstance(call, _Call):
        _log_call(call, answer.status_code, wiring)
    return answer


def _allow_origin(answer: Response, allowed: Sequence[str]) -> None:
    """Let a browser client of an allowed origin read the answer (R-CORS-01 to R-CORS-03)."""
    if not allowed:
        return
    answer.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if origin not in allowed:
        return
    answer.headers["Access-Control-Allow-Origin"] = origin
    if request.method == "OPTIONS":
        answer.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        answer.headers["Access-Control-Max-Age"] = "600"


def _log_call(call: _Call, status: int, wiring: Wiring) -> None:
    seconds = time.perf_counter() - call.started
    known = any(s.id == call.service_id for s in wiring.knowledge.services)
    if call.is_hook_call:
        wiring.metrics.count_call(call.service_id, status, seconds)
    line = {
        "service": call.service_id if known else "unknown",
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "knowledge": wiring.knowledge.version,
        **call.details,
    }
    logger.info("hook call" if call.is_hook_call else "feedback", extra=_without_none(line))


def _without_none(line: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in line.items() if value not in (None, [], "")}
