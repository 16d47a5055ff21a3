"""Fills the gaps of prefetch from the EHR's FHIR server, within the time budget of the call.

Source: CDS Hooks 2.0, FHIR Resource Access, https://cds-hooks.hl7.org/2.0/#fhir-resource-access.
The access token goes to the allow-listed origin and nowhere else: not into logs, not into
exceptions, not through redirects or links (R-FHIR-01 to R-FHIR-08).
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass

from cds_service.chart.sources import INCOMPLETE, Source, SourceState
from cds_service.json_schemas import is_object
from cds_service.outgoing import Failure, trusting
from cds_service.prefetch.addresses import ServerBase, allowed_base
from cds_service.prefetch.circuit import Sign
from cds_service.prefetch.queries import (
    PublishedPrefetch,
    Query,
    extra_contents,
    next_link,
    query_for,
    sent_contents,
    templates_of,
)
from cds_service.prefetch.server import (
    Access,
    Deadline,
    FhirServer,
    ReadFailure,
    Tally,
    says_down,
)
from cds_service.protocol import HookRequest

MAX_PAGES = 20
"""Pages of one source, the first one and those that came with the call included."""
SECONDS_TO_JUDGE = 0.25
"""A server that was given less, and is late, is not thought dead for it."""


class FhirReader:
    """The FHIR servers of one process; made once an app.

    Each client has its own connections to a server, and its own opinion of whether it lives.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        tally: Tally | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Trust the usual roots and tell nobody, unless told otherwise.

        `monotonic` is the clock of the circuit breakers.
        """
        self._tls = tls or trusting()
        self._tally = tally or Tally()
        self._monotonic = monotonic
        self._servers: dict[tuple[str, str], FhirServer] = {}
        self._lock = threading.Lock()

    def server(self, client_id: str, origin: str) -> FhirServer:
        """Return the server behind an allow-listed origin, as this client calls it."""
        with self._lock:
            known = self._servers.get((client_id, origin))
            if known is None:
                known = FhirServer(
                    origin, tls=self._tls, tally=self._tally, monotonic=self._monotonic
                )
                self._servers[client_id, origin] = known
            return known

    def dead_servers(self) -> list[str]:
        """Return the origins, all allow-listed, that did not answer when last asked."""
        with self._lock:
            servers = tuple(self._servers.values())
        return sorted({server.origin for server in servers if server.is_dead})

    def close(self) -> None:
        """Drop what has not started and close idle connections; running reads end by themselves."""
        with self._lock:
            for server in self._servers.values():
                server.close()


def complete(  # noqa: PLR0913  # what is asked, of whom, with what, and for how long
    request: HookRequest,
    knowledge: PublishedPrefetch,
    *,
    allowed_servers: tuple[str, ...],
    reader: FhirReader,
    budget_seconds: float,
    monotonic: Callable[[], float],
    client_id: str = "",
    open_server: ServerBase | None = None,
) -> tuple[Source, ...]:
    """Return every source that the knowledge asks for, in its order, read or not; then extra ones.

    What prefetch holds is taken as it is and never asked for again. The rest, and the further
    pages of what came, are read in parallel if the call gives a server, a token for it, and the
    server is allowed. Returns within `budget_seconds`, whatever the server does. A source that is
    unreadable and yet has content is one of which only some pages could be read. `client_id` is
    of the site file; empty when nobody asks who calls. `open_server` is read without a token, in
    place of what the call names (`cds-service try`).
    """
    deadline = Deadline(at=monotonic() + budget_seconds, monotonic=monotonic)
    templates = templates_of(knowledge, request)
    contents = sent_contents(request.prefetch, knowledge.prefetch_types)
    errands = [
        _Errand(
            key=key,
            resource_type=resource_type,
            query=query_for(templates.get(key, ""), request),
            pages=contents.get(key, []),
        )
        for key, resource_type in knowledge.prefetch_types.items()
    ]
    access = (
        _access_of(request, allowed_servers)
        if open_server is None
        else Access(base=open_server, token="")
    )
    if access is None:
        for errand in errands:
            errand.do_without()
    else:
        lacking = [errand for errand in errands if errand.has_work]
        _read(lacking, reader.server(client_id, access.base.origin), access, deadline)
    return (*(errand.source() for errand in errands), *_extra(request, knowledge))


def _extra(request: HookRequest, knowledge: PublishedPrefetch) -> Iterator[Source]:
    """Yield what the client sent of its own accord and the chart can use."""
    extra = extra_contents(request.prefetch, knowledge.prefetch_types)
    for key, (resource_type, content) in extra.items():
        yield Source(
            key=key,
            resource_type=resource_type,
            state=SourceState.READ,
            content=content,
            is_extra=True,
        )


@dataclass(slots=True, kw_only=True)
class _Errand:
    """One source. A thread of the server adds pages; the call may take what is there any time."""

    key: str
    resource_type: str
    query: Query | None
    pages: list[object]
    """As sent at first; then what the server answers."""
    failure: str = ""
    """Why there is no page, or not every one."""
    wait_seconds: float = 0.0
    """How long the server wants to be left alone."""
    seconds_given: float = 0.0
    """Time to the deadline when a thread took it up; none if no thread did."""
    was_answered: bool = False

    @property
    def has_work(self) -> bool:
        """Something can be asked for: the source itself, or a next page."""
        if not self.pages:
            return self.query is not None
        return any(next_link(page) is not None for page in self.pages)

    def do_without(self) -> None:
        """Mark as incomplete what has further pages that must not be asked for."""
        if self.pages and self.has_work:
            self.failure = INCOMPLETE

    def read(self, server: FhirServer, access: Access, deadline: Deadline) -> None:
        """Ask for the source if it is missing, then for the pages that follow."""
        self.seconds_given = deadline.seconds_left()
        try:
            if not self.pages and self.query is not None:
                self.pages.append(self._first_page(self.query, server, access, deadline))
            self._follow_pages(server, access, deadline)
        except ReadFailure as failure:
            self.failure = failure.reason
            self.wait_seconds = failure.wait_seconds or 0.0

    def sign(self) -> Sign | None:
        """Return what is learned of the server; nothing if it had no time to answer."""
        if self.was_answered:
            return Sign.ALIVE
        if self.failure == Failure.TIMEOUT and self.seconds_given < SECONDS_TO_JUDGE:
            return None
        return Sign.DOWN if says_down(self.failure) else Sign.UNCLEAR

    def source(self) -> Source:
        """Return the source as it stands now."""
        pages, failure = tuple(self.pages), self.failure
        if failure:
            state = SourceState.UNREADABLE
        else:
            state = SourceState.READ if pages else SourceState.NOT_SENT
        return Source(
            key=self.key,
            resource_type=self.resource_type,
            state=state,
            content=pages[0] if pages else None,
            more=pages[1:],
            reason=INCOMPLETE if failure and pages else failure,
        )

    def _first_page(
        self, query: Query, server: FhirServer, access: Access, deadline: Deadline
    ) -> object:
        base = access.base.url
        expected = "Bundle" if query.is_search else self.resource_type
        try:
            page = server.get(f"{base}/{query.path}", access.token, deadline)
        except ReadFailure as failure:
            # Some servers refuse `_sort` or `_count`; what they would have left out is ours to do.
            if failure.reason != "400" or query.plain_path == query.path:
                raise
            page = server.get(f"{base}/{query.plain_path}", access.token, deadline)
        return self._checked(page, expected)

    def _follow_pages(self, server: FhirServer, access: Access, deadline: Deadline) -> None:
        """Read next pages until there is none; raises ReadFailure when one cannot be had."""
        waiting = [link for page in self.pages if (link := next_link(page)) is not None]
        asked: set[str] = set()
        while waiting:
            link = waiting.pop(0)
            url = access.base.on_same_origin(link) if link else None
            if url is None or url in asked or len(self.pages) >= MAX_PAGES:
                raise ReadFailure(INCOMPLETE)
            asked.add(url)
            page = self._checked(server.get(url, access.token, deadline), "Bundle")
            self.pages.append(page)
            if (link_after := next_link(page)) is not None:
                waiting.append(link_after)

    def _checked(self, page: object, expected: str) -> object:
        """Return a page of the expected type, or an OperationOutcome, which the chart judges."""
        if not is_object(page) or page.get("resourceType") not in (expected, "OperationOutcome"):
            raise ReadFailure("not FHIR")
        self.was_answered = True
        return page


def _read(errands: list[_Errand], server: FhirServer, access: Access, deadline: Deadline) -> None:
    """Do all errands in parallel; those that are late are marked and left to themselves.

    A call that has begun goes on, whatever others learn of the server meanwhile.
    """
    if not errands:
        return
    admission = server.enter(len(errands))
    if not admission.may_ask:
        for errand in errands:
            errand.failure = admission.value
        return
    under_way = {
        server.submit(_task(errand, server, access, deadline)): errand for errand in errands
    }
    done, late = wait(under_way, timeout=max(deadline.seconds_left(), 0))
    for future in done:
        future.result()
    for future in late:
        future.cancel()
        under_way[future].failure = Failure.TIMEOUT
    wait_seconds = max(errand.wait_seconds for errand in errands)
    server.leave(admission, _sign_of(errands), wait_seconds=wait_seconds)


def _task(
    errand: _Errand, server: FhirServer, access: Access, deadline: Deadline
) -> Callable[[], None]:
    return lambda: errand.read(server, access, deadline)


def _sign_of(errands: list[_Errand]) -> Sign:
    """Return what a call learned: one answer is life; death only if nothing speaks against it."""
    signs = {errand.sign() for errand in errands} - {None}
    if Sign.ALIVE in signs:
        return Sign.ALIVE
    return Sign.DOWN if signs == {Sign.DOWN} else Sign.UNCLEAR


def _access_of(request: HookRequest, allowed_servers: tuple[str, ...]) -> Access | None:
    """Return where the call may read; None without server, token or permission (R-FHIR-01)."""
    authorization = request.fhir_authorization
    base = allowed_base(request.fhir_server, allowed_servers)
    if base is None or authorization is None or not _is_token(authorization.access_token):
        return None
    return Access(base=base, token=authorization.access_token)


def _is_token(text: str) -> bool:
    """Tell whether a text can stand in an Authorization header (RFC 6750: visible ASCII)."""
    return text.isascii() and text.isprintable() and bool(text) and " " not in text
