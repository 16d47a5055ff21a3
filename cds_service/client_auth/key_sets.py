"""The key sets of registered clients, fetched from their registered `jku` and kept.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#trusting-cds-clients (R-SEC-03, R-SEC-11).
Only addresses of the site file are ever asked, without redirects, cookies or proxies of the
environment, within limits of size and time. When an address fails, the last good set stays; a
copy on disk is for workers that start meanwhile.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from tempfile import NamedTemporaryFile

import requests
import urllib3.exceptions

from cds_service import strict_json
from cds_service.client_auth.refusals import Reason, refusal
from cds_service.client_auth.tokens import Token, fitting_keys
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.json_web_keys import UnusableKeySet, VerificationKey, read_key_set
from cds_service.registered_clients import RegisteredClient

logger = logging.getLogger(__name__)

SECONDS_KEPT = 900
"""Then the address is asked again: so long may a withdrawn key be believed."""
SECONDS_BETWEEN_FETCHES = 60
"""However many tokens with unknown `kid` arrive, and however long the address fails."""
MAX_SET_BYTES = 256 * 1024
SECONDS_TO_FETCH = 1.0
"""So that a first call is still answered within its time budget."""
SECONDS_TO_WAIT = 2 * SECONDS_TO_FETCH
"""For another thread's request: an address that trickles headers must not hold every call."""

_CHUNK_BYTES = 16 * 1024


@dataclass(slots=True)
class _KeptSet:
    """The set of one address; every member is guarded by the lock of `KeySets`."""

    keys: tuple[VerificationKey, ...] = ()
    fetched_at: float | None = None
    asked_at: float | None = None
    problem: str = ""
    """Why the last attempt failed; empty when it did not."""


class KeySets:
    """All key sets of one process; used by all its threads."""

    def __init__(self, *, monotonic: Callable[[], float], folder: Path) -> None:
        """`monotonic` is a clock in seconds that never goes back; `folder` may not exist yet."""
        self._monotonic = monotonic
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: dict[str, _KeptSet] = {}
        self._fetching: dict[str, threading.Lock] = {}

    def keys_for(self, token: Token, client: RegisteredClient) -> list[VerificationKey]:
        """Return the keys that may have signed the token. Raises a refusal if there is none."""
        if client.keys:
            return _require(fitting_keys(token, client.keys), client)
        kept = self._current(client.jku)
        found = fitting_keys(token, kept)
        if not found:
            # The client may have a new key; ask, if the address has not just been asked.
            kept = self._refresh(client.jku, is_patient=True)
            found = fitting_keys(token, kept)
        if not kept:
            raise refusal(Reason.NO_KEYS, client.id)
        return _require(found, client)

    def problems(self) -> dict[str, str]:
        """Return what is wrong with the set of each address that failed when last asked."""
        with self._lock:
            return {jku: kept.problem for jku, kept in self._kept.items() if kept.problem}

    def count(self, jku: str) -> int:
        """Return how many keys of this address are kept."""
        with self._lock:
            return len(self._entry(jku).keys)

    def _current(self, jku: str) -> tuple[VerificationKey, ...]:
        with self._lock:
            kept = self._entry(jku)
            fetched = kept.fetched_at
            if fetched is not None and self._monotonic() - fetched < SECONDS_KEPT:
                return kept.keys
        return self._refresh(jku, is_patient=fetched is None)

    def _refresh(self, jku: str, *, is_patient: bool) -> tuple[VerificationKey, ...]:
        """Ask the address unless that was done within the minute; return what is kept then.

        While another thread asks, a patient caller waits for the outcome; any other goes on with
        the set that there is.
        """
        with self._lock:
            kept = self._entry(jku)
            turn = self._fetching.setdefault(jku, threading.Lock())
        if not turn.acquire(timeout=SECONDS_TO_WAIT if is_patient else 0):
            return kept.keys
        try:
            with self._lock:
                if not self._may_ask(kept):
                    return kept.keys
                kept.asked_at = self._monotonic()
            try:
                body = _fetch(jku, self._monotonic)
                keys, problem = _keys_in(body), ""
                self._remember(jku, body)
            except UnusableKeySet as error:
                keys, problem = kept.keys or self._remembered(jku), str(error)
                logger.warning("key set not fetched", extra={"reason": problem})
            with self._lock:
                kept.keys, kept.problem = keys, problem
                if not problem:
                    kept.fetched_at = self._monotonic()
                return keys
        finally:
            turn.release()

    def _remember(self, jku: str, body: bytes) -> None:
        """Keep a good set for workers to come; without a folder to write to, do without."""
        file = self._file_of(jku)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A name of its own, then a rename: nobody ever reads half a file.
            with NamedTemporaryFile(dir=self._folder, delete=False) as draft:
                draft.write(body)
            Path(draft.name).replace(file)

    def _remembered(self, jku: str) -> tuple[VerificationKey, ...]:
        """Return the last good set of another worker or an earlier run; empty without one."""
        try:
            return _keys_in(self._file_of(jku).read_bytes())
        except (OSError, UnusableKeySet):
            return ()

    def _file_of(self, jku: str) -> Path:
        return self._folder / f"{hashlib.sha256(jku.encode()).hexdigest()}.json"

    def _may_ask(self, kept: _KeptSet) -> bool:
        asked = kept.asked_at
        return asked is None or self._monotonic() - asked >= SECONDS_BETWEEN_FETCHES

    def _entry(self, jku: str) -> _KeptSet:
        return self._kept.setdefault(jku, _KeptSet())


def _require(found: list[VerificationKey], client: RegisteredClient) -> list[VerificationKey]:
    if not found:
        raise refusal(Reason.UNKNOWN_KEY, client.id)
    return found


def _fetch(jku: str, monotonic: Callable[[], float]) -> bytes:
    """Return what stands at a registered address. Raises UnusableKeySet."""
    give_up = monotonic() + SECONDS_TO_FETCH
    try:
        with (
            _session() as session,
            session.get(
                jku,
                timeout=SECONDS_TO_FETCH,
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            if response.status_code != HTTPStatus.OK:
                raise UnusableKeySet(f"the address answers {response.status_code}")
            return _body_of(response, give_up, monotonic)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise UnusableKeySet(f"the address fails: {type(error).__name__}") from None


def _keys_in(body: bytes) -> tuple[VerificationKey, ...]:
    try:
        return read_key_set(strict_json.loads(body))
    except (MalformedRequest, TooLarge):
        raise UnusableKeySet("the answer is not JSON") from None


def _body_of(response: requests.Response, give_up: float, monotonic: Callable[[], float]) -> bytes:
    body = bytearray()
    # Not iter_content: that waits for a full chunk, however slowly it trickles in.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > MAX_SET_BYTES:
            raise UnusableKeySet(f"the answer has more than {MAX_SET_BYTES} bytes")
        if monotonic() > give_up:
            raise UnusableKeySet("the answer comes too slowly")
    return bytes(body)


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"Accept": "application/jwk-set+json, application/json"})
    return session


def states(clients: Collection[RegisteredClient], key_sets: KeySets) -> list[dict[str, object]]:
    """Return, for readiness, where the keys of each client come from and what is wrong there."""
    problems = key_sets.problems()
    return [
        {
            "client": client.id,
            "source": "site file" if client.keys else "jku",
            "keys": len(client.keys) or key_sets.count(client.jku),
            "problem": problems.get(client.jku, ""),
        }
        for client in clients
        if client.has_keys
    ]
