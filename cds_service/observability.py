"""What an operator sees: JSON log lines from an allow-list of keys, and Prometheus metrics.

Nothing that comes from a request is a label or a log value, except a hookInstance that is a UUID.
Foreign loggers (gunicorn, urllib3) are cut down to message templates: what is filled in may come
from a request.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST

OUR_LOGGERS = "cds_service"
LOG_KEYS = (
    "service",
    "hook",
    "hookInstance",
    "status",
    "error",
    "mode",
    "rows",
    "overlays",
    "indicators",
    "unreadable",
    "duration_ms",
    "topic",
    "knowledge",
    "digest",
    "approval",
    "entries",
    "version",
    "address",
    "workers",
    "threads",
    "file",
    "client",
    "reason",
    "unrecorded",
    "calls",
)
"""The only keys that a log line may carry beside time, level, message and place."""

TEXT_LEFT_OUT = "(text left out)"

_OTHER = "other"
_NONE = "none"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0)


class JsonLines(logging.Formatter):
    """One JSON object a line. Exceptions show type and place, never their text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
        }
        if record.name.partition(".")[0] == OUR_LOGGERS:
            line["message"] = str(record.msg)
            line |= {key: record.__dict__[key] for key in LOG_KEYS if key in record.__dict__}
        else:
            # A template is a constant; a text without arguments may hold what was received.
            line["message"] = str(record.msg) if record.args else TEXT_LEFT_OUT
            line["at"] = [f"{record.filename}:{record.lineno} {record.funcName}"]
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = type(record.exc_info[1]).__name__
            line["at"] = _places(record.exc_info[1])
        return json.dumps(line)


