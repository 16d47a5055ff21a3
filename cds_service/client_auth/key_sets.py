"""The key sets of registered clients, fetched from their registered `jku` and kept.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#trusting-cds-clients (R-SEC-03, R-SEC-11).
Only addresses of the site file are ever asked, without redirects, cookies or proxies of the
environment, within limits of size and time. When an address fails, the last good set stays for a
day; a copy on disk is for workers that start meanwhile.
"""

import hashlib
import logging
import ssl
import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from cds_service import strict_json
from cds_service.client_auth.refusals import Reason, refusal
from cds_service.client_auth.tokens import Token, fitting_keys
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.json_schemas import is_object
from cds_service.json_web_keys import UnusableKeySet, VerificationKey, read_key_set
from cds_service.outgoing import Failure, NoAnswer, Peer, trusting
from cds_service.registered_clients import RegisteredClient

logger = logging.getLogger(__name__)

SECONDS_KEPT = 900
"""Then the address is asked again: so long may a withdrawn key be believed."""
SECONDS_BELIEVED = 24 * 3600
"""While the address fails: long enough for an outage over night, and the end for a key that was
withdrawn by taking the address down."""
SECONDS_BETWEEN_FETCHES = 60
"""However many tokens with unknown `kid` arrive, and however long the address fails."""
MAX_SET_BYTES = 256 * 1024
SECONDS_TO_FETCH = 1.0
"""So that a first call is still answered within its time budget."""
SECONDS_TO_WAIT = 2 * SECONDS_TO_FETCH
"""For another thread's request: looking up a host's name knows no limit of ours."""
_CLOCK_SKEW_SECONDS = 300
"""Between machines that share the folder."""
TOO_OLD = "the last good set is more than a day old and is no longer believed"

_HEADERS = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "gzip"}


@dataclass(slots=True)
class _KeptSet:
    """The set of one address; every member is guarded by the lock of `KeySets`."""

    keys: tuple[VerificationKey, ...] = ()
    fetched_at: float | None = None
    """By this worker or, where that failed, by another one."""
    asked_at: float | None = None
    problem: str = ""
    """Why the last attempt failed; empty when it did not."""

    def age(self, now: float) -> float | None:
        """Return the seconds since the keys were fetched, None if they never were."""
        return None if self.fetched_at is None else now - self.fetched_at

    def believed(self, now: float) -> tuple[VerificationKey, ...]:
        """Return the keys unless they are too old."""
        age = self.age(now)
        return self.keys if age is not None and age <= SECONDS_BELIEVED else ()


