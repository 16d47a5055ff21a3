"""Fills the gaps of prefetch from the EHR's FHIR server, within the time budget of the call.

Source: CDS Hooks 2.0, FHIR Resource Access, https://cds-hooks.hl7.org/2.0/#fhir-resource-access.
The access token goes to the allow-listed origin and nowhere else: not into logs, not into
exceptions, not through redirects or links (R-FHIR-01 to R-FHIR-08).
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from cds_service import strict_json
from cds_service.chart.sources import INCOMPLETE, Source, SourceState
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.json_schemas import is_object
from cds_service.prefetch.addresses import ServerBase, allowed_base
from cds_service.prefetch.queries import (
    PublishedPrefetch,
    Query,
    extra_contents,
    next_link,
    query_for,
    sent_contents,
    templates_of,
)
from cds_service.protocol import HookRequest

MAX_PAGE_BYTES = 10 * 1024 * 1024
"""Decoded bytes of one answer."""
MAX_PAGES = 20
"""Pages of one source, the first one and those that came with the call included."""

_CHUNK_BYTES = 64 * 1024
_WAIT_BEFORE_RETRY_SECONDS = 0.1
_PASSES_SOON = frozenset({"429", "502", "503", "504", "reset"})
"""Worth one more try. A reset is often a pooled connection that the server had closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The moment by which the call must be answered, on a clock that never goes back."""

    at: float
    monotonic: Callable[[], float]

    def seconds_left(self) -> float:
        """Return the seconds until then, zero or less when it has passed."""
        return self.at - self.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where this call may read, and with what."""

    base: ServerBase
    token: str = field(repr=False)


class ReadFailure(Exception):
    """One answer that could not be had; `reason` is `503`, `timeout`, `not JSON` …, never data."""

    def __init__(self, reason: str, *, retry_after: str = "") -> None:
        """Keep the reason, and the server's wish as to when to come again."""
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class FhirReader:
    """Reads FHIR JSON over pooled connections, one session for each server; made once an app.

    No redirects, no cookies, nothing from the environment (proxies, netrc). It holds no state of
    a call: the token is an argument and is forgotten with it (R-FHIR-03).
    """

    def __init__(self, *, max_parallel: int = 40) -> None:
        """`max_parallel` bounds the requests under way, over all calls of this process."""
        self._max_parallel = max_parallel
        self._threads = ThreadPoolExecutor(max_parallel, thread_name_prefix="fhir")
        self._sessions: dict[str, requests.Session] = {}
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], None]) -> Future[None]:
        """Run a task on one of the reader's threads."""
        return self._threads.submit(task)

    def close(self) -> None:
        """Drop what has not started and close idle connections; running reads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for session in self._sessions.values():
                session.close()

    def get(self, url: str, access: Access, deadline: Deadline) -> object:
        """Return the JSON at `url`, which is on the origin of `access`; one retry where it helps.

        Raises ReadFailure.
        """
        try:
            return self._get_once(url, access, deadline)
        except ReadFailure as failure:
            pause = _pause_before_retry(failure)
            if pause is None or pause >= deadline.seconds_left():
                raise
        time.sleep(pause)
        return self._get_once(url, access, deadline)

    def _get_once(self, url: str, access: Access, deadline: Deadline) -> object:
        seconds = deadline.seconds_left()
        if seconds <= 0:
            raise ReadFailure("timeout")
        headers = {"Authorization": f"Bearer {access.token}"}
        try:
            with self._session(access.base.origin).get(
                url,
                headers=headers,
                timeout=(seconds, seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                _check_head(response)
                body = _read_body(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ReadFailure(_reason_of(error)) from None
        try:
            return strict_json.loads(body)
        except MalformedRequest:
            raise ReadFailure("not JSON") from None
        except TooLarge:
            raise ReadFailure("too large") from None

    def _session(self, origin: str) -> requests.Session:
        with self._lock:
            if origin not in self._sessions:
                self._sessions[origin] = _new_session(self._max_parallel)
            return self._sessions[origin]


def complete(
    request: HookRequest,
    knowledge: PublishedPrefetch,
    *,
    allowed_servers: tuple[str, ...],
    reader: FhirReader,
    budget_seconds: float,
    monotonic: Callable[[], float],
) -> tuple[Source, ...]:
    """Return every source that the knowledge asks for, in its order, read or not; then extra ones.

    What prefetch holds is taken as it is and never asked for again. The rest, and the further
    pages of what came, are read in parallel if the call gives a server, a token for it, and the
    server is allowed. Returns within `budget_seconds`, whatever the server does. A source that is
    unreadable and yet has content is one of which only some pages could be read.
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
    access = _access_of(request, allowed_servers)
    if access is None:
        for errand in errands:
            errand.do_without()
    else:
        _run(errands, reader, access, deadline)
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
    """One source. A thread of the reader adds pages; the call may take what is there any time."""

    key: str
    resource_type: str
    query: Query | None
    pages: list[object]
    """As sent at first; then what the server answers."""
    failure: str = ""
    """Why there is no page, or not every one."""

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

    def read(self, reader: FhirReader, access: Access, deadline: Deadline) -> None:
        """Ask for the source if it is missing, then for the pages that follow."""
        try:
            if not self.pages and self.query is not None:
                self.pages.append(self._first_page(self.query, reader, access, deadline))
            self._follow_pages(reader, access, deadline)
        except ReadFailure as failure:
            self.failure = failure.reason

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
        self, query: Query, reader: FhirReader, access: Access, deadline: Deadline
    ) -> object:
        base = access.base.url
        try:
            page = reader.get(f"{base}/{query.path}", access, deadline)
        except ReadFailure as failure:
            # Some servers refuse `_sort` or `_count`; what they would have left out is ours to do.
            if failure.reason != "400" or query.plain_path == query.path:
                raise
            page = reader.get(f"{base}/{query.plain_path}", access, deadline)
        expected = "Bundle" if query.is_search else self.resource_type
        return _checked(page, expected)

    def _follow_pages(self, reader: FhirReader, access: Access, deadline: Deadline) -> None:
        """Read next pages until there is none; raises ReadFailure when one cannot be had."""
        waiting = [link for page in self.pages if (link := next_link(page)) is not None]
        asked: set[str] = set()
        while waiting:
            link = waiting.pop(0)
            url = access.base.on_same_origin(link) if link else None
            if url is None or url in asked or len(self.pages) >= MAX_PAGES:
                raise ReadFailure(INCOMPLETE)
            asked.add(url)
            page = _checked(reader.get(url, access, deadline), "Bundle")
            self.pages.append(page)
            if (link_after := next_link(page)) is not None:
                waiting.append(link_after)


