"""A FHIR server that is open to anybody, read the way an EHR fills prefetch.

The service's own published templates are expanded and asked for, so what comes is what the
service would get at that server; a search that fails leaves its key out, as CDS Hooks says.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cds_service.chart.sources import Source, SourceState
from cds_service.errors import SettingsError
from cds_service.json_schemas import is_array, is_object
from cds_service.prefetch.addresses import base_of
from cds_service.prefetch.queries import PublishedPrefetch, next_link
from cds_service.prefetch.reader import FhirReader, complete
from cds_service.prefetch.server import Deadline, ReadFailure
from cds_service.protocol import HookRequest

MOST_LISTED = 1_000
"""Patients of one run: a public server is shared with others."""
_PAGE = 50
_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")
_CLIENT = "try"
_CLOSED = frozenset({"401", "403"})
_WRONG_CONTENT = frozenset({"not JSON", "not FHIR", "redirect", "not HTTP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Charted:
    """One patient as prefetch, and what could not be read."""

    prefetch: Mapping[str, object]
    unread: Mapping[str, str]
    """Resource type → reason: `404`, `timeout`, `incomplete` …"""
    seconds: float


class OpenServer:
    """A server at a base URL; nothing is sent to it but reads, and no token."""

    def __init__(self, url: str, reader: FhirReader, *, seconds: float) -> None:
        """Check the address. Raises SettingsError if it is none that may be read.

        `seconds` are for one patient, all searches in parallel.
        """
        base = base_of(url.strip())
        if base is None:
            message = f"{url} is no FHIR base URL: https://host/path, or http on this machine only"
            raise SettingsError(message)
        self.base = base
        self._reader = reader
        self._seconds = seconds

    def patient_ids(self, count: int) -> tuple[str, ...]:
        """Return the first `count` patients in the server's own order, page by page.

        Raises SettingsError if the server cannot be read, or lists none.
        """
        found: list[str] = []
        asked: set[str] = set()
        url: str | None = f"{self.base.url}/Patient?_count={min(count, _PAGE)}"
        while url is not None and url not in asked and len(found) < count:
            asked.add(url)
            page = self._listed(url) if found or len(asked) > 1 else self._first_list(url)
            found += [name for name in _patients_in(page) if name not in found]
            link = next_link(page)
            url = self.base.on_same_origin(link) if link else None
        if not found:
            message = f"{self.base.url} lists no patients: name one with --patient"
            raise SettingsError(message)
        return tuple(found[:count])

    def confirm(self, patient_id: str) -> str:
        """Return the id of a patient that is there. Raises SettingsError for any other."""
        name = patient_id.removeprefix("Patient/")
        if not _ID.fullmatch(name):
            message = f"--patient {patient_id!r} is no FHIR id (letters, digits, - and .)"
            raise SettingsError(message)
        try:
            found = self._get(f"{self.base.url}/Patient/{quote(name)}")
        except ReadFailure as failure:
            if failure.reason in {"404", "410"}:
                message = (
                    f"{self.base.url} has no Patient/{name} ({failure.reason}): check the id and "
                    "the base URL, or leave out --patient"
                )
                raise SettingsError(message) from None
            raise self._error(failure.reason) from None
        if not is_object(found) or found.get("resourceType") != "Patient":
            raise self._error("not FHIR")
        return name

    def chart(
        self, patient_id: str, published: PublishedPrefetch, *, service_id: str, hook: str
    ) -> Charted:
        """Read everything that the templates of the called service ask for."""
        request = HookRequest(
            service_id=service_id,
            hook=hook,
            hook_instance="",
            patient_id=patient_id,
            draft_orders=(),
            prefetch={},
        )
        started = time.monotonic()
        sources = complete(
            request,
            published,
            allowed_servers=(),
            reader=self._reader,
            budget_seconds=self._seconds,
            monotonic=time.monotonic,
            client_id=_CLIENT,
            open_server=self.base,
        )
        return Charted(
            prefetch={s.key: _as_sent(s) for s in sources if s.content is not None},
            unread=_unread(sources),
            seconds=time.monotonic() - started,
        )

    def _first_list(self, url: str) -> object:
        """Ask for a page of a size; for any page where a size is refused."""
        try:
            return self._page(url)
        except ReadFailure as failure:
            if failure.reason != "400":
                raise self._error(failure.reason) from None
        return self._listed(f"{self.base.url}/Patient")

    def _listed(self, url: str) -> object:
        try:
            return self._page(url)
        except ReadFailure as failure:
            if failure.reason == "400":
                message = f"{self.base.url} does not list patients (400): name one with --patient"
                raise SettingsError(message) from None
            raise self._error(failure.reason) from None

    def _page(self, url: str) -> object:
        page = self._get(url)
        if not is_object(page) or page.get("resourceType") != "Bundle":
            raise ReadFailure("not FHIR")
        return page

    def _get(self, url: str) -> object:
        deadline = Deadline(at=time.monotonic() + self._seconds, monotonic=time.monotonic)
        return self._reader.server(_CLIENT, self.base.origin).get(url, "", deadline)

    def _error(self, reason: str) -> SettingsError:
        url = self.base.url
        if reason in _CLOSED:
            return SettingsError(
                f"{url} wants an access token ({reason}): only open servers can be tried"
            )
        if reason in _WRONG_CONTENT:
            return SettingsError(
                f"{url} answers, but not with FHIR R4 JSON ({reason}): check the base URL"
            )
        if reason == "404":
            return SettingsError(f"{url} has no Patient resources (404): check the base URL")
        if reason.isdecimal():
            return SettingsError(f"{url} answers {reason}: try again later")
        return SettingsError(f"{url} gives no answer ({reason}): check the address and the network")


def _patients_in(page: object) -> Iterable[str]:
    entries = page.get("entry") if is_object(page) else None
    for entry in entries if is_array(entries) else ():
        resource = entry.get("resource") if is_object(entry) else None
        if is_object(resource) and resource.get("resourceType") == "Patient":
            name = resource.get("id")
            if isinstance(name, str) and _ID.fullmatch(name):
                yield name


def _as_sent(source: Source) -> object:
    """Return a source as prefetch: several pages become one Bundle.

    What says that more would follow stays where more could not be read.
    """
    pages = [page for page in (source.content, *source.more) if is_object(page)]
    if not source.more or any(page.get("resourceType") != "Bundle" for page in pages):
        return source.content
    entries: list[object] = []
    for page in pages:
        rows = page.get("entry")
        entries += rows if is_array(rows) else []
    bundle: dict[str, object] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    if source.state is not SourceState.READ and (link := next_link(pages[-1])):
        bundle["link"] = [{"relation": "next", "url": link}]
    return bundle


def _unread(sources: Iterable[Source]) -> Mapping[str, str]:
    return {
        s.resource_type: s.reason or s.state.value
        for s in sources
        if s.state is not SourceState.READ
    }
