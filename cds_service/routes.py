"""HTTP: discovery, the hook call, feedback, health, metrics and two pages for people.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#http-request_1, and the table of the contract.
`call_service` is the whole story of one call.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from flask import Blueprint, Flask, Response, g, request
from gunicorn.http.errors import InvalidChunkSize, ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from cds_service import __version__, committee_pages, pages, strict_json
from cds_service.client_auth.gate import Credentials
from cds_service.client_profiles import PamaClaim
from cds_service.errors import (
    MalformedRequest,
    TooLarge,
    Unavailable,
    UnknownService,
    WrongMediaType,
)
from cds_service.evaluate import Outcome, evaluate, orders_in_scope
from cds_service.feedback import parse_feedback
from cds_service.fhir import Resource
from cds_service.http_frame import error_answer, finish
from cds_service.knowledge import Knowledge, ServiceDescription
from cds_service.left_out import is_left_out
from cds_service.modes import Mode, strictest
from cds_service.observability import METRICS_CONTENT_TYPE, unreadable_types, words_of
from cds_service.overload import arrival_of, longest_wait_seconds, overloaded
from cds_service.pama_ratings import rated_orders
from cds_service.prefetch.reader import complete
from cds_service.protocol import (
    HookRequest,
    drafts_in_question,
    hook_answer,
    parse_request,
    strip_empty,
    uuid_in,
)
from cds_service.readiness import readiness, warnings_of
from cds_service.record.decisions import JudgedCall
from cds_service.registered_clients import RegisteredClient
from cds_service.settings import Settings
from cds_service.store.rest import StoreDown
from cds_service.topics import Topic
from cds_service.unmapped_codes import unmapped_codes
from cds_service.what_if import MOST_LETTERS, answer, situation_of
from cds_service.wiring import Call, Wiring, wire, wiring_of_app

FEEDBACK_EXTENSION = "org.lumbar-mri-cds.feedback"

LEFT_OUT = "left-out"
"""Stands in log and record in place of a mode: live, but this requester is shown nothing."""

_SECONDS_AFTER_READING = 0.1
"""For judging, and for writing the record."""
_LEAST_SECONDS_TO_RECORD = 0.1
_SECONDS_TO_WONDER = 1.0
_JSON_TYPES = frozenset({"application/json", "application/fhir+json"})

hooks = Blueprint("hooks", __name__)


def install(app: Flask, wiring: Wiring) -> None:
    """Add all routes and error answers to the application."""
    wire(app.extensions, wiring)
    app.register_blueprint(hooks)
    app.register_error_handler(Exception, error_answer)
    app.after_request(finish)


@hooks.get("/cds-services")
def discovery() -> Response:
    """Answer which services there are (R-DISC-01)."""
    return Response(wiring_of_app().discovery, content_type="application/json")


@hooks.post("/cds-services/<service_id>")
def call_service(service_id: str) -> Response:
    """Answer one hook call: the whole story."""
    wiring = wiring_of_app()
    call = _begin(wiring, service_id)
    client = _admit(wiring, call)
    knowledge, service = _service(wiring, service_id)
    mode = strictest(wiring.switch.current(), client.mode if client else None)
    call.details |= {"hook": service.hook, "mode": mode.value}
    if mode is Mode.OFF:
        return _json(hook_answer([], mode=mode.value))
    body = _json_body()
    with wiring.judging:
        hook_request = parse_request(body, service_hook=service.hook, service_id=service.id)
        call.details["hookInstance"] = uuid_in(hook_request.hook_instance)
        drafts = [draft.resource for draft in drafts_in_question(hook_request)]
        is_ours = bool(orders_in_scope(knowledge, hook_request, wiring.site))
    _note_unmapped(wiring, call, hook_request, drafts)
    if not is_ours:
        return _json(_answer([], [], mode))
    reading_since = time.perf_counter()
    sources = complete(
        hook_request,
        knowledge,
        allowed_servers=client.fhir_servers if client else wiring.settings.fhir_servers,
        reader=wiring.reader,
        budget_seconds=max(_seconds_left(wiring.settings, call) - _SECONDS_AFTER_READING, 0.0),
        monotonic=time.monotonic,
        client_id=client.id if client else "",
    )
    call.reading_seconds = time.perf_counter() - reading_since
    form = wiring.form_for(client, knowledge)
    with wiring.judging:
        outcome = evaluate(
            knowledge,
            hook_request,
            sources,
            today=wiring.clock().astimezone(wiring.settings.time_zone).date(),
            zone=wiring.settings.time_zone,
            site=wiring.site,
            form=form,
        )
    wiring.metrics.count_foreign(outcome.foreign_resources)
    if mode is Mode.LIVE and is_left_out(hook_request, wiring.site.left_out):
        call.details["mode"] = LEFT_OUT
    shown = outcome.cards if call.details["mode"] == Mode.LIVE else ()
    rated = _record(wiring, knowledge, call, hook_request, outcome, form.pama)
    _note(wiring, call, shown, outcome.decisions)
    return _json(_answer(shown, outcome.decisions, mode, rated))


@hooks.post("/cds-services/<service_id>/feedback")
def feedback(service_id: str) -> Response:
    """Take feedback (R-FB-01): answered 200 when it is committed, and counted once."""
    wiring = wiring_of_app()
    call = _begin(wiring, service_id, is_hook_call=False)
    _admit(wiring, call)
    _, service = _service(wiring, service_id)
    entries = parse_feedback(_json_body())
    try:
        receipt = wiring.feedback.keep(
            entries, client=call.client, service=service.id, received_at=wiring.clock()
        )
    except StoreDown:
        raise Unavailable("The feedback could not be kept; send it again later.") from None
    for entry in receipt.new:
        wiring.metrics.count_feedback(service.id, entry.outcome.value, entry.override_codes)
    wiring.metrics.count_feedback_on_unknown_cards(receipt.unknown_cards)
    counts = {
        "received": len(entries),
        "new": len(receipt.new),
        "unknownCards": receipt.unknown_cards,
    }
    call.details["entries"] = len(entries)
    # An empty object would break R-GEN-02, so the answer says what became of the entries.
    return _json({"extension": {FEEDBACK_EXTENSION: counts}})


@hooks.get("/health/live")
def live() -> Response:
    """Answer that the process runs."""
    return _json({"status": "alive"})


@hooks.get("/health/ready")
def ready() -> Response:
    """Answer whether hook calls can be served, with what, and what an operator should know."""
    wiring = wiring_of_app()
    is_ready, body = readiness(wiring)
    return _json(strip_empty(body), status=200 if is_ready else 503)


@hooks.get("/openapi.json")
def openapi() -> Response:
    """Answer the OpenAPI document of all that is answered, open like discovery."""
    return Response(wiring_of_app().document, content_type="application/json")


@hooks.get("/metrics")
def metrics() -> Response:
    """Answer all metrics in Prometheus text form."""
    return Response(wiring_of_app().metrics.text(), content_type=METRICS_CONTENT_TYPE)


@hooks.get("/")
def front_page() -> Response:
    """Answer the page for people."""
    wiring = wiring_of_app()
    return _page(
        pages.front_page(
            [topic.knowledge for topic in wiring.topics], __version__, warnings_of(wiring)
        )
    )


@hooks.get("/knowledge/<knowledge_id>")
def review(knowledge_id: str) -> Response:
    """Answer the review page of the running knowledge, for clinicians."""
    wiring = wiring_of_app()
    return _committee_page(committee_pages.review_page(_topic(wiring, knowledge_id)))


@hooks.get("/knowledge/<knowledge_id>/value-sets")
def value_sets(knowledge_id: str) -> Response:
    """Answer the value sets of the running knowledge, each code with where it was verified."""
    topic = _topic(wiring_of_app(), knowledge_id)
    return _committee_page(committee_pages.value_sets_page(topic))


@hooks.get("/knowledge/<knowledge_id>/what-if")
def what_if(knowledge_id: str) -> Response:
    """Answer what the tables say of facts that somebody chooses; no patient is involved."""
    wiring = wiring_of_app()
    knowledge = _topic(wiring, knowledge_id).knowledge
    if len(request.query_string) > MOST_LETTERS:
        raise TooLarge(f"The query has more than {MOST_LETTERS} letters.")
    today = wiring.clock().astimezone(wiring.settings.time_zone).date()
    given = situation_of(request.args.items(multi=True), knowledge, today=today)
    # The page is open to all: however many ask, one processor at most is busy with it, and calls
    # of EHRs go on between two answers.
    if not wiring.wondering.acquire(timeout=_SECONDS_TO_WONDER):
        raise overloaded()
    try:
        with wiring.judging:
            answered = answer(given, knowledge)
        return _committee_page(committee_pages.what_if_page(knowledge, answered))
    finally:
        wiring.wondering.release()


@hooks.get(committee_pages.SCRIPT_PATH)
def review_script() -> Response:
    """Answer the script that searches in the committee's pages."""
    return Response(committee_pages.script(), content_type="text/javascript; charset=utf-8")


