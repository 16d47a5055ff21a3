"""Properties of reading tokens: whatever is sent, the outcome is a token or a bare refusal."""

import json
from contextlib import suppress

from client_tokens import AUDIENCE, ISSUER, START, bearer, claims, ec_key, encode, header, signed
from hypothesis import given
from hypothesis import strategies as st

from cds_service.client_auth.refusals import Reason
from cds_service.client_auth.tokens import (
    Token,
    check_claims,
    check_header,
    check_signature,
    client_of,
    fitting_keys,
    token_in,
)
from cds_service.errors import NotAuthenticated
from cds_service.json_web_keys import UnusableKeySet, read_key_set
from cds_service.registered_clients import RegisteredClient

CLIENT = RegisteredClient(
    issuer=ISSUER, keys=read_key_set({"keys": [ec_key().jwk]}), tenants=frozenset()
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([ISSUER, AUDIENCE, START, START + 300, "ES384", "ec-1", "JWT"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
CLAIMS = st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "jti", "sub", "tenant", "x"])
HEADERS = st.sampled_from(["alg", "kid", "typ", "jku", "jwk", "crit", "x5u", "b64", "x"])


def refused(authorization: str) -> str:
    """Return why a header is refused, or an empty text; anything but a bare refusal escapes."""
    try:
        token = token_in(authorization)
        client = client_of(token, [CLIENT])
        check_header(token, client)
        check_signature(token, client, fitting_keys(token, client.keys))
        check_claims(token, client, audiences={AUDIENCE}, now=START)
    except NotAuthenticated as error:
        return error.reason
    return ""


@given(st.text())
def test_no_text_is_a_token(text: str) -> None:
    assert refused(text) in set(Reason)
    assert refused(f"Bearer {text}") in set(Reason)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_are_a_token(first: bytes, second: bytes, third: bytes) -> None:
    parts = ".".join(map(encode, (first, second, third)))

    assert refused(f"Bearer {parts}") in set(Reason)


@given(st.dictionaries(CLAIMS, JSON, max_size=4))
def test_signed_claims_of_any_type_are_taken_or_refused(changes: dict[str, object]) -> None:
    """R-SEC-07 to R-SEC-13: the signature is good, so every check of a claim is reached."""
    text = json.dumps(claims() | changes)
    reason = refused(bearer(signed(header(), text))["Authorization"])

    assert reason in {*Reason, ""}
    if not reason:
        taken = claims() | changes
        assert isinstance(taken["exp"], int)
        assert isinstance(taken["jti"], str)
        assert ISSUER == taken["iss"]
        assert AUDIENCE in (taken["aud"] if isinstance(taken["aud"], list) else [taken["aud"]])


@given(st.dictionaries(HEADERS, JSON, max_size=3))
def test_headers_of_any_type_are_taken_or_refused(changes: dict[str, object]) -> None:
    """R-SEC-03 to R-SEC-07."""
    text = json.dumps(header() | changes)
    reason = refused(bearer(signed(text, claims()))["Authorization"])

    assert reason in {*Reason, ""}
    if not reason:
        assert {"alg": "ES384", "typ": "JWT", "kid": "ec-1"}.items() <= (header() | changes).items()
        assert {"jwk", "crit", "x5u", "b64"}.isdisjoint(changes)


@given(st.integers(0, 300), st.integers(0, 255))
def test_no_changed_byte_of_a_token_is_accepted(place: int, byte: int) -> None:
    """R-SEC-03."""
    good = signed(header(), claims())
    place %= len(good)
    changed = good[:place] + chr(byte) + good[place + 1 :]

    assert changed == good or refused(f"Bearer {changed}") in set(Reason)


@given(JSON | st.fixed_dictionaries({"keys": st.lists(JSON, max_size=4)}))
def test_no_json_breaks_the_reader_of_key_sets(content: object) -> None:
    with suppress(UnusableKeySet):
        assert read_key_set(content)


@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "kid"]), JSON))
def test_no_change_of_a_key_breaks_the_reader(changes: dict[str, object]) -> None:
    for start in (ec_key().jwk, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}):
        with suppress(UnusableKeySet):
            assert read_key_set({"keys": [{**start, **changes}]})


def test_a_good_token_is_taken() -> None:
    token = token_in(bearer(signed(header(), claims()))["Authorization"])

    assert isinstance(token, Token)
    assert "" == refused(f"Bearer {token.compact}")
