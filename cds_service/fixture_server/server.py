"""A small FHIR R4 server on loopback, for the demo and the tests, that misbehaves on demand.

Source: FHIR R4 RESTful API, https://hl7.org/fhir/R4/http.html.
"""

import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlencode

from cds_service.fixture_server.behaviour import (
    BEHAVES,
    ON_NEXT_PAGE,
    PACED,
    Behaviour,
    Fault,
    in_its_place,
    of_somebody_else,
    outcome,
    searchset,
)
from cds_service.fixture_server.exchange import (
    BASE_PATH,
    LOOPBACK,
    Exchange,
    Listener,
    RecordedRequest,
)
from cds_service.fixture_server.store import FixtureStore, UnusableParameter, search_parameters

_DEFAULT_COUNT = 20


@dataclass(slots=True)
class _Traffic:
    """What the server has seen; every member is guarded by the lock."""

    lock: threading.Condition = field(default_factory=threading.Condition)
    requests: list[RecordedRequest] = field(default_factory=list)
    in_flight: int = 0
    most_at_once: int = 0


class FixtureServer:
    """The server, running while the `with` block runs; it only ever listens on 127.0.0.1."""

    def __init__(  # noqa: PLR0913  # each is a separate way in which servers differ
        self,
        fixtures: Path | Iterable[object] = (),
        *,
        port: int = 0,
        strict: bool = False,
        refused_parameters: Iterable[str] = (),
        needed_parameters: Mapping[str, Iterable[str]] | None = None,
        page_limit: int = 100,
        pages_at_base: bool = False,
        token: str = "",
        gather: int = 0,
        behaviours: Mapping[str, Behaviour] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Load the fixtures: a folder, or Bundles and single resources.

        `strict` answers 400 to unknown parameters (HAPI, Medplum), else they are ignored (Epic);
        `refused_parameters` are unknown whatever R4 says; of `needed_parameters`, by resource type,
        a search must have one, or is answered 400 (Oracle, Epic). `page_limit` caps `_count`, and
        `pages_at_base` puts next links at the base with an opaque cursor (HAPI) instead of an
        `_offset`. A `token` makes each request need it. The first `gather` requests are held
        until all of them are there, five seconds at most. `behaviours` is by resource type. With
        `tls` it speaks https.
        """
        self._store = (
            FixtureStore.of_folder(fixtures)
            if isinstance(fixtures, Path)
            else FixtureStore(fixtures)
        )
        self._strict = strict
        self._refused = frozenset(refused_parameters)
        self._needed = {kind: frozenset(n) for kind, n in (needed_parameters or {}).items()}
        self._page_limit = page_limit
        self._pages_at_base = pages_at_base
        self._token = token
        self._gather = gather
        self._behaviours = dict(behaviours or {})
        self._traffic = _Traffic()
        self._stopping = threading.Event()
        self._scheme = "http" if tls is None else "https"
        self._listener = Listener(self.answer, port, tls)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop answering, wake what is delayed, and free the port."""
        self._stopping.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://{LOOPBACK}:{self._listener.server_address[1]}"

    @property
    def base_url(self) -> str:
        """The FHIR base, without a trailing slash."""
        return self.origin + BASE_PATH

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request so far, in order of arrival."""
        with self._traffic.lock:
            return tuple(self._traffic.requests)

    @property
    def most_at_once(self) -> int:
        """The greatest number of requests that were in flight together."""
        with self._traffic.lock:
            return self._traffic.most_at_once

    @property
    def connections(self) -> int:
        """How many there have been so far."""
        return self._listener.accepted

    def requests_for(self, resource_type: str) -> tuple[RecordedRequest, ...]:
        """Return the requests for one resource type."""
        return tuple(r for r in self.requests if r.resource_type == resource_type)

    def behave(self, resource_type: str, behaviour: Behaviour) -> None:
        """Answer requests for one type like this from now on."""
        with self._traffic.lock:
            self._behaviours[resource_type] = behaviour

    def answer(self, exchange: Exchange) -> None:
        """Record and answer one request; called by the listener's threads."""
        request = exchange.recorded()
        with self._traffic.lock:
            self._traffic.requests.append(request)
            self._traffic.in_flight += 1
            self._traffic.most_at_once = max(self._traffic.most_at_once, self._traffic.in_flight)
            behaviour = self._next_behaviour(request.resource_type)
            self._traffic.lock.notify_all()
            self._traffic.lock.wait_for(
                lambda: len(self._traffic.requests) >= self._gather, timeout=5
            )
        try:
            self._answer(exchange, request, behaviour)
        finally:
            with self._traffic.lock:
                self._traffic.in_flight -= 1

    def _next_behaviour(self, resource_type: str) -> Behaviour:
        behaviour = self._behaviours.get(resource_type, BEHAVES)
        if behaviour.times > 0:
            left = behaviour.times - 1
            self._behaviours[resource_type] = replace(behaviour, times=left)
        return BEHAVES if behaviour.times == 0 else behaviour

    def _answer(self, exchange: Exchange, request: RecordedRequest, behaviour: Behaviour) -> None:
        fault = behaviour.fault
        is_next_page = "_offset" in dict(request.query)
        if fault not in PACED and (is_next_page or fault is not Fault.LATE_NEXT):
            self._stopping.wait(behaviour.delay_seconds)
        if request.method != "GET":
            exchange.send(405, outcome("not-supported", "Only GET is supported"), allow="GET")
        elif self._token and request.headers.get("authorization") != f"Bearer {self._token}":
            exchange.send(401, outcome("login", "A valid access token is needed"))
        elif behaviour.status != HTTPStatus.OK:
            answer = outcome("processing", "This server misbehaves on demand")
            exchange.send(behaviour.status, answer, retry_after=behaviour.retry_after)
        elif fault is Fault.FAILING_NEXT and is_next_page:
            exchange.send(500, outcome("exception", "This page cannot be built"))
        else:
            status, found = self._look_up(request, behaviour)
            resource = in_its_place(found, fault) if status == HTTPStatus.OK else found
            exchange.send_badly(status, resource, behaviour, self._stopping)

    def _look_up(
        self, request: RecordedRequest, behaviour: Behaviour
    ) -> tuple[int, Mapping[str, object]]:
        """Return the status and the resource that answer a request."""
        match request.steps:
            case ["metadata"]:
                return 200, self._capabilities()
            case [resource_type]:
                return self._search(resource_type, request.query, behaviour)
            case [] if cursor := dict(request.query).get("_getpages"):
                resource_type, _, query = cursor.partition("?")
                return self._search(resource_type, tuple(parse_qsl(query)), behaviour)
            case [resource_type, resource_id]:
                resource = self._store.read(resource_type, resource_id)
                if resource is not None:
                    is_wrong = behaviour.fault is Fault.OTHER_PATIENT
                    return 200, of_somebody_else(resource) if is_wrong else resource
        return 404, outcome("not-found", "There is no such resource")

    def _search(
        self, resource_type: str, query: tuple[tuple[str, str], ...], behaviour: Behaviour
    ) -> tuple[int, Mapping[str, object]]:
        refused = self._refused & {name for name, _ in query}
        if refused and self._strict:
            return 400, outcome("invalid", f"Unknown search parameter {min(refused)}")
        needed = self._needed.get(resource_type, frozenset())
        if needed and needed.isdisjoint(name for name, _ in query):
            return 400, outcome("required", f"Needs one of {', '.join(sorted(needed))}")
        try:
            found = self._store.search(
                resource_type,
                [pair for pair in query if pair[0] not in refused],
                ignore_unknown=not self._strict,
            )
            count = min(_whole_number(query, "_count", _DEFAULT_COUNT), self._page_limit)
            offset = _whole_number(query, "_offset", 0)
        except UnusableParameter as problem:
            return 400, outcome("invalid", str(problem))
        links = [("self", _query_url(self.base_url, resource_type, query, offset))]
        if next_url := self._next_url(behaviour, resource_type, query, offset, count, len(found)):
            links.append(("next", next_url))
        page = found[offset : offset + count]
        if behaviour.fault is Fault.OTHER_PATIENT:
            page = [of_somebody_else(resource) for resource in page]
        elif behaviour.fault in ON_NEXT_PAGE:
            page = found if offset else []
        return 200, searchset(self.base_url, page, len(found), links, behaviour.fault)

    def _next_url(
        self,
        behaviour: Behaviour,
        resource_type: str,
        query: tuple[tuple[str, str], ...],
        offset: int,
        count: int,
        total: int,
    ) -> str:
        """Return the link to the next page, or nothing on the last."""
        after = offset + count
        match behaviour.fault:
            case Fault.FOREIGN_NEXT:
                return _query_url(behaviour.target + BASE_PATH, resource_type, query, after)
            case Fault.USER_NEXT:
                named = behaviour.target.replace("//", "//user:password@")
                return _query_url(named + BASE_PATH, resource_type, query, after)
            case Fault.LATE_NEXT | Fault.FAILING_NEXT:
                return "" if offset else _query_url(self.base_url, resource_type, query, 1)
            case Fault.ENDLESS_NEXT:
                return _query_url(self.base_url, resource_type, query, after)
            case Fault.SAME_NEXT:
                return _query_url(self.base_url, resource_type, query, offset)
        if not 0 < after < total:
            return ""
        if self._pages_at_base:
            cursor = _query_url("", resource_type, query, after).removeprefix("/")
            return f"{self.base_url}?{urlencode({'_getpages': cursor})}"
        return _query_url(self.base_url, resource_type, query, after)

    def _capabilities(self) -> Mapping[str, object]:
        return {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "implementation": {"description": "Synthetic patients", "url": self.base_url},
            "rest": [
                {
                    "mode": "server",
                    "resource": [
                        {
                            "type": name,
                            "interaction": [{"code": "read"}, {"code": "search-type"}],
                            "searchParam": [
                                {"name": parameter, "type": kind}
                                for parameter, kind in sorted(search_parameters(name).items())
                            ],
                        }
                        for name in self._store.types
                    ],
                }
            ],
        }


def _query_url(
    base: str, resource_type: str, query: tuple[tuple[str, str], ...], offset: int
) -> str:
    pairs = [pair for pair in query if pair[0] != "_offset"]
    if offset:
        pairs.append(("_offset", str(offset)))
    return f"{base}/{resource_type}?{urlencode(pairs)}"


def _whole_number(query: tuple[tuple[str, str], ...], name: str, default: int) -> int:
    value = dict(query).get(name, str(default))
    if not value.isdecimal():
        msg = f"{name} needs a whole number"
        raise UnusableParameter(msg)
    return int(value)