def _topic(wiring: Wiring, knowledge_id: str) -> Topic:
    for topic in wiring.topics:
        if topic.knowledge.id == knowledge_id:
            return topic
    raise UnknownService("There is no knowledge with this id; see /.")


def _begin(wiring: Wiring, service_id: str, *, is_hook_call: bool = True) -> Call:
    """Note the call. Raises Overloaded if it has waited for too long."""
    now = time.perf_counter()
    arrival = arrival_of(request.environ, now=now)
    call = Call(service_id, arrival.ready_at, is_hook_call)
    g.call = call
    waited = now - arrival.ready_at
    wiring.metrics.count_wait(waited)
    if waited > longest_wait_seconds(wiring.settings):
        wiring.metrics.count_shed()
        raise overloaded()
    return call


def _seconds_left(settings: Settings, call: Call) -> float:
    """Return what is left of the budget of the whole call; less than zero when it is spent."""
    return settings.time_budget_ms / 1000 - (time.perf_counter() - call.started)


def _admit(wiring: Wiring, call: Call) -> RegisteredClient | None:
    """Return who calls, before the body is read (R-SEC-16); None when nobody is asked."""
    credentials = Credentials(
        header=request.headers.get,
        sender=request.remote_addr or "",
        service_id=call.service_id,
        is_feedback=not call.is_hook_call,
    )
    client = wiring.gate.admit(credentials)
    if client is not None:
        call.client = client.id
    wiring.limits.count(client, credentials)
    return client


