"""Client tokens end to end: who is let in, and that anybody else learns nothing (R-SEC-01 …)."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from client_tokens import (
    AUDIENCE,
    ISSUER,
    PUBLIC_URL,
    START,
    SigningKey,
    bearer,
    claims,
    client_entry,
    ec_key,
    encode,
    header,
    key_set,
    rsa_key,
    signed,
    site_text,
    token,
    with_hmac,
)
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from http_service import (
    NOW,
    ORDER_SELECT,
    ORDER_SIGN,
    client,
    decisions_of,
    error_code,
    fire,
    hook_request,
)
from werkzeug.test import TestResponse

from cds_service.client_auth.gate import NO_CLIENT
from cds_service.client_auth.refusals import Reason
from cds_service.protocol import operation_outcome
from cds_service.settings import ClientAuth, Settings
from cds_service.site_file import parse_site_file

FEEDBACK = f"{ORDER_SELECT}/feedback"
SECOND = "https://other-ehr.example"


class UnreadBody(io.BytesIO):
    """A body that nobody may read."""

    def read(self, _size: int | None = -1) -> bytes:
        """Fail the test."""
        raise AssertionError("the body was read before the client was known")

    read1 = read
    readline = read


@pytest.fixture
def closed(tmp_path: Path) -> Callable[..., FlaskClient]:
    """Return a maker of services that require tokens, each with a store of its own."""
    number = iter(range(1000))

    def make(*entries: Mapping[str, object], **others: object) -> FlaskClient:
        settings = Settings(
            client_auth=ClientAuth.REQUIRED,
            public_url=PUBLIC_URL,
            database_url=f"sqlite:///{tmp_path}/store-{next(number)}.sqlite3",
        )
        text = site_text(*(entries or (client_entry(),)), **others)
        return client(settings, site=parse_site_file(text, name="site.yaml"))

    return make


def knock(
    to: FlaskClient, headers: Mapping[str, str] | list[tuple[str, str]], path: str = ORDER_SELECT
) -> TestResponse:
    """Call with a body that fails the test when it is read."""
    return to.post(
        path,
        input_stream=UnreadBody(b"{}"),
        headers=headers,
        content_type="application/json",
    )


def reasons(to: FlaskClient) -> dict[str, float]:
    """Return the metric of refusals."""
    start = 'cds_client_refusals_total{reason="'
    lines = [x for x in to.get("/metrics").text.splitlines() if x.startswith(start)]
    return {x[len(start) :].partition('"')[0]: float(x.rpartition(" ")[2]) for x in lines}


@pytest.mark.parametrize("key", [ec_key(), rsa_key()], ids=lambda key: key.algorithm)
def test_both_recommended_algorithms_are_let_in(
    closed: Callable[..., FlaskClient], key: SigningKey
) -> None:
    """R-SEC-02, R-SEC-03, R-SEC-06."""
    response = fire(closed(), hook_request(), headers=bearer(token(key)))

    assert 200 == response.status_code
    assert 1 == len(decisions_of(response))


GOOD: dict[str, Callable[[], tuple[dict[str, object], dict[str, object]]]] = {
    "audience in a list": lambda: (header(), claims(aud=["https://else.example", AUDIENCE])),
    "extra claims (R-SEC-12)": lambda: (header(), claims(sub="me", nbf=START - 9, tenant="t", x=1)),
    "expired within leeway": lambda: (header(), claims(iat=START - 330, exp=START - 30)),
    "clock of the client ahead": lambda: (header(), claims(iat=START + 50, exp=START + 350)),
    "unknown header member": lambda: (header(extra={"a": 1}), claims()),
    "longest jti": lambda: (header(), claims(jti="j" * 200)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_token_that_only_looks_odd_is_let_in(
    closed: Callable[..., FlaskClient], name: str
) -> None:
    """R-SEC-08, R-SEC-09, R-SEC-12."""
    head, body = GOOD[name]()

    assert 200 == fire(closed(), hook_request(), headers=bearer(signed(head, body))).status_code


def test_the_scheme_is_compared_without_regard_to_case(closed: Callable[..., FlaskClient]) -> None:
    headers = {"Authorization": f"bEARER {token()}"}

    assert 200 == fire(closed(), hook_request(), headers=headers).status_code


def test_feedback_needs_a_token_and_takes_either_audience(
    closed: Callable[..., FlaskClient],
) -> None:
    """R-SEC-01, R-SEC-09."""
    to = closed()
    entry = {"card": "c1", "outcome": "accepted", "outcomeTimestamp": "2026-03-16T15:00:00Z"}
    entry["acceptedSuggestions"] = [{"id": "s1"}]  # type: ignore[assignment]  # one odd member
    body = {"feedback": [entry]}

    def post(headers: Mapping[str, str]) -> int:
        return to.post(FEEDBACK, json=body, headers=dict(headers)).status_code

    assert 401 == post({})
    assert 200 == post(bearer(token()))
    assert 200 == post(bearer(token(aud=PUBLIC_URL + FEEDBACK)))
    assert 401 == post(bearer(token(aud=PUBLIC_URL + ORDER_SIGN)))


def test_discovery_health_and_pages_stay_open(closed: Callable[..., FlaskClient]) -> None:
    to = closed()

    for path in ("/cds-services", "/health/live", "/health/ready", "/metrics", "/"):
        assert 200 == to.get(path).status_code


def _hmac(algorithm: str, secret: bytes) -> str:
    return with_hmac(header(rsa_key(), alg=algorithm), claims(), secret)


def _none(spelling: str, signature: str = "") -> str:
    return f"{encode(header(alg=spelling))}.{encode(claims())}.{signature}"


def _repeated(member: str, first: object, text: str) -> str:
    """Return JSON text in which a member stands twice, the bad value first."""
    return f'{{"{member}": {json.dumps(first)}, {text[1:]}'


def _stranger() -> SigningKey:
    """Return a key that nobody registered, under the name of a registered one."""
    return SigningKey("ec-1", "ES384", ec.generate_private_key(ec.SECP384R1()))


def _p256() -> SigningKey:
    return SigningKey("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1()))


def _mangled(at: int) -> str:
    parts = token().split(".")
    parts[at] = ("A" if parts[at][0] != "A" else "B") + parts[at][1:]
    return ".".join(parts)


def _assembled(head: str, payload: Mapping[str, object], signature: str) -> str:
    return ".".join([head.partition(".")[0], encode(payload), signature.split(".")[2]])


TOKENS: dict[str, Callable[[], str]] = {
    # R-SEC-04
    "alg none": lambda: _none("none"),
    "alg None": lambda: _none("None"),
    "alg NONE": lambda: _none("NONE"),
    "alg nOnE": lambda: _none("nOnE"),
    "alg none with a signature": lambda: _none("none", token().split(".")[2]),
    "alg empty": lambda: signed(header(alg=""), claims()),
    "alg missing": lambda: signed(header(alg=...), claims()),
    "alg a list": lambda: signed(header(alg=["ES384"]), claims()),
    # R-SEC-05
    "HS256 with the public PEM": lambda: _hmac("HS256", rsa_key().pem),
    "HS384 with the public PEM": lambda: _hmac("HS384", rsa_key().pem),
    "HS384 with the public DER": lambda: _hmac("HS384", rsa_key().der),
    "HS384 with the public JWK": lambda: _hmac("HS384", json.dumps(rsa_key().jwk).encode()),
    "HS512 with an empty secret": lambda: _hmac("HS512", b""),
    # R-SEC-06
    "RS384 header over an ES384 signature": lambda: signed(header(alg="RS384"), claims()),
    "ES384 header over an RS384 signature": lambda: signed(
        header(rsa_key(), alg="ES384"), claims(), rsa_key()
    ),
    "RS256, which the client is not allowed": lambda: signed(
        header(rsa_key(), alg="RS256"), claims(), rsa_key(), algorithm="RS256"
    ),
    "RS512, which the client is not allowed": lambda: signed(
        header(rsa_key(), alg="RS512"), claims(), rsa_key(), algorithm="RS512"
    ),
    "PS384, which the client is not allowed": lambda: signed(
        header(rsa_key(), alg="PS384"), claims(), rsa_key(), algorithm="PS384"
    ),
    "ES384 header with a P-256 key": lambda: signed(header(), claims(), _p256()),
    "lower-case algorithm": lambda: signed(header(alg="es384"), claims()),
    # R-SEC-03
    "wrong key with the right kid": lambda: signed(header(), claims(), _stranger()),
    "payload changed": lambda: _assembled(token(), claims(), token()),
    "payload no longer JSON": lambda: _mangled(1),
    "header of another token": lambda: _assembled(token(rsa_key()), claims(), token()),
    "signature changed": lambda: _mangled(2),
    "signature of another token": lambda: ".".join(
        [*token().split(".")[:2], token().split(".")[2]]
    ),
    "key of another client under its kid (R-SEC-15)": lambda: signed(
        header(kid="other-1"), claims(iss=SECOND)
    ),
    "kid unknown": lambda: signed(header(kid="ec-2"), claims()),
    "kid of another key of the client": lambda: signed(header(kid="rsa-1"), claims()),
    "kid of another client": lambda: signed(header(kid="other-1"), claims(), ec_key("other-1")),
    "kid like a path": lambda: signed(header(kid="../../dev/null"), claims()),
    "kid like SQL": lambda: signed(header(kid="' OR 1=1 --"), claims()),
    "kid too long": lambda: signed(header(kid="k" * 5000), claims()),
    "kid missing (R-SEC-07)": lambda: signed(header(kid=...), claims()),
    "kid empty": lambda: signed(header(kid=""), claims()),
    "kid a number": lambda: signed(header(kid=1), claims()),
    "jwk in the header": lambda: signed(
        header(_stranger(), jwk=_stranger().jwk), claims(), _stranger()
    ),
    "x5u in the header": lambda: signed(header(x5u="https://evil.example/cert"), claims()),
    "x5c in the header": lambda: signed(header(x5c=["MIIB"]), claims()),
    "crit in the header": lambda: signed(header(crit=["exp"], exp=1), claims()),
    "crit empty": lambda: signed(header(crit=[]), claims()),
    "b64 false": lambda: signed(header(b64=False), claims()),
    "jku foreign (R-SEC-11)": lambda: signed(header(jku="https://evil.example/jwks"), claims()),
    "jku a number": lambda: signed(header(jku=7), claims()),
    "typ missing (R-SEC-07)": lambda: signed(header(typ=...), claims()),
    "typ another": lambda: signed(header(typ="at+jwt"), claims()),
    # R-SEC-07
    "iss missing": lambda: token(iss=...),
    "aud missing": lambda: token(aud=...),
    "exp missing": lambda: token(exp=...),
    "iat missing": lambda: token(iat=...),
    "jti missing": lambda: token(jti=...),
    "all claims missing": lambda: signed(header(), {}),
    "iss empty": lambda: token(iss=""),
    "iss null": lambda: token(iss=None),
    "iss a list": lambda: token(iss=[ISSUER]),
    "iss with a trailing slash": lambda: token(iss=ISSUER + "/"),
    "iss in upper case": lambda: token(iss=ISSUER.upper()),
    "iss of nobody": lambda: token(iss="https://evil.example"),
    "iss of another client (R-SEC-15)": lambda: token(iss=SECOND),
    "key of another client (R-SEC-15)": lambda: token(ec_key("other-1")),
    "sub a number": lambda: token(sub=7),
    # R-SEC-09
    "aud of another service": lambda: token(aud=PUBLIC_URL + ORDER_SIGN),
    "aud of discovery": lambda: token(aud=f"{PUBLIC_URL}/cds-services"),
    "aud of the base": lambda: token(aud=PUBLIC_URL),
    "aud of feedback on the hook": lambda: token(aud=PUBLIC_URL + FEEDBACK),
    "aud a prefix": lambda: token(aud=AUDIENCE[:-1]),
    "aud with a suffix": lambda: token(aud=AUDIENCE + "/"),
    "aud with a query": lambda: token(aud=AUDIENCE + "?a=b"),
    "aud in upper case": lambda: token(aud=AUDIENCE.upper()),
    "aud of another host": lambda: token(aud="https://evil.example" + ORDER_SELECT),
    "aud empty": lambda: token(aud=""),
    "aud an empty list": lambda: token(aud=[]),
    "aud a list in a list": lambda: token(aud=[[AUDIENCE]]),
    "aud a list with a number": lambda: token(aud=[AUDIENCE, 1]),
    "aud an object": lambda: token(aud={AUDIENCE: 1}),
    "aud a very long list": lambda: token(aud=[AUDIENCE, *map(str, range(30))]),
    # R-SEC-08, R-SEC-13
    "expired": lambda: token(iat=START - 400, exp=START - 100),
    "expired by exactly the leeway": lambda: token(iat=START - 360, exp=START - 60),
    "not valid yet (R-SEC-12)": lambda: token(nbf=START + 600),
    "nbf as text": lambda: token(nbf=str(START)),
    "iat in the future": lambda: token(iat=START + 86400, exp=START + 86500),
    "iat old": lambda: token(iat=START - 86400),
    "lifetime too long": lambda: token(exp=START + 301),
    "lifetime of 30 days": lambda: token(exp=START + 30 * 86400),
    "ends before it begins": lambda: token(iat=START + 10, exp=START + 5),
    "exp as text": lambda: token(exp=str(START + 300)),
    "exp a float": lambda: token(exp=START + 300.5),
    "exp huge": lambda: token(exp=10**18),
    "exp beyond 64 bits": lambda: token(exp=10**30),
    "exp negative": lambda: token(exp=-1),
    "exp true": lambda: token(exp=True),
    "exp null": lambda: token(exp=None),
    "exp infinite": lambda: signed(
        header(), json.dumps(claims()).replace(str(START + 300), "Infinity")
    ),
    "iat as text": lambda: token(iat=str(START)),
    "iat false": lambda: token(iat=False),
    # R-SEC-10
    "jti empty": lambda: token(jti=""),
    "jti too long": lambda: token(jti="j" * 201),
    "jti a number": lambda: token(jti=1),
    "jti a list": lambda: token(jti=["a"]),
    "tenant a number": lambda: token(tenant=1),
    # Two readers, two meanings.
    "iss twice": lambda: signed(
        header(), _repeated("iss", "https://evil.example", json.dumps(claims()))
    ),
    "exp twice": lambda: signed(header(), _repeated("exp", 1, json.dumps(claims()))),
    "alg twice": lambda: signed(_repeated("alg", "none", json.dumps(header())), claims()),
    "claims a list": lambda: signed(header(), "[]"),
    "header a list": lambda: signed("[]", claims()),
    "claims no JSON": lambda: signed(header(), "iss=me"),
    "claims not UTF-8": lambda: f"{encode(header())}.{encode(bytes([0xFF, 0xFE]))}.AAAA",
    "header nested deep": lambda: signed('{"a":' * 900 + "1" + "}" * 900, claims()),
    # Form.
    "empty": lambda: "",
    "truncated": lambda: token()[:-10],
    "two parts": lambda: token().rpartition(".")[0],
    "signature empty": lambda: token().rpartition(".")[0] + ".",
    "four parts": lambda: token() + ".AAAA",
    "five parts, as if encrypted": lambda: token() + ".AAAA.AAAA",
    "padding": lambda: token() + "=",
    "white space before": lambda: " " + token(),
    "white space inside": lambda: token().replace(".", ". ", 1),
    "two tokens": lambda: f"{token()},{token()}",
    "standard base64 alphabet": lambda: token().rpartition(".")[0] + ".++//",
    "a MiB": lambda: "A" * 1024 * 1024,
    "over 8 KiB": lambda: token(padding="p" * 8192),
    "JSON serialization": lambda: json.dumps({"payload": encode(claims()), "signatures": []}),
    "a question": lambda: "?",
}


REASONS: Mapping[Reason, tuple[str, ...]] = {
    Reason.ALGORITHM: (
        "alg none with a signature",
        "alg empty",
        "alg missing",
        "alg a list",
        "HS256 with the public PEM",
        "HS384 with the public PEM",
        "HS384 with the public DER",
        "HS384 with the public JWK",
        "HS512 with an empty secret",
        "RS256, which the client is not allowed",
        "RS512, which the client is not allowed",
        "PS384, which the client is not allowed",
        "lower-case algorithm",
    ),
    Reason.UNKNOWN_KEY: (
        "RS384 header over an ES384 signature",
        "ES384 header over an RS384 signature",
        "kid unknown",
        "kid of another key of the client",
        "kid of another client",
        "kid like a path",
        "kid like SQL",
        "iss of another client (R-SEC-15)",
        "key of another client (R-SEC-15)",
    ),
    Reason.SIGNATURE: (
        "ES384 header with a P-256 key",
        "wrong key with the right kid",
        "payload changed",
        "header of another token",
        "signature changed",
        "signature of another token",
        "key of another client under its kid (R-SEC-15)",
        "truncated",
    ),
    Reason.HEADER: (
        "kid too long",
        "kid missing (R-SEC-07)",
        "kid empty",
        "kid a number",
        "jwk in the header",
        "x5u in the header",
        "x5c in the header",
        "crit in the header",
        "crit empty",
        "b64 false",
        "typ missing (R-SEC-07)",
        "typ another",
    ),
    Reason.JKU: (
        "jku foreign (R-SEC-11)",
        "jku a number",
    ),
    Reason.ISSUER: (
        "iss missing",
        "all claims missing",
        "iss empty",
        "iss null",
        "iss a list",
        "iss with a trailing slash",
        "iss in upper case",
        "iss of nobody",
    ),
    Reason.CLAIMS: (
        "aud missing",
        "exp missing",
        "iat missing",
        "jti missing",
        "aud a list in a list",
        "aud a list with a number",
        "aud an object",
        "aud a very long list",
        "nbf as text",
        "exp as text",
        "exp a float",
        "exp beyond 64 bits",
        "exp negative",
        "exp true",
        "exp null",
        "iat as text",
        "iat false",
        "jti empty",
        "jti too long",
        "jti a number",
        "jti a list",
        "tenant a number",
    ),
    Reason.SUBJECT: ("sub a number",),
    Reason.AUDIENCE: (
        "aud of another service",
        "aud of discovery",
        "aud of the base",
        "aud of feedback on the hook",
        "aud a prefix",
        "aud with a suffix",
        "aud with a query",
        "aud in upper case",
        "aud of another host",
        "aud empty",
        "aud an empty list",
    ),
    Reason.EXPIRED: (
        "expired",
        "expired by exactly the leeway",
    ),
    Reason.NOT_YET_VALID: (
        "not valid yet (R-SEC-12)",
        "iat in the future",
    ),
    Reason.LIFETIME: (
        "iat old",
        "lifetime too long",
        "lifetime of 30 days",
        "ends before it begins",
        "exp huge",
    ),
    Reason.NOT_ONE_TOKEN: (
        "empty",
        "white space before",
        "white space inside",
        "JSON serialization",
    ),
}
"""Which check must have caught which token; the rest are malformed, the first check of all."""


@pytest.mark.parametrize("name", TOKENS)
def test_a_bad_token_is_refused_bare_and_the_body_is_not_read(
    closed: Callable[..., FlaskClient], name: str
) -> None:
    """R-SEC-02 to R-SEC-16."""
    to = closed(
        client_entry(),
        client_entry(issuer=SECOND, jwks=key_set(ec_key("other-1"))),
    )
    response = knock(to, bearer(TOKENS[name]()))

    caught_by = next((reason for reason in REASONS if name in REASONS[reason]), Reason.MALFORMED)
    assert is_bare(response)
    assert {caught_by.value: 1} == reasons(to)


def is_bare(response: TestResponse) -> bool:
    """Tell whether an answer is 401 and says nothing of which check failed (R-SEC-14)."""
    text = "This call needs a valid client token."
    bare = operation_outcome(401, "not-authenticated", text)
    return (
        401 == response.status_code
        and "Bearer" == response.headers["WWW-Authenticate"]
        and bool(bare == json.loads(response.get_data()))
    )


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Basic bWU6bWU=")],
        [("Authorization", "JWT x.y.z")],
        [("X-Authorization", "Bearer x")],
        [("Cookie", "token=x")],
    ],
    ids=str,
)
def test_a_call_without_a_bearer_token_is_refused(
    closed: Callable[..., FlaskClient], headers: list[tuple[str, str]]
) -> None:
    """R-SEC-01, R-SEC-02."""
    assert is_bare(knock(closed(), headers))


def test_two_authorization_headers_are_refused(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-02."""
    to = closed()
    good = f"Bearer {token()}"

    assert is_bare(knock(to, [("Authorization", good), ("Authorization", good)]))
    assert is_bare(knock(to, [("Authorization", "Bearer x"), ("Authorization", good)]))


