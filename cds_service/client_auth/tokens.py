"""One client token: taken apart strictly, its signature and each claim checked.

Source: CDS Hooks 2.0, https://cds-hooks.hl7.org/2.0/#trusting-cds-clients; RFC 7515, 7519, 8725.
PyJWT verifies the signature. The claims are judged here: PyJWT reads `exp: "1"` as a number,
takes the clock of the machine, and knows no bounded lifetime.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import jwt
from jwt.utils import base64url_decode

from cds_service import strict_json
from cds_service.client_auth.refusals import Reason, refusal
from cds_service.errors import MalformedRequest, TooLarge
from cds_service.json_schemas import is_array, is_object
from cds_service.json_web_keys import KNOWN_ALGORITHMS, VerificationKey
from cds_service.registered_clients import RegisteredClient

LONGEST_TOKEN = 8 * 1024
"""Bytes; one of a large vendor has about 1,200."""
LONGEST_ID = 200
"""Characters of `jti` and of `kid`."""
LEEWAY_SECONDS = 60
"""How far the clocks of client and service may be apart."""

_MOST_AUDIENCES = 20
_BEARER = re.compile(r"bearer ([\x21-\x7e]+)", re.IGNORECASE)
# Without padding: RFC 7515 has none, and a second spelling of a token helps only attackers.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_FORBIDDEN_HEADERS = frozenset({"jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
"""Keys that the token brings along, and whatever would change how it is read."""
_SIGNATURES = jwt.PyJWS(algorithms=sorted(KNOWN_ALGORITHMS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that is well formed; nothing of it is proved yet."""

    compact: str
    algorithm: str
    kid: str
    jku: str | None
    claims: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonce:
    """The `jti` of a proved token, and when the token ends."""

    jti: str
    expires_at: int
    """Seconds since 1970."""


def token_in(authorization: str | None) -> Token:
    """Return the token of an Authorization header. Raises a refusal if there is not exactly one."""
    if not authorization:
        raise refusal(Reason.NO_TOKEN)
    if len(authorization) > LONGEST_TOKEN:
        raise refusal(Reason.MALFORMED)
    # A server joins repeated headers with a comma, which no token holds.
    bearer = _BEARER.fullmatch(authorization)
    if bearer is None:
        raise refusal(Reason.NOT_ONE_TOKEN)
    parts = _COMPACT.fullmatch(bearer[1])
    if parts is None:
        raise refusal(Reason.MALFORMED)
    return _token(bearer[1], _members_of(parts[1]), _members_of(parts[2]))


def _token(compact: str, header: Mapping[str, object], claims: Mapping[str, object]) -> Token:
    algorithm, kid, jku = header.get("alg"), header.get("kid"), header.get("jku")
    if not isinstance(algorithm, str) or algorithm not in KNOWN_ALGORITHMS:
        raise refusal(Reason.ALGORITHM)
    if not _FORBIDDEN_HEADERS.isdisjoint(header) or header.get("typ") != "JWT":
        raise refusal(Reason.HEADER)
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_ID:
        raise refusal(Reason.HEADER)
    if "jku" in header and not isinstance(jku, str):
        raise refusal(Reason.JKU)
    return Token(
        compact=compact,
        algorithm=algorithm,
        kid=kid,
        jku=jku if isinstance(jku, str) else None,
        claims=claims,
    )


def _members_of(part: str) -> Mapping[str, object]:
    """Return the JSON object in one part; two readers must not read it differently."""
    try:
        value = strict_json.loads(base64url_decode(part))
    except (MalformedRequest, TooLarge, ValueError):
        raise refusal(Reason.MALFORMED) from None
    if not is_object(value):
        raise refusal(Reason.MALFORMED)
    return value


