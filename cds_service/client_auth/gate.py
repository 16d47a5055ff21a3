"""The gate: which registered client calls, decided before the body of the call is read.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#trusting-cds-clients (R-SEC-01 to R-SEC-18).
`ClientGate.admit` is the whole story.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cds_service.client_auth.key_sets import KeySets, states
from cds_service.client_auth.refusals import Reason, refusal
from cds_service.client_auth.seen_tokens import SeenTokens
from cds_service.client_auth.tokens import (
    Nonce,
    Token,
    check_claims,
    check_header,
    check_signature,
    client_of,
    token_in,
)
from cds_service.errors import NotAuthenticated, SettingsError
from cds_service.registered_clients import RegisteredClient, TrustedProxy
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import SiteFile
from cds_service.store.rest import StoreDown

OPEN_TO_ALL = (
    "CDS_CLIENT_AUTH is off: anyone who can reach this address may call the service. Keep it so "
    "only for tests, or behind mutual TLS or an address list."
)
NO_CLIENT = (
    "CDS_CLIENT_AUTH is required, but the site file (CDS_SITE_FILE) registers no client that could "
    "prove itself: every hook and feedback call is refused with 401."
)
STORE_DOWN = (
    "The store of seen client tokens does not answer: calls with a token are refused with 503 "
    "until it does."
)

_SERVICE_ADDRESS = re.compile(r".*/cds-services/([^/]+)(?:/feedback)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a call shows of its sender."""

    header: Callable[[str], str | None]
    """Returns a header by its name; a repeated one is joined with commas."""
    sender: str
    """Address of the other end of the connection."""
    service_id: str
    is_feedback: bool


class Gate(Protocol):
    """Lets clients in, and says how well it can."""

    def admit(self, credentials: Credentials) -> RegisteredClient | None:
        """Return the client; None when nobody is asked. Raises a refusal."""

    def client_named_in(self, authorization: str) -> str:
        """Return the id of the client that an Authorization header names; empty if none.

        Nothing of it is proved: it may only decide in which order calls are looked at.
        """

    def problems(self) -> list[str]:
        """Return why calls are refused that should not be; empty when all is well."""

    def warnings(self) -> list[str]:
        """Return what an operator should know beside."""

    def state(self) -> Mapping[str, object]:
        """Return store and key sets for readiness; no secrets."""

    def ask_for_keys(self) -> None:
        """Fetch the key sets now, instead of with the first token; `state` says what came."""


class OpenGate:
    """CDS_CLIENT_AUTH is off: an Authorization header is not looked at (R-SEC-18)."""

    def admit(self, _credentials: Credentials) -> None:
        """Let everybody in."""

    def client_named_in(self, _authorization: str) -> str:
        """There are no clients."""
        return ""

    def problems(self) -> list[str]:
        """There is nothing to go wrong."""
        return []

    def warnings(self) -> list[str]:
        """Be loud about it."""
        return [OPEN_TO_ALL]

    def state(self) -> Mapping[str, object]:
        """Neither a store nor key sets are needed."""
        return {"seenTokens": "not used", "keySets": "not used"}

    def ask_for_keys(self) -> None:
        """There are none."""


