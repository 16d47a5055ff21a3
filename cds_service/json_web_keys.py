"""JSON Web Key Sets: the public keys with which a CDS Client signs its tokens.

Source: RFC 7517, https://www.rfc-editor.org/rfc/rfc7517; curves and algorithms RFC 7518, section
3.1. A key is bound to the algorithms of its own type here, once: what a token's header says can
then only choose among them (RFC 8725, section 3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cds_service.json_schemas import is_array, is_object

MAX_KEYS = 32
"""Keys accepted in one set: a client that rotates has two or three."""

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC_ALGORITHM_OF_CURVE: Mapping[str, str] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
_RSA_BITS = range(2048, 8193)
"""Shorter ones can be broken; longer ones take the service seconds to check."""

KNOWN_ALGORITHMS = frozenset((*_RSA_ALGORITHMS, *_EC_ALGORITHM_OF_CURVE.values()))
"""What a client entry may allow: asymmetric signatures only (R-SEC-04, R-SEC-05)."""
RECOMMENDED_ALGORITHMS = frozenset({"ES384", "RS384"})
"""What is allowed where a client entry does not say (R-SEC-06)."""


class UnusableKeySet(Exception):
    """Not a set of public keys; the text says what to change and repeats nothing of the set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """One public key, and the algorithms that fit it."""

    kid: str
    """Empty where the set does not name the key."""
    algorithms: frozenset[str]
    key: RSAPublicKey | EllipticCurvePublicKey = field(repr=False, compare=False)


def read_key_set(content: object, *, is_ours: bool = False) -> tuple[VerificationKey, ...]:
    """Return the usable keys of a JWK Set.

    Keys for other purposes or of other kinds are skipped, as the RFC asks; in a set of our own
    site file (`is_ours`) each key must be usable and each `kid` stand once. Raises
    UnusableKeySet when there is no set, no usable key, or more than MAX_KEYS.
    """
    keys = content.get("keys") if is_object(content) else None
    if not is_array(keys):
        raise UnusableKeySet("not a JWK Set: an object with a list `keys` is expected")
    if len(keys) > MAX_KEYS:
        raise UnusableKeySet(f"more than {MAX_KEYS} keys")
    found: list[VerificationKey] = []
    for place, entry in enumerate(keys):
        try:
            found.append(_read_key(entry))
        except UnusableKeySet as problem:
            if is_ours:
                raise UnusableKeySet(f"keys[{place}]: {problem}") from None
    if not found:
        raise UnusableKeySet("no usable key for signatures")
    if is_ours and len({key.kid for key in found}) != len(found):
        raise UnusableKeySet("each key needs a `kid` of its own")
    return tuple(found)


def _read_key(entry: object) -> VerificationKey:
    if not is_object(entry):
        raise UnusableKeySet("not an object")
    if "d" in entry or "k" in entry:
        raise UnusableKeySet("holds a private or symmetric key; register the public one only")
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not is_array(operations) or "verify" not in operations:
        raise UnusableKeySet("not for verifying signatures (`use`, `key_ops`)")
    kid = entry.get("kid", "")
    if not isinstance(kid, str):
        raise UnusableKeySet("`kid` is not text")
    algorithms = _fitting(entry)
    if (named := entry.get("alg")) is not None:
        algorithms &= {str(named)}
    if not algorithms:
        raise UnusableKeySet(
            f"type, curve and `alg` must fit one of {', '.join(sorted(KNOWN_ALGORITHMS))}"
        )
    return VerificationKey(kid=kid, algorithms=algorithms, key=_public_key(entry, algorithms))


def _fitting(entry: Mapping[str, object]) -> frozenset[str]:
    if entry.get("kty") == "RSA":
        return frozenset(_RSA_ALGORITHMS)
    algorithm = _EC_ALGORITHM_OF_CURVE.get(str(entry.get("crv")))
    return frozenset({algorithm} if entry.get("kty") == "EC" and algorithm else ())


def _public_key(
    entry: Mapping[str, object], algorithms: frozenset[str]
) -> RSAPublicKey | EllipticCurvePublicKey:
    members = {name: entry[name] for name in _PUBLIC_MEMBERS if name in entry}
    try:
        key = jwt.PyJWK(members, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise UnusableKeySet("the numbers of the key cannot be read") from None
    if isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, EllipticCurvePublicKey):
        return key
    raise UnusableKeySet(f"an RSA key must have {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits")