def client_of(token: Token, clients: Collection[RegisteredClient]) -> RegisteredClient:
    """Return the entry that the token claims to be of. Raises a refusal when there is none.

    Several entries may share an issuer, told apart by `sub`; one without a subject takes any.
    """
    issuer, subject = token.claims.get("iss"), token.claims.get("sub")
    of_issuer = [c for c in clients if isinstance(issuer, str) and c.issuer == issuer]
    if not of_issuer:
        raise refusal(Reason.ISSUER)
    if "sub" in token.claims and not isinstance(subject, str):
        raise refusal(Reason.SUBJECT)
    exact = [c for c in of_issuer if c.subject and c.subject == subject]
    for client in exact or [c for c in of_issuer if not c.subject]:
        return client
    raise refusal(Reason.SUBJECT)


def fitting_keys(token: Token, keys: Collection[VerificationKey]) -> list[VerificationKey]:
    """Return the keys that may have signed the token, by `kid` and by type."""
    named = [key for key in keys if key.kid == token.kid]
    if not named and len(keys) == 1:
        # A set of one may leave the key without a name.
        named = [key for key in keys if not key.kid]
    return [key for key in named if token.algorithm in key.algorithms]


def check_signature(
    token: Token, client: RegisteredClient, keys: Collection[VerificationKey]
) -> None:
    """Raise a refusal unless one of the keys signed the token."""
    for key in keys:
        try:
            _SIGNATURES.decode_complete(token.compact, key.key, algorithms=[token.algorithm])
        except (jwt.PyJWTError, ValueError):
            continue
        return
    raise refusal(Reason.SIGNATURE, client.id)


def check_header(token: Token, client: RegisteredClient) -> None:
    """Raise a refusal unless the client may sign so and say so."""
    if token.algorithm not in client.algorithms:
        raise refusal(Reason.ALGORITHM, client.id)
    if token.jku is not None and token.jku != client.jku:
        raise refusal(Reason.JKU, client.id)


def check_claims(
    token: Token, client: RegisteredClient, *, audiences: Collection[str], now: float
) -> Nonce:
    """Return the nonce of a token whose claims hold; raises a refusal otherwise.

    `audiences` are those accepted for the called address; `now` is in seconds since 1970.
    """
    claims = token.claims
    issued, expires = _seconds(claims, "iat", client), _seconds(claims, "exp", client)
    if not _audiences_of(claims, client) & set(audiences):
        raise refusal(Reason.AUDIENCE, client.id)
    if expires + LEEWAY_SECONDS <= now:
        raise refusal(Reason.EXPIRED, client.id)
    starts = max(issued, _seconds(claims, "nbf", client) if "nbf" in claims else issued)
    if starts > now + LEEWAY_SECONDS:
        raise refusal(Reason.NOT_YET_VALID, client.id)
    # Together with `exp` this also bounds how old `iat` may be.
    if not 0 < expires - issued <= client.lifetime_seconds:
        raise refusal(Reason.LIFETIME, client.id)
    _check_tenant(claims, client)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise refusal(Reason.CLAIMS, client.id)
    return Nonce(jti=jti, expires_at=expires)


def _seconds(claims: Mapping[str, object], name: str, client: RegisteredClient) -> int:
    """Return a time claim; only a whole number of JSON is one, `true` and `"1"` are not."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refusal(Reason.CLAIMS, client.id)
    return value


def _audiences_of(claims: Mapping[str, object], client: RegisteredClient) -> set[str]:
    value = claims.get("aud")
    listed = value if is_array(value) else [value]
    texts = {text for text in listed if isinstance(text, str)}
    if len(texts) != len(listed) or len(listed) > _MOST_AUDIENCES:
        raise refusal(Reason.CLAIMS, client.id)
    return texts


def _check_tenant(claims: Mapping[str, object], client: RegisteredClient) -> None:
    """Refuse another tenant. A list that a client escapes by saying nothing would be none."""
    tenant = claims.get("tenant")
    if "tenant" in claims and not isinstance(tenant, str):
        raise refusal(Reason.CLAIMS, client.id)
    if client.tenants and tenant not in client.tenants:
        raise refusal(Reason.TENANT, client.id)