class ClientGate:
    """Lets registered clients in."""

    def __init__(
        self,
        site: SiteFile,
        *,
        public_url: str | None,
        seen: SeenTokens,
        key_sets: KeySets,
        clock: Callable[[], datetime],
        count_ignored_header: Callable[[], None],
        before_proof: Callable[[RegisteredClient, Credentials], None],
    ) -> None:
        """Take the registered clients of `site`; `clock` gives the aware time of now.

        `before_proof` may refuse a client that is named in a token, before the token is proved.
        """
        self._clients = tuple(c for c in site.clients if c.can_prove_itself)
        self._unusable = len(site.clients) - len(self._clients)
        self._proxy = site.proxy
        self._public_url = public_url
        self._seen = seen
        self._clock = clock
        self._key_sets = key_sets
        self._count_ignored_header = count_ignored_header
        self._before_proof = before_proof

    def admit(self, credentials: Credentials) -> RegisteredClient:
        """Return the registered client that calls. Raises a refusal."""
        vouched_for = self._vouched_for(credentials)
        if vouched_for is not None and not vouched_for.has_keys:
            return _allowed(vouched_for, credentials)
        token = token_in(credentials.header("Authorization"))
        client = client_of(token, self._clients)
        if client.mtls_subject and client is not vouched_for:
            # An entry with a certificate and keys asks for both.
            raise refusal(Reason.CERTIFICATE, client.id)
        check_header(token, client)
        self._before_proof(client, credentials)
        check_signature(token, client, self._key_sets.keys_for(token, client))
        nonce = self._check_claims(token, client, credentials)
        _allowed(client, credentials)
        # Last, and only now: nobody but the client itself can fill the store or spend a jti.
        self._spend(nonce, client)
        return client

    def client_named_in(self, authorization: str) -> str:
        """Return the id of a registered client; empty if the header names none."""
        try:
            return client_of(token_in(authorization), self._clients).id
        except NotAuthenticated:
            return ""

    def problems(self) -> list[str]:
        """Return why every call is refused, if it is."""
        if not self._clients:
            return [NO_CLIENT]
        if not any(client.has_keys for client in self._clients):
            return []
        try:
            self._seen.check()
        except StoreDown as fault:
            return [f"{STORE_DOWN} ({fault})"]
        return []

    def warnings(self) -> list[str]:
        """Return what is wrong with some clients."""
        found = []
        if self._unusable:
            found.append(
                f"{self._unusable} client(s) of the site file have neither jku, jwks nor "
                "mtlsSubject and can never call."
            )
        failing = [s["client"] for s in states(self._clients, self._key_sets) if s["problem"]]
        found += [f"The key set of {client} cannot be fetched." for client in failing]
        return found

    def state(self) -> Mapping[str, object]:
        """Return the kind of store and each client's keys, as this worker has them."""
        return {"seenTokens": self._seen.kind, "keySets": states(self._clients, self._key_sets)}

    def ask_for_keys(self) -> None:
        """Fetch the set of each client that has an address."""
        for client in self._clients:
            if client.jku and not client.keys:
                self._key_sets.ask(client.jku)

    def _check_claims(
        self, token: Token, client: RegisteredClient, credentials: Credentials
    ) -> Nonce:
        return check_claims(
            token,
            client,
            audiences=accepted_audiences(self._public_url, client, credentials),
            now=self._clock().timestamp(),
        )

    def _spend(self, nonce: Nonce, client: RegisteredClient) -> None:
        now = self._clock().timestamp()
        try:
            is_new = self._seen.is_new(client.id, nonce.jti, expires_at=nonce.expires_at, now=now)
        except StoreDown:
            raise refusal(Reason.STORE_DOWN, client.id) from None
        if not is_new:
            raise refusal(Reason.REPLAY, client.id)

    def _vouched_for(self, credentials: Credentials) -> RegisteredClient | None:
        """Return the client whose certificate a proxy has checked, if a trusted one says so."""
        if self._proxy is None:
            return None
        subject = credentials.header(self._proxy.subject_header)
        if not subject:
            return None
        if not is_from(self._proxy, credentials.sender):
            self._count_ignored_header()
            return None
        for client in self._clients:
            if client.mtls_subject and client.mtls_subject == subject:
                return client
        return None


def accepted_audiences(
    public_url: str | None, client: RegisteredClient, credentials: Credentials
) -> set[str]:
    """Return the audiences that a token for this call may name (R-SEC-09).

    The address of the called service, for feedback also its own; and what the entry lists, unless
    that is the address of another service.
    """
    service_id = credentials.service_id
    accepted = {
        audience
        for audience in client.audiences
        if (named := _SERVICE_ADDRESS.fullmatch(audience)) is None or named[1] == service_id
    }
    if public_url is not None:
        address = f"{public_url}/cds-services/{service_id}"
        accepted |= {address, f"{address}/feedback"} if credentials.is_feedback else {address}
    return accepted


def is_from(proxy: TrustedProxy, sender: str) -> bool:
    """Tell whether the other end of the connection is one of the proxies."""
    try:
        address = ipaddress.ip_address(sender)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in proxy.networks)


def _allowed(client: RegisteredClient, credentials: Credentials) -> RegisteredClient:
    if client.services and credentials.service_id not in client.services:
        raise refusal(Reason.SERVICE, client.id)
    return client


def check_clients(settings: Settings, site: SiteFile) -> None:
    """Raise SettingsError when tokens could not name an audience that is accepted."""
    if settings.client_auth is ClientAuth.OFF or settings.public_url is not None:
        return
    silent = [c.id for c in site.clients if c.has_keys and not c.audiences]
    if silent:
        raise SettingsError(
            "CDS_PUBLIC_URL: must be set, or each client of the site file must list `audiences`; "
            f"without any: {', '.join(silent)}"
        )