def _note_unmapped(
    wiring: Wiring, call: Call, hook_request: HookRequest, drafts: Iterable[Resource]
) -> None:
    """Count the orders whose codes only their EHR knows, and remember the codes."""
    if codes := unmapped_codes(drafts, wiring.mapped_codes):
        wiring.metrics.count_unmapped(len(codes))
        wiring.unmapped.note(
            codes, client=call.client, patient_id=hook_request.patient_id, at=wiring.clock()
        )


def _service(wiring: Wiring, service_id: str) -> tuple[Knowledge, ServiceDescription]:
    served = wiring.served(service_id)
    if served is not None:
        return served[0].knowledge, served[1]
    raise UnknownService("There is no service with this id; see /cds-services.")


def _json_body() -> bytes:
    """Return the body. Raises WrongMediaType or TooLarge (R-CALL-12, R-ROB-01)."""
    if request.mimetype.lower() not in _JSON_TYPES:
        raise WrongMediaType("Send the body as Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMediaType("Send the body without Content-Encoding.")
    limit = wiring_of_app().settings.max_body_bytes
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
    cards: Sequence[Mapping[str, object]],
    decisions: Sequence[Mapping[str, object]],
    mode: Mode,
    rated: Sequence[Mapping[str, object]] = (),
) -> dict[str, object]:
    said = "" if mode is Mode.LIVE else mode.value
    return hook_answer(cards, decisions, mode=said, system_actions=rated)


def _record(
    wiring: Wiring,
    knowledge: Knowledge,
    call: Call,
    hook_request: HookRequest,
    outcome: Outcome,
    claim: PamaClaim | None,
) -> list[Mapping[str, object]]:
    """Commit what was decided before it is answered, and return the system actions.

    A store that is down costs the clinician nothing: the card leaves without its record, which
    log, metrics and readiness say. But a consultation that nobody could look up is not claimed.
    """
    spent = time.perf_counter() - call.started
    judged = JudgedCall(
        decided_at=wiring.clock(),
        client=call.client,
        knowledge=knowledge,
        service=call.service_id,
        hook=hook_request.hook,
        hook_instance=uuid_in(hook_request.hook_instance),
        mode=str(call.details["mode"]),
        reading_ms=call.reading_seconds * 1000,
        total_ms=spent * 1000,
    )
    is_shown = judged.mode == Mode.LIVE
    # Some clients fire twice in one hook instance: the time makes two consultations of it.
    names = (judged.service, hook_request.hook_instance, judged.decided_at.isoformat())
    ratings = rated_orders(
        knowledge, outcome.judged, claim if is_shown else None, consultation="|".join(names)
    )
    seconds = max(_seconds_left(wiring.settings, call), _LEAST_SECONDS_TO_RECORD)
    try:
        wiring.decisions.keep(
            judged,
            outcome.orders,
            is_shown=is_shown,
            consult_ids=[rating.consult_id if rating else None for rating in ratings],
            seconds=seconds,
        )
    except StoreDown as fault:
        wiring.metrics.count_unrecorded(len(outcome.orders))
        call.details["unrecorded"] = str(fault)
        return []
    return [rating.action for rating in ratings if rating is not None]


def _note(
    wiring: Wiring,
    call: Call,
    cards: Sequence[Mapping[str, object]],
    decisions: Sequence[Mapping[str, object]],
) -> None:
    """Count the decisions and note them for the log line: ids of rules, nothing of the chart."""
    wiring.metrics.count_outcome(cards, decisions)
    call.details |= {
        "rows": words_of(decisions, "row"),
        "overlays": words_of(decisions, "overlay"),
        "indicators": words_of(cards, "indicator"),
        "unreadable": list(unreadable_types(decisions)),
    }


def _json(body: object, *, status: int = 200) -> Response:
    return Response(strict_json.dumps(body), status=status, content_type="application/json")


def _committee_page(html: str) -> Response:
    return _page(html, policy=committee_pages.CONTENT_SECURITY_POLICY)


def _page(html: str, *, policy: str = pages.CONTENT_SECURITY_POLICY) -> Response:
    answer = Response(html, content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
