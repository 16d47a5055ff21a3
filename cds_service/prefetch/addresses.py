"""FHIR server addresses, compared by origin, so that a token goes only where it may go.

Everything that is called is built from an allow-listed address; what a caller or a server sends
is only ever compared with it, letter by letter: another spelling of the same host is another host.
A name is looked up anew for each connection; should its address have changed (rebinding), nothing
is sent, because the certificate is of the name, and without TLS only loopback is called.
Source: R-FHIR-05, R-FHIR-06, R-FHIR-08, R-PRE-14.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
# What parsers of URLs disagree about: white space, control characters, backslashes.
_DISPUTED = re.compile(r"[\s\\\x00-\x1f\x7f]")
# Some proxies write the port twice (`https://ehr.example:443:443/…`).
_PORT_TWICE = re.compile(r"^([a-z]+://[^/?#]*?)(:\d+)\2(?=[/?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBase:
    """A FHIR base URL in one spelling: lower-case scheme and host, no default port."""

    origin: str
    """`https://ehr.example` or `https://ehr.example:8443`."""
    path: str
    """`/fhir/R4`, without a trailing slash; may be empty."""

    @property
    def url(self) -> str:
        """The base URL without a trailing slash."""
        return self.origin + self.path

    def on_same_origin(self, link: str) -> str | None:
        """Return the URL that a link of this server leads to, or None if it leads elsewhere.

        The link may be relative to the base. The origin of the result is this server's own
        spelling, so that nothing in the link can decide which host is called.
        """
        if _DISPUTED.search(link):
            return None
        try:
            target = urljoin(self.url + "/", _PORT_TWICE.sub(r"\1\2", link))
        except ValueError:
            return None
        if _origin(target) != self.origin:
            return None
        parts = urlsplit(target)
        return f"{self.origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def base_of(url: str) -> ServerBase | None:
    """Return the base that a URL names, or None if a token must not be sent there.

    That is: not http or https, http beyond loopback, user information, a query, a fragment, or
    anything that two parsers could read differently.
    """
    if _DISPUTED.search(url) or "?" in url or "#" in url:
        return None
    origin = _origin(url)
    if origin is None:
        return None
    if origin.startswith("http:") and not _is_loopback(urlsplit(origin).hostname or ""):
        return None
    return ServerBase(origin=origin, path=urlsplit(url).path.rstrip("/"))


def allowed_base(url: str | None, allowed_servers: Iterable[str]) -> ServerBase | None:
    """Return the base that `url` names if it is one of the allowed ones, path included."""
    base = base_of(url) if url else None
    return base if base is not None and base in map(base_of, allowed_servers) else None


def _origin(url: str) -> str | None:
    """Return scheme, host and port in one spelling; None if there is none or a user in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if not parts.hostname.isascii():
        # Which name is looked up depends on the release of IDNA; the punycode form is clear.
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port in (None, _DEFAULT_PORTS[parts.scheme]):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