class KeySets:
    """All key sets of one process; used by all its threads."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
        folder: Path,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`monotonic` is a clock in seconds that never goes back, `clock` gives the time of now.

        `folder` may not exist yet. Without a `tls` context the usual roots are trusted.
        """
        self._monotonic = monotonic
        self._clock = clock
        self._folder = folder
        self._tls = tls or trusting()
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

    def ask(self, jku: str) -> None:
        """Fetch the set of this address, unless that was just done."""
        self._refresh(jku, is_patient=True)

    def problem(self, jku: str) -> str:
        """Return why the set of this address could not be fetched; empty if it could."""
        with self._lock:
            kept = self._entry(jku)
            is_stale = kept.keys and not kept.believed(self._monotonic())
            return f"{kept.problem}; {TOO_OLD}" if is_stale else kept.problem

    def count(self, jku: str) -> int:
        """Return how many keys of this address are believed."""
        with self._lock:
            return len(self._entry(jku).believed(self._monotonic()))

    def age_seconds(self, jku: str) -> int | None:
        """Return how long ago the set of this address was fetched, None if it never was."""
        with self._lock:
            age = self._entry(jku).age(self._monotonic())
            return None if age is None else round(age)

    def _current(self, jku: str) -> tuple[VerificationKey, ...]:
        with self._lock:
            kept, now = self._entry(jku), self._monotonic()
            age = kept.age(now)
            if age is not None and age < SECONDS_KEPT:
                return kept.keys
            is_patient = not kept.believed(now)
        return self._refresh(jku, is_patient=is_patient)

    def _refresh(self, jku: str, *, is_patient: bool) -> tuple[VerificationKey, ...]:
        """Ask the address unless that was done within the minute; return what is believed then.

        While another thread asks, a patient caller waits for the outcome; any other goes on with
        the set that there is.
        """
        with self._lock:
            kept = self._entry(jku)
            turn = self._fetching.setdefault(jku, threading.Lock())
        if turn.acquire(timeout=SECONDS_TO_WAIT if is_patient else 0):
            try:
                self._ask(jku, kept)
            finally:
                turn.release()
        with self._lock:
            return kept.believed(self._monotonic())

    def _ask(self, jku: str, kept: _KeptSet) -> None:
        """Fetch the set, or note why it cannot be had; one thread at a time for each address."""
        with self._lock:
            if not self._may_ask(kept):
                return
            kept.asked_at = self._monotonic()
        try:
            content = _fetch(jku, self._tls)
            keys, age, problem = read_key_set(content), 0.0, ""
            self._remember(jku, content)
        except UnusableKeySet as error:
            problem = str(error)
            logger.warning("key set not fetched", extra={"reason": problem})
            keys, age = self._remembered(jku)
        with self._lock:
            now = self._monotonic()
            kept.problem = problem
            known_age = kept.age(now)
            if keys and (known_age is None or age < known_age):
                kept.keys, kept.fetched_at = keys, now - age

    def _remember(self, jku: str, content: object) -> None:
        """Keep a good set for workers to come; without a folder to write to, do without."""
        file = self._file_of(jku)
        # The time stands within: that of the file changes when somebody copies it.
        copy = {"fetchedAt": self._clock().timestamp(), "keySet": content}
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A name of its own, then a rename: nobody ever reads half a file.
            with NamedTemporaryFile(dir=self._folder, delete=False) as draft:
                draft.write(strict_json.dumps(copy))
            Path(draft.name).replace(file)

    def _remembered(self, jku: str) -> tuple[tuple[VerificationKey, ...], float]:
        """Return the last good set of any worker or an earlier run, and its age in seconds.

        No keys if there is none, or none that may be believed: one of the future was written by
        a clock that went wrong, then or now.
        """
        try:
            copy = strict_json.loads(self._file_of(jku).read_bytes())
            fetched_at = copy.get("fetchedAt") if is_object(copy) else None
            if is_object(copy) and isinstance(fetched_at, int | float):
                age = self._clock().timestamp() - fetched_at
                if -_CLOCK_SKEW_SECONDS <= age <= SECONDS_BELIEVED:
                    return read_key_set(copy.get("keySet")), max(age, 0.0)
        except (OSError, MalformedRequest, TooLarge, UnusableKeySet):
            pass
        return (), 0.0

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


def _fetch(jku: str, tls: ssl.SSLContext) -> object:
    """Return the JSON at a registered address. Raises UnusableKeySet."""
    parts = urlsplit(jku)
    origin = f"{parts.scheme}://{parts.netloc}"
    target = jku.removeprefix(origin) or "/"
    try:
        with closing(Peer(origin, tls=tls)) as peer:
            answer = peer.get(target, _HEADERS, seconds=SECONDS_TO_FETCH, most_bytes=MAX_SET_BYTES)
    except NoAnswer as fault:
        if fault.failure is Failure.TOO_LARGE:
            raise UnusableKeySet(f"the answer has more than {MAX_SET_BYTES} bytes") from None
        raise UnusableKeySet(f"the address fails: {fault.failure}") from None
    if answer.status != HTTPStatus.OK:
        raise UnusableKeySet(f"the address answers {answer.status}")
    try:
        return strict_json.loads(answer.body)
    except (MalformedRequest, TooLarge):
        raise UnusableKeySet("the answer is not JSON") from None


def states(clients: Collection[RegisteredClient], key_sets: KeySets) -> list[dict[str, object]]:
    """Return, for readiness, where the keys of each client come from and what is wrong there."""
    return [
        {
            "client": client.id,
            "source": "site file" if client.keys else "jku",
            "keys": len(client.keys) or key_sets.count(client.jku),
            "ageSeconds": None if client.keys else key_sets.age_seconds(client.jku),
            "problem": "" if client.keys else key_sets.problem(client.jku),
        }
        for client in clients
        if client.has_keys
    ]
