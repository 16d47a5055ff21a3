"""The CDS Clients that a site has registered, and the proxies that may vouch for one.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#trusting-cds-clients. Read from `clients`
and `proxy` of the site file; what is said there is all that is ever believed of a client.
"""

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

from cds_service.client_profiles import ClientProfile
from cds_service.json_web_keys import (
    RECOMMENDED_ALGORITHMS,
    UnusableKeySet,
    VerificationKey,
    read_key_set,
)
from cds_service.knowledge_loading.yaml import Node, Problems
from cds_service.modes import Mode
from cds_service.rates import Rate, parse_rate

DEFAULT_LIFETIME_SECONDS = 300
LONGEST_LIFETIME_SECONDS = 3600

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """One entry of `clients`. An empty member means that the entry does not say."""

    issuer: str
    subject: str = ""
    audiences: frozenset[str] = frozenset()
    """Accepted beside the address of the called service, which always is."""
    jku: str = ""
    """Address of its key set; the only one that is ever asked."""
    keys: tuple[VerificationKey, ...] = ()
    """Its keys as the site file holds them; then `jku` is compared and never asked."""
    algorithms: frozenset[str] = RECOMMENDED_ALGORITHMS
    tenants: frozenset[str] = frozenset()
    fhir_servers: tuple[str, ...] = ()
    services: frozenset[str] = frozenset()
    """Ids of the services it may call; empty: all."""
    lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS
    """Longest time from `iat` to `exp` of a token."""
    mtls_subject: str = ""
    profile: ClientProfile | None = None
    wants_pama: bool = False
    """Its orders are rated (Argonaut PAMA extension)."""
    mode: Mode | None = None
    """Its own mode; the stricter of this and that of the service holds."""
    rate: Rate | None = None
    """How many calls it may send; None: CDS_RATE_LIMIT counts."""

    @property
    def id(self) -> str:
        """Name in logs and in the store of seen tokens; from the site file, not from a token."""
        return f"{self.issuer}|{self.subject}" if self.subject else self.issuer

    @property
    def has_keys(self) -> bool:
        """It signs tokens."""
        return bool(self.jku or self.keys)

    @property
    def can_prove_itself(self) -> bool:
        """There is a way for this client to be let in."""
        return self.has_keys or bool(self.mtls_subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxy:
    """Proxies that check client certificates, and the header in which they name the subject."""

    subject_header: str
    networks: tuple[Network, ...]


def read_clients(root: Node, problems: Problems) -> tuple[RegisteredClient, ...]:
    """Return the entries of `clients`; the file has met its schema."""
    clients: list[RegisteredClient] = []
    for node in root.items_at("clients"):
        client = _read_client(node, problems)
        if any(client.id == other.id for other in clients):
            problems.report(node, "this issuer and subject stand twice")
        if client.mtls_subject in {other.mtls_subject for other in clients} - {""}:
            problems.report(node, "this mtlsSubject stands twice")
        if client.wants_pama and root.member("pama") is None:
            problems.report(
                node.member("pamaExtension") or node,
                "needs `pama: {qcdsm: …}`: without the site's G-code no rating may be claimed",
            )
        clients.append(client)
    return tuple(clients)


def read_proxy(root: Node, problems: Problems) -> TrustedProxy | None:
    """Return what `proxy` says; the file has met its schema."""
    node = root.member("proxy")
    if node is None:
        return None
    networks: list[Network] = []
    for item in node.items_at("addresses"):
        try:
            networks.append(ipaddress.ip_network(str(item.value)))
        except ValueError:
            problems.report(item, "must be an address or a network, such as 10.1.2.0/24")
    return TrustedProxy(subject_header=node.text_at("subjectHeader"), networks=tuple(networks))


def _read_client(node: Node, problems: Problems) -> RegisteredClient:
    profile, mode = node.text_at("profile"), node.text_at("mode")
    algorithms = _texts(node, "algorithms")
    return RegisteredClient(
        issuer=node.text_at("issuer"),
        subject=node.text_at("subject"),
        audiences=frozenset(_texts(node, "audiences")),
        jku=node.text_at("jku"),
        keys=_keys(node.member("jwks"), problems),
        algorithms=frozenset(algorithms) or RECOMMENDED_ALGORITHMS,
        tenants=frozenset(_texts(node, "tenants")),
        fhir_servers=_texts(node, "fhirServers"),
        services=frozenset(_texts(node, "services")),
        lifetime_seconds=_lifetime(node.member("lifetimeSeconds"), problems),
        mtls_subject=node.text_at("mtlsSubject"),
        profile=ClientProfile(profile) if profile else None,
        wants_pama=node.text_at("pamaExtension") == "true",
        mode=Mode(mode) if mode else None,
        rate=_rate(node.member("rateLimit"), problems),
    )


def _texts(node: Node, key: str) -> tuple[str, ...]:
    return tuple(str(item.value) for item in node.items_at(key))


def _lifetime(node: Node | None, problems: Problems) -> int:
    if node is None:
        return DEFAULT_LIFETIME_SECONDS
    # The schema lets digits only come here.
    seconds = int(str(node.value))
    if not 0 < seconds <= LONGEST_LIFETIME_SECONDS:
        problems.report(node, f"must be from 1 to {LONGEST_LIFETIME_SECONDS}")
    return seconds


def _rate(node: Node | None, problems: Problems) -> Rate | None:
    if node is None:
        return None
    try:
        return parse_rate(str(node.value))
    except ValueError as problem:
        problems.report(node, str(problem))
        return None


def _keys(node: Node | None, problems: Problems) -> tuple[VerificationKey, ...]:
    if node is None:
        return ()
    try:
        return read_key_set(plain(node), is_ours=True)
    except UnusableKeySet as problem:
        problems.report(node, str(problem))
        return ()


def plain(node: Node) -> object:
    """Return a node as JSON values; every scalar is text."""
    match node.value:
        case str():
            return node.value
        case tuple():
            return [plain(item) for item in node.value]
        case _:
            return {key: plain(member) for key, member in node.value.items()}