def _run(errands: list[_Errand], reader: FhirReader, access: Access, deadline: Deadline) -> None:
    """Read all errands in parallel; those that are late are marked and left to themselves."""
    under_way = {
        reader.submit(_task(errand, reader, access, deadline)): errand
        for errand in errands
        if errand.has_work
    }
    done, late = wait(under_way, timeout=max(deadline.seconds_left(), 0))
    for future in done:
        future.result()
    for future in late:
        future.cancel()
        under_way[future].failure = "timeout"


def _task(
    errand: _Errand, reader: FhirReader, access: Access, deadline: Deadline
) -> Callable[[], None]:
    return lambda: errand.read(reader, access, deadline)


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


def _new_session(max_parallel: int) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"Accept": "application/fhir+json", "Accept-Encoding": "gzip"})
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=max_parallel, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _check_head(response: requests.Response) -> None:
    """Raise ReadFailure unless status and headers promise FHIR JSON of a bearable size."""
    if HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST:
        raise ReadFailure("redirect")
    if response.status_code != HTTPStatus.OK:
        raise ReadFailure(
            str(response.status_code), retry_after=response.headers.get("Retry-After", "")
        )
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type and "json" not in media_type:
        raise ReadFailure("not JSON")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_PAGE_BYTES:
        raise ReadFailure("too large")


def _read_body(response: requests.Response, deadline: Deadline) -> bytes:
    """Return the decoded body; raises ReadFailure when it grows too large or too late."""
    body = bytearray()
    # Not iter_content: that waits for a full chunk, however slowly it trickles in.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise ReadFailure("too large")
        if deadline.seconds_left() <= 0:
            raise ReadFailure("timeout")
    return bytes(body)


def _checked(page: object, expected: str) -> object:
    """Return a page of the expected type, or an OperationOutcome, which the chart judges."""
    if is_object(page) and page.get("resourceType") in (expected, "OperationOutcome"):
        return page
    raise ReadFailure("not FHIR")


def _pause_before_retry(failure: ReadFailure) -> float | None:
    """Return the seconds to wait before one more try, None if there should be none.

    A Retry-After that is a date is at least a second away, and so longer than a call may take.
    """
    if failure.reason not in _PASSES_SOON:
        return None
    if not failure.retry_after:
        return _WAIT_BEFORE_RETRY_SECONDS
    return float(failure.retry_after) if failure.retry_after.isdecimal() else None


def _reason_of(error: Exception) -> str:
    """Return why no answer came, in one word; the error's own text may hold URLs."""
    causes = [error, *error.args, *(getattr(a, "reason", None) for a in error.args)]

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if is_any(urllib3.exceptions.NewConnectionError, requests.exceptions.InvalidURL):
        return "unreachable"
    if is_any(requests.Timeout, urllib3.exceptions.TimeoutError):
        return "timeout"
    if is_any(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return "TLS"
    if is_any(urllib3.exceptions.DecodeError):
        return "not JSON"
    if is_any(urllib3.exceptions.IncompleteRead):
        return INCOMPLETE
    return "reset"