def test_a_token_in_the_query_is_not_looked_at(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-02."""
    assert is_bare(knock(closed(), [], f"{ORDER_SELECT}?access_token={token()}"))


def test_a_malformed_body_teaches_a_stranger_nothing(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-16."""
    to = closed()

    assert 401 == to.post(ORDER_SELECT, data=b"{", content_type="text/plain").status_code
    assert 401 == to.post("/cds-services/no-such-service", data=b"{").status_code


def test_a_token_counts_once_and_so_does_its_jti(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-10."""
    to = closed()
    compact = token(jti="once")

    assert 200 == fire(to, hook_request(), headers=bearer(compact)).status_code
    assert is_bare(knock(to, bearer(compact)))
    assert is_bare(knock(to, bearer(token(jti="once", exp=START + 200))))
    assert {"replay": 2} == reasons(to)


def test_a_refused_token_spends_no_jti(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-10: a stranger who saw a jti must not be able to use it up."""
    to = closed()
    knock(to, bearer(signed(header(), claims(jti="mine"), _stranger())))
    knock(to, bearer(token(jti="mine", aud=PUBLIC_URL)))

    assert 200 == fire(to, hook_request(), headers=bearer(token(jti="mine"))).status_code


def test_the_same_jti_of_two_clients_are_two(closed: Callable[..., FlaskClient]) -> None:
    to = closed(client_entry(), client_entry(issuer=SECOND, jwks=key_set(ec_key("other-1"))))
    first, second = token(jti="same"), token(ec_key("other-1"), jti="same", iss=SECOND)

    assert 200 == fire(to, hook_request(), headers=bearer(first)).status_code
    assert 200 == fire(to, hook_request(), headers=bearer(second)).status_code


def test_a_client_may_be_allowed_another_algorithm(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-06."""
    to = closed(client_entry(algorithms=["RS256"]))
    asked = signed(header(rsa_key(), alg="RS256"), claims(), rsa_key(), algorithm="RS256")

    assert 200 == fire(to, hook_request(), headers=bearer(asked)).status_code
    assert is_bare(knock(to, bearer(token())))


def test_a_client_may_have_a_longer_or_shorter_lifetime(closed: Callable[..., FlaskClient]) -> None:
    """R-SEC-13."""
    to = closed(client_entry(lifetimeSeconds=600))

    assert 200 == fire(to, hook_request(), headers=bearer(token(exp=START + 600))).status_code
    assert is_bare(knock(to, bearer(token(exp=START + 601))))


@pytest.mark.parametrize("sub", [..., "other", "", None], ids=str)
def test_a_registered_subject_must_be_named(
    closed: Callable[..., FlaskClient], sub: object
) -> None:
    to = closed(client_entry(subject="app-1"))

    assert 200 == fire(to, hook_request(), headers=bearer(token(sub="app-1"))).status_code
    assert is_bare(knock(to, bearer(token(sub=sub))))


def test_two_clients_of_one_issuer_are_told_apart_by_subject(
    closed: Callable[..., FlaskClient],
) -> None:
    """R-SEC-15."""
    to = closed(
        client_entry(subject="app-1", jwks=key_set(ec_key())),
        client_entry(subject="app-2", jwks=key_set(rsa_key())),
    )

    assert 200 == fire(to, hook_request(), headers=bearer(token(sub="app-1"))).status_code
    assert (
        200 == fire(to, hook_request(), headers=bearer(token(rsa_key(), sub="app-2"))).status_code
    )
    assert is_bare(knock(to, bearer(token(sub="app-2"))))


@pytest.mark.parametrize("tenant", [..., "south", "", "NORTH", ["north"]], ids=str)
def test_another_tenant_is_refused_and_so_is_none(
    closed: Callable[..., FlaskClient], tenant: object
) -> None:
    """R-SEC-12."""
    to = closed(client_entry(tenants=["north"]))

    assert 200 == fire(to, hook_request(), headers=bearer(token(tenant="north"))).status_code
    assert is_bare(knock(to, bearer(token(tenant=tenant))))


def test_a_known_client_that_may_not_call_this_service_gets_403(
    closed: Callable[..., FlaskClient],
) -> None:
    to = closed(client_entry(services=["lumbar-mri-order-sign"]))
    response = knock(to, bearer(token()))

    assert 403 == response.status_code
    assert "not-allowed" == error_code(response)
    assert {"service": 1} == reasons(to)
    allowed = token(aud=PUBLIC_URL + ORDER_SIGN)
    answer = fire(to, hook_request(hook="order-sign"), headers=bearer(allowed))
    assert 200 == answer.status_code


def test_a_listed_audience_counts_but_not_for_another_service(
    closed: Callable[..., FlaskClient],
) -> None:
    """R-SEC-09."""
    old = "https://old.example/cds-services/"
    to = closed(
        client_entry(
            audiences=["urn:lumbar", old + "lumbar-mri-order-sign", old + ORDER_SELECT[14:]]
        )
    )

    assert 200 == fire(to, hook_request(), headers=bearer(token(aud="urn:lumbar"))).status_code
    assert (
        200
        == fire(
            to, hook_request(), headers=bearer(token(aud=old + "lumbar-mri-order-select"))
        ).status_code
    )
    assert is_bare(knock(to, bearer(token(aud=old + "lumbar-mri-order-sign"))))
    assert is_bare(knock(to, bearer(token(aud="urn:lumba"))))


def test_without_a_public_url_only_listed_audiences_count(tmp_path: Path) -> None:
    """R-SEC-09: never one guessed from the request's Host."""
    settings = Settings(state_directory=tmp_path)
    site = parse_site_file(site_text(client_entry(audiences=["urn:lumbar"])), name="site.yaml")
    to = client(settings, site=site)

    assert 200 == fire(to, hook_request(), headers=bearer(token(aud="urn:lumbar"))).status_code
    for guessed in (
        ORDER_SELECT,
        f"http://localhost{ORDER_SELECT}",
        AUDIENCE,
        f"None{ORDER_SELECT}",
    ):
        assert is_bare(knock(to, bearer(token(aud=guessed))))


def test_without_any_client_the_service_says_why_it_is_not_ready(tmp_path: Path) -> None:
    to = client(Settings(database_url=f"sqlite:///{tmp_path}/store.sqlite3"))
    response = to.get("/health/ready")

    assert 503 == response.status_code
    assert NO_CLIENT in response.json["warnings"]  # type: ignore[index]  # an object
    assert NO_CLIENT in to.get("/").text
    assert is_bare(knock(to, bearer(token())))


def test_readiness_names_store_and_key_sets(closed: Callable[..., FlaskClient]) -> None:
    response = closed(client_entry(), client_entry(issuer=SECOND, jwks=...)).get("/health/ready")
    body = json.loads(response.get_data())

    assert 200 == response.status_code
    assert {"kind": "sqlite", "state": "up"} == body["database"]
    assert "sqlite" == body["seenTokens"]
    assert [{"client": ISSUER, "source": "site file", "keys": 2}] == body["keySets"]
    assert "1 client(s) of the site file have neither" in response.text


def test_nothing_of_a_token_comes_out_anywhere(
    closed: Callable[..., FlaskClient],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """R-SEC-14: neither a token nor a claim's value in logs, metrics, readiness or errors."""
    caplog.set_level(0)
    to = closed(client_entry(tenants=["north"]))
    canary = "canary-7c1f"
    named: dict[str, object] = {"sub": canary, "jti": canary, "tenant": canary, "extra": canary}
    sent = [
        signed(header(), claims(**named)),
        signed(header(), claims(**{**named, "iss": canary})),
        signed(header(), claims(**{**named, "aud": canary, "tenant": "north"})),
        signed(header(), claims(**{**named, "tenant": "north"})),
        signed(header(), claims(**{**named, "tenant": "north"})),
        signed(header(kid=canary, jku=f"https://{canary}.example"), claims()),
        canary,
    ]
    answers = [fire(to, hook_request(), headers=bearer(each)).text for each in sent]
    seen = [*answers, to.get("/metrics").text, to.get("/health/ready").text, *capfd.readouterr()]
    seen += [repr(vars(record)) for record in caplog.records]

    assert [] == [text for text in seen if canary in text]
    assert [] == [text for text in seen for each in sent if each.split(".")[0] in text]
    lines = [vars(r) for r in caplog.records if r.msg == "hook call" and vars(r)["status"] == 401]
    assert ["tenant", "issuer", "audience", "replay", "jku", "malformed"] == [
        line["reason"] for line in lines
    ]
    assert ISSUER == lines[0]["client"]
    assert "client" not in lines[1]


def test_open_mode_ignores_an_authorization_header() -> None:
    """R-SEC-18."""
    assert 200 == fire(client(), hook_request(), headers=bearer("dummy")).status_code


def test_the_clock_of_the_service_is_the_one_that_counts() -> None:
    assert START == int(NOW.timestamp())
