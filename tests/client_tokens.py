"""Keys, tokens of every good and bad kind, and a key server, for the tests of client tokens."""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from http_service import NOW, ORDER_SELECT
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PUBLIC_URL = "https://cds.example/lumbar"
ISSUER = "https://ehr.example/hospital"
AUDIENCE = PUBLIC_URL + ORDER_SELECT
START = int(NOW.timestamp())

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its name and usual algorithm."""

    kid: str
    algorithm: str
    private: PrivateKey = field(repr=False)

    @property
    def jwk(self) -> dict[str, object]:
        """The public half, as it stands in a key set."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            members = RSAAlgorithm.to_jwk(public, as_dict=True)
        else:
            members = ECAlgorithm.to_jwk(public, as_dict=True)
        return {**members, "kid": self.kid, "use": "sig"}

    @property
    def pem(self) -> bytes:
        """The public half as PEM text."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def der(self) -> bytes:
        """The public half as DER bytes."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@cache
def ec_key(kid: str = "ec-1") -> SigningKey:
    """Return the P-384 key of this name, made once a run."""
    return SigningKey(kid, "ES384", ec.generate_private_key(ec.SECP384R1()))


@cache
def rsa_key(kid: str = "rsa-1", bits: int = 2048) -> SigningKey:
    """Return the RSA key of this name, made once a run."""
    return SigningKey(kid, "RS384", rsa.generate_private_key(65537, bits))


def key_set(*keys: SigningKey) -> dict[str, object]:
    """Return a JWK Set."""
    return {"keys": [key.jwk for key in keys]}


_RUN = secrets.token_hex(8)
"""Keeps the nonces of two runs apart: a store may outlive a run."""
_serial = iter(range(10**9))


def claims(**changes: object) -> dict[str, object]:
    """Return good claims with a new jti; a change to `...` leaves the claim out."""
    usual: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": START,
        "exp": START + 300,
        "jti": f"{_RUN}-{next(_serial)}",
    }
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def encode(part: bytes | str | Mapping[str, object]) -> str:
    """Return one part of a token: bytes, JSON text as it stands, or an object."""
    if isinstance(part, Mapping):
        part = json.dumps(part)
    raw = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(
    header: Mapping[str, object] | str,
    payload: Mapping[str, object] | str,
    key: SigningKey | None = None,
    *,
    algorithm: str = "",
) -> str:
    """Return a token with exactly this header, signed by `key` whatever the header says."""
    signer = key or ec_key()
    text = f"{encode(header)}.{encode(payload)}"
    method = jwt.PyJWS().get_algorithm_by_name(algorithm or signer.algorithm)
    return f"{text}.{encode(method.sign(text.encode(), signer.private))}"


def with_hmac(header: Mapping[str, object], payload: Mapping[str, object], secret: bytes) -> str:
    """Return a token signed with HMAC, as if a public key were a secret."""
    text = f"{encode(header)}.{encode(payload)}"
    method = getattr(hashlib, f"sha{str(header['alg'])[2:]}")
    return f"{text}.{encode(hmac.new(secret, text.encode(), method).digest())}"


def header(key: SigningKey | None = None, **changes: object) -> dict[str, object]:
    """Return a good header for a key; a change to `...` leaves the member out."""
    signer = key or ec_key()
    usual: dict[str, object] = {"alg": signer.algorithm, "typ": "JWT", "kid": signer.kid}
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def token(key: SigningKey | None = None, **changes: object) -> str:
    """Return a good token, but for the changed claims."""
    return signed(header(key), claims(**changes), key)


def bearer(compact: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {compact}"}


def client_entry(**changes: object) -> dict[str, object]:
    """Return an entry of `clients`: both keys in the file, unless changed; `...` leaves out."""
    usual: dict[str, object] = {"issuer": ISSUER, "jwks": key_set(ec_key(), rsa_key())}
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def site_text(*clients: Mapping[str, object], **others: object) -> str:
    """Return a site file with these clients (JSON is YAML)."""
    return json.dumps({"clients": list(clients), **others})


class KeyServer:
    """A real HTTP server on loopback with one answer, which a test may change at any time."""

    def __init__(self, *keys: SigningKey, tls: ssl.SSLContext | None = None) -> None:
        """Answer with the set of these keys; with `tls` over https."""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.pause_seconds = 0.0
        self.trickles = False
        self.paths: list[str] = []
        self._stopping = threading.Event()
        self.give(*keys)
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Write nothing."""

            def do_GET(self) -> None:
                outer.paths.append(self.path)
                outer._stopping.wait(outer.pause_seconds)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                step = 1 if outer.trickles else len(outer.body) or 1
                for start in range(0, len(outer.body), step):
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(outer.body[start : start + step])
                    if outer.trickles and outer._stopping.wait(0.05):
                        break

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._listener.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._listener.socket = tls.wrap_socket(
                self._listener.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,))

    def give(self, *keys: SigningKey) -> None:
        """Answer with the set of these keys from now on."""
        self.body = json.dumps(key_set(*keys)).encode()

    @property
    def url(self) -> str:
        """The address of the set."""
        return f"{self._scheme}://127.0.0.1:{self._listener.server_address[1]}/jwks.json"

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop answering and free the port."""
        self._stopping.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
