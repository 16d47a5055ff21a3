"""The frame of every answer: errors as OperationOutcomes, headers, CORS, the line of the log."""

import logging
import time
from collections.abc import Mapping, Sequence

from flask import Response, g, request

from cds_service import strict_json
from cds_service.error_translation import translate
from cds_service.errors import CdsError
from cds_service.protocol import operation_outcome
from cds_service.wiring import Call, Wiring, wiring_of_app

logger = logging.getLogger(__name__)


def error_answer(error: Exception) -> Response:
    """Answer an error as an OperationOutcome, count it, and name its code in the log line."""
    failure = translate(error)
    if failure.is_ours:
        logger.error("internal error", exc_info=error)
    wiring_of_app().metrics.count_refused(failure.status, failure.code)
    details: dict[str, object] = {"error": failure.code}
    if isinstance(error, CdsError) and error.reason:
        wiring_of_app().metrics.count_client_refusal(error.reason)
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


def finish(answer: Response) -> Response:
    """Add the headers that every answer has, and write the line of the call."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    wiring = wiring_of_app()
    _allow_origin(answer, wiring.settings.cors_origins)
    call = g.get("call")
    if isinstance(call, Call):
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
    answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        answer.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        answer.headers["Access-Control-Max-Age"] = "600"


def _log_call(call: Call, status: int, wiring: Wiring) -> None:
    seconds = time.perf_counter() - call.started
    served = wiring.served(call.service_id)
    knowledge = served[0].knowledge if served is not None else wiring.knowledge
    if call.is_hook_call:
        wiring.metrics.count_call(call.service_id, status, seconds)
    line = {
        "service": call.service_id if served is not None else "unknown",
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "knowledge": knowledge.version,
        "client": call.client,
        **call.details,
    }
    logger.info("hook call" if call.is_hook_call else "feedback", extra=_without_none(line))


def _without_none(line: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in line.items() if value not in (None, [], "")}