def set_up_logging(level: int = logging.INFO) -> None:
    """Send every logger of the process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OUR_LOGGERS).setLevel(level)


def _places(error: BaseException) -> list[str]:
    """Return `module:line function` of each frame, innermost last, at most twelve."""
    frames = traceback.extract_tb(error.__traceback__)[-12:]
    return [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]


class Metrics:
    """All metrics of one application. Labels are closed sets: no value of a request becomes one."""

    def __init__(
        self,
        *,
        services: Mapping[str, str],
        override_codes: Iterable[str],
        shared_in: Path | None = None,
    ) -> None:
        """Register the metrics.

        `services` maps id to hook. `shared_in` is the directory in which all workers of one
        server keep their numbers; None when there is one process only.
        """
        self._services = services
        self._override_codes = frozenset(override_codes)
        self._shared_in = shared_in
        self._registry = CollectorRegistry()
        self._calls = self._counter("calls", "Hook calls", "service", "hook", "status")
        self._seconds = Histogram(
            "cds_call_seconds",
            "Duration of hook calls, from when the request was there to the last line of ours",
            ("service",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._waited = Histogram(
            "cds_wait_seconds",
            "Time from when a call was there to when a thread looked at it",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._shed = self._counter(
            "calls_shed", "Calls refused because they could not be answered in time"
        )
        self._cards = self._counter("cards", "Cards shown", "row", "indicator")
        self._decisions = self._counter("decisions", "Orders decided", "row", "rating")
        self._unreadable = self._counter(
            "unreadable_sources", "Sources that could not be read in a call", "resource_type"
        )
        self._foreign = self._counter(
            "foreign_resources", "Resources left out because they are of another patient"
        )
        self._fhir_requests = self._counter(
            "fhir_requests", "Requests to FHIR servers, and sources not asked for", "outcome"
        )
        self._fhir_circuit_opened = self._counter(
            "fhir_circuit_opened", "FHIR servers found dead, and left alone for a while"
        )
        self._unmapped = self._counter(
            "order_codes_unmapped",
            "Orders in question with local codes only that the site file does not map",
        )
        self._feedback = self._counter(
            "feedback", "Feedback entries", "service", "outcome", "override_code"
        )
        self._unknown_cards = self._counter(
            "feedback_unknown_cards", "Feedback about cards that the record does not hold"
        )
        self._unrecorded = self._counter(
            "decisions_unrecorded", "Orders decided and answered without their record"
        )
        self._refused = self._counter("requests_refused", "Requests refused", "status", "code")
        self._client_refusals = self._counter(
            "client_refusals",
            "Calls refused because of who called, or could not prove it",
            "reason",
        )
        self._ignored_headers = self._counter(
            "proxy_headers_ignored", "Certificate subjects sent by others than the site's proxies"
        )

    def count_call(self, service_id: str, status: int, seconds: float) -> None:
        """Count one hook call; an unknown service id is counted as `other`."""
        service = service_id if service_id in self._services else _OTHER
        hook = self._services.get(service_id, _OTHER)
        self._calls.labels(service, hook, str(status)).inc()
        self._seconds.labels(service).observe(seconds)

    def count_wait(self, seconds: float) -> None:
        """Count how long one call waited for a thread."""
        self._waited.observe(seconds)

    def count_shed(self) -> None:
        """Count one call that waited, or would have had to wait, for too long."""
        self._shed.inc()

    def count_outcome(
        self,
        cards: Sequence[Mapping[str, object]],
        decisions: Sequence[Mapping[str, object]],
    ) -> None:
        """Count what was decided, what was shown, and what could not be read."""
        for decision in decisions:
            self._decisions.labels(_word(decision, "row"), _word(decision, "rating")).inc()
        for card in cards:
            self._cards.labels(_topic(card), _word(card, "indicator")).inc()
        for resource_type in unreadable_types(decisions):
            self._unreadable.labels(resource_type).inc()

    def count_foreign(self, resources: int) -> None:
        """Count what was sent of another patient and left out."""
        self._foreign.inc(resources)

    def count_fhir_request(self, outcome: str) -> None:
        """Count one request to a FHIR server; `outcome` is a word of ours."""
        self._fhir_requests.labels(outcome).inc()

    def count_fhir_circuit_opened(self) -> None:
        """Count one FHIR server that is left alone from now on."""
        self._fhir_circuit_opened.inc()

    def count_unmapped(self, orders: int) -> None:
        """Count orders whose codes mean nothing to the service."""
        self._unmapped.inc(orders)

    def count_feedback(self, service_id: str, outcome: str, codes: Sequence[str]) -> None:
        """Count one feedback entry; codes that are not our own are `other`."""
        known = [c if c in self._override_codes else _OTHER for c in codes]
        self._feedback.labels(service_id, outcome, known[0] if known else _NONE).inc()

    def count_feedback_on_unknown_cards(self, entries: int) -> None:
        """Count feedback entries about cards that were never shown, or whose record is gone."""
        self._unknown_cards.inc(entries)

    def count_unrecorded(self, orders: int) -> None:
        """Count orders whose decisions left without their record."""
        self._unrecorded.inc(orders)

    def count_refused(self, status: int, code: str) -> None:
        """Count one request that was answered with an error."""
        self._refused.labels(str(status), code).inc()

    def count_client_refusal(self, reason: str) -> None:
        """Count one call whose client was not let in; `reason` is a word of ours."""
        self._client_refusals.labels(reason).inc()

    def count_ignored_header(self) -> None:
        """Count one header with a certificate subject that was not believed."""
        self._ignored_headers.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus text form, those of the other workers included."""
        if self._shared_in is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared_in))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"cds_{name}", says, labels, registry=self._registry)


def share_metrics(slot: int) -> None:
    """Keep the numbers of this process in the shared directory, in files of its slot.

    Slots are reused when a worker is replaced: with one file set for each process id the
    directory would grow for ever. Call it once in each worker, before its first `Metrics`.
    """
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        process_identifier=lambda: slot
    )


def unreadable_types(decisions: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the resource types that could not be read, sorted, without the reasons."""
    sources = {
        str(source).partition(":")[0]
        for decision in decisions
        for source in _items(decision.get("unreadable"))
    }
    return tuple(sorted(sources))


def words_of(decisions: Sequence[Mapping[str, object]], key: str) -> list[str]:
    """Return one member of each decision that has it, for the log."""
    return [str(d[key]) for d in decisions if key in d]


def _topic(card: Mapping[str, object]) -> str:
    source = card.get("source")
    topic = source.get("topic") if isinstance(source, Mapping) else None
    return _word(topic, "code") if isinstance(topic, Mapping) else _NONE


def _word(members: Mapping[str, object], key: str) -> str:
    return str(members.get(key, _NONE))


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()
